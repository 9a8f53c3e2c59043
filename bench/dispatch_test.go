package bench

import (
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"sonde/internal/store"
)

const (
	dispatchWarm   = 20_000  // before the time begins, on both sides
	dispatchRuns   = 100_000 // in one go
	dispatchBatch  = 5_000   // made due by one call, on both sides
	dispatchAhead  = 20_000  // made due and not made yet, on both sides
	dispatchRounds = 3
	dispatchSpecs  = 10_000
)

// BenchmarkDispatch takes runs from "due" to "stored and ended" with a tool that
// does nothing, and jobs that do nothing through River, by turns.
func BenchmarkDispatch(b *testing.B) {
	dsn, pool, drop := platform(b, dispatchSpecs, "1 hour")
	defer drop()
	riverDSN, dropRiver := database(b)
	defer dropRiver()
	riverPool := riverDatabase(b, riverDSN)
	defer riverPool.Close()

	var ours, theirs, ratio, cost, theirCost, cheaper []float64
	for b.Loop() {
		for range dispatchRounds {
			settle(b, pool, riverPool)
			r, rc := riverRound(b, riverPool)
			settle(b, pool, riverPool)
			s, sc := sondeRound(b, dsn, pool)
			theirs, ours, ratio = append(theirs, r), append(ours, s), append(ratio, s/r)
			theirCost, cost, cheaper = append(theirCost, rc), append(cost, sc), append(cheaper, rc/sc)
			b.Logf("River %.0f jobs/s at %.1f µs of processor each, sonde %.0f runs/s at %.1f µs: %.2f times, %.2f times cheaper", r, rc, s, sc, s/r, rc/sc)
		}
	}
	spread(b, ours, "runs/s")
	spread(b, theirs, "river_jobs/s")
	spread(b, ratio, "x_river")
	spread(b, cost, "cpu_us/run")
	spread(b, theirCost, "cpu_us/river_job")
	spread(b, cheaper, "x_river_cpu")
}

