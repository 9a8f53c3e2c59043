package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/daemons/worker"
	"sonde/internal/daemon"
	"sonde/internal/embeddedpg"
	"sonde/internal/measure"
	"sonde/internal/schema"
	"sonde/internal/store"
	"sonde/migrations"
	"sonde/probes"
)

// monhost is the monitoring host of all benchmarks.
const monhost = "bench"

// bencher is the worker of benchmarks that call the store themselves.
var bencher = store.Claimant{Monhost: monhost, Tool: "noop", Name: "bench"}

// noop is a tool that does nothing, so that what is left is the platform. Its
// results go to PINGDATA like those of ping.
func noop() probes.Tool {
	return probes.Tool{
		Name: "noop", Meaning: "does nothing", Table: "pingdata", TimeToRun: 5 * time.Second, AtOnce: 1000,
		New: func(json.RawMessage, probes.Env) (probes.Probe, error) { return nothing{}, nil },
	}
}

// stamped is noop with the wall clock of its start in rtt_max_ms: the database
// runs on the same machine, so that this is a second opinion on started_at.
func stamped() probes.Tool {
	t := noop()
	t.Columns = []string{"rtt_max_ms"}
	t.New = func(json.RawMessage, probes.Env) (probes.Probe, error) { return nothing{stamp: true}, nil }
	return t
}

type nothing struct{ stamp bool }

func (n nothing) Run(context.Context, measure.Target) (measure.Result, error) {
	if n.stamp {
		return measure.Result{Row: []any{float64(time.Now().UnixMicro()) / 1000}}, nil
	}
	return measure.Result{}, nil
}

// startWorker starts the worker of a tool on the platform at dsn; stop lets it
// end in order and returns when its last end is stored.
func startWorker(b *testing.B, dsn string, tool probes.Tool) (w *worker.Worker, stop func()) {
	b.Helper()
	pool := connect(b, dsn)
	w = &worker.Worker{
		Store: store.New(pool), Spool: noSpool{b}, Tool: tool, Monhost: monhost, Name: "bench",
		PlanFile: filepath.Join(b.TempDir(), "plan.json"), Log: warnings(),
		Report:   func(string, time.Duration) {},
		Register: func(context.Context) error { return nil },
	}
	percent := debug.SetGCPercent(300) // as the program does
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, context.Background()) }()
	return w, sync.OnceFunc(func() {
		end()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		debug.SetGCPercent(percent)
		pool.Close()
	})
}

// lead becomes the leading scheduler as soon as the one before has let go.
func lead(b *testing.B, pool *pgxpool.Pool) *store.Leader {
	b.Helper()
	for range 1000 {
		leader, err := store.New(pool).Lead(b.Context(), "bench")
		if err != nil {
			b.Fatal(err)
		}
		if leader != nil {
			return leader
		}
		wait(5 * time.Millisecond)
	}
	b.Fatal("another scheduler leads")
	return nil
}

// program builds sonde as `make build` does.
func program(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "sonde")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./cmd/sonde")
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return path
}

func wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	<-t.C
}

// owned is the one server of this process. It is the program's own embedded
// PostgreSQL with the program's own settings: fsync and synchronous_commit on.
var owned struct {
	sync.Mutex
	lock   *os.File
	dir    string
	server *embeddedpg.Server
}

func TestMain(m *testing.M) {
	if os.Getenv(proBingAsked) != "" {
		if err := proBingMain(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	owned.Lock()
	if owned.server != nil {
		if err := owned.server.Discard(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		owned.lock.Close()
	}
	owned.Unlock()
	os.Exit(code)
}

// server gives the server, which the first call starts. Its folder has a fixed
// name, so that what a killed benchmark left running is adopted by the next one
// and removed at its end.
func server(b *testing.B) *embeddedpg.Server {
	b.Helper()
	owned.Lock()
	defer owned.Unlock()
	if owned.server != nil {
		return owned.server
	}
	owned.dir = filepath.Join(os.TempDir(), fmt.Sprintf("sonde-bench-%d", os.Geteuid()))
	lock, err := os.OpenFile(owned.dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		b.Fatalf("another benchmark runs on %s: %v", owned.dir, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	s, err := embeddedpg.Start(ctx, embeddedpg.Options{Dir: owned.dir})
	if err != nil {
		b.Fatal(err)
	}
	owned.lock, owned.server = lock, s
	return s
}

// database makes an empty database of the benchmark's own and gives its
// connection string and how to drop it.
func database(b *testing.B) (dsn string, drop func()) {
	b.Helper()
	s := server(b)
	name := fmt.Sprintf("bench_%d", time.Now().UnixNano())
	admin := func(sql string) {
		conn, err := pgx.Connect(context.Background(), s.DSNOf("postgres"))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			b.Fatal(err)
		}
	}
	admin("CREATE DATABASE " + name)
	return s.DSNOf(name), func() { admin("DROP DATABASE " + name + " WITH (FORCE)") }
}

// platform makes a migrated database with specs rows of the tool and gives a
// pool as the daemons have it.
func platform(b *testing.B, specs int, every string) (dsn string, pool *pgxpool.Pool, drop func()) {
	b.Helper()
	ctx := context.Background()
	dsn, dropDatabase := database(b)
	catalog, err := schema.Catalog([]probes.Tool{noop()})
	if err != nil {
		b.Fatal(err)
	}
	catalog.Rules = nil // they speak of tools that are not here
	if _, err := migrations.Up(ctx, dsn, catalog); err != nil {
		b.Fatal(err)
	}
	pool = connect(b, dsn)
	for _, sql := range []string{
		`INSERT INTO nodes (name, address) VALUES ('bench', '127.0.0.1')`,
		`INSERT INTO monhosts (name) VALUES ('bench')`,
		fmt.Sprintf(`INSERT INTO nodes (name, address) SELECT 'node' || n, '127.0.0.1' FROM generate_series(1, %d) n`, specs),
		fmt.Sprintf(`INSERT INTO toolspecs (node, tool, run_interval) SELECT 'node' || n, 'noop', '%s' FROM generate_series(1, %d) n`, every, specs),
		`ANALYZE`,
	} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			b.Fatalf("%s: %v", sql, err)
		}
	}
	return dsn, pool, func() {
		pool.Close()
		dropDatabase()
	}
}

// connect gives a pool with the time limits that every daemon has.
func connect(b *testing.B, dsn string) *pgxpool.Pool {
	b.Helper()
	c, err := daemon.PoolConfig(dsn, "bench")
	if err != nil {
		b.Fatal(err)
	}
	c.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		b.Fatal(err)
	}
	return pool
}

// noSpool refuses what the worker would spool: nothing may be that late here.
type noSpool struct{ b *testing.B }

func (s noSpool) Append(records []json.RawMessage) error {
	s.b.Errorf("%d results went to the spool", len(records))
	return nil
}
func (noSpool) Release() error { return nil }

// warnings gives a logger for daemons: what goes wrong is part of the output.
func warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// spread is the least, the middle and the greatest of repeated figures.
func spread(b *testing.B, figures []float64, unit string) {
	sorted := slices.Sorted(slices.Values(figures))
	b.ReportMetric(sorted[len(sorted)/2], unit)
	b.ReportMetric(sorted[0], unit+"_min")
	b.ReportMetric(sorted[len(sorted)-1], unit+"_max")
}
