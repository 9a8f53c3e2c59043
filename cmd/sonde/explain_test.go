package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	analyses "sonde/analysis/catalog"
	"sonde/daemons/analyst"
	"sonde/internal/pgtest"
	"sonde/internal/schema"
	"sonde/internal/store"
	tools "sonde/probes/catalog"
)

// judged gives a database in which the node "down" stopped answering a while
// ago, "up" did not, and an analyst has looked at both.
func judged(t *testing.T, before ...string) (dsn string, st *store.Store, db *pgxpool.Pool) {
	t.Helper()
	catalog, err := schema.Catalog(tools.All())
	if err != nil {
		t.Fatal(err)
	}
	dsn = pgtest.DSNWith(t, catalog)
	ctx, cancel := context.WithCancel(context.Background())
	db, err = pgxpool.New(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	for _, sql := range append([]string{
		`INSERT INTO nodes (name, address) VALUES ('pi', '192.0.2.1'), ('down', '192.0.2.2'), ('up', '192.0.2.3')`,
		`INSERT INTO monhosts (name, last_seen_at) VALUES ('pi', now())`,
		`INSERT INTO toolspecs (node, tool, run_interval) VALUES ('down', 'ping', '1 day'), ('up', 'ping', '1 day')`,
		`SELECT sonde_make_partitions('pingdata', (now() - interval '1 day')::date, now()::date)`,
	}, append(before,
		`INSERT INTO pingdata (toolspec_id, due_at, outcome, loss_pct) SELECT 1, now() - i * interval '1 minute', 'ok', 100 FROM generate_series(1, 4) i`,
		`INSERT INTO pingdata (toolspec_id, due_at, outcome, loss_pct) SELECT 2, now() - i * interval '1 minute', 'ok', 0 FROM generate_series(1, 4) i`)...) {
		if _, err := db.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	st = store.New(db)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a := &analyst.Analyst{Store: st, Tools: tools.All(), Methods: analyses.All(), Log: slog.New(slog.DiscardHandler), Every: 20 * time.Millisecond}
		_ = a.Run(ctx)
	}()
	defer func() { cancel(); <-done }()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) {
		list, err := st.ListAlerts(ctx, "", true, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) > 0 {
			return dsn, st, db
		}
		if time.Now().After(deadline) {
			t.Fatal("no alert came")
		}
	}
}

// call runs a verb and gives its exit code and what it wrote to stderr.
func call(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var stderr bytes.Buffer
	return run(context.Background(), args, &stderr), stderr.String()
}

func holds(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in\n%s", w, text)
		}
	}
}

func said(f func(w io.Writer)) string {
	var b bytes.Buffer
	f(&b)
	return b.String()
}

