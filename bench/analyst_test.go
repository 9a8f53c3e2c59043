package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	analyses "sonde/analysis/catalog"
	"sonde/daemons/analyst"
	"sonde/internal/schema"
	"sonde/internal/store"
	"sonde/migrations"
	"sonde/probes/catalog"
	"sonde/probes/ping"
)

// BenchmarkAnalyst stores a minute of pings and compares the pass that judges
// them by the rules that come with the program with a bare SELECT of the same
// rows. Two rules of the default detector watch each ping, so specs
// are half the series it keeps. The minutes lie ahead of now, so that no rule finds silence
// however fast they come.
//
// Whoever reads a row first after it was stored finds out that its transaction has
// committed, and notes it in the page. The analyst always is the first, so the rows
// are stored twice, in PINGDATA and in a table like it, and the SELECT is the first
// there. Both have a connection that lasts, and a plan made once.
func BenchmarkAnalyst(b *testing.B) {
	for _, specs := range []int{10_000, 50_000} {
		b.Run(fmt.Sprint(specs), func(b *testing.B) { analyse(b, specs) })
	}
}

func analyse(b *testing.B, specs int) {
	pool, drop := watched(b, specs)
	defer drop()
	defer debug.SetGCPercent(debug.SetGCPercent(25)) // as the program does
	logged := &lines{}
	a := &analyst.Analyst{Store: store.New(pool), Tools: catalog.All(), Methods: analyses.All(), Every: 50 * time.Millisecond, Log: slog.New(slog.NewTextHandler(logged, nil))}
	ctx, stop := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	defer running.Wait()
	defer stop()
	await(b, pool, `SELECT count(*) >= $1 FROM detectors`, specs)

	plain := newBare(b, pool)
	defer plain.close()
	minute := 0
	next := func(missed bool) (xid uint64) {
		minute++
		outcome, reason := "ok", "NULL"
		if missed {
			outcome, reason = "missed", "'no worker: silent'"
		}
		err := pool.QueryRow(b.Context(), fmt.Sprintf(`WITH stored AS (INSERT INTO pingdata (toolspec_id, due_at, outcome, reason, sent, received, loss_pct, rtt_min_ms, rtt_median_ms, rtt_mean_ms, rtt_max_ms, rtt_stddev_ms)
			SELECT id, date_trunc('minute', now()) + $1 * interval '1 minute' + (id %% 60) * interval '1 second', '%s', %s, 10, 10, 0, 12, 12.4 + random(), 12.5, 13, 0.2 FROM toolspecs RETURNING *),
			again AS (INSERT INTO pingdata_again SELECT * FROM stored RETURNING 1)
			SELECT pg_current_xact_id()::text::bigint FROM again LIMIT 1`, outcome, reason), minute).Scan(&xid)
		if err != nil {
			b.Fatal(err)
		}
		return xid
	}
	var ratio, pass, selects, missed []float64
	measure := func(absent bool) (uint64, time.Duration) {
		samples, busy := a.Judged()
		xid := next(absent)
		for until := time.Now().Add(3 * time.Minute); ; wait(10 * time.Millisecond) {
			if s, t := a.Judged(); s >= samples+int64(specs) {
				return xid, t - busy
			}
			if time.Now().After(until) {
				b.Fatal("the analyst does not come to it")
			}
		}
	}
	for range 3 { // statements are prepared, pages are cached
		xid, _ := measure(false)
		plain.read(b, xid)
	}
	for b.Loop() {
		for range 12 {
			xid, took := measure(false)
			read := plain.read(b, xid)
			pass, selects, ratio = append(pass, took.Seconds()*1000), append(selects, read.Seconds()*1000), append(ratio, read.Seconds()/took.Seconds())
		}
		_, took := measure(true)
		missed = append(missed, took.Seconds()*1000)
		measure(false)
		// What kill -9 leaves behind: nothing but what was committed.
		logged.reset()
		if _, err := pool.Exec(b.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()`); err != nil {
			b.Fatal(err)
		}
		for !strings.Contains(logged.String(), "fed again") {
			wait(10 * time.Millisecond)
		}
		line := logged.String()[strings.Index(logged.String(), "the detectors go on"):]
		b.Log(strings.TrimSpace(line))
		if _, took, found := strings.Cut(strings.TrimSpace(strings.Split(line, "\n")[0]), "took="); found {
			if d, err := time.ParseDuration(took); err == nil {
				b.ReportMetric(d.Seconds(), "restore_s")
			}
		}
	}
	spread(b, pass, "ms_a_pass")
	spread(b, selects, "ms_select")
	spread(b, ratio, "x_select")
	b.ReportMetric(missed[0], "ms_all_missed")
	if f := os.Getenv("SONDE_BENCH_SIZES"); f != "" {
		var size string
		_ = pool.QueryRow(b.Context(), `SELECT pg_size_pretty(pg_total_relation_size('detectors')) || ', a state ' || avg(length(state))::int FROM detectors`).Scan(&size)
		b.Log(size)
	}
}

// watched is a database with the real tools and rules and specs of ping.
func watched(b *testing.B, specs int) (*pgxpool.Pool, func()) {
	b.Helper()
	dsn, dropDatabase := database(b)
	all, err := schema.Catalog(catalog.All())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := migrations.Up(b.Context(), dsn, all); err != nil {
		b.Fatal(err)
	}
	pool := connect(b, dsn)
	for _, sql := range []string{
		`INSERT INTO nodes (name, address) VALUES ('bench', '127.0.0.1')`,
		`INSERT INTO monhosts (name, last_seen_at) VALUES ('bench', now() + interval '1 day')`,
		fmt.Sprintf(`INSERT INTO nodes (name, address) SELECT 'node' || n, '127.0.0.1' FROM generate_series(1, %d) n`, specs),
		fmt.Sprintf(`INSERT INTO toolspecs (node, tool, run_interval) SELECT 'node' || n, 'ping', '1 minute' FROM generate_series(1, %d) n`, specs),
		`SELECT sonde_make_partitions('pingdata', current_date, current_date + 2)`,
		`CREATE TABLE pingdata_again (LIKE pingdata INCLUDING ALL) PARTITION BY RANGE (due_at)`,
		`CREATE INDEX ON pingdata_again (stored_xid)`,
		`DO $$ BEGIN FOR d IN -1..14 LOOP EXECUTE format('CREATE TABLE pingdata_again_%s PARTITION OF pingdata_again FOR VALUES FROM (%L) TO (%L)',
			d + 1, (now() AT TIME ZONE 'UTC')::date + d, (now() AT TIME ZONE 'UTC')::date + d + 1); END LOOP; END $$`,
		`ANALYZE`,
	} {
		if _, err := pool.Exec(b.Context(), sql); err != nil {
			b.Fatalf("%s: %v", sql, err)
		}
	}
	return pool, func() {
		pool.Close()
		dropDatabase()
	}
}

// bare reads what one transaction stored, what a run is and all its numbers, and
// looks at none of it.
type bare struct {
	conn *pgxpool.Conn
	sql  string
}

func newBare(b *testing.B, pool *pgxpool.Pool) *bare {
	b.Helper()
	columns := "toolspec_id, due_at, outcome, reason, late, stored_xid"
	for _, m := range ping.Tool().Metrics {
		columns += ", " + pgx.Identifier{m.Column}.Sanitize()
	}
	conn, err := pool.Acquire(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	// As the analyst's connection has it.
	if _, err := conn.Exec(b.Context(), `SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off`); err != nil {
		b.Fatal(err)
	}
	return &bare{conn, `SELECT ` + columns + ` FROM pingdata_again WHERE stored_xid >= $1::text::xid8 AND stored_xid < $2::text::xid8`}
}

func (r *bare) close() { _ = r.conn.Hijack().Close(context.Background()) }

func (r *bare) read(b *testing.B, xid uint64) time.Duration {
	b.Helper()
	began := time.Now()
	rows, err := r.conn.Query(b.Context(), r.sql, fmt.Sprint(xid), fmt.Sprint(xid+1))
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for rows.Next() {
		rows.RawValues()
		n++
	}
	if err := rows.Err(); err != nil || n == 0 {
		b.Fatalf("%d rows read: %v", n, err)
	}
	return time.Since(began)
}

func await(b *testing.B, pool *pgxpool.Pool, sql string, args ...any) {
	b.Helper()
	for until := time.Now().Add(5 * time.Minute); time.Now().Before(until); wait(50 * time.Millisecond) {
		var yes bool
		if err := pool.QueryRow(b.Context(), sql, args...).Scan(&yes); err != nil {
			b.Fatal(err)
		}
		if yes {
			return
		}
	}
	b.Fatalf("%s: not within five minutes", sql)
}

// lines keeps what is logged.
type lines struct {
	sync.Mutex
	text []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *lines) String() string {
	l.Lock()
	defer l.Unlock()
	return string(l.text)
}

func (l *lines) reset() {
	l.Lock()
	defer l.Unlock()
	l.text = nil
}
