package migrations_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"sonde/internal/pgtest"
	"sonde/migrations"
)

func TestEveryTableAndColumnHasAComment(t *testing.T) {
	d := newDB(t)
	rows, err := d.Query(t.Context(), `
		SELECT c.relname FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition AND c.relname <> 'goose_db_version' AND obj_description(c.oid) IS NULL
		UNION ALL
		SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'goose_db_version' AND col_description(c.oid, a.attnum) IS NULL
		UNION ALL
		SELECT p.proname || '()' FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'sonde%' AND obj_description(p.oid) IS NULL`)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range bare {
		t.Errorf("%s has no comment", name)
	}
}

func TestTenDaemonsMayMigrateAtOnce(t *testing.T) {
	dsn, c := pgtest.Bare(t), real(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var applied []string
	for range 10 {
		wg.Go(func() {
			report, err := migrations.Up(t.Context(), dsn, c)
			if err != nil || report.Version < 8 {
				t.Errorf("%+v %v", report, err)
			}
			mu.Lock()
			applied = append(applied, report.Applied...)
			mu.Unlock()
		})
	}
	wg.Wait()
	if !slices.IsSorted(applied) || len(slices.Compact(slices.Clone(applied))) != len(applied) || len(applied) < 8 {
		t.Errorf("applied %v", applied)
	}
}

// Before the first release migrations change in place; whoever keeps a database
// of an earlier state is told, instead of meeting columns that are not there.
func TestDatabaseOfOtherMigrationsIsRefused(t *testing.T) {
	for _, of := range []string{
		`UPDATE schema_info SET sha256 = 'abc'`,
		`ALTER TABLE schema_info DROP COLUMN sha256`, // before there was one
	} {
		dsn, c := pgtest.Bare(t), real(t)
		report, err := migrations.Up(t.Context(), dsn, c)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		var version int64
		if err := conn.QueryRow(t.Context(), `SELECT version FROM schema_info`).Scan(&version); err != nil || version != report.Version {
			t.Errorf("schema_info says version %d (%v), there are %d migrations", version, err, report.Version)
		}
		if _, err := conn.Exec(t.Context(), of); err != nil {
			t.Fatal(err)
		}
		if _, err := migrations.Up(t.Context(), dsn, c); err == nil || !strings.Contains(err.Error(), "made by another state of Sonde") {
			t.Errorf("after %q: %v", of, err)
		}
	}
}

func TestUpTwiceChangesNothingThatPeopleChanged(t *testing.T) {
	dsn, c := pgtest.Bare(t), real(t)
	if _, err := migrations.Up(t.Context(), dsn, c); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `UPDATE rules SET enabled = false; UPDATE settings SET value = '7' WHERE name = 'keep_days_pingdata'`); err != nil {
		t.Fatal(err)
	}
	const all = `SELECT (SELECT string_agg(r::text, ';' ORDER BY name) FROM rules r) || (SELECT string_agg(s::text, ';' ORDER BY name) FROM settings s)
		|| (SELECT string_agg(t::text, ';' ORDER BY name) FROM tools t) || (SELECT string_agg(m::text, ';') FROM schedule_mark m) || (SELECT string_agg(m::text, ';') FROM analyst_mark m)`
	var before, after string
	if err := conn.QueryRow(t.Context(), all).Scan(&before); err != nil {
		t.Fatal(err)
	}
	report, err := migrations.Up(t.Context(), dsn, c)
	if err != nil || len(report.Applied) != 0 || len(report.Problems) != 0 {
		t.Errorf("%+v %v", report, err)
	}
	if err := conn.QueryRow(t.Context(), all).Scan(&after); err != nil || after != before {
		t.Errorf("%v\n%s\nbecame\n%s", err, before, after)
	}
}

