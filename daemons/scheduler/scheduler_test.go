package scheduler_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// soon is "within a second", with room for a busy machine.
const soon = 2 * time.Second

func TestNewSpecIsDueWithinASecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.start("a")
	w.pass(s)
	id := w.spec("", "1 minute")
	if took := w.until(soon, `SELECT EXISTS (SELECT FROM schedule WHERE toolspec_id = $1)`, id); took > time.Second {
		t.Logf("took %s", took)
	}
	// It is the run soon after the insert.
	if due := one[float64](w, `SELECT extract(epoch FROM q.due_at - s.timing_since)::float8 FROM schedule q JOIN toolspecs s ON s.id = q.toolspec_id`); due < 0 || due > 6 {
		t.Errorf("due %v s after the insert", due)
	}
}

// A NOTIFY is lost when the listener's connection is; polling finds the spec all the same.
func TestNewSpecIsFoundByPollingWhenNobodyHearsTheNotification(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// Without the trigger nobody notifies.
	w.exec(`DROP TRIGGER tell_daemons ON toolspecs`)
	w.pass(w.start("a"))
	id := w.spec("", "1 minute")
	w.until(soon, `SELECT EXISTS (SELECT FROM schedule WHERE toolspec_id = $1)`, id)
}

func TestRowsLockedInPsqlDelayNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.spec("", "1 second")
	s := w.start("a")
	w.until(10*time.Second, `SELECT count(*) > 3 FROM schedule WHERE toolspec_id = $1`, id)
	tx, err := w.pool.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	for _, table := range []string{"toolspecs", "nodes", "settings", "monhosts", "schedule", "tools"} {
		if _, err := tx.Exec(context.Background(), `SELECT FROM `+pgx.Identifier{table}.Sanitize()+` FOR NO KEY UPDATE`); err != nil {
			t.Fatal(err)
		}
	}
	from := w.now()
	other := w.spec("other", "1 second")
	w.until(10*time.Second, `SELECT EXISTS (SELECT FROM schedule WHERE toolspec_id = $1 AND due_at > $2::timestamptz + interval '9 seconds')`, id, from)
	w.until(10*time.Second, `SELECT EXISTS (SELECT FROM schedule WHERE toolspec_id = $1)`, other)
	w.accounted(id, from.Add(-2*time.Second), w.now().Add(2*time.Second))
	if err := tx.Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	// What nobody could end because it was locked is ended now.
	w.until(10*time.Second, `SELECT NOT EXISTS (SELECT FROM schedule WHERE due_at < $1)`, from)
	w.pass(s)
}

func TestSleepOfAWeekIsOneGapPerSpecInBoundedTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const specs = 20000
	id := w.spec("0", "1 minute")
	w.backdate(id, 30*24*time.Hour)
	w.asReplica(`INSERT INTO toolspecs (node, monhost, tool, label, options, run_interval, time_zone, sampling, time_to_run, test_type, enabled, days_to_analyze, timing_since)
		SELECT node, monhost, tool, g::text, options, run_interval, time_zone, sampling, time_to_run, test_type, enabled, days_to_analyze, timing_since
		FROM toolspecs, generate_series(2, $1::int) g`, specs)
	w.asReplica(`UPDATE toolspecs SET label = 'hourly', run_interval = NULL, run_at = '7 * * * *' WHERE id = $1`, id)
	w.exec(`UPDATE schedule_mark SET planned_to = now() - interval '7 days'`)
	began := time.Now()
	s := w.start("a")
	// A gap that begins later is a machine too busy to plan in time.
	w.until(30*time.Second, `SELECT count(*) = $1 FROM gaps WHERE from_at < $2`, specs, began)
	t.Logf("%d gaps in %s", specs, time.Since(began))
	w.pass(s)
	if n := one[int](w, `SELECT count(*)::int FROM gaps WHERE from_at < $1`, began); n != specs {
		t.Errorf("%d gaps, not %d", n, specs)
	}
	if bad := one[int](w, `SELECT count(*)::int FROM gaps g JOIN toolspecs s ON s.id = g.toolspec_id
		WHERE g.from_at < $1 AND (g.reason <> 'no scheduler was planning' OR g.runs NOT BETWEEN CASE WHEN run_at IS NULL THEN 10079 ELSE 167 END AND CASE WHEN run_at IS NULL THEN 10081 ELSE 169 END)`, began); bad > 0 {
		t.Errorf("%d gaps are wrong", bad)
	}
	for _, id := range []int64{one[int64](w, `SELECT id FROM toolspecs WHERE label = 'hourly'`), one[int64](w, `SELECT max(id) FROM toolspecs`)} {
		w.accounted(id, w.now().Add(-2*time.Hour), w.now())
	}
}

func TestTwoSchedulersPlanNothingTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.spec("", "1 second")
	from := w.now()
	a := w.start("a")
	w.pass(a)
	b := w.start("b")
	w.until(10*time.Second, `SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	// The leader's connection dies, more than once; the spec inserted meanwhile is not lost.
	var ids []int64
	for i := range 3 {
		before := one[string](w, `SELECT leader || moved_at FROM schedule_mark`)
		w.exec(`SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
			WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = 'sonde scheduler' AND a.datname = current_database()`)
		ids = append(ids, w.spec(string(rune('x'+i)), "1 second"))
		w.until(10*time.Second, `SELECT leader || moved_at <> $1 FROM schedule_mark`, before)
	}
	a.stop()
	w.pass(b)
	w.until(10*time.Second, `SELECT leader = 'b' FROM schedule_mark`)
	to := w.now()
	w.accounted(id, from, to)
	for _, id := range ids {
		w.until(10*time.Second, `SELECT EXISTS (SELECT FROM runs WHERE toolspec_id = $1) OR EXISTS (SELECT FROM schedule WHERE toolspec_id = $1)`, id)
		w.accounted(id, from, w.now().Add(time.Second))
	}
}

// The mark lies a few seconds ahead of what a leader has read. A spec that comes
// between its last look and its end must not lose its first instants.
func TestSpecInsertedAsTheLeaderDiesKeepsItsSoonRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.spec("first", "1 second")
	a := w.start("a")
	w.pass(a)
	a.stop()
	id := w.spec("second", "1 day")
	w.start("b")
	w.until(soon, `SELECT EXISTS (SELECT FROM schedule WHERE toolspec_id = $1)`, id)
	w.accounted(id, w.specs()[id].Since, w.specs()[id].Since.Add(6*time.Second))
}

// A spec inserted while nobody led is measured soon, though its first instant is a gap.
func TestSpecInsertedWhileNobodyLedRunsSoon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`UPDATE schedule_mark SET planned_to = now() - interval '10 minutes', seen = pg_current_snapshot()`)
	id := w.spec("", "1 day")
	w.backdate(id, time.Minute)
	w.start("a")
	w.until(soon, `SELECT EXISTS (SELECT FROM schedule WHERE toolspec_id = $1)`, id)
}

// backdate makes a spec's timing begin earlier, as that of a transaction that stayed open.
func (w *world) backdate(id int64, by time.Duration) {
	w.Helper()
	w.asReplica(`UPDATE toolspecs SET timing_since = timing_since - make_interval(secs => $2), changed_xid = pg_current_xact_id() WHERE id = $1`, id, by.Seconds())
	w.asReplica(`UPDATE nodes SET enabled_since = enabled_since - make_interval(secs => $1)`, by.Seconds())
}

// asReplica runs a statement without the triggers, which would write the true time.
func (w *world) asReplica(sql string, args ...any) {
	w.Helper()
	err := pgx.BeginFunc(context.Background(), w.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(context.Background(), `SET LOCAL session_replication_role = replica`); err != nil {
			return err
		}
		_, err := tx.Exec(context.Background(), sql, args...)
		return err
	})
	if err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

func TestTransactionThatStayedOpenForAMinuteIsMeasuredAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.start("a")
	w.pass(s)
	tx, err := w.pool.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	var id int64
	if err := tx.QueryRow(context.Background(), `INSERT INTO toolspecs (node, tool, run_interval) VALUES ('far', 'noop', '1 hour') RETURNING id`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(context.Background(), `SET LOCAL session_replication_role = replica`); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(context.Background(), `UPDATE toolspecs SET timing_since = timing_since - interval '1 minute' WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	other := w.spec("other", "1 second") // commits first, with a later number
	w.until(soon, `SELECT EXISTS (SELECT FROM schedule WHERE toolspec_id = $1)`, other)
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.until(soon, `SELECT EXISTS (SELECT FROM schedule WHERE toolspec_id = $1)`, id)
	w.pass(s)
	w.pass(s)
	if n := one[int](w, `SELECT (SELECT count(*) FROM schedule WHERE toolspec_id = $1)::int + (SELECT coalesce(sum(runs), 0) FROM runs WHERE toolspec_id = $1)::int`, id); n != 1 {
		t.Errorf("%d runs instead of one", n)
	}
}

