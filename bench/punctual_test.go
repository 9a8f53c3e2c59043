package bench

import (
	"context"
	"testing"
	"time"

	"sonde/daemons/scheduler"
	"sonde/internal/store"
)

// BenchmarkPunctuality runs 1,000 specs each second for a minute, from row to
// row, and says how far from due_at they start.
func BenchmarkPunctuality(b *testing.B) {
	const specs, seconds = 1000, 60
	dsn, pool, drop := platform(b, specs, "1 second")
	defer drop()
	for b.Loop() {
		_, stopWorker := startWorker(b, dsn, stamped())
		defer stopWorker()
		stopScheduler := startScheduler(b, dsn)
		defer stopScheduler()
		wait(10 * time.Second) // the first runs of new specs, and what starting costs
		from := time.Now().Truncate(time.Second)
		wait(seconds*time.Second + 12*time.Second) // what will be missed is named 12 s after its instant
		stopScheduler()
		stopWorker()

		var ok, missed, within, gaps int
		var least, p50, p99, most float64
		if err := pool.QueryRow(context.Background(), `
			WITH r AS (SELECT outcome, rtt_max_ms - extract(epoch FROM due_at)::float8 * 1000 AS late FROM pingdata
				WHERE due_at >= $1 AND due_at < $1 + $2::float8 * interval '1 second')
			SELECT count(*) FILTER (WHERE outcome = 'ok'), count(*) FILTER (WHERE outcome <> 'ok'), count(*) FILTER (WHERE abs(late) <= 20),
				min(late), percentile_disc(0.5) WITHIN GROUP (ORDER BY late), percentile_disc(0.99) WITHIN GROUP (ORDER BY late), max(late),
				(SELECT count(*) FROM gaps) FROM r`, from, float64(seconds)).Scan(&ok, &missed, &within, &least, &p50, &p99, &most, &gaps); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(within)/float64(ok+missed)*100, "%_within_20ms")
		b.ReportMetric(least, "earliest_ms")
		b.ReportMetric(p50, "p50_ms")
		b.ReportMetric(p99, "p99_ms")
		b.ReportMetric(most, "latest_ms")
		b.ReportMetric(float64(missed), "missed")
		b.ReportMetric(float64(specs*seconds-ok-missed+gaps), "unaccounted")
	}
}

func startScheduler(b *testing.B, dsn string) (stop func()) {
	b.Helper()
	pool := connect(b, dsn)
	s := &scheduler.Scheduler{Store: store.New(pool), Name: "bench", Log: warnings(), Report: func(string, time.Duration) {}}
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	done := false
	return func() {
		if done {
			return
		}
		done = true
		end()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		pool.Close()
	}
}