func TestWhatNoLongerFitsIsListedAndStaysOn(t *testing.T) {
	d := newDB(t)
	d.exec(every(", options", `, '{"count": 20}'`))
	d.exec(`INSERT INTO toolspecs (node, tool, run_interval) VALUES ('cern', 'traceroute', '1 h')`)
	d.exec(`INSERT INTO mediums (name, type, options) VALUES ('sms', 'smstools', '{"spool":"/var/spool/sms"}')`)
	next := real(t)
	for i, tool := range next.Tools {
		if tool.Name == "ping" {
			next.Tools[i].Options = json.RawMessage(`[{"name": "packets", "type": "int", "default": 10, "min": 1, "max": 100, "meaning": "how many"}]`)
			next.Tools[i].LeastTime = ""
		}
	}
	next.Tools = slices.DeleteFunc(next.Tools, func(t migrations.Tool) bool { return t.Name == "traceroute" })
	next.MediumTypes = slices.DeleteFunc(next.MediumTypes, func(m migrations.Described) bool { return m.Name == "smstools" })
	report, err := migrations.Up(t.Context(), d.Config().ConnString(), next)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(report.Problems, "\n")
	for _, want := range []string{`(ping to cern): unknown option "count"; known options: packets`, "(traceroute to cern): this version has no such tool", "medium sms: this version has no such type"} {
		if !strings.Contains(text, want) {
			t.Errorf("no word of %q in\n%s", want, text)
		}
	}
	if n := get[int](d, `SELECT count(*)::int FROM toolspecs WHERE enabled`); n != 2 {
		t.Errorf("%d specs are on", n)
	}
	d.refused(`INSERT INTO toolspecs (node, tool, label, run_interval) VALUES ('cern', 'traceroute', 'x', '1 h')`, "toolspecs.tool", "known tools: ping")
	// What does not fit can still be switched off.
	d.exec(`UPDATE toolspecs SET enabled = false WHERE tool = 'traceroute'`)
}

func TestRenamedNodeCarriesEverythingAlong(t *testing.T) {
	d := newDB(t)
	d.exec(every("", ""))
	d.exec(`INSERT INTO nodes (name, address, parent) VALUES ('child', '192.0.2.9', 'cern')`)
	d.exec(`INSERT INTO recipients (name) VALUES ('anna')`)
	d.exec(`INSERT INTO policies (recipient, node) VALUES ('anna', 'cern')`)
	d.exec(`INSERT INTO maintenance (node, until_at) VALUES ('cern', now() + interval '1 h')`)
	d.exec(`INSERT INTO rules (name, method, tool, metric, node) SELECT 'mine', method, tool, metric, 'cern' FROM rules WHERE tool = 'ping' AND metric IS NOT NULL LIMIT 1`)
	d.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome) SELECT id, now(), 'ok' FROM toolspecs`) // measured, and renamed all the same
	since := get[string](d, `SELECT timing_since::text FROM toolspecs`)
	d.exec(`UPDATE nodes SET name = 'CERN Geneva' WHERE name = 'cern'`)
	d.exec(`UPDATE nodes SET name = 'pi' WHERE name = 'm1'`)
	if got := get[string](d, `SELECT format('%s|%s|%s|%s|%s|%s', s.node, s.monhost, c.parent, p.node, m.node, r.node) FROM toolspecs s, nodes c, policies p, maintenance m, rules r WHERE c.name = 'child' AND r.name = 'mine'`); got != "CERN Geneva|pi|CERN Geneva|CERN Geneva|CERN Geneva|CERN Geneva" {
		t.Errorf("%q", got)
	}
	if got := get[string](d, `SELECT timing_since::text FROM toolspecs`); got != since {
		t.Errorf("the grid moved from %s to %s", since, got)
	}
}

func TestMeasuredSpecIsNeitherDeletedNorMoved(t *testing.T) {
	d := newDB(t)
	d.exec(`INSERT INTO nodes (name, address) VALUES ('other', '192.0.2.2')`)
	d.exec(every("", ""))
	d.exec(`UPDATE toolspecs SET node = 'other'`) // not measured yet
	d.exec(`UPDATE toolspecs SET node = 'cern'`)
	d.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome) SELECT id, now(), 'ok' FROM toolspecs`)
	for _, set := range []string{"node = 'other'", "tool = 'traceroute'"} {
		d.refused(`UPDATE toolspecs SET `+set, "toolspecs."+strings.Fields(set)[0], "has results", "enabled = false", "insert a new spec")
	}
	d.refused(`DELETE FROM toolspecs`, "toolspecs.id", "has results and cannot be deleted", "enabled = false")
	d.refused(`DELETE FROM nodes WHERE name = 'cern'`, "nodes.name", "is used by spec", "enabled = false")
	d.refused(`DELETE FROM nodes WHERE name = 'm1'`, "nodes.name", "is used by")
	d.exec(`DELETE FROM nodes WHERE name = 'other'`)
	d.exec(every(", label", ", 'fresh'"))
	d.exec(`DELETE FROM toolspecs WHERE label = 'fresh'`)
	if n := get[int](d, `SELECT count(*)::int FROM toolspecs_removed`); n != 1 {
		t.Errorf("%d removals are noted", n)
	}
}