func TestDisabledSpecIsForgottenAndEnabledAgainAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.spec("", "1 second")
	s := w.start("a")
	w.until(10*time.Second, `SELECT count(*) > 3 FROM schedule WHERE toolspec_id = $1`, id)
	for _, sql := range [][2]string{
		{`UPDATE toolspecs SET enabled = false`, `UPDATE toolspecs SET enabled = true`},
		{`UPDATE nodes SET enabled = false WHERE name = 'far'`, `UPDATE nodes SET enabled = true WHERE name = 'far'`},
	} {
		w.exec(sql[0])
		w.until(soon, `SELECT NOT EXISTS (SELECT FROM schedule WHERE toolspec_id = $1 AND due_at > clock_timestamp())`, id)
		missed := one[int](w, `SELECT count(*)::int FROM pingdata`)
		w.pass(s)
		w.pass(s)
		if n := one[int](w, `SELECT count(*)::int FROM schedule WHERE due_at > clock_timestamp()`); n > 0 {
			t.Errorf("%d runs of a disabled spec are due", n)
		}
		if n := one[int](w, `SELECT count(*)::int FROM pingdata`); n > missed+3 {
			t.Errorf("%d runs were missed while the spec was disabled", n-missed)
		}
		from := w.now()
		w.exec(sql[1])
		w.until(soon, `SELECT EXISTS (SELECT FROM schedule WHERE toolspec_id = $1 AND due_at > $2)`, id, from)
		w.until(10*time.Second, `SELECT EXISTS (SELECT FROM schedule WHERE toolspec_id = $1 AND due_at > $2::timestamptz + interval '6 seconds')`, id, from)
		w.accounted(id, from, from.Add(6*time.Second))
	}
}

func TestSpecDisabledWhileNobodyLedIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.spec("", "1 second")
	a := w.start("a")
	w.until(10*time.Second, `SELECT count(*) > 3 FROM schedule WHERE toolspec_id = $1`, id)
	a.stop()
	w.exec(`UPDATE nodes SET enabled = false WHERE name = 'far'`)
	w.start("b")
	w.until(soon, `SELECT NOT EXISTS (SELECT FROM schedule)`)
}

func TestChangedIntervalTakesEffectAtOnceAndKeepsRunsAskedForByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.spec("", "1 second")
	s := w.start("a")
	w.until(10*time.Second, `SELECT count(*) > 3 FROM schedule WHERE toolspec_id = $1`, id)
	tx, err := w.pool.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	for _, sql := range []string{`UPDATE toolspecs SET run_interval = '1 hour'`, `INSERT INTO schedule (toolspec_id, due_at) SELECT id, now() + interval '10 minutes' FROM toolspecs`} {
		if _, err := tx.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(s) // plans the old timing once more
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.pass(s)
	w.pass(s)
	// What is left is the soon run of the new timing and the one asked for by hand.
	if n := one[int](w, `SELECT count(*)::int FROM schedule WHERE due_at > clock_timestamp()`); n > 2 {
		t.Errorf("%d runs are due", n)
	}
	if n := one[int](w, `SELECT count(*)::int FROM schedule WHERE due_at > clock_timestamp() + interval '9 minutes'`); n != 1 {
		t.Errorf("%d runs asked for by hand are due, not 1", n)
	}
}

func TestDeletedSpecLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.spec("", "1 hour")
	s := w.start("a")
	w.until(10*time.Second, `SELECT EXISTS (SELECT FROM schedule WHERE toolspec_id = $1)`, id)
	w.exec(`DELETE FROM toolspecs WHERE id = $1`, id)
	w.pass(s)
	w.pass(s)
	if n := one[int](w, `SELECT (SELECT count(*) FROM schedule)::int + (SELECT count(*) FROM pingdata)::int`); n > 0 {
		t.Errorf("%d rows of a deleted spec", n)
	}
}

