package bench

import (
	"context"
	"log/slog"
	"runtime/debug"
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

	pg := server(b)
	var ours, theirs, ratio, cost, theirCost, cheaper []float64
	for b.Loop() {
		for range dispatchRounds {
			settle(b, pool, riverPool)
			before := cpuOf(b, pg)
			r := riverRound(b, riverPool)
			between := cpuOf(b, pg)
			settle(b, pool, riverPool)
			start := cpuOf(b, pg)
			s := sondeRound(b, dsn, pool)
			after := cpuOf(b, pg)
			// On a machine that others use as well this quotient is the steadier one.
			rc, sc := (between-before).Seconds()/dispatchRuns*1e6, (after-start).Seconds()/dispatchRuns*1e6
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
// side, at its cost.
func settle(b *testing.B, pools ...*pgxpool.Pool) {
	b.Helper()
	debug.FreeOSMemory()
	for _, pool := range pools {
		for _, sql := range []string{`VACUUM ANALYZE`, `CHECKPOINT`} {
			if _, err := pool.Exec(b.Context(), sql); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// sondeRound makes runs due as the leading scheduler does, while the worker
// claims, makes, stores and ends them. It gives runs per second.
func sondeRound(b *testing.B, dsn string, pool *pgxpool.Pool) float64 {
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

	began := time.Now()
	planned := 0
	for planned < dispatchRuns {
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
		planned += dispatchBatch
	}
	for t := w.Totals(); t.Made < dispatchRuns; t = w.Totals() {
		if t.Missed > 0 || time.Since(began) > 5*time.Minute {
			b.Fatalf("%+v", t)
		}
		wait(time.Millisecond)
	}
	stop() // returns when the last end is stored
	took := time.Since(began)

	var left, stored int
	if err := pool.QueryRow(context.Background(), `SELECT (SELECT count(*) FROM schedule), (SELECT count(*) FROM pingdata WHERE outcome = 'ok')`).Scan(&left, &stored); err != nil {
		b.Fatal(err)
	}
	if left != 0 || stored%dispatchRuns != 0 {
		b.Fatalf("%d runs left, %d stored", left, stored)
	}
	return dispatchRuns / took.Seconds()
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
// River's own benchmark. It gives jobs per second.
func riverRound(b *testing.B, pool *pgxpool.Pool) float64 {
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

	began := time.Now()
	for inserted := 0; inserted < dispatchRuns; inserted += dispatchBatch {
		for inserted-int(done.Load()) > dispatchAhead-dispatchBatch {
			wait(time.Millisecond)
		}
		if _, err := client.InsertManyFast(ctx, batch); err != nil {
			b.Fatal(err)
		}
	}
	for done.Load() < dispatchRuns {
		wait(time.Millisecond)
	}
	if err := client.Stop(ctx); err != nil { // returns when the last completion is stored
		b.Fatal(err)
	}
	took := time.Since(began)

	var open int
	if err := pool.QueryRow(ctx, `SELECT count(*) FROM river_job WHERE state <> 'completed'`).Scan(&open); err != nil || open != 0 {
		b.Fatalf("%d jobs open, %v", open, err)
	}
	return dispatchRuns / took.Seconds()
}

const (
	riverWorkers  = 2_000
	riverCooldown = 2 * time.Millisecond
	riverPoll     = 20 * time.Millisecond
)