func TestChangedAddressAndOptionsAreNoted(t *testing.T) {
	d := newDB(t)
	d.exec(every(", options", `, '{"count": 5}'`))
	d.exec(`UPDATE nodes SET address = '192.0.2.7', site = 'Geneva' WHERE name = 'cern'`)
	d.exec(`UPDATE toolspecs SET options = '{"count": 7}'`)
	d.exec(`UPDATE toolspecs SET days_to_analyze = 5`)
	d.exec(`UPDATE nodes SET site = 'Meyrin' WHERE name = 'cern'`)
	if got := get[string](d, `SELECT string_agg(text, '; ' ORDER BY id) FROM comments WHERE change AND node = 'cern'`); got != `address changed from www.cern.ch to 192.0.2.7; options changed from {"count": 5} to {"count": 7}` {
		t.Errorf("%q", got)
	}
}

func TestDisablingDeletesWhatHasNotStarted(t *testing.T) {
	for _, off := range []string{`UPDATE toolspecs SET enabled = false`, `UPDATE nodes SET enabled = false WHERE name = 'cern'`, `UPDATE toolspecs SET run_interval = '2 min'`} {
		d := newDB(t)
		d.exec(every("", ""))
		d.exec(`INSERT INTO schedule (toolspec_id, due_at) SELECT id, now() - g * interval '1 s' FROM toolspecs, generate_series(0, 1) g`)
		d.exec(`UPDATE schedule SET state = 'claimed', claimed_by = 'w', lease_until = now() WHERE due_at = now() OR due_at = (SELECT min(due_at) FROM schedule)`)
		d.exec(off)
		if got := get[string](d, `SELECT string_agg(state, ' ') FROM schedule`); got != "claimed" {
			t.Errorf("%s: left is %q", off, got)
		}
		if n := get[int](d, `SELECT count(*)::int FROM runs`); n != 0 {
			t.Errorf("%s: %d runs were named missed", off, n)
		}
	}
}

func TestVacuumShortensScheduleOnlyWhenItIsLong(t *testing.T) {
	d := newDB(t)
	d.exec(every("", ""))
	emptied := func(most int) (pages int) {
		d.exec(`INSERT INTO schedule (toolspec_id, due_at, start_by, monhost, tool) SELECT id, now() + g * interval '1 ms', now(), monhost, tool FROM toolspecs, generate_series(1, 5000) g`)
		d.exec(`SELECT sonde_trim_schedule($1)`, most)
		d.exec(`DELETE FROM schedule`)
		d.exec(`VACUUM schedule`)
		return get[int](d, `SELECT (pg_relation_size('schedule') / 8192)::int`)
	}
	for _, c := range []struct{ most, least, greatest int }{{64 << 20, 50, 200}, {64 << 10, 0, 0}, {64 << 20, 50, 200}} {
		if pages := emptied(c.most); pages < c.least || pages > c.greatest {
			t.Errorf("an empty schedule that may keep %d bytes keeps %d pages", c.most, pages)
		}
	}
}

func TestOneTransactionChangesEverythingAndTellsDaemons(t *testing.T) {
	d := newDB(t)
	conn, err := d.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), "LISTEN sonde_config"); err != nil {
		t.Fatal(err)
	}
	d.exec(`WITH n AS (INSERT INTO nodes (name, address) SELECT 'n' || g, '192.0.2.' || g FROM generate_series(1, 100) g RETURNING name) SELECT count(*) FROM n`)
	d.exec(`INSERT INTO toolspecs (node, tool, run_interval) SELECT name, 'ping', '1 minute' FROM nodes`)
	for _, want := range []string{"nodes", "toolspecs"} {
		n, err := conn.Conn().WaitForNotification(t.Context())
		if err != nil || n.Payload != want {
			t.Fatalf("%v %v", n, err)
		}
	}
	// Whatever decides who is told, and when not, is seen at once as well.
	d.exec(`INSERT INTO recipients (name) VALUES ('anna')`)
	d.exec(`INSERT INTO policies (recipient) VALUES ('anna')`)
	d.exec(`INSERT INTO maintenance (until_at) VALUES (now() + interval '1 hour')`)
	for _, want := range []string{"recipients", "policies", "maintenance"} {
		n, err := conn.Conn().WaitForNotification(t.Context())
		if err != nil || n.Payload != want {
			t.Fatalf("%v %v", n, err)
		}
	}
}
