package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sonde/daemons/worker"
	"sonde/internal/embeddedpg"
	"sonde/internal/pgtest"
	"sonde/internal/store"
	"sonde/migrations"
)

// ownServer is a world on a PostgreSQL of its own.
func ownServer(t *testing.T) (*world, *embeddedpg.Server) {
	t.Helper()
	s := pgtest.NewServer(t)
	if _, err := migrations.Up(context.Background(), s.DSN(), catalog(t)); err != nil {
		t.Fatal(err)
	}
	return worldAt(t, s.DSN()), s
}

// kill ends a server as a crash does.
func kill(t *testing.T, s *embeddedpg.Server) {
	t.Helper()
	if err := syscall.Kill(s.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
}

// hang stops the postmaster and all its children without ending them, and gives
// the way to let them go on.
func hang(t *testing.T, s *embeddedpg.Server) (resume func()) {
	t.Helper()
	hung := []int{s.Pid()}
	resume = sync.OnceFunc(func() {
		for _, pid := range hung {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	})
	t.Cleanup(resume)
	// The postmaster first, and its children when it has surely stopped: one that it
	// forked while we looked would go on, and answer a worker of which nobody plans.
	if err := syscall.Kill(s.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for state, _, ok := stat(s.Pid()); ok && state != "T"; state, _, ok = stat(s.Pid()) {
		runtime.Gosched()
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if _, parent, ok := stat(pid); ok && parent == s.Pid() {
			hung = append(hung, pid)
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		}
	}
	return resume
}

// stat gives state and parent of a process; false when there is none.
func stat(pid int) (state string, parent int, ok bool) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, false
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	parent, err = strconv.Atoi(fields[1])
	return fields[0], parent, err == nil
}

// begin waits until n more runs have begun.
func (w *world) begin(n int) {
	w.Helper()
	limit := time.After(40 * time.Second)
	for range n {
		select {
		case <-w.begun:
		case <-limit:
			stacks := make([]byte, 1<<20)
			w.Fatalf("too few runs begin; all goroutines:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// settled loads the spool and waits until every run due up to then has ended.
func (w *world) settled(to time.Time) {
	w.Helper()
	w.until(40*time.Second, `SELECT planned_to >= $1 FROM schedule_mark`, to)
	deadline := time.Now().Add(40 * time.Second)
	for {
		w.load()
		if one[bool](w, `SELECT NOT EXISTS (SELECT FROM schedule WHERE due_at <= $1)`, to) {
			break
		}
		if time.Now().After(deadline) {
			w.Fatal("runs do not end: ", one[string](w, `SELECT string_agg(q::text, ' ') FROM (SELECT * FROM schedule WHERE due_at <= $1 LIMIT 5) q`, to))
		}
		w.until(5*time.Second, `SELECT true FROM pg_sleep(0.2)`)
	}
	w.load()
}

// measuredSince waits until results come by the straight way again, stops the
// worker, and says that all instants since then are accounted for and so many
// tenths of them measured.
func (w *world) measuredSince(from time.Time, a *started, tenths int) {
	w.Helper()
	w.until(60*time.Second, `SELECT EXISTS (SELECT FROM pingdata WHERE NOT late AND started_at > clock_timestamp() - interval '1 second')`)
	to := w.now()
	a.stop() // what it has learnt last is stored or spooled
	w.settled(to)
	instants, measured := w.accounted(from, to)
	w.Logf("%d of %d instants measured", measured, instants)
	if measured < instants*tenths/10 {
		w.Errorf("only %d of %d instants were measured", measured, instants)
	}
}

func TestDatabaseKilledInTheMiddleLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	w, pg := ownServer(t)
	for _, do := range []string{"a", "b", "c", "d"} {
		w.spec(do, "1 second")
	}
	w.scheduler("s")
	a := w.start("a", nil)
	w.begin(20)
	from := w.now()
	w.begin(4)
	kill(t, pg)
	w.begin(20) // by the worker's own plan
	pgtest.Restart(t, pg)
	w.begin(24)
	w.until(20*time.Second, `SELECT EXISTS (SELECT FROM pingdata WHERE NOT late AND started_at > pg_postmaster_start_time() + interval '2 seconds')`)
	to := w.now()
	a.stop()
	w.scheduler("t") // stays, to end what a left
	w.settled(to)
	instants, measured := w.accounted(from, to)
	t.Logf("%d of %d instants measured", measured, instants)
	if measured < instants*8/10 {
		t.Errorf("only %d of %d instants were measured", measured, instants)
	}
	if _, _, overlap := w.count(); overlap {
		t.Error("a spec overlapped itself")
	}
	if n := one[int](w, `SELECT count(*)::int FROM pingdata WHERE late`); n < 10 {
		t.Errorf("%d results came by the spool", n)
	}
	if n := one[int](w, `SELECT count(*)::int FROM pingdata WHERE reason LIKE 'overload%'`); n > 0 {
		t.Errorf("%d runs were called overload", n)
	}
	w.log.has(t, "no exchange with the database; runs go on by our own plan", "the database answers")
}

func TestHungDatabaseLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	w, pg := ownServer(t)
	for _, do := range []string{"a", "b"} {
		w.spec(do, "1 second")
	}
	w.scheduler("s")
	a := w.start("a", nil)
	w.begin(10)
	from := w.now()
	resume := hang(t, pg)
	w.begin(4 + 12) // what was claimed, and then by the worker's own plan
	resume()
	w.begin(10)
	w.measuredSince(from, a, 9)
}

func TestWithoutASchedulerRunsGoOnByTheWorkersOwnPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, do := range []string{"a", "b"} {
		w.spec(do, "1 second")
	}
	stop := w.scheduler("s")
	a := w.start("a", nil)
	w.begin(10)
	from := w.now()
	stop()
	w.begin(10 + 16) // what was planned, and then by the worker's own plan
	w.scheduler("t")
	w.measuredSince(from, a, 9)
	if _, _, overlap := w.count(); overlap {
		t.Error("a spec overlapped itself")
	}
	w.log.has(t, "nobody plans; runs go on by our own plan", "somebody plans again")
}

func TestDatabaseAwayAtStartIsMeasuredByTheCopyOfThePlan(t *testing.T) {
	t.Parallel()
	w, pg := ownServer(t)
	w.spec("a", "1 second")
	w.exec(`INSERT INTO toolspecs (node, tool, label, run_interval, test_type, options) VALUES ('far', 'noop', 'alone', '1 second', 'background-syn', '{"do": "alone"}')`)
	s := w.scheduler("s")
	before := w.start("a", nil)
	w.begin(2)
	before.stop()
	s()
	kill(t, pg)
	from := time.Now()
	a := w.start("a", nil)
	w.begin(5)
	a.stop()
	to := time.Now()
	pgtest.Restart(t, pg)
	w.scheduler("t")
	w.settled(w.now())
	w.accounted(from, to)
	if n := one[int](w, `SELECT count(*)::int FROM pingdata d JOIN toolspecs s ON s.id = d.toolspec_id WHERE label <> 'alone' AND outcome = 'ok' AND late AND due_at > $1`, from); n < 5 {
		t.Errorf("%d results by the copy of the plan", n)
	}
	if n := one[int](w, `SELECT count(*)::int FROM pingdata d JOIN toolspecs s ON s.id = d.toolspec_id WHERE label = 'alone' AND outcome = 'ok' AND due_at > $1`, from); n > 0 {
		t.Errorf("%d runs that load the path were made without the database", n)
	}
}

func TestWrongPasswordIsSaidAndMeasuredBeyond(t *testing.T) {
	t.Parallel()
	w, _ := ownServer(t)
	w.due(w.spec("a", "1 second"), 0, 5)
	before := w.start("a", nil)
	w.begin(1)
	before.stop() // leaves the copy of the plan
	stranger := strings.Replace(w.dsn, "//sonde@", "//stranger:wrong@", 1)
	w.start("a", func(k *worker.Worker) { k.Store = store.New(w.connect(stranger)) })
	w.begin(3)
	w.log.has(t, "no exchange with the database", "stranger")
}

// noSpool is a folder that takes nothing.
type noSpool struct{}

func (noSpool) Append([]json.RawMessage) error { return errors.New("no space left on device") }
func (noSpool) Release() error                 { return nil }

func TestSpoolThatTakesNothingIsLoudAndMeasuringGoesOn(t *testing.T) {
	t.Parallel()
	w, pg := ownServer(t)
	w.spec("a", "1 second")
	w.scheduler("s")
	a := w.start("a", func(k *worker.Worker) { k.Spool = noSpool{} })
	w.begin(3)
	from := w.now()
	kill(t, pg)
	w.begin(5)
	pgtest.Restart(t, pg)
	w.until(20*time.Second, `SELECT EXISTS (SELECT FROM pingdata WHERE started_at > pg_postmaster_start_time() + interval '1 second')`)
	w.log.has(t, "RESULTS ARE LOST")
	if a.Totals().Refused == 0 {
		t.Error("no refused result was counted")
	}
	to := w.now()
	w.settled(to)
	w.accounted(from, to)
}

func TestWhatIsSpooledWhileTheDatabaseAnswersIsLoadedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.spec("a", "1 day")
	a := w.start("a", nil)
	w.end(id, w.due(id, 0, 1)) // it answers
	row, _ := json.Marshal(store.SpoolRow{Table: "pingdata", Row: map[string]any{"toolspec_id": id, "due_at": w.now().Add(-time.Hour), "outcome": "ok", "attempt": 1}})
	if err := a.Spool.Append([]json.RawMessage{row}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); w.load().Stored == 0; w.until(time.Second, `SELECT true FROM pg_sleep(0.1)`) {
		if time.Now().After(deadline) {
			t.Fatal("the segment stays with its writer")
		}
	}
}

func TestKilledWorkersRunsAreMissedAndNothingIsDoubled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.scheduler("s")
	c := w.startChild("a", "m1")
	quick, long := w.spec("", "1 day"), w.spec("hang", "1 day")
	done := w.due(quick, 0, 1)
	if end := w.end(quick, done); end != "ok: " {
		t.Fatal(end)
	}
	due := w.due(long, 0, 1)
	w.until(10*time.Second, `SELECT EXISTS (SELECT FROM schedule WHERE toolspec_id = $1 AND due_at = $2 AND state = 'claimed')`, long, due)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	w.startChild("a", "m1")
	if end := w.end(long, due); !strings.HasPrefix(end, "missed: no result: a, pid ") || !strings.HasSuffix(end, "claimed it and showed none before its lease ended") {
		t.Error(end)
	}
	if n := one[int](w, `SELECT count(*)::int FROM pingdata WHERE toolspec_id = $1 AND due_at = $2 AND attempt <> 1`, long, due); n > 0 {
		t.Error("the run was made again")
	}
}
