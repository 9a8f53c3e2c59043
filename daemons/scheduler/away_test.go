package scheduler_test

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"sonde/internal/pgtest"
	"sonde/migrations"
)

func TestWhatWasDueWhileTheDatabaseWasAwaySaysSo(t *testing.T) {
	t.Parallel()
	pg := pgtest.NewServer(t)
	if _, err := migrations.Up(context.Background(), pg.DSN(), catalog(t)); err != nil {
		t.Fatal(err)
	}
	w := worldAt(t, pg.DSN())
	id := w.spec("", "1 second")
	from := w.now()
	s := w.start("a")
	w.until(10*time.Second, `SELECT count(*) > 4 FROM schedule WHERE toolspec_id = $1`, id)
	due := one[time.Time](w, `SELECT max(due_at) FROM schedule`)
	if err := syscall.Kill(pg.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-pg.Done()
	// Longer than the runs that were planned ahead; a try takes half a second at least.
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for strings.Count(w.log.String(), "report: nothing can be planned: ") < 17 {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("the scheduler does not try again")
		}
	}
	pgtest.Restart(t, pg)
	w.until(20*time.Second, `SELECT EXISTS (SELECT FROM pingdata WHERE toolspec_id = $1 AND due_at = $2)`, id, due)
	if reason := one[string](w, `SELECT reason FROM pingdata WHERE toolspec_id = $1 AND due_at = $2`, id, due); reason != "the database was away when it was due" {
		t.Error(reason)
	}
	if reason := one[string](w, `SELECT string_agg(DISTINCT reason, ' | ') FROM gaps`); reason != "the database was away" {
		t.Error(reason)
	}
	w.pass(s)
	w.accounted(id, from, w.now())
	// What comes after is nobody's fault but that there is no worker.
	w.until(20*time.Second, `SELECT EXISTS (SELECT FROM pingdata WHERE reason LIKE 'no worker%' AND due_at > pg_postmaster_start_time() + interval '3 seconds')`)
}
