package web

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/pgtest"
	"sonde/internal/schema"
	"sonde/internal/store"
	"sonde/probes/catalog"
)

// asOf is when the tests' pages are read.
var asOf = time.Date(2026, 3, 29, 12, 0, 30, 0, time.UTC)

const hostile = `<script>alert("x")</script>'&`

// database gives a migrated database and its connection string.
func database(t testing.TB) (string, *pgx.Conn) {
	t.Helper()
	known, err := schema.Catalog(catalog.All())
	if err != nil {
		t.Fatal(err)
	}
	dsn := pgtest.DSNWith(t, known)
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return dsn, conn
}

func run(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%v in\n%s", err, sql)
	}
}

// seeded gives pages on a database in which something of everything has happened.
func seeded(t testing.TB) (*store.Pages, *pgx.Conn) {
	t.Helper()
	dsn, conn := database(t)
	pages, err := store.OpenPages(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pages.Close)
	run(t, conn, `SELECT sonde_make_partitions(t, '2026-03-26', '2026-03-30') FROM unnest(ARRAY['pingdata', 'routedata']) t`)
	run(t, conn, `UPDATE settings SET value = 'Europe/Berlin' WHERE name = 'time_zone'`)
	for _, n := range [][3]string{{"lab", "127.0.0.1", "Hamburg"}, {"cern", "www.cern.ch", "Geneva"}, {"fermilab", "www.fnal.gov", "Batavia"}, {"desy", "www.desy.de", "Hamburg"},
		{"kek", "www.kek.jp", "Tsukuba"}, {"slac", "www.slac.example", "Stanford"}, {"in2p3", "www.in2p3.fr", "Lyon"}, {"nikhef", "www.nikhef.nl", "Amsterdam"},
		{"old-host", "192.0.2.9", ""}, {hostile, "192.0.2.66", `<b>site</b>`}, {"core-router", "192.0.2.1", "Hamburg"}} {
		run(t, conn, `INSERT INTO nodes (name, address, site) VALUES ($1, $2, $3)`, n[0], n[1], n[2])
	}
	run(t, conn, `UPDATE nodes SET parent = 'core-router', labels = '{core,customer=acme}' WHERE name = 'cern'`)
	run(t, conn, `INSERT INTO monhosts (name, tools, version, described, last_seen_at) VALUES ('lab', '{ping,traceroute}', '0.1.0', 'host lab, /var/lib/sonde', $1)`, asOf.Add(-3*time.Second))
	for _, n := range []string{"cern", "fermilab", "desy", "kek", "slac", "in2p3", "nikhef", "old-host", hostile} {
		run(t, conn, `INSERT INTO toolspecs (node, tool, run_interval) VALUES ($1, 'ping', '1 minute')`, n)
	}
	run(t, conn, `INSERT INTO toolspecs (node, tool, run_interval) VALUES ('cern', 'traceroute', '10 minutes')`) // 10
	run(t, conn, `INSERT INTO toolspecs (node, tool, label, run_at, options) VALUES ('cern', 'ping', 'big', '0 * * * *', '{"count": 20, "size": 1400}')`)
	// The seed lives in the past; these triggers would write the present.
	run(t, conn, `SET session_replication_role = replica`)
	run(t, conn, `UPDATE nodes SET enabled = name <> 'old-host', created_at = '2026-02-26', enabled_since = '2026-02-26'`)
	run(t, conn, `UPDATE toolspecs SET timing_since = CASE WHEN node = 'nikhef' THEN $1 ELSE '2026-02-26'::timestamptz END`, asOf.Add(-time.Minute))
	run(t, conn, `SET session_replication_role = origin`)

	ping := func(spec int, from, until time.Time, every string, base, swing float64, where string) {
		run(t, conn, fmt.Sprintf(`
			INSERT INTO pingdata (toolspec_id, due_at, started_at, took_ms, outcome, attempt, address, sent, received, duplicates, reordered, loss_pct, rtts_us,
				rtt_min_ms, rtt_median_ms, rtt_mean_ms, rtt_max_ms)
			SELECT $1, at, at, 9000, 'ok', 1, '192.0.2.7', 10, 10 - lost, 0, 0, lost * 10.0,
				CASE WHEN lost < 10 THEN ARRAY(SELECT ((b + s * noise(n * 10 + i, 3)) * 1000)::int FROM generate_series(1, 10 - lost) i) END,
				CASE WHEN lost < 10 THEN b * 0.99 END, CASE WHEN lost < 10 THEN b + s * noise(n, 1) * 0.4 END, CASE WHEN lost < 10 THEN b + s * 0.3 END,
				CASE WHEN lost < 10 THEN b + s * (0.5 + noise(n, 2)) + CASE WHEN noise(n, 5) > 0.995 THEN 4 * b ELSE 0 END END
			FROM (SELECT n, at, $5::float8 * (1 + 0.06 * sin(extract(epoch FROM at) / 7000)) AS b, $6::float8 AS s, (%s) AS lost
				FROM (SELECT (extract(epoch FROM at) / 60)::bigint AS n, at FROM generate_series($2::timestamptz, $3::timestamptz, $4::interval) at) x) y`, where),
			spec, from, until, every, base, swing)
	}
	run(t, conn, `CREATE FUNCTION pg_temp.noise(n bigint, salt int) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$ SELECT (hashint8(n * 31 + salt) & 65535) / 65535.0 $$`)
	run(t, conn, `SET search_path = public, pg_temp`)
	run(t, conn, `CREATE FUNCTION noise(n bigint, salt int) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$ SELECT pg_temp.noise(n, salt) $$`)
	begin, now := asOf.Add(-31*time.Hour).Truncate(time.Minute), asOf.Truncate(time.Minute)
	few := `CASE WHEN noise(n, 7) > 0.985 THEN 1 ELSE 0 END`
	ping(1, begin, now, "1 minute", 14.2, 2.5, few)
	ping(2, begin, now, "1 minute", 118, 14, `CASE WHEN at > '2026-03-29 10:40+00' THEN (noise(n, 7) * 6)::int WHEN noise(n, 7) > 0.97 THEN 2 ELSE 0 END`)
	ping(3, begin, now, "1 minute", 3.1, 0.6, `CASE WHEN at > '2026-03-29 11:20+00' THEN 10 ELSE 0 END`)
	ping(4, begin, asOf.Add(-20*time.Minute).Truncate(time.Minute), "1 minute", 251, 8, few)
	ping(5, begin, asOf.Add(-6*time.Minute).Truncate(time.Minute), "1 minute", 160, 9, few)
	ping(6, begin, now, "1 minute", 22, 3, few)
	ping(8, begin, asOf.Add(-10*time.Hour).Truncate(time.Minute), "1 minute", 5, 1, few)
	ping(9, begin, now, "1 minute", 9, 1, few)
	ping(11, begin.Truncate(time.Hour), now.Truncate(time.Hour), "1 hour", 15, 3, few)

	// cern: a while of failing, a while of missing, a gap; each its own hatching.
	run(t, conn, `UPDATE pingdata SET outcome = 'fail', reason = 'resolve "www.cern.ch": i/o timeout', log = 'level=WARN msg="asking 192.0.2.53" <b>', rtts_us = NULL, sent = NULL, received = NULL, loss_pct = NULL,
		rtt_min_ms = NULL, rtt_median_ms = NULL, rtt_mean_ms = NULL, rtt_max_ms = NULL WHERE toolspec_id = 1 AND due_at BETWEEN '2026-03-29 09:40+00' AND '2026-03-29 09:51+00'`)
	run(t, conn, `UPDATE pingdata SET outcome = 'missed', reason = 'the worker was down', rtts_us = NULL, sent = NULL, received = NULL, loss_pct = NULL,
		rtt_min_ms = NULL, rtt_median_ms = NULL, rtt_mean_ms = NULL, rtt_max_ms = NULL WHERE toolspec_id = 1 AND due_at BETWEEN '2026-03-29 10:10+00' AND '2026-03-29 10:24+00'`)
	run(t, conn, `DELETE FROM pingdata WHERE toolspec_id = 1 AND due_at BETWEEN '2026-03-29 10:55+00' AND '2026-03-29 11:14+00'`)
	run(t, conn, `INSERT INTO detectors (toolspec_id, read_to, not_judged) VALUES (1, '3:3:', '{"delay": "too few values yet"}')`)
	run(t, conn, `INSERT INTO gaps (toolspec_id, from_at, until_at, runs, reason, stored_at) VALUES (1, '2026-03-29 10:55+00', '2026-03-29 11:14+00', 20, 'no scheduler was leading', '2026-03-29 11:15+00')`)
	run(t, conn, `INSERT INTO pingdata (toolspec_id, due_at, outcome, reason, log) SELECT 5, at, 'fail', 'resolve "www.slac.example": no such host', 'level=WARN msg="no such host"'
		FROM generate_series($1::timestamptz, $2::timestamptz, '1 minute') at`, asOf.Add(-5*time.Minute).Truncate(time.Minute), now)
	run(t, conn, `INSERT INTO comments (at, author, node, toolspec_id, change, text) VALUES ('2026-03-29 11:30+00', 'anna', 'cern', 1, true, 'options changed from {} to {"count": 20}'),
		('2026-03-29 11:40+00', 'anna', 'cern', NULL, false, 'The line was <i>reconnected</i> today.')`)

	route := func(from, until string, hops string, reached bool) {
		run(t, conn, `INSERT INTO routedata (toolspec_id, due_at, started_at, took_ms, outcome, attempt, address, method, first_ttl, hops, hop_count, reached, rtt_ms, end_reason)
			SELECT 10, at, at, 900, 'ok', 1, '192.0.2.7', 'icmp', 1, $3::inet[], cardinality($3::inet[]), $4, CASE WHEN $4 THEN 14 + 2 * noise((extract(epoch FROM at) / 60)::bigint, 1) END,
				CASE WHEN $4 THEN 'target' ELSE 'silent' END FROM generate_series($1::timestamptz, $2::timestamptz, '10 minutes') at ORDER BY at`, from, until, hops, reached)
	}
	route("2026-03-27 00:00+00", "2026-03-28 17:50+00", `{192.0.2.1,198.51.100.1,198.51.100.9,203.0.113.7}`, true)
	route("2026-03-28 18:00+00", "2026-03-28 21:50+00", `{192.0.2.1,198.51.100.2,198.51.100.6,198.51.100.9,203.0.113.7}`, true)
	route("2026-03-28 22:00+00", "2026-03-29 10:50+00", `{192.0.2.1,198.51.100.1,198.51.100.9,203.0.113.7}`, true)
	route("2026-03-29 11:00+00", "2026-03-29 11:10+00", `{192.0.2.1,198.51.100.1}`, false)
	route("2026-03-29 11:20+00", "2026-03-29 12:00+00", `{192.0.2.1,NULL,198.51.100.6,198.51.100.9,203.0.113.7}`, true)
	run(t, conn, `INSERT INTO routedata (toolspec_id, due_at, outcome, reason) VALUES (10, '2026-03-29 11:15+00', 'missed', 'overload')`)

	alert := func(spec int, subject, node, tool, metric, rule, severity, text, began string, evidence string) int64 {
		var id int64
		if err := conn.QueryRow(context.Background(), `INSERT INTO alerts (toolspec_id, subject, monhost, node, tool, metric, rule, severity, text, began_at, raised_at, recorded_at, evidence)
			VALUES ($1, $2, 'lab', $3, $4, $5, $6, $7, $8, $9::timestamptz, $9::timestamptz + interval '2 minutes', $9::timestamptz + interval '2 minutes', $10) RETURNING id`,
			spec, subject, node, tool, metric, rule, severity, text, began, evidence).Scan(&id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	down := alert(3, "", "desy", "ping", "", "no answer", "critical", "no answer, 3 runs in a row", "2026-03-29 11:21:00+00", `{"runs": 3, "rule": "no answer"}`)
	run(t, conn, `UPDATE alerts SET told_at = '2026-03-29 11:23:40+00', told_times = 1, findings = 2 WHERE id = $1`, down)
	run(t, conn, `INSERT INTO newalerts (alert_id, toolspec_id, node, tool, rule, kind, severity, at, decision, reason, text, evidence) VALUES
		($1, 3, 'desy', 'ping', 'no answer', 'bad', 'critical', '2026-03-29 11:23+00', 'raise', 'it lasted 0s, as the rule asks', 'no answer, 3 runs in a row', '{"runs": 3, "since": "2026-03-29T11:21:00Z"}'),
		($1, 3, 'desy', 'ping', 'no answer', 'bad', 'critical', '2026-03-29 11:24+00', 'feed', 'told 1 minute ago, the repeat limit is 4h', 'no answer, 4 runs in a row', '{"runs": 4}')`, down)
	run(t, conn, `INSERT INTO notices (alert_id, kind, severity, node, subject, text, short, created_at, done_at, done_text) VALUES
		($1, 'raise', 'critical', 'desy', 'desy: no answer', E'desy does not answer.\n3 runs in a row, since 13:21 +02:00.', 'desy no answer', '2026-03-29 11:23:02+00', '2026-03-29 11:23:40+00', 'sent to anna')`, down)
	run(t, conn, `INSERT INTO mediums (name, type, options, created_at) VALUES ('sms', 'smstools', '{"spool": "/var/spool/sms"}', '2026-02-26'), ('paper', 'log', '{}', '2026-02-26')`)
	run(t, conn, `INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 1, 'sms', '4915112345678'), ('anna', 2, 'paper', 'desk')`)
	run(t, conn, `INSERT INTO deliveries (notice_id, recipient, step, medium, address, state, tries, owner, lease_until, answer, began_at, ended_at) VALUES
		(1, 'anna', 1, 'sms', '4915112345678', 'failed', 2, 'lab', '2026-03-29 11:25+00', 'the modem gave no carrier', '2026-03-29 11:23:03+00', '2026-03-29 11:23:30+00'),
		(1, 'anna', 2, 'paper', 'desk', 'ok', 1, 'lab', '2026-03-29 11:25+00', 'written', '2026-03-29 11:23:31+00', '2026-03-29 11:23:40+00')`)
	alert(2, "", "fermilab", "ping", "loss_pct", "loss", "warning", "4 of the last 5 values above 10 %, now 40 %", "2026-03-29 10:44:00+00", `{"values": [0, 20, 30, 40, 40], "limit": 10, "runs": 4, "of": 5}`)
	plan := alert(6, "", "in2p3", "ping", "", "no answer", "critical", "no answer, 3 runs in a row", "2026-03-29 11:50:00+00", `{}`)
	run(t, conn, `UPDATE alerts SET planned = true WHERE id = $1`, plan)
	over := alert(1, "", "cern", "ping", "rtt_median_ms", "plateau", "warning", "rose from 14.1 ms to 19.8 ms (+40 %), 20 values long", "2026-03-28 15:00:00+00", `{"history": {"mean": 14.1, "sd": 0.4}, "trigger": {"values": [19.6, 19.8, 20.1]}}`)
	run(t, conn, `UPDATE alerts SET ended_at = '2026-03-28 16:30+00', closed_at = '2026-03-28 16:32+00', close_text = 'back near the old level of 14.1 ms', acked_at = '2026-03-28 15:10+00', acked_by = 'anna', ack_note = 'known' WHERE id = $1`, over)
	changed := alert(10, "", "cern", "traceroute", "", "route change", "info", "route changed: hop 2 and 3", "2026-03-28 18:00:00+00",
		`{"class": "significant", "before": ["192.0.2.1", "198.51.100.1", "198.51.100.9"], "after": ["192.0.2.1", "198.51.100.2", "198.51.100.9"], "before_route_no": 1, "after_route_no": 2, "before_reached": true, "after_reached": true}`)
	run(t, conn, `UPDATE alerts SET closed_at = '2026-03-28 22:00+00', ended_at = '2026-03-28 22:00+00', close_text = 'route 1 is back' WHERE id = $1`, changed)
	shadow := alert(1, "", "cern", "ping", "rtt_median_ms", "on trial", "critical", "delay far over the forecast", "2026-03-29 11:45:00+00", `{"forecast": 14.2}`)
	run(t, conn, `UPDATE alerts SET shadow = true WHERE id = $1`, shadow)
	run(t, conn, `INSERT INTO incidents (alert_id, verdict, author, text) VALUES ($1, 'right', 'anna', 'the <b>cable</b> was cut')`, down)
	alert(0, "medium sms", "", "", "", "medium", "critical", "medium sms failed: the modem gave no carrier", "2026-03-29 11:23:30+00", `{"answer": "the modem gave no carrier"}`)
	alert(9, "", hostile, "ping", "", hostile, "info", hostile, "2026-03-29 11:00:00+00", `{"<script>": "<img src=x onerror=alert(1)>"}`)
	for _, d := range []struct {
		name, doing string
		promised    time.Duration
		lag         string
	}{{"scheduler", "planning to 12:00:40", 9 * time.Second, "0"}, {"worker-ping", "8 runs under way", 9 * time.Second, "0"}, {"loader", "waiting", 9 * time.Second, "5 minutes"}, {"analyst", "judging", -4 * time.Minute, "4 minutes"}} {
		run(t, conn, `INSERT INTO daemons (monhost, name, pid, version, started_at, doing, reported_at, promised_at, lag, spool_files, facts) VALUES ('lab', $1, 4711, '0.1.0', '2026-03-27 08:00+00', $2, $3, $4, $5::text::interval, 0, '{"made": 120}')`,
			d.name, d.doing, asOf.Add(d.promised-10*time.Second), asOf.Add(d.promised), d.lag)
	}
	run(t, conn, `INSERT INTO schedule_mark (planned_to, leader, moved_at) VALUES ($1, 'lab 4711', $2)
		ON CONFLICT (only_one) DO UPDATE SET planned_to = excluded.planned_to, leader = excluded.leader, moved_at = excluded.moved_at`, asOf.Add(10*time.Second), asOf)
	run(t, conn, `INSERT INTO clock_steps (at, seconds, from_at, until_at) VALUES ('2026-03-28 09:00+00', 12.5, '2026-03-28 08:59:47+00', '2026-03-28 09:00+00')`)
	run(t, conn, `ANALYZE`)
	return pages.AsOf(asOf), conn
}
