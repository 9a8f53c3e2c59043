package bench

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/internal/measure"
	"sonde/internal/store"
)

// BenchmarkScheduleAfterAMillion takes a million runs through plan, claim and
// finish and compares the last 100,000 with the first: SCHEDULE must stay small
// and fast. Then it does the same beside a psql session that keeps an old
// snapshot open, which no vacuum may look behind, and once more without it.
func BenchmarkScheduleAfterAMillion(b *testing.B) {
	const part, parts = 100_000, 10
	dsn, pool, drop := platform(b, 10_000, "1 hour")
	defer drop()
	for b.Loop() {
		var first, last time.Duration
		for i := range parts {
			took := throughSchedule(b, pool, part)
			if i == 0 {
				first = took
			}
			last = took
			b.Logf("runs %d to %d: %s, %s", i*part, (i+1)*part, took.Round(time.Millisecond), scheduleSize(b, pool))
		}
		b.ReportMetric(first.Seconds(), "first_100k_s")
		b.ReportMetric(last.Seconds(), "last_100k_s")
		b.ReportMetric(last.Seconds()/first.Seconds(), "x_last_vs_first")

		old, err := pgx.Connect(b.Context(), dsn)
		if err != nil {
			b.Fatal(err)
		}
		for _, sql := range []string{`BEGIN ISOLATION LEVEL REPEATABLE READ`, `SELECT count(*) FROM nodes`} {
			if _, err := old.Exec(b.Context(), sql); err != nil {
				b.Fatal(err)
			}
		}
		var beside time.Duration
		for range 2 {
			beside = throughSchedule(b, pool, part)
			b.Logf("beside an old transaction: %s, %s", beside.Round(time.Millisecond), scheduleSize(b, pool))
		}
		old.Close(context.Background())
		throughSchedule(b, pool, part) // vacuum comes meanwhile
		after := throughSchedule(b, pool, part)
		b.Logf("after it: %s, %s", after.Round(time.Millisecond), scheduleSize(b, pool))
		b.ReportMetric(beside.Seconds()/first.Seconds(), "x_beside_old_transaction")
		b.ReportMetric(after.Seconds()/first.Seconds(), "x_after_it")
	}
}

// throughSchedule takes n runs from plan to end in the store, with the leader's
// look for missed ones in between, one after the other on one connection each.
func throughSchedule(b *testing.B, pool *pgxpool.Pool, n int) time.Duration {
	b.Helper()
	ctx := b.Context()
	st := store.New(pool)
	leader := lead(b, pool)
	defer leader.Close(context.Background())
	table := store.Table{Name: "pingdata"}
	began, ended := time.Now(), 0
	whole := began
	for ended < n {
		since := makeDue(b, pool, leader, ended, 5000) // what the worker is told
		if time.Since(whole) > time.Second {           // and once a second it looks at all
			since, whole = time.Time{}, time.Now()
		}
		for full := true; full; {
			c, err := st.Claim(ctx, bencher, 10*time.Second, time.Second, 2000, since)
			if err != nil {
				b.Fatal(err)
			}
			full = c.Full
			for i := 0; i < len(c.Runs); i += storingBatch {
				batch := make([]*store.RunEnd, 0, storingBatch)
				for _, r := range c.Runs[i:min(i+storingBatch, len(c.Runs))] {
					batch = append(batch, &store.RunEnd{RunKey: r.RunKey, Attempt: r.Attempt, Place: r.Place, StartedAt: r.DueAt, Outcome: measure.OK})
				}
				if _, err := st.Finish(ctx, table, batch, bencher); err != nil {
					b.Fatal(err)
				}
				ended += len(batch)
			}
		}
		if _, err := leader.Expire(ctx, time.Now(), 5000); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}

// scheduleSize says how big SCHEDULE is, in words.
func scheduleSize(b *testing.B, pool *pgxpool.Pool) string {
	b.Helper()
	var size string
	if err := pool.QueryRow(b.Context(), `SELECT 'table ' || pg_size_pretty(pg_table_size('schedule')) || ', indexes ' || pg_size_pretty(pg_indexes_size('schedule'))
		|| ', ' || (SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'schedule') || ' dead rows'`).Scan(&size); err != nil {
		b.Fatal(err)
	}
	var bytes float64
	if err := pool.QueryRow(b.Context(), `SELECT pg_total_relation_size('schedule')`).Scan(&bytes); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(bytes/(1<<20), "schedule_MiB")
	return size
}
