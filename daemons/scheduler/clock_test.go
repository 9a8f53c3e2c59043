package scheduler_test

import (
	"context"
	"testing"
	"time"

	"sonde/internal/pgtest"
	"sonde/internal/plan"
	"sonde/migrations"
)

// steppable is a world whose database has a clock of its own.
func steppable(t *testing.T) (w *world, set func(offset string)) {
	t.Helper()
	s, set := pgtest.NewSteppable(t)
	if _, err := migrations.Up(context.Background(), s.DSN(), catalog(t)); err != nil {
		t.Fatal(err)
	}
	return worldAt(t, s.DSN()), set
}

func TestClockSetForwardIsOneQuietGap(t *testing.T) {
	t.Parallel()
	w, set := steppable(t)
	second, slow := w.spec("second", "1 second"), w.spec("slow", "5 minutes")
	s := w.start("a")
	from := w.now()
	w.until(10*time.Second, `SELECT count(*) > 6 FROM schedule`)
	w.pass(s)
	set("+3600")
	w.until(10*time.Second, `SELECT count(*) = 1 FROM clock_steps WHERE seconds BETWEEN 3598 AND 3602`)
	w.until(10*time.Second, `SELECT count(*) = 2 FROM gaps`)
	w.pass(s)
	if n := one[int](w, `SELECT count(*)::int FROM gaps WHERE quiet AND reason = 'the clock stepped 1h0m0s forward'`); n != 2 {
		t.Errorf("%d of 2 gaps are quiet and say why: %s", n, one[string](w, `SELECT string_agg(reason, ' | ') FROM gaps`))
	}
	if n := one[int](w, `SELECT count(*)::int FROM schedule WHERE due_at > clock_timestamp() - interval '10 seconds'`); n > 20 {
		t.Errorf("%d runs are due at once", n)
	}
	w.until(10*time.Second, `SELECT count(*) > 4 FROM schedule WHERE toolspec_id = $1 AND due_at > clock_timestamp()`, second)
	w.accounted(second, from, w.now())
	w.accounted(slow, from, w.now())
	if steps := w.pass(s).Steps; steps != 1 {
		t.Errorf("%d steps were seen, not 1", steps)
	}
}

func TestClockSetBackwardGoesOnAtOnceAndKeepsKeysApart(t *testing.T) {
	t.Parallel()
	w, set := steppable(t)
	id := w.spec("", "1 second")
	a := w.start("a")
	w.until(10*time.Second, `SELECT count(*) > 6 FROM schedule WHERE toolspec_id = $1`, id)
	late := w.spec("inserted just before", "1 second")
	w.until(10*time.Second, `SELECT EXISTS (SELECT FROM schedule WHERE toolspec_id = $1)`, late)
	mark := one[time.Time](w, `SELECT planned_to FROM schedule_mark`)

	set("-3600")
	back := w.now()
	w.until(5*time.Second, `SELECT count(*) = 1 FROM clock_steps WHERE seconds BETWEEN -3602 AND -3598`)
	for _, spec := range []int64{id, late} {
		w.until(5*time.Second, `SELECT count(*) > 3 FROM schedule WHERE toolspec_id = $1 AND due_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '1 minute'`, spec)
	}
	shifted(w, id, 1)

	// Once more, by a few seconds: those come for the third time.
	w.pass(a)
	again := one[time.Time](w, `SELECT planned_to FROM schedule_mark`)
	set("-3605")
	w.until(5*time.Second, `SELECT count(*) = 2 FROM clock_steps WHERE seconds < 0`)
	w.until(15*time.Second, `SELECT planned_to > $1 FROM schedule_mark`, again)
	shifted(w, id, 2)
	if again.Before(back) || mark.Before(again) {
		t.Error("the test's clock is not what it should be")
	}

	// And while nobody leads.
	a.stop()
	set("-7200")
	w.start("b")
	w.until(5*time.Second, `SELECT count(*) = 3 FROM clock_steps WHERE seconds < 0`)
	for _, spec := range []int64{id, late} {
		w.until(5*time.Second, `SELECT count(*) > 3 FROM schedule WHERE toolspec_id = $1 AND due_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '1 minute'`, spec)
	}
	if n := one[int](w, `SELECT count(*)::int FROM gaps`); n > 0 {
		t.Errorf("%d gaps", n)
	}
}

// shifted says that the latest runs of a spec are n µs behind its instants.
func shifted(w *world, id int64, n int) {
	w.Helper()
	w.until(10*time.Second, `SELECT EXISTS (SELECT FROM clock_steps)`)
	due := one[time.Time](w, `SELECT due_at FROM schedule WHERE toolspec_id = $1 AND due_at > clock_timestamp() AND due_at < clock_timestamp() + interval '1 minute' ORDER BY due_at LIMIT 1`, id)
	s := w.specs()[id]
	at, _ := plan.Next(s.Begun(due.Add(-time.Minute)), due.Add(-time.Duration(n)*time.Microsecond-time.Microsecond))
	if got := due.Sub(at); got != time.Duration(n)*time.Microsecond {
		w.Errorf("a run is %s behind its instant, not %d µs", got, n)
	}
}

// A scheduler that stood by while the clock stepped leaves the step to the one that led.
func TestStepIsDealtWithOnceThoughTheLeadChanges(t *testing.T) {
	t.Parallel()
	w, set := steppable(t)
	id := w.spec("", "1 second")
	a := w.start("a")
	w.pass(a)
	b := w.start("b")
	// Until b leads and a, which has read the clock before, stands by.
	limit := time.After(30 * time.Second)
	for one[string](w, `SELECT leader FROM schedule_mark`) != "b" {
		w.exec(`SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
			WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = 'sonde scheduler' AND a.datname = current_database()`)
		before := one[time.Time](w, `SELECT moved_at FROM schedule_mark`)
		w.until(10*time.Second, `SELECT moved_at > $1 FROM schedule_mark`, before)
		select {
		case <-limit:
			t.Fatal("b never leads")
		default:
		}
	}
	w.pass(b)
	from := w.now()
	set("+600")
	w.until(10*time.Second, `SELECT count(*) = 1 FROM clock_steps`)
	w.pass(b)
	after := w.now()
	b.stop()
	w.until(10*time.Second, `SELECT leader = 'a' FROM schedule_mark`)
	w.pass(a)
	if n := one[int](w, `SELECT count(*)::int FROM clock_steps`); n != 1 {
		t.Errorf("%d steps are written down", n)
	}
	if n := one[int](w, `SELECT count(*)::int FROM gaps`); n != 1 {
		t.Errorf("%d gaps", n)
	}
	w.accounted(id, from, w.now())
	w.accounted(id, after.Add(-time.Second), w.now())
}
