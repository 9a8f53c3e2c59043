package analyst_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/analysis/catalog"
	"sonde/daemons/analyst"
	"sonde/internal/measure"
	"sonde/internal/pgtest"
	"sonde/internal/schema"
	"sonde/internal/store"
	"sonde/probes"
)

func tools() []probes.Tool {
	return []probes.Tool{
		{Name: "ping", Meaning: "pings", Table: "pingdata", Columns: []string{"sent", "received", "loss_pct", "rtt_median_ms", "rtt_max_ms"}, TimeToRun: 30 * time.Second,
			Metrics: []measure.Metric{{Name: "loss_pct", Column: "loss_pct", Unit: "%", Meaning: "loss"}, {Name: "rtt_median_ms", Column: "rtt_median_ms", Unit: "ms", Meaning: "delay"}, {Name: "rtt_max_ms", Column: "rtt_max_ms", Unit: "ms", Meaning: "longest delay"}}},
		{Name: "traceroute", Meaning: "traces", Table: "routedata", Columns: []string{"first_ttl", "hops", "reached"}, TimeToRun: 30 * time.Second,
			Metrics: []measure.Metric{{Name: "hop_count", Column: "hop_count", Unit: "1", Meaning: "hops"}, {Name: "reached", Column: "reached", Unit: "1", Meaning: "reached"}}},
	}
}

// bench is a database with a monitoring host "pi" that watches nodes n1 … nn.
type bench struct {
	*testing.T
	db    *pgxpool.Pool
	start time.Time // due_at of minute 0
	rows  int       // Rows of the analyst
	says  func(doing string, next time.Duration)
}

func setUp(t *testing.T, nodes int) *bench {
	t.Helper()
	c, err := schema.Catalog(tools())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, db: pgtest.NewWith(t, c), start: time.Now().UTC().Add(-30 * time.Minute).Truncate(time.Minute)}
	b.exec(`UPDATE analyst_mark SET ticked_at = now()`) // the template may be minutes old: no analyst has slept so long
	b.exec(`INSERT INTO nodes (name, address) VALUES ('pi', '192.0.2.250')`)
	b.exec(`INSERT INTO monhosts (name, last_seen_at) VALUES ('pi', now())`)
	for i := 1; i <= nodes; i++ {
		b.exec(`INSERT INTO nodes (name, address, labels) VALUES ($1, $2, ARRAY[$1::text || 's'])`, fmt.Sprintf("n%d", i), fmt.Sprintf("192.0.2.%d", i))
		b.exec(`INSERT INTO toolspecs (node, tool, run_interval) VALUES ($1, 'ping', '1 day')`, fmt.Sprintf("n%d", i))
	}
	return b
}

