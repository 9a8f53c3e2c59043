package bench

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/probes/ping"
)

const (
	storingRows   = 40_000
	storingBatch  = 1_000 // as the worker's keeper makes them
	storingAtOnce = 2     // keepers of a worker
	storingRounds = 5
)

// BenchmarkStoring stores the ends of pings of ten packets by the worker's own
// path, and the same rows by a bare COPY into the same table, by turns.
func BenchmarkStoring(b *testing.B) {
	_, pool, drop := platform(b, 10_000, "1 hour")
	defer drop()
	table := store.Table{Name: "pingdata", Columns: ping.Tool().Columns}
	var ours, bare, ratio []float64
	for b.Loop() {
		for range storingRounds {
			ends := claimedEnds(b, pool)
			took := inBatches(b, ends, func(batch []*store.RunEnd) error {
				_, err := store.New(pool).Finish(b.Context(), table, batch, bencher)
				return err
			})
			// Other keys, all else the same; made beforehand, to be fair.
			rows := make(map[*store.RunEnd][][]any)
			for i := 0; i < len(ends); i += storingBatch {
				for _, e := range ends[i : i+storingBatch] {
					rows[ends[i]] = append(rows[ends[i]], append([]any{e.ToolspecID, e.DueAt.Add(-time.Millisecond), e.StartedAt, float64(e.Took) / 1e6, string(e.Outcome), e.Attempt, e.Address, false}, e.Row...))
				}
			}
			columns := append([]string{"toolspec_id", "due_at", "started_at", "took_ms", "outcome", "attempt", "address", "late"}, table.Columns...)
			plain := inBatches(b, ends, func(batch []*store.RunEnd) error {
				_, err := pool.CopyFrom(b.Context(), pgx.Identifier{"pingdata"}, columns, pgx.CopyFromRows(rows[batch[0]]))
				return err
			})
			o, p := storingRows/took.Seconds(), storingRows/plain.Seconds()
			ours, bare, ratio = append(ours, o), append(bare, p), append(ratio, o/p)
			b.Logf("bare COPY %.0f rows/s, with the end of the run %.0f rows/s: %.2f", p, o, o/p)
		}
	}
	spread(b, ours, "rows/s")
	spread(b, bare, "copy_rows/s")
	spread(b, ratio, "x_copy")
}

// claimedEnds gives ends of runs that are claimed in the database.
func claimedEnds(b *testing.B, pool *pgxpool.Pool) []*store.RunEnd {
	b.Helper()
	ctx := b.Context()
	st := store.New(pool)
	leader := lead(b, pool)
	defer leader.Close(context.Background())
	ends := make([]*store.RunEnd, 0, storingRows)
	for len(ends) < storingRows {
		makeDue(b, pool, leader, len(ends), 10_000)
		for full := true; full; {
			c, err := st.Claim(ctx, bencher, 10*time.Second, time.Second, 2000, time.Time{})
			if err != nil {
				b.Fatal(err)
			}
			for _, r := range c.Runs {
				ends = append(ends, pingEnd(r, r.DueAt))
			}
			full = c.Full
		}
	}
	return ends
}

// makeDue makes one run due now for each of n specs, as the scheduler does, and
// gives their instant.
func makeDue(b *testing.B, pool *pgxpool.Pool, leader *store.Leader, offset, n int) time.Time {
	b.Helper()
	ctx := b.Context()
	clock, err := leader.Clock(ctx)
	if err != nil {
		b.Fatal(err)
	}
	var first, specs int64
	if err := pool.QueryRow(ctx, `SELECT min(id), count(*) FROM toolspecs`).Scan(&first, &specs); err != nil {
		b.Fatal(err)
	}
	due := clock.DB.Truncate(time.Microsecond)
	for done := 0; done < n; {
		runs := make([]store.PlannedRun, min(5000, n-done))
		for i := range runs {
			runs[i] = store.PlannedRun{ToolspecID: first + int64(offset+done+i)%specs, DueAt: due, StartBy: due.Add(10 * time.Second), TimeToRun: 5 * time.Second, Monhost: monhost, Tool: "noop"}
		}
		if err := leader.Plan(ctx, runs, nil, nil, clock.DB); err != nil {
			b.Fatal(err)
		}
		done += len(runs)
	}
	return due
}

// pingEnd is a ping of ten packets, one of them lost.
func pingEnd(c *store.Claim, started time.Time) *store.RunEnd {
	rtts := make([]*int32, 10)
	for i := range rtts {
		if us := int32(12_000 + (int(c.ToolspecID)*7+i*131)%900); i != 3 {
			rtts[i] = &us
		}
	}
	return &store.RunEnd{RunKey: c.RunKey, Attempt: c.Attempt, Place: c.Place, StartedAt: started, Took: 9021 * time.Millisecond, Outcome: measure.OK,
		Address: netip.MustParseAddr("192.0.2.17"),
		Row: []any{int64(56), int64(10), int64(9), int64(0), int64(0), 10.0, rtts,
			12.0, 12.4, 12.41, 12.9, 0.21, int64(57), 0.31, 0.22, nil, nil, int64(0), int64(0), nil}}
}

// inBatches calls f with batches, as many at a time as a worker has keepers.
func inBatches(b *testing.B, ends []*store.RunEnd, f func([]*store.RunEnd) error) time.Duration {
	b.Helper()
	batches := make(chan []*store.RunEnd, len(ends)/storingBatch)
	for i := 0; i < len(ends); i += storingBatch {
		batches <- ends[i : i+storingBatch]
	}
	close(batches)
	began := time.Now()
	var all sync.WaitGroup
	for range storingAtOnce {
		all.Go(func() {
			for batch := range batches {
				if err := f(batch); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	return time.Since(began)
}