// settle clears away what the rounds before have left, outside of the time:
// autovacuum and the garbage collector would do it in the round of the other
// side, at its cost. The heap stays mapped, as that of a daemon does that has run
// for an hour: to get every page of it anew would be a tenth of our round.
func settle(b *testing.B, pools ...*pgxpool.Pool) {
	b.Helper()
	runtime.GC()
	for _, pool := range pools {
		for _, sql := range []string{`VACUUM ANALYZE`, `CHECKPOINT`} {
			if _, err := pool.Exec(b.Context(), sql); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// dispatched times dispatchRuns runs after dispatchWarm, which connect, plan
// statements and fill caches: up takes runs from due to made until there are that
// many, stored waits until they are stored, end ends all of it. It gives runs per
// second and the processor time of one in µs, ours and the server's, which is the
// steadier figure on a machine that others use as well.
func dispatched(b *testing.B, up func(most int), stored, end func()) (perSecond, cost float64) {
	b.Helper()
	up(dispatchWarm)
	stored()
	before, began := cpuOf(b, server(b)), time.Now()
	up(dispatchWarm + dispatchRuns)
	end()
	took := time.Since(began)
	return dispatchRuns / took.Seconds(), (cpuOf(b, server(b)) - before).Seconds() / dispatchRuns * 1e6
}

// until asks until the answer of a query is true.
func until(b *testing.B, pool *pgxpool.Pool, sql string) {
	b.Helper()
	for done := false; !done; wait(time.Millisecond) {
		if err := pool.QueryRow(b.Context(), sql).Scan(&done); err != nil {
			b.Fatal(err)
		}
	}
}

// sondeRound makes runs due as the leading scheduler does, while the worker
// claims, makes, stores and ends them.
func sondeRound(b *testing.B, dsn string, pool *pgxpool.Pool) (perSecond, cost float64) {
	b.Helper()
	ctx := b.Context()
	leader := lead(b, pool)
	defer leader.Close(context.Background())
	// The plan ends five seconds ahead, as a leader's does, or the worker would make one of its own.
	plan := func(runs []store.PlannedRun, clock store.Clock) {
		if err := leader.Plan(ctx, runs, nil, nil, clock.DB.Add(5*time.Second)); err != nil {
			b.Fatal(err)
		}
	}
	clock, err := leader.Clock(ctx)
	if err != nil {
		b.Fatal(err)
	}
	plan(nil, clock)
	w, stop := startWorker(b, dsn, noop())
	defer stop()
	var specs int64
	if err := pool.QueryRow(ctx, `SELECT min(id) FROM toolspecs`).Scan(&specs); err != nil {
		b.Fatal(err)
	}

	planned := 0
	up := func(most int) {
		for ; planned < most; planned += dispatchBatch {
			for planned-w.Totals().Made > dispatchAhead-dispatchBatch {
				wait(time.Millisecond)
			}
			runs := make([]store.PlannedRun, dispatchBatch)
			clock, err := leader.Clock(ctx)
			if err != nil {
				b.Fatal(err)
			}
			for i := range runs {
				due := clock.DB.Truncate(time.Microsecond)
				runs[i] = store.PlannedRun{ToolspecID: specs + int64((planned+i)%dispatchSpecs), DueAt: due, StartBy: due.Add(10 * time.Second), TimeToRun: 5 * time.Second, Monhost: monhost, Tool: "noop"}
			}
			plan(runs, clock)
		}
		began := time.Now()
		for t := w.Totals(); t.Made < most; t = w.Totals() {
			if t.Missed > 0 || time.Since(began) > 5*time.Minute {
				b.Fatalf("%+v", t)
			}
			wait(time.Millisecond)
		}
	}
	stored := func() { until(b, pool, `SELECT NOT EXISTS (SELECT FROM schedule)`) }
	perSecond, cost = dispatched(b, up, stored, stop) // the worker stops when the last end is stored

	var left, ok int
	if err := pool.QueryRow(context.Background(), `SELECT (SELECT count(*) FROM schedule), (SELECT count(*) FROM pingdata WHERE outcome = 'ok')`).Scan(&left, &ok); err != nil {
		b.Fatal(err)
	}
	if left != 0 || ok%(dispatchWarm+dispatchRuns) != 0 {
		b.Fatalf("%d runs left, %d stored", left, ok)
	}
	return perSecond, cost
}

type nothingArgs struct{}

func (nothingArgs) Kind() string { return "nothing" }

func riverDatabase(b *testing.B, dsn string) *pgxpool.Pool {
	b.Helper()
	c, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		b.Fatal(err)
	}
	c.MaxConns = 16
	pool, err := pgxpool.NewWithConfig(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	m, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := m.Migrate(b.Context(), rivermigrate.DirectionUp, nil); err != nil {
		b.Fatal(err)
	}
	return pool
}

// riverRound inserts jobs while a client works them, with the settings of
// River's own benchmark.
func riverRound(b *testing.B, pool *pgxpool.Pool) (perSecond, cost float64) {
	b.Helper()
	ctx := b.Context()
	var done atomic.Int64
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(context.Context, *river.Job[nothingArgs]) error {
		done.Add(1)
		return nil
	}))
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		FetchCooldown: riverCooldown, FetchPollInterval: riverPoll,
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: riverWorkers}},
		Workers: workers, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := client.Start(ctx); err != nil {
		b.Fatal(err)
	}
	batch := make([]river.InsertManyParams, dispatchBatch)
	for i := range batch {
		batch[i] = river.InsertManyParams{Args: nothingArgs{}}
	}

	inserted := 0
	up := func(most int) {
		for ; inserted < most; inserted += dispatchBatch {
			for inserted-int(done.Load()) > dispatchAhead-dispatchBatch {
				wait(time.Millisecond)
			}
			if _, err := client.InsertManyFast(ctx, batch); err != nil {
				b.Fatal(err)
			}
		}
		for int(done.Load()) < most {
			wait(time.Millisecond)
		}
	}
	stored := func() { until(b, pool, `SELECT NOT EXISTS (SELECT FROM river_job WHERE state <> 'completed')`) }
	stop := func() { // returns when the last completion is stored
		if err := client.Stop(ctx); err != nil {
			b.Fatal(err)
		}
	}
	perSecond, cost = dispatched(b, up, stored, stop)
	stored()
	return perSecond, cost
}

const (
	riverWorkers  = 2_000
	riverCooldown = 2 * time.Millisecond
	riverPoll     = 20 * time.Millisecond
)