func (b *bench) exec(sql string, args ...any) {
	b.Helper()
	if _, err := b.db.Exec(context.Background(), sql, args...); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

func (b *bench) text(sql string, args ...any) string {
	b.Helper()
	var s string
	if err := b.db.QueryRow(context.Background(), sql, args...).Scan(&s); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
	return s
}

// await waits until the query gives what is wanted.
func (b *bench) await(want, sql string, args ...any) {
	b.Helper()
	deadline, got := time.Now().Add(20*time.Second), ""
	for time.Now().Before(deadline) {
		if got = b.text(sql, args...); got == want {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	b.Fatalf("%s\n gives  %q\n wanted %q\n%s", sql, got, want, b.story())
}

// story is all that was found, for a test that fails.
func (b *bench) story() string {
	return b.text(`SELECT coalesce(string_agg(format('%s %s %s %s a%s: %s (%s)', id, node, rule, decision, alert_id, text, reason), E'\n' ORDER BY id), 'nothing found') FROM newalerts`)
}

// runs stores the runs of a spec, one letter a minute from minute on: L all
// lost, . answered, f failed, m missed, o missed by overload, - none.
func (b *bench) runs(spec, minute int, letters string, late ...bool) {
	b.Helper()
	var rows []string
	for i, c := range letters {
		outcome, reason, loss := "ok", "NULL", "NULL"
		switch c {
		case 'L':
			loss = "100"
		case '.':
			loss = "0"
		case 'f':
			outcome, reason = "fail", "'name does not resolve'"
		case 'm':
			outcome, reason = "missed", "'no worker: silent'"
		case 'o':
			outcome, reason = "missed", "'overload: the worker for ping on pi did not take it in time'"
		case '-':
			continue
		}
		due := b.start.Add(time.Duration(minute+i)*time.Minute + time.Duration(spec)*time.Second)
		rows = append(rows, fmt.Sprintf("(%d, '%s', '%s', %s, %s, %v)", spec, due.Format(time.RFC3339Nano), outcome, reason, loss, len(late) > 0))
	}
	b.exec(`SELECT sonde_make_partitions('pingdata', $1::date, $1::date + 1)`, b.start.Add(-24*time.Hour))
	b.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, reason, loss_pct, late) VALUES ` + strings.Join(rows, ", ") +
		` ON CONFLICT (toolspec_id, due_at) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason, loss_pct = excluded.loss_pct,
			late = excluded.late, stored_xid = pg_current_xact_id() WHERE pingdata.outcome = 'missed'`)
}

func (b *bench) analyst() *analyst.Analyst {
	return &analyst.Analyst{Store: store.New(b.db), Tools: tools(), Methods: catalog.All(), Log: slog.New(slog.NewTextHandler(logs{b}, nil)), Every: 20 * time.Millisecond, Rows: b.rows, Report: b.says}
}

// judge runs an analyst until the test ends or stop is called.
func (b *bench) judge() (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	a := b.analyst()
	go func() { done <- a.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.Cleanup(stop)
	return stop
}

type logs struct{ b *bench }

func (l logs) Write(p []byte) (int, error) {
	l.b.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// settled waits until everything stored so far is judged: a run stored now, of a
// spec of its own that reaches nobody, is.
func (b *bench) settled() {
	b.Helper()
	due := time.Now().UTC().Truncate(time.Microsecond)
	id := b.text(`WITH old AS (SELECT id FROM toolspecs WHERE label = 'settled'),
		new AS (INSERT INTO toolspecs (node, monhost, tool, label, run_interval) SELECT 'pi', 'pi', 'traceroute', 'settled', '1 day' WHERE NOT EXISTS (SELECT FROM old) RETURNING id)
		SELECT id::text FROM old UNION ALL SELECT id::text FROM new`)
	b.await("true", `SELECT EXISTS (SELECT FROM detectors WHERE toolspec_id = $1::text::bigint)::text`, id)
	b.exec(`INSERT INTO routedata (toolspec_id, due_at, outcome, hops, reached) VALUES ($1::text::bigint, $2, 'ok', '{203.0.113.9}', false)`, id, due)
	b.await("true", `SELECT coalesce(max(judged_to) >= $2, false)::text FROM detectors WHERE toolspec_id = $1::text::bigint`, id, due)
}

const (
	alerts = `SELECT coalesce(string_agg(format('%s %s%s', coalesce(nullif(node, ''), subject), rule, CASE WHEN closed_at IS NULL THEN '' ELSE ' closed' END), ', ' ORDER BY id), '') FROM alerts`
	sent   = `SELECT coalesce(string_agg(format('%s %s', kind, subject), ', ' ORDER BY id), '') FROM notices`
	finds  = `SELECT coalesce(string_agg(decision, ' ' ORDER BY id), '') FROM newalerts WHERE rule = $1`
)

func TestATargetThatIsCutOffIsOneAlertAndItsEndIsTold(t *testing.T) {
	b := setUp(t, 1)
	b.runs(1, 0, "..LL")
	b.judge()
	b.settled()
	b.await("", alerts)
	b.runs(1, 4, "LL")
	b.await("n1 no answer", alerts)
	b.await("raise DOWN n1: no answer, 3 runs in a row", sent)
	b.runs(1, 6, "..")
	b.await("n1 no answer closed", alerts)
	b.await("raise feed clear", finds, "no answer")
	b.await("raise DOWN n1: no answer, 3 runs in a row, clear OK n1: answers again after 4m", sent)
	b.await("2 1 t critical", `SELECT format('%s %s %s %s', findings, (evidence ->> 'runs' = '3')::int, told_at IS NOT NULL, severity) FROM alerts`)
}

func TestAShortMessageOfANodeThatGSM7CannotNameHasItsAddress(t *testing.T) {
	b := setUp(t, 1)
	b.exec(`UPDATE nodes SET name = '東京' WHERE name = 'n1'`)
	b.runs(1, 0, ".LLL")
	b.judge()
	b.await("raise DOWN 東京: no answer, 3 runs in a row", sent)
	b.await("DOWN 192.0.2.1 (xn--1lqs71d): no answer", `SELECT substr(short, 1, 39) FROM notices`)
}

func TestACutTargetIsFoundByAnAnalystThatWasRestartedInTheMiddle(t *testing.T) {
	b := setUp(t, 1)
	for minute, letter := range strings.Split(".LLLL..", "") {
		stop := b.judge()
		b.runs(1, minute, letter)
		b.settled()
		stop()
	}
	b.await("raise feed clear", finds, "no answer")
	b.await("n1 no answer closed", alerts)
}

func TestTwoAnalystsFindNothingTwice(t *testing.T) {
	b := setUp(t, 1)
	b.judge()
	b.judge()
	stop := b.judge()
	b.runs(1, 0, ".LLL")
	b.await("raise", finds, "no answer")
	stop()
	b.runs(1, 4, "..")
	b.await("raise clear", finds, "no answer")
	b.settled()
	b.await("raise clear", finds, "no answer")
}

func TestAForgottenSessionStopsNoAlertAndWhatItStoredIsReadLater(t *testing.T) {
	b := setUp(t, 3)
	ctx := context.Background()
	tx, err := b.db.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, `INSERT INTO pingdata (toolspec_id, due_at, outcome, loss_pct) SELECT 2, now() + i * interval '1 second', 'ok', 100 FROM generate_series(1, 3) i`); err != nil {
		t.Fatal(err)
	}
	b.judge()
	b.runs(1, 0, ".LLL")
	b.runs(2, 0, "....")
	b.runs(3, 0, "......")
	b.await("n1 no answer", alerts)
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	b.await("n1 no answer, n2 no answer", alerts)
}

func TestWhatIsOlderThanWhatWasJudgedIsNotedAndNotFed(t *testing.T) {
	b := setUp(t, 1)
	b.judge()
	b.runs(1, 0, "..----...")
	b.settled()
	b.runs(1, 2, "LLLL", true)
	b.await("late", finds, "late")
	b.settled()
	b.await("", alerts)
	b.await("4", `SELECT evidence ->> 'results' FROM newalerts`)
}

func TestAnOutageThatBeganAndEndedInLateDataIsRecordedAndNotSent(t *testing.T) {
	b := setUp(t, 1)
	b.runs(1, 0, "..LLLLL...", true)
	b.judge()
	b.await("n1 no answer closed", alerts)
	b.await("true", `SELECT late::text FROM alerts`)
	b.settled()
	b.await("", sent)
	// One that still stands is told.
	b.runs(1, 10, "LLL", true)
	b.await("raise DOWN n1: no answer, 3 runs in a row", sent)
}

func TestPlannedQuietIsRecordedMarkedAndToldWhenItIsOverAndStillBad(t *testing.T) {
	b := setUp(t, 2)
	b.exec(`INSERT INTO maintenance (label, from_at, until_at, text) VALUES ('n1s', now() - interval '2 hours', now() + interval '1 hour', 'new cables')`)
	b.runs(1, 0, ".LLLL")
	b.runs(2, 0, ".....")
	b.judge()
	b.await("n1 no answer", alerts)
	b.settled()
	b.await("", sent)
	b.await("true", `SELECT (reason LIKE '%not told: planned: maintenance 1 until % UTC, new cables')::text FROM newalerts WHERE decision = 'raise'`)
	b.await("true", `SELECT planned::text FROM alerts`)
	b.exec(`UPDATE maintenance SET until_at = now() - interval '1 minute'`)
	b.exec(`NOTIFY sonde_config`)
	b.await("raise DOWN n1: no answer, 4 runs in a row", sent)
}

func TestAHostThatIsCutOffIsOneMessage(t *testing.T) {
	b := setUp(t, 4)
	for i := 1; i <= 4; i++ {
		b.runs(i, 0, "..LLL")
	}
	b.judge()
	b.await("4", `SELECT count(*)::text FROM alerts a WHERE rule = 'no answer' AND part_of = (SELECT id FROM alerts WHERE rule = 'monitoring host')`)
	b.settled()
	b.await("raise CRITICAL pi: nothing can be measured from monitoring host pi: 4 specs to 4 nodes, the first: n1 no answer", sent)
	for i := 1; i <= 4; i++ {
		b.runs(i, 5, "..")
	}
	b.await("0", `SELECT count(*)::text FROM alerts WHERE closed_at IS NULL`)
	b.await("2", `SELECT count(*)::text FROM notices`)
}

func TestOverloadIsOneMessageAndNotOnePerSpec(t *testing.T) {
	b := setUp(t, 4)
	for i := 1; i <= 3; i++ {
		b.runs(i, 0, "..ooo")
	}
	b.runs(4, 0, ".....")
	b.judge()
	b.await("3", `SELECT count(*)::text FROM alerts WHERE rule = 'no data' AND part_of IS NOT NULL`)
	b.await("1", `SELECT count(*)::text FROM notices WHERE subject LIKE 'WARNING pi: monitoring host pi is overloaded: 3 specs are not measured%'`)
	b.settled()
	b.await("1", `SELECT count(*)::text FROM notices`)
}

func TestGapsAreNoDataUnlessTheClockStepped(t *testing.T) {
	b := setUp(t, 2)
	for i := 1; i <= 2; i++ {
		b.runs(i, 0, "..")
		b.exec(`INSERT INTO gaps (toolspec_id, from_at, until_at, runs, reason, quiet) VALUES ($1, $2, $3, 8, 'the scheduler was down', $4)`,
			i, b.start.Add(2*time.Minute), b.start.Add(10*time.Minute), i == 2)
	}
	b.runs(1, 3, ".") // a result inside wins
	b.judge()
	b.await("n1 no data, pi gap", alerts)
	b.await("no data, 7 runs in a row: the scheduler was down", `SELECT text FROM alerts WHERE rule = 'no data'`)
}

func TestARestartOfEverythingWakesNobody(t *testing.T) {
	b := setUp(t, 6)
	for i := 1; i <= 6; i++ {
		b.runs(i, 0, "..")
		b.exec(`INSERT INTO gaps (toolspec_id, from_at, until_at, runs, reason) VALUES ($1, $2, $3, 4, 'no scheduler was planning')`,
			i, b.start.Add(2*time.Minute), b.start.Add(6*time.Minute))
		b.runs(i, 6, "m") // made due before the end, and claimed by nobody
	}
	b.judge()
	b.await("6", `SELECT count(*)::text FROM alerts WHERE rule = 'no data' AND closed_at IS NULL`)
	for i := 1; i <= 6; i++ {
		b.runs(i, 7, "..")
	}
	b.await("0", `SELECT count(*)::text FROM alerts WHERE closed_at IS NULL`)
	b.settled()
	b.await("", sent)
}

func TestALongGapIsToldOnceForItsHost(t *testing.T) {
	b := setUp(t, 3)
	for i := 1; i <= 3; i++ {
		b.runs(i, 0, "..")
		b.exec(`INSERT INTO gaps (toolspec_id, from_at, until_at, runs, reason) VALUES ($1, $2, $3, 20, 'the database was away')`,
			i, b.start.Add(2*time.Minute), b.start.Add(22*time.Minute))
		b.runs(i, 23, "..")
	}
	b.judge()
	b.await(fmt.Sprintf("raise WARNING pi: nothing was measured from pi for 20m until %s UTC (runs not made: 60): the database was away", b.start.Add(22*time.Minute).UTC().Format("15:04")), sent)
	b.settled()
	b.await("1", `SELECT count(*)::text FROM notices`)
}

// What the pass under way has found is found, and how far it judged is written.
func TestAStopLetsThePassUnderWayEnd(t *testing.T) {
	b := setUp(t, 1)
	b.exec(`SELECT sonde_make_partitions('pingdata', $1::date, $1::date + 1)`, b.start)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.analyst().Run(ctx) }()
	defer cancel()
	b.settled()
	tx, err := b.db.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(ctx, `LOCK TABLE newalerts IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	b.runs(1, 0, ".LLL")
	b.await("1", `SELECT count(*)::text FROM pg_locks WHERE relation = 'newalerts'::regclass AND NOT granted`)
	cancel()
	if err := tx.Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := b.text(alerts); got != "n1 no answer" {
		t.Errorf("alerts: %q", got)
	}
	if got := b.text(`SELECT coalesce(judged_to >= $1, false)::text FROM detectors WHERE toolspec_id = 1`, b.start.Add(3*time.Minute)); got != "true" {
		t.Error("how far it judged is not written")
	}
}

func TestDataOfAnOutageWaitForTheSpoolAndAreJudgedInOrder(t *testing.T) {
	b := setUp(t, 1)
	b.exec(`INSERT INTO daemons (monhost, name, pid, version, started_at, promised_at, spool_files, reported_at) VALUES ('pi', 'loader', 1, '0.1.0', now(), now() + interval '1 hour', 3, now() + interval '1 hour')`)
	b.runs(1, 0, "..")
	stop := b.judge()
	b.await("true", `SELECT coalesce(state -> 'held' ? 'pi', false)::text FROM analyst_mark`)
	b.runs(1, 6, "mmm") // what the leader wrote of the outage
	stop()              // the wait survives a restart
	stop = b.judge()
	b.runs(1, 2, "........", true)
	b.await("0", `SELECT count(*)::text FROM detectors WHERE judged_to IS NOT NULL`)
	b.exec(`UPDATE daemons SET spool_files = 0`)
	b.await("false", `SELECT coalesce(state -> 'held' ? 'pi', false)::text FROM analyst_mark`)
	b.settled()
	stop() // how far a spec is judged is written now and then, and at the end
	b.await("true", `SELECT coalesce(judged_to >= $1, false)::text FROM detectors WHERE toolspec_id = 1`, b.start.Add(9*time.Minute))
	b.await("", alerts)
	b.await("", finds, "late")
}

func TestAWorkerThatHasNotReportedSinceAnOutageIsWaitedFor(t *testing.T) {
	b := setUp(t, 1)
	b.exec(`UPDATE analyst_mark SET ticked_at = now() - interval '20 minutes'`) // the database was away so long
	b.exec(`INSERT INTO daemons (monhost, name, pid, version, started_at, promised_at, reported_at)
		VALUES ('pi', 'worker-ping', 1, '0.1.0', now(), now() - interval '19 minutes', now() - interval '20 minutes'),
		       ('pi', 'worker-gone', 1, '0.1.0', now(), now() - interval '3 days', now() - interval '3 days')`)
	b.runs(1, 0, "..")
	b.judge()
	b.await("worker-ping has not reported since the outage", `SELECT coalesce(state -> 'held' -> 'pi' ->> 'why', '') FROM analyst_mark`)
	b.runs(1, 2, "......", true)
	b.exec(`UPDATE daemons SET reported_at = now(), promised_at = now() + interval '10 seconds' WHERE name = 'worker-ping'`)
	b.await("true", `SELECT coalesce(max(judged_to) >= $1, false)::text FROM detectors WHERE toolspec_id = 1`, b.start.Add(7*time.Minute))
	b.await("", finds, "late")
}

func TestASpecThatIsSwitchedOffIsWatchedNoMore(t *testing.T) {
	b := setUp(t, 1)
	b.runs(1, 0, ".LLL")
	b.judge()
	b.await("n1 no answer", alerts)
	b.exec(`UPDATE toolspecs SET enabled = false`)
	b.await("n1 no answer closed", alerts)
	b.await("no longer watched: the spec, or its node, was switched off", `SELECT close_text FROM alerts`)
	b.await("0", `SELECT count(*)::text FROM detectors`)
	b.await("raise DOWN n1: no answer, 3 runs in a row", sent)
}

func TestAChangedRuleJudgesAnew(t *testing.T) {
	b := setUp(t, 1)
	b.runs(1, 0, ".LL")
	b.judge()
	b.settled()
	b.await("", alerts)
	b.exec(`UPDATE rules SET options = '{"runs": 2}', severity = 'warning' WHERE name = 'no answer'`)
	b.await("true", `SELECT (position('no-answer loss_pct {"runs":2}'::bytea IN state) > 0)::text FROM detectors WHERE toolspec_id = 1`)
	b.runs(1, 3, "LL")
	b.await("n1 no answer", alerts)
	b.await("warning", `SELECT severity FROM alerts`)
	b.exec(`UPDATE rules SET enabled = false WHERE name = 'no answer'`)
	b.await("n1 no answer closed", alerts)
}

func TestRouteChangesAreNotesThatNameTheHop(t *testing.T) {
	b := setUp(t, 1)
	b.exec(`INSERT INTO toolspecs (node, tool, run_interval) VALUES ('n1', 'traceroute', '1 day')`)
	for i, hop := range []string{"192.0.2.77", "192.0.2.77", "198.51.100.1"} {
		b.exec(`INSERT INTO routedata (toolspec_id, due_at, outcome, first_ttl, hops, reached) VALUES (2, $1, 'ok', 2, $2::text[]::inet[], true)`,
			b.start.Add(time.Duration(i)*time.Minute), []string{"203.0.113.1", hop, "192.0.2.1"})
	}
	b.exec(`SELECT 1`)
	b.judge()
	b.await("hop 3 moved from 192.0.2.77 to 198.51.100.1", `SELECT coalesce(min(text), '') FROM newalerts WHERE rule = 'route'`)
	b.await("note", finds, "route")
	b.settled()
	b.await("", alerts)
	b.await("", sent)
}

func TestAStepOfTheClockIsAnAlert(t *testing.T) {
	b := setUp(t, 1)
	b.exec(`INSERT INTO clock_steps (seconds, from_at, until_at) VALUES (3600, now() - interval '1 hour', now())`)
	b.judge()
	b.await("raise WARNING the database's clock: the clock stepped forward by 1h0m0s", sent)
	// The next one is another: nobody may be told meanwhile that it is over.
	b.exec(`INSERT INTO clock_steps (seconds, from_at, until_at) VALUES (-3600, now() - interval '1 hour', now())`)
	b.await("raise the clock stepped forward by 1h0m0s, clear it stepped again, raise the clock stepped back by 1h0m0s",
		`SELECT string_agg(decision || ' ' || text, ', ' ORDER BY id) FROM newalerts`)
	b.await("raise clear raise", `SELECT string_agg(kind, ' ' ORDER BY id) FROM notices`)
}

// setBack is a bench whose clock was set back by an hour after ten minutes, under a
// running analyst that knows it.
func setBack(t *testing.T) (b *bench, stop func()) {
	t.Helper()
	b = setUp(t, 1)
	b.runs(1, 0, "..........")
	stop = b.judge()
	b.settled()
	b.exec(`INSERT INTO clock_steps (seconds, from_at, until_at) VALUES (-3600, $1, now() + interval '40 minutes')`, b.start.Add(10*time.Minute))
	b.await("true", `SELECT (state ->> 'clock_step' = '1')::text FROM analyst_mark`)
	return b, stop
}

// A run that is under way when the clock is set back brings a result of a time
// that is taken back. Had it been judged, all that comes would be late for an hour.
func TestResultOfATimeThatWasTakenBackMakesNoOtherLate(t *testing.T) {
	b, stop := setBack(t)
	b.runs(1, 65, ".") // of the time before the step: half an hour ahead of now
	b.await("it was measured before the clock was set back; it is kept and shown, and was not judged", `SELECT coalesce(max(reason), '') FROM newalerts WHERE rule = 'late'`)
	b.runs(1, 10, "LLL")
	b.await("n1 no answer", `SELECT coalesce(string_agg(node || ' ' || rule, ', '), '') FROM alerts WHERE node <> ''`)
	stop()
}

// The time that was taken back is known to an analyst that starts after the step, too.
func TestAnAnalystThatStartsAfterAStepBackKnowsWhatWasTakenBack(t *testing.T) {
	b, stop := setBack(t)
	stop()
	b.runs(1, 65, ".")
	b.judge()
	b.await("it was measured before the clock was set back; it is kept and shown, and was not judged", `SELECT coalesce(max(reason), '') FROM newalerts WHERE rule = 'late'`)
}

// Whose clock is ahead, or who brings data of a simulation, has no time that was taken back.
func TestResultsAheadOfTheClockAreJudgedUnlessItStepped(t *testing.T) {
	b := setUp(t, 1)
	b.runs(1, 0, "..........")
	stop := b.judge()
	b.settled()
	b.runs(1, 120, "LLL")
	b.await("n1 no answer", `SELECT coalesce(string_agg(node || ' ' || rule, ', '), '') FROM alerts WHERE node <> '' AND rule <> 'no data'`)
	stop()
}

func TestASilentMonitoringHostIsAnAlert(t *testing.T) {
	b := setUp(t, 1)
	b.exec(`UPDATE monhosts SET last_seen_at = now() - interval '10 minutes'`)
	b.judge()
	b.await("pi monitoring host", alerts)
	b.exec(`UPDATE monhosts SET last_seen_at = now()`)
	b.exec(`NOTIFY sonde_config`)
	b.await("pi monitoring host closed", alerts)
	b.await("2", `SELECT count(*)::text FROM notices`)
}

func TestARuleInShadowIsRecordedAndNeverSent(t *testing.T) {
	b := setUp(t, 2)
	b.exec(`UPDATE rules SET shadow = true WHERE name = 'no answer'`)
	b.runs(1, 0, ".LLLLLL")
	b.judge()
	b.await("n1 no answer", alerts)
	b.await("true 0", `SELECT format('%s %s', CASE WHEN shadow THEN 'true' ELSE 'false' END, (SELECT count(*) FROM notices)) FROM alerts`)
	b.await(`nothing was open; not told: rule "no answer" is in shadow: recorded only`, `SELECT reason FROM newalerts WHERE decision = 'raise'`)
	// Out of shadow what still stands is told.
	b.exec(`UPDATE rules SET shadow = false WHERE name = 'no answer'`)
	b.await("false", `SELECT shadow::text FROM alerts`)
	b.await("raise DOWN n1: no answer, 6 runs in a row", sent)
	// Back in shadow nobody hears of it any more, but for the end of what they heard of.
	b.exec(`UPDATE alerts SET part_of = 99`)
	b.exec(`UPDATE rules SET shadow = true WHERE name = 'no answer'`)
	b.await("true true", `SELECT concat_ws(' ', shadow::text, (part_of IS NULL)::text) FROM alerts`)
	b.runs(1, 7, "....")
	b.await("n1 no answer closed", alerts)
	b.await("2", `SELECT count(*)::text FROM notices`)
}