func TestRenamedNodeChangesNoInstant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.spec("", "1 second")
	w.start("a")
	w.until(10*time.Second, `SELECT count(*) > 3 FROM schedule WHERE toolspec_id = $1`, id)
	from := w.now() // instants before the leader first saw the spec are no promise
	w.exec(`UPDATE nodes SET name = 'farther' WHERE name = 'far'`)
	to := w.now().Add(4 * time.Second)
	w.until(10*time.Second, `SELECT planned_to > $1 FROM schedule_mark`, to)
	w.accounted(id, from, to)
}

func TestCronSpecIsPlannedAtItsTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.start("a")
	w.pass(s)
	id := one[int64](w, `INSERT INTO toolspecs (node, tool, run_at) VALUES ('far', 'noop', '* * * * *') RETURNING id`)
	// A minute's wait would be long: the mark and the beginning go back instead.
	s.stop()
	w.backdate(id, time.Hour)
	w.exec(`UPDATE schedule_mark SET planned_to = now() - interval '30 minutes'`)
	w.start("b")
	w.until(soon, `SELECT EXISTS (SELECT FROM gaps WHERE toolspec_id = $1)`, id)
	w.accounted(id, w.now().Add(-29*time.Minute), w.now())
	if runs := one[int](w, `SELECT runs FROM gaps`); runs != 29 && runs != 30 {
		t.Errorf("%d runs in half an hour of a cron spec each minute", runs)
	}
}

func TestRunsInsertedByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.spec("", "1 hour")
	w.exec(`INSERT INTO schedule (toolspec_id) VALUES ($1)`, id)
	w.exec(`INSERT INTO schedule (toolspec_id, due_at) VALUES ($1, now() + interval '20 minutes'), ($1, now() - interval '20 minutes')`, id)
	// Whoever fills every column gets past the trigger; the partition of that day is missing.
	w.exec(`INSERT INTO schedule (toolspec_id, due_at, monhost, tool, start_by) VALUES ($1, '2001-02-03 04:05Z', 'm1', 'noop', '2001-02-03 04:06Z')`, id)
	if _, err := w.pool.Exec(context.Background(), `INSERT INTO schedule (toolspec_id, due_at) SELECT toolspec_id, due_at FROM schedule`); err == nil {
		t.Error("the same run could be inserted twice")
	}
	disabled := one[int64](w, `INSERT INTO toolspecs (node, tool, label, run_interval, enabled) VALUES ('far', 'noop', 'off', '1 hour', false) RETURNING id`)
	if _, err := w.pool.Exec(context.Background(), `INSERT INTO schedule (toolspec_id) VALUES ($1)`, disabled); err == nil || !strings.Contains(err.Error(), "or its node is disabled") {
		t.Errorf("a run of a disabled spec: %v", err)
	}
	s := w.start("a")
	// Now, in the past and long ago: nobody ran them.
	w.until(15*time.Second, `SELECT count(*) >= 3 FROM pingdata WHERE outcome = 'missed' AND reason LIKE 'no worker%'`)
	w.pass(s)
	if n := one[int](w, `SELECT count(*)::int FROM schedule WHERE due_at > now() + interval '19 minutes'`); n != 1 {
		t.Error("the run of the future is gone")
	}
}

// A table lock that stops partitions from being made does not stop planning.
func TestPlanningGoesOnWhilePartitionsCannotBeMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.spec("", "1 second")
	w.exec(`DROP TABLE pingdata_` + w.now().UTC().AddDate(0, 0, 9).Format("20060102"))
	tx, err := w.pool.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(context.Background(), `LOCK TABLE pingdata IN SHARE UPDATE EXCLUSIVE MODE`); err != nil { // as VACUUM does
		t.Fatal(err)
	}
	from := w.now()
	w.start("a")
	w.until(20*time.Second, `SELECT planned_to > $1::timestamptz + interval '9 seconds' FROM schedule_mark`, from)
	w.accounted(id, from, from.Add(8*time.Second))
}
