package worker_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"sonde/daemons/loader"
	"sonde/internal/pgtest"
	"sonde/internal/store"
)

// loader starts a loader and gives the way to stop it.
func (w *world) loader() (stop func()) {
	w.Helper()
	pool := w.connect(w.dsn)
	l := loader.New(loader.Options{Dir: filepath.Join(w.dir, "spool"), Database: store.New(pool), Log: slog.New(slog.NewTextHandler(w.log, nil)).With("loader", ""),
		Report: func(string, time.Duration) {}, Wait: func(ctx context.Context) error { return pool.Ping(ctx) }, Tell: func(loader.Counters) {}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.Run(ctx); err != nil {
			w.Errorf("loader: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	w.Cleanup(stop)
	return stop
}

// Two schedulers, a worker on each of two hosts and a loader, all of them and
// PostgreSQL stopped and killed at random: every due instant is accounted for
// once, and nothing is left over.
func TestEveryDueInstantIsAccountedForOnceWhateverIsKilled(t *testing.T) {
	t.Parallel()
	w, pg := ownServer(t)
	w.exec(`INSERT INTO nodes (name, address) VALUES ('m2', '127.0.0.2')`)
	w.exec(`INSERT INTO monhosts (name, tools) VALUES ('m2', '{noop}')`)
	w.exec(`INSERT INTO toolspecs (node, monhost, tool, label, run_interval, options)
		SELECT 'far', 'm' || 1 + g % 2, 'noop', g::text, make_interval(secs => 1 + g % 3), format('{"do": "for:%sms"}', g * 10)::jsonb FROM generate_series(1, 30) g`)
	schedulers := map[string]func(){"s": w.scheduler("s"), "t": w.scheduler("t")}
	loading := w.loader()
	workers := map[string]*exec.Cmd{"m1": w.startChild("a", "m1"), "m2": w.startChild("b", "m2")}
	w.until(20*time.Second, `SELECT count(*) > 40 FROM pingdata WHERE outcome = 'ok'`)
	from := w.now()

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	next := map[string]string{"m1": "a", "m2": "b"}
	kills := map[string]int{}
	tick := time.NewTicker(1200 * time.Millisecond)
	defer tick.Stop()
	events := []int{0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 7, 7, 7}
	random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for _, what := range events {
		<-tick.C
		switch what {
		case 0, 1, 2, 3: // a worker, killed or told to stop
			host := []string{"m1", "m2"}[random.IntN(2)]
			sig, said := syscall.SIGKILL, "worker killed"
			if what > 1 {
				sig, said = syscall.SIGTERM, "worker stopped"
			}
			kills[said]++
			_ = workers[host].Process.Signal(sig)
			_ = workers[host].Wait()
			workers[host] = w.startChild(next[host], host)
		case 4: // a scheduler
			name := []string{"s", "t"}[random.IntN(2)]
			kills["scheduler"]++
			schedulers[name]()
			schedulers[name] = w.scheduler(name)
		case 5: // every connection
			kills["connections"]++
			_, _ = w.pool.Exec(context.Background(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		case 6: // the loader
			kills["loader"]++
			loading()
			loading = w.loader()
		case 7: // PostgreSQL
			kills["PostgreSQL"]++
			kill(t, pg)
			<-tick.C
			<-tick.C
			pg = pgtest.Restart(t, pg)
		}
	}
	t.Log(kills)
	w.until(30*time.Second, `SELECT count(*) > 20 FROM pingdata WHERE outcome = 'ok' AND NOT late AND stored_at > clock_timestamp() - interval '2 seconds'`)
	to := w.now()
	for _, c := range workers { // their last results go to the database or the spool
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	}
	w.settled(to)
	instants, measured := w.accounted(from, to)
	t.Logf("%d of %d instants measured", measured, instants)
	if measured < instants/2 {
		t.Errorf("only %d of %d instants were measured", measured, instants)
	}
}