func TestExplainSaysWhySomebodyWasWoken(t *testing.T) {
	_, st, db := judged(t, `INSERT INTO mediums (name, type) VALUES ('paper', 'log')`,
		`INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 1, 'paper', 'x')`)
	ctx := context.Background()
	if _, err := db.Exec(ctx, `INSERT INTO deliveries (notice_id, recipient, step, medium, address, state, owner, lease_until, answer, ended_at)
		SELECT id, 'anna', 1, 'paper', 'x', 'ok', 'test', now(), 'written', now() FROM notices`); err != nil {
		t.Fatal(err)
	}
	story, err := st.ExplainAlert(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, said(func(w io.Writer) { explainAlert(w, story) }),
		"a1  critical  down: no answer, 4 runs in a row", `rule "no answer", ping from pi, loss_pct`, "it still stands",
		"runs             3", "raise  no answer a1: no answer, 3 runs in a row", "nothing was open",
		"raise: DOWN down: no answer, 3 runs in a row", "anna, step 1, paper to x: ok, written")
	node, err := st.ExplainNode(ctx, "down", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	holds(t, said(func(w io.Writer) { explainNode(w, node) }), "anna was told by paper at", "spec 1, ping from pi; rules: cannot be measured, delay, loss, no answer, no data", "UTC  ok, loss_pct 100 %, no rtt_median_ms\n", "anna, step 1: paper to x")
}

func TestExplainSaysWhySomebodyWasNotWoken(t *testing.T) {
	_, st, db := judged(t, `INSERT INTO maintenance (node, until_at, text) VALUES ('down', now() + interval '1 hour', 'new cables')`)
	ctx := context.Background()
	node, err := st.ExplainNode(ctx, "down", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	holds(t, said(func(w io.Writer) { explainNode(w, node) }),
		"There were alerts, and nobody was told", "planned quiet 1 from", "new cables", "the last reason: planned: maintenance 1",
		"nobody: there are no recipients", "a1  critical  down: no answer, 4 runs in a row (open, planned")
	if node, err = st.ExplainNode(ctx, "up", time.Time{}); err != nil {
		t.Fatal(err)
	}
	holds(t, said(func(w io.Writer) { explainNode(w, node) }), "The detectors found nothing wrong", "judged up to", "alerts of the six hours before:\n  none")
	if _, err := db.Exec(ctx, `UPDATE detectors SET not_judged = '{"delay": "too few values yet"}'`); err != nil {
		t.Fatal(err)
	}
	if node, err = st.ExplainNode(ctx, "up", time.Time{}); err != nil {
		t.Fatal(err)
	}
	holds(t, said(func(w io.Writer) { explainNode(w, node) }), "not judged by rule delay: too few values yet")
	if node, err = st.ExplainNode(ctx, "down", time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	holds(t, said(func(w io.Writer) { explainNode(w, node) }), "no runs in the two days before", "nobody: no message was decided on")
}

func TestExplainSaysThatNobodyIsToldOfARuleInShadow(t *testing.T) {
	_, st, _ := judged(t, `UPDATE rules SET shadow = true WHERE name = 'no answer'`, `INSERT INTO mediums (name, type) VALUES ('paper', 'log')`,
		`INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 1, 'paper', 'x')`)
	story, err := st.ExplainAlert(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	text := said(func(w io.Writer) { explainAlert(w, story) })
	holds(t, text, `rule "no answer" is in shadow: recorded only`, "nobody is told of it while its rule is in shadow; once it is not:\n  anna, step 1: paper to x")
	if strings.Contains(text, "as things are now") {
		t.Error(text)
	}
}

func TestPeopleTakeNoteSilenceAndComment(t *testing.T) {
	dsn, st, _ := judged(t)
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"alert list", 0, ""},
		{"alert list --json --all --node down", 0, ""},
		{"alert ack a1 on my way --by anna", 0, ""},
		{"alert silence 1 2h --by anna", 0, ""},
		{"alert comment [a1] the cable is cut --by bert", 0, ""},
		{"alert silence a1 --for 3h", 0, ""},
		{"alert ack a1 --note seen --by anna", 0, ""},
		{"alert a1 wrong --text it --by bert", 0, ""},
		{"alert right a1 the cable was cut --by anna", 0, ""},
		{"alert planned 99", 1, "no such alert: a99"},
		{"alert right", 2, "right|wrong|planned ID"},
		{"alert ack a99", 1, "no such alert: a99"},
		{"alert ack x", 2, `"x" is no alert`},
		{"alert silence a1 7", 2, "has no unit"},
		{"alert silence a1", 2, "silence ID LENGTH"},
		{"alert snooze a1", 2, "none of list, ack, silence, comment, right, wrong, planned"},
		{"explain nowhere", 1, `no such node: "nowhere"`},
		{"explain a99", 1, "no such alert: a99"},
		{"explain a1 --json", 0, ""},
		{"explain down --at yesterday", 2, "is no moment"},
		{"explain down --at 2h", 0, ""},
	} {
		if code, says := call(t, append(strings.Fields(c.args), "--database", dsn)...); code != c.code || !strings.Contains(says, c.says) {
			t.Errorf("sonde %s: exit code %d and %q, want %d and %q", c.args, code, says, c.code, c.says)
		}
	}
	story, err := st.ExplainAlert(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if story.Alert.AckedBy != "anna" || story.Alert.SilentUntil == nil {
		t.Errorf("alert %+v", story.Alert)
	}
	holds(t, said(func(w io.Writer) { explainAlert(w, story) }), "anna: taken note of by anna: on my way", "silenced for 2h0m0s by anna", "bert: the cable is cut", "acked by anna", "marked  right by anna: the cable was cut")
}

func TestAMomentIsReadAsPeopleSayIt(t *testing.T) {
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"09:30":                     "2026-03-02 09:30:00 UTC",
		"22:15":                     "2026-03-01 22:15:00 UTC",
		"2026-02-28 03:12":          "2026-02-28 03:12:00 UTC",
		"2026-02-28T04:12:00+01:00": "2026-02-28 03:12:00 UTC",
		"2026-02-28":                "2026-02-28 00:00:00 UTC",
		"2h":                        "2026-03-02 08:00:00 UTC",
	} {
		if got, err := moment(text, now); err != nil || clock(got) != want {
			t.Errorf("%q: %v, %v, want %s", text, got, err, want)
		}
	}
	if _, err := moment("soon", now); err == nil || !strings.Contains(fmt.Sprint(err), "is no moment") {
		t.Errorf("soon: %v", err)
	}
}

func TestExplainSetsTheRoutesSideBySideAndSaysWhatCameWithTheChange(t *testing.T) {
	dsn, st, db := judged(t, `INSERT INTO toolspecs (node, tool, run_interval) VALUES ('up', 'traceroute', '1 day')`,
		`UPDATE rules SET options = '{"learn": "1m"}' WHERE name = 'route'`,
		`INSERT INTO asn (address, asn, asn_source, asn_at) VALUES ('62.40.98.1', 20965, 'dns', now()), ('62.115.1.1', 1299, 'dns', now())`,
		`INSERT INTO asninfo (asn, name, source) VALUES (20965, 'GEANT', 'dns'), (1299, 'ARELION', 'dns')`,
		`SELECT sonde_make_partitions('routedata', (now() - interval '1 day')::date, now()::date)`,
		`INSERT INTO routedata (toolspec_id, due_at, outcome, hops, hop_addresses, hop_rtts_us, reached, rtt_ms)
			SELECT 3, now() - i * interval '1 minute', 'ok', ARRAY['10.0.0.1', h, '192.0.2.3']::inet[], ARRAY[ARRAY['10.0.0.1'], ARRAY[h], ARRAY['192.0.2.3']]::inet[], ARRAY[ARRAY[200], ARRAY[us], ARRAY[us]], true, us / 1000.0
			FROM generate_series(1, 20) i, LATERAL (SELECT CASE WHEN i > 4 THEN '62.40.98.1' ELSE '62.115.1.1' END, CASE WHEN i > 4 THEN 12000 ELSE 46000 END) x (h, us)`,
		`INSERT INTO pingdata (toolspec_id, due_at, outcome, loss_pct, rtt_median_ms) SELECT 2, now() - (i + 0.5) * interval '1 minute', 'ok', 0, CASE WHEN i > 4 THEN 12.1 ELSE 46 END FROM generate_series(6, 20) i`,
		`INSERT INTO pingdata (toolspec_id, due_at, outcome, loss_pct, rtt_median_ms) SELECT 2, now() - i * interval '10 seconds', 'ok', 2, 46 FROM generate_series(1, 5) i`)
	list, err := st.ListAlerts(t.Context(), "up", true, 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	story, err := st.ExplainAlert(t.Context(), list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	text := said(func(w io.Writer) { explainAlert(w, story) })
	holds(t, text, "warning  up: route left its history: hop 2 moved from AS 20965 (GEANT) to AS 1299 (ARELION), +34 ms; ping loss from",
		"   2  62.40.98.1 AS 20965 GEANT 12 ms              62.115.1.1 AS 1299 ARELION 46 ms\n", "  AS path 20965 ?, then 1299 ?\n",
		"what came with it:\n  ping loss from 0 to ", "rtt median from 12.1 to 46 ms")
	t.Log(text)
	node, err := st.ExplainNode(t.Context(), "up", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	holds(t, said(func(w io.Writer) { explainNode(w, node) }), "changes of routes in those hours, and what came with them:", "traceroute from pi: hop 2 moved from AS 20965 (GEANT) to AS 1299 (ARELION), +34 ms\n      ping loss from")
	var out bytes.Buffer
	if err := backtestOnce(t.Context(), []string{"--rule", "route", "--since", "1h", "--json", "--database", dsn}, &out, io.Discard, false); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || len(r.Settings[0].Alerts) != 1 {
		t.Fatalf("%v\n%s", err, out.String())
	}
	var same bool
	if err := db.QueryRow(t.Context(), `SELECT raised_at = $1 AND began_at = $2 FROM alerts WHERE rule = 'route'`, r.Settings[0].Alerts[0].Raised, r.Settings[0].Alerts[0].Began).Scan(&same); err != nil || !same {
		t.Errorf("%v: the replay raises %+v", err, r.Settings[0].Alerts[0])
	}
}
