package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sonde/daemons/worker"
	"sonde/probes"
)

func TestRunStartsAtItsInstant(t *testing.T) {
	w := newWorld(t)
	s := w.start("a", nil)
	id := w.spec("", "1 day")
	for _, in := range []float64{0.3, 1.5, 3} {
		due := w.due(id, in, 1)
		if end := w.end(id, due); end != "ok: " {
			t.Fatal(end)
		}
		ms := one[float64](w, `SELECT (extract(epoch FROM started_at - due_at) * 1000)::float8 FROM pingdata WHERE due_at = $1`, due)
		if ms < -20 || ms > 250 {
			t.Errorf("due in %v s, started %v ms late", in, ms)
		}
	}
	if n := one[int](w, `SELECT count(*)::int FROM schedule`); n != 0 {
		t.Errorf("%d schedule rows are left", n)
	}
	s.stop()
}

func TestTwoHundredSpecsASecondAreOnTime(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO toolspecs (node, tool, label, run_interval, options) SELECT 'far', 'noop', g::text, '1 second', format('{"do": "%s"}', g)::jsonb FROM generate_series(1, 200) g`)
	w.scheduler("s")
	w.start("a", nil)
	// Five seconds of it: the first ones come while everything starts, and on a
	// machine that stands still for a while runs are missed, as they should be.
	w.until(time.Minute, `SELECT EXISTS (SELECT FROM pingdata WHERE due_at > now() - interval '12 seconds' GROUP BY floor(extract(epoch FROM due_at) / 5)
		HAVING count(*) > 990 AND bool_and(outcome = 'ok') AND percentile_cont(0.9) WITHIN GROUP (ORDER BY started_at - due_at) < '300 ms')`)
	if early := one[float64](w, `SELECT (min(extract(epoch FROM started_at - due_at)) * 1000)::float8 FROM pingdata`); early < -50 {
		t.Errorf("a run started %v ms early", -early) // by more than a claim takes
	}
	if _, _, overlap := w.count(); overlap {
		t.Error("a spec overlapped itself")
	}
}

func TestFailedRunSaysWhyAndTheWorkerLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("a", nil)
	for do, want := range map[string]string{
		"panic":    "fail: the probe panicked: the tool fell over",
		"nonsense": `fail: wrong spec: option "do" must make sense, not nonsense`,
		"fail":     "fail: the name does not resolve",
		"busy":     "missed: ping: overload: 3 replies were dropped unread",
		"hang":     "fail: time_to_run is over (1s)",
		"":         "ok: ",
	} {
		id := w.spec(do, "1 day")
		due := w.due(id, 0, 1)
		if end := w.end(id, due); !strings.HasPrefix(end, want) {
			t.Errorf("%s: ended %q, not %q", do, end, want)
		}
		if do == "" || do == "nonsense" || do == "busy" {
			continue
		}
		if log := one[string](w, `SELECT coalesce(log, '') FROM pingdata WHERE toolspec_id = $1`, id); !strings.Contains(log, "asked do="+do) {
			t.Errorf("%s: the run's log is %q", do, log)
		}
	}
}

func TestSpecNeverOverlapsItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("a", nil)
	id := w.spec("for:900ms", "1 day")
	first := w.due(id, 0.2, 1)
	second := w.due(id, 0.3, 0.2) // cannot wait long enough
	third := w.due(id, 0.4, 3)    // can
	if end := w.end(id, second); !strings.HasPrefix(end, "missed: still running: the run due at ") {
		t.Error(end)
	}
	for _, due := range []time.Time{first, third} {
		if end := w.end(id, due); end != "ok: " {
			t.Error(end)
		}
	}
	if _, _, overlap := w.count(); overlap {
		t.Error("the spec overlapped itself")
	}
	// The analyst judges in order of due_at: what is stored behind a later run is not judged.
	if !one[bool](w, `SELECT a.stored_at < b.stored_at OR a.stored_xid = b.stored_xid FROM pingdata a, pingdata b WHERE a.due_at = $1 AND b.due_at = $2`, first, second) {
		t.Error("the run that was overtaken is stored before the one that ran")
	}
}

func TestOverloadIsMissedNeverLossy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("a", func(k *worker.Worker) { k.Tool.AtOnce = 3 })
	w.exec(`INSERT INTO toolspecs (node, tool, label, run_interval, options) SELECT 'far', 'noop', g::text, '1 day', '{"do": "for:400ms"}' FROM generate_series(1, 30) g`)
	w.exec(`INSERT INTO schedule (toolspec_id, due_at, monhost, tool, start_by) SELECT id, now() + interval '300 ms', 'm1', 'noop', now() + interval '1300 ms' FROM toolspecs`)
	w.until(15*time.Second, `SELECT count(*) = 30 FROM pingdata`)
	made := one[int](w, `SELECT count(*)::int FROM pingdata WHERE outcome = 'ok'`)
	missed := one[int](w, `SELECT count(*)::int FROM pingdata WHERE outcome = 'missed' AND reason LIKE 'overload: % runs of noop were under way on m1%'`)
	if made+missed != 30 || made < 3 || missed < 15 {
		t.Errorf("%d made, %d missed for overload", made, missed)
	}
	if _, most, _ := w.count(); most != 3 {
		t.Errorf("%d at once, not 3", most)
	}
}

func TestStoppingWorkerFinishesAndHandsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := w.spec("wait", "1 day")
	w.exec(`UPDATE toolspecs SET time_to_run = '20 seconds' WHERE id = $1`, long)
	a := w.start("a", nil) // a change counts within a second, not for a claim under way
	running := w.due(long, 0, 1)
	<-w.begun
	var waiting []time.Time
	id := w.spec("", "1 day")
	for range 5 {
		waiting = append(waiting, w.due(id, 1.9, 10))
	}
	w.until(5*time.Second, `SELECT count(*) = 6 FROM schedule WHERE state = 'claimed'`)
	a.signal()
	w.until(5*time.Second, `SELECT count(*) = 5 FROM schedule WHERE state = 'due' AND attempt = 1`)
	b := w.start("b", nil)
	for _, due := range waiting {
		if end := w.end(id, due); end != "ok: " {
			t.Error(end)
		}
	}
	if n := one[int](w, `SELECT count(*)::int FROM pingdata WHERE attempt = 2`); n != 5 {
		t.Errorf("%d runs made with attempt 2, not 5", n)
	}
	select {
	case <-a.done:
		t.Error("the worker ended with a run under way")
	default:
	}
	close(w.release)
	<-a.done
	if end := w.end(long, running); end != "ok: " {
		t.Error(end)
	}
	b.stop()
}

func TestSecondSignalCancels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.spec("hang", "1 day")
	w.exec(`UPDATE toolspecs SET time_to_run = '10 minutes' WHERE id = $1`, id)
	a := w.start("a", nil)
	due := w.due(id, 0, 1)
	<-w.begun
	a.signal()
	a.cancel()
	select {
	case <-a.done:
	case <-time.After(10 * time.Second):
		t.Fatal("the worker does not end")
	}
	if end := w.end(id, due); end != "missed: the worker was stopped" {
		t.Error(end)
	}
}

func TestResultOfALostLeaseTakesTheLoadersWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("a", nil)
	id := w.spec("wait", "1 day")
	stolen := w.due(id, 0, 1)
	<-w.begun
	w.exec(`UPDATE schedule SET claimed_by = 'thief', attempt = attempt + 1`)
	close(w.release)
	if end := w.end(id, stolen); end != "ok: " {
		t.Error(end)
	}
	// The leader was quicker and called it missed: the result replaces it.
	w.release = make(chan struct{})
	id = w.spec("for:500ms", "1 day")
	due := w.due(id, 0, 1)
	w.until(5*time.Second, `SELECT EXISTS (SELECT FROM schedule WHERE state = 'claimed' AND toolspec_id = $1)`, id)
	w.exec(`DELETE FROM schedule WHERE toolspec_id = $1`, id)
	w.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, reason) VALUES ($1, $2, 'missed', 'nobody')`, id, due)
	w.until(10*time.Second, `SELECT EXISTS (SELECT FROM pingdata WHERE toolspec_id = $1 AND outcome = 'ok')`, id)
	// Another's result was first: it stays.
	id = w.spec("for:600ms", "1 day")
	due = w.due(id, 0, 1)
	w.until(5*time.Second, `SELECT EXISTS (SELECT FROM schedule WHERE state = 'claimed' AND toolspec_id = $1)`, id)
	w.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, sent) VALUES ($1, $2, 'ok', 77)`, id, due)
	w.until(10*time.Second, `SELECT NOT EXISTS (SELECT FROM schedule)`)
	if sent := one[int](w, `SELECT sent FROM pingdata WHERE toolspec_id = $1`, id); sent != 77 {
		t.Error("the second result replaced the first")
	}
}

// engine is an engine that can be made to fall.
type engine struct {
	down   chan struct{}
	closed atomic.Bool
}

func (e *engine) Down() <-chan struct{} { return e.down }
func (e *engine) Close() error          { e.closed.Store(true); return nil }

func TestEngineIsOpenWhileRunsAreClaimedAndReopenedWhenItFalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.spec("", "1 day")
	first := w.due(id, 0, 10)
	opened := make(chan *engine, 10)
	open := make(chan struct{})
	a := w.start("a", func(k *worker.Worker) {
		k.Tool.Open = func(ctx context.Context, _ probes.Env) (probes.Engine, error) {
			select {
			case <-open:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			e := &engine{down: make(chan struct{})}
			opened <- e
			return e, nil
		}
	})
	// Another claim by somebody else comes through meanwhile: time has passed, this one was not claimed.
	w.until(5*time.Second, `SELECT now() > $1::timestamptz + interval '1 second'`, first)
	if state := one[string](w, `SELECT state FROM schedule`); state != "due" {
		t.Error("a run was claimed before the engine was open")
	}
	close(open)
	e := <-opened
	if end := w.end(id, first); end != "ok: " {
		t.Error(end)
	}
	close(e.down)
	second := <-opened
	if !e.closed.Load() {
		t.Error("the fallen engine was not closed")
	}
	due := w.due(id, 0.5, 5)
	if end := w.end(id, due); end != "ok: " {
		t.Error(end)
	}
	a.stop()
	if !second.closed.Load() {
		t.Error("the engine was not closed at the end")
	}
	w.log.has(t, "the engine fell and is opened again")
}

func TestEngineThatCannotOpenFailsTheRunsWithTheReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("a", func(k *worker.Worker) {
		k.Tool.Open = func(context.Context, probes.Env) (probes.Engine, error) {
			return nil, errors.Join(probes.ErrLocal, errors.New("no raw socket"))
		}
	})
	id := w.spec("", "1 day")
	due := w.due(id, 0, 5)
	if end := w.end(id, due); !strings.HasPrefix(end, "fail: open the engine of noop: ") || !strings.Contains(end, "no raw socket") {
		t.Error(end)
	}
	w.log.has(t, "runs will fail until the engine opens")
}

func TestDisabledSpecIsNotMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("a", nil)
	id := w.spec("", "1 day")
	w.due(id, 1.5, 1)
	w.until(5*time.Second, `SELECT count(*) = 1 FROM schedule WHERE state = 'claimed'`)
	w.exec(`UPDATE toolspecs SET enabled = false`)
	w.until(5*time.Second, `SELECT NOT EXISTS (SELECT FROM schedule)`)
	// One that a scheduler plans before it has read that.
	w.due(id, 0.2, 5)
	w.until(5*time.Second, `SELECT NOT EXISTS (SELECT FROM schedule)`)
	// Enabled again at once, the same instant comes again.
	w.exec(`UPDATE toolspecs SET enabled = true`)
	due := w.due(id, 1.5, 5)
	w.until(5*time.Second, `SELECT count(*) = 1 FROM schedule WHERE state = 'claimed'`)
	w.exec(`UPDATE toolspecs SET enabled = false`)
	w.until(5*time.Second, `SELECT NOT EXISTS (SELECT FROM schedule)`)
	w.exec(`UPDATE toolspecs SET enabled = true`)
	w.exec(`INSERT INTO schedule (toolspec_id, due_at, monhost, tool, start_by) VALUES ($1, $2, 'm1', 'noop', $2::timestamptz + interval '5 seconds')`, id, due)
	if end := w.end(id, due); end != "ok: " {
		t.Error(end)
	}
	if n := one[int](w, `SELECT count(*)::int FROM pingdata`); n != 1 {
		t.Errorf("%d runs, not 1", n)
	}
}

func TestRenamedNodeKeepsItsResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("a", nil)
	id := w.spec("wait", "1 day")
	due := w.due(id, 0, 1)
	<-w.begun
	w.exec(`UPDATE nodes SET name = 'farther' WHERE name = 'far'`)
	w.exec(`UPDATE nodes SET enabled = false WHERE name = 'farther'`)
	close(w.release)
	if end := w.end(id, due); end != "ok: " {
		t.Error(end)
	}
}

func TestStartsAndStopsAHundredTimesWithoutLeaks(t *testing.T) {
	w := newWorld(t)
	id := w.spec("", "1 day")
	k := w.start("warm", nil)
	k.stop()
	pool := k.Store
	before := runtime.NumGoroutine()
	for i := range 100 {
		due := w.due(id, 0, 5)
		s := w.start("again", func(n *worker.Worker) { n.Store, n.Name = pool, "again" })
		if i%10 == 0 { // the others are stopped in whatever they are doing
			w.end(id, due)
		}
		s.stop()
	}
	s := w.start("last", func(n *worker.Worker) { n.Store = pool })
	w.until(20*time.Second, `SELECT NOT EXISTS (SELECT FROM schedule)`)
	s.stop()
	if n := one[int](w, `SELECT count(*)::int FROM pingdata`); n != 100 {
		t.Errorf("%d results of 100 runs", n)
	}
	if bad := one[int](w, `SELECT count(*)::int FROM pingdata WHERE outcome <> 'ok'`); bad > 0 {
		t.Errorf("%d did not end ok", bad)
	}
	grown := 0
	for range 100 {
		if grown = runtime.NumGoroutine() - before; grown <= 10 {
			return
		}
		w.until(5*time.Second, `SELECT true FROM pg_sleep(0.05)`)
	}
	buf := make([]byte, 1<<16)
	t.Errorf("%d goroutines more than before:\n%s", grown, buf[:runtime.Stack(buf, true)])
}

// Before its first result a spec may go to another host. Were it still in our
// copy, two hosts would measure it while the database is away.
func TestSpecThatWentToAnotherHostLeavesTheCopyOfThePlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`INSERT INTO nodes (name, address) VALUES ('m2', '127.0.0.2')`)
	w.exec(`INSERT INTO monhosts (name, tools) VALUES ('m2', '{noop}')`)
	w.start("a", nil)
	id := one[int64](w, `INSERT INTO toolspecs (node, monhost, tool, run_interval) VALUES ('far', 'm1', 'noop', '1 hour') RETURNING id`)
	w.copied("a", id, true)
	w.exec(`UPDATE toolspecs SET monhost = 'm2' WHERE id = $1`, id)
	w.copied("a", id, false)
}

// copied waits until a worker's copy of the plan has a spec, or has it no more.
func (w *world) copied(name string, id int64, want bool) {
	w.Helper()
	limit, tick := time.After(10*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		var p struct{ Specs map[int64]json.RawMessage }
		raw, err := os.ReadFile(filepath.Join(w.dir, name+".json"))
		if err == nil {
			err = json.Unmarshal(raw, &p)
		}
		if _, has := p.Specs[id]; err == nil && has == want {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			w.Fatalf("spec %d in the copy: %v (%v)", id, !want, err)
		}
	}
}

// Its notification may be lost, or its row may have been locked when others were claimed.
func TestRunThatNobodyToldOfIsClaimedWithinASecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("a", nil)
	id, other := w.spec("", "1 day"), w.spec("", "1 day")
	first := w.due(other, 0, 10)
	w.end(other, first)
	due := one[time.Time](w, `INSERT INTO schedule (toolspec_id, due_at, monhost, tool, start_by)
		VALUES ($1, now(), 'm1', 'noop', now() + interval '10 seconds') RETURNING due_at`, id)
	w.until(2*time.Second, `SELECT EXISTS (SELECT FROM pingdata WHERE toolspec_id = $1 AND due_at = $2)`, id, due)
}

// The lease was planned for the old time_to_run, the run is made with the new row.
func TestChangedSpecCountsForRunsPlannedBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("a", nil)
	id := w.spec("fail", "1 day")
	due := w.due(id, 3.5, 5)
	w.exec(`UPDATE schedule SET lease_until = start_by + interval '6 seconds'`) // as a scheduler plans it
	w.exec(`UPDATE toolspecs SET options = '{"do": "for:1200ms"}', time_to_run = '30 seconds'`)
	w.until(5*time.Second, `SELECT count(*) = 1 FROM schedule WHERE state = 'claimed' AND lease_until = start_by + interval '35 seconds'`)
	if end := w.end(id, due); end != "ok: " {
		t.Error(end)
	}
}

// A spec that goes away between planning and claiming leaves nothing behind.
func TestRunOfASpecThatIsGoneIsDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("a", nil)
	w.exec(`INSERT INTO schedule (toolspec_id, due_at, monhost, tool, start_by) VALUES (4711, now(), 'm1', 'noop', now() + interval '10 seconds')`)
	w.until(5*time.Second, `SELECT NOT EXISTS (SELECT FROM schedule)`)
	if n := one[int](w, `SELECT count(*)::int FROM pingdata`); n != 0 {
		t.Errorf("%d runs were made", n)
	}
}
