package bench

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// BenchmarkScheduler has `sonde scheduler` plan 100,000 specs at one minute, while
// a worker makes their runs, and reads the processor time of the process and of
// its PostgreSQL backends over a minute.
func BenchmarkScheduler(b *testing.B) {
	const specs = 100_000
	path := program(b)
	dsn, pool, drop := platform(b, specs, "1 minute")
	defer drop()
	for b.Loop() {
		_, stopWorker := startWorker(b, dsn, noop())
		defer stopWorker()
		state := b.TempDir()
		c := start(b, path, []string{"SONDE_DATABASE=" + dsn, "SONDE_STATE=" + state, "SONDE_MONHOST=" + monhost}, "scheduler")
		wait(75 * time.Second) // the first runs of new specs are spread over a minute

		process, backend := used(b, pool, c)
		var from time.Time
		if err := pool.QueryRow(b.Context(), `SELECT clock_timestamp()`).Scan(&from); err != nil {
			b.Fatal(err)
		}
		wait(time.Minute)
		process2, backend2 := used(b, pool, c)
		wait(15 * time.Second) // what is missed is named by then
		var ok, missed, gaps int
		var why string
		if err := pool.QueryRow(b.Context(), `
			WITH r AS (SELECT outcome, reason FROM pingdata WHERE due_at >= $1 AND due_at < $1 + interval '1 minute')
			SELECT count(*) FILTER (WHERE outcome = 'ok'), count(*) FILTER (WHERE outcome <> 'ok'), (SELECT count(*) FROM gaps WHERE until_at > $1),
				coalesce(mode() WITHIN GROUP (ORDER BY reason), '') FROM r`, from).Scan(&ok, &missed, &gaps, &why); err != nil {
			b.Fatal(err)
		}
		if missed+gaps > 0 {
			b.Logf("%d missed, most often: %s; %d gaps", missed, why, gaps)
		}
		stopWorker()
		b.ReportMetric((process2 - process).Seconds(), "scheduler_cpu_s/min")
		b.ReportMetric((backend2 - backend).Seconds(), "backend_cpu_s/min")
		b.ReportMetric((process2 + backend2 - process - backend).Seconds(), "cpu_s/min")
		b.ReportMetric(float64(ok), "runs/min")
		b.ReportMetric(float64(missed+gaps), "missed")
	}
}

// used gives the processor time of a scheduler and of all its backends.
func used(b *testing.B, pool *pgxpool.Pool, c *child) (process, backends time.Duration) {
	b.Helper()
	process, err := cpu(c.cmd.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	rows, err := pool.Query(context.Background(), `SELECT pid FROM pg_stat_activity WHERE application_name = 'sonde scheduler' AND datname = current_database()`)
	if err != nil {
		b.Fatal(err)
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil || len(pids) == 0 {
		b.Fatalf("no backend of the scheduler: %v", err)
	}
	for _, pid := range pids {
		d, err := cpu(int(pid))
		if err != nil {
			b.Fatal(err)
		}
		backends += d
	}
	return process, backends
}
