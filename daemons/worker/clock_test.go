package worker_test

import (
	"context"
	"testing"
	"time"

	"sonde/internal/pgtest"
	"sonde/migrations"
)

// Instants are counted on the monotonic clock: whatever the database's clock
// does, runs go on in their rhythm and each has its own key.
func TestSteppedClockStopsNoMeasuring(t *testing.T) {
	t.Parallel()
	pg, set := pgtest.NewSteppable(t)
	if _, err := migrations.Up(context.Background(), pg.DSN(), catalog(t)); err != nil {
		t.Fatal(err)
	}
	w := worldAt(t, pg.DSN())
	w.spec("a", "1 second")
	w.scheduler("s")
	w.start("a", nil)
	w.begin(4)
	for i, offset := range []string{"+3600", "+0", "-1800", "-1803"} {
		set(offset)
		w.until(10*time.Second, `SELECT count(*) = $1 FROM clock_steps`, i+1)
		w.begin(6)
	}
	w.until(10*time.Second, `SELECT count(*) > 22 FROM pingdata WHERE outcome = 'ok'`)
	w.mu.Lock()
	longest := time.Duration(0)
	for i := 2; i < len(w.starts); i++ {
		longest = max(longest, w.starts[i].Sub(w.starts[i-1]))
	}
	w.mu.Unlock()
	// A step is seen within a second, a claim within another.
	if longest > 5*time.Second {
		t.Errorf("nothing was measured for %s", longest)
	}
	if n := one[int](w, `SELECT count(*)::int FROM pingdata WHERE outcome <> 'ok'`); n > 4 {
		t.Errorf("%d runs did not end ok: %s", n, one[string](w, `SELECT string_agg(DISTINCT reason, ' | ') FROM pingdata`))
	}
	if _, _, overlap := w.count(); overlap {
		t.Error("the spec overlapped itself")
	}
	if n := one[int](w, `SELECT count(*)::int FROM gaps WHERE NOT quiet`); n > 0 {
		t.Errorf("%d gaps that are not quiet", n)
	}
}
