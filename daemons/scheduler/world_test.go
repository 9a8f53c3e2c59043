package scheduler_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/daemons/scheduler"
	"sonde/internal/measure"
	"sonde/internal/pgtest"
	"sonde/internal/plan"
	"sonde/internal/schema"
	"sonde/internal/store"
	"sonde/migrations"
	"sonde/probes"
)

// noop is a tool that nobody here runs: the scheduler only reads its row.
func noop() probes.Tool {
	return probes.Tool{Name: "noop", Meaning: "does nothing", Table: "pingdata", Columns: []string{"sent", "received"}, Options: []measure.Option{}, Metrics: []measure.Metric{}, TimeToRun: time.Second,
		New: func(json.RawMessage, probes.Env) (probes.Probe, error) { return nil, errors.New("not here") }}
}

func catalog(t testing.TB) migrations.Catalog {
	t.Helper()
	c, err := schema.Catalog([]probes.Tool{noop()})
	if err != nil {
		t.Fatal(err)
	}
	c.Rules = nil // they are about tools that are not here
	return c
}

// world is a migrated database with one monitoring host and one node.
type world struct {
	*testing.T
	dsn   string
	pool  *pgxpool.Pool
	store *store.Store
	log   *lines
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldAt(t, pgtest.DSNWith(t, catalog(t)))
}

func worldAt(t *testing.T, dsn string) *world {
	t.Helper()
	w := &world{T: t, dsn: dsn, log: &lines{}}
	w.pool, w.store = w.connect()
	w.exec(`INSERT INTO nodes (name, address) VALUES ('m1', '127.0.0.1'), ('far', '192.0.2.1')`)
	w.exec(`INSERT INTO monhosts (name, tools) VALUES ('m1', '{noop}')`)
	w.exec(`UPDATE settings SET value = '1s' WHERE name = 'start_tolerance'`)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.log.String())
		}
	})
	return w
}

// connect gives a pool and a store of their own, as every daemon has.
func (w *world) connect() (*pgxpool.Pool, *store.Store) {
	w.Helper()
	c, err := pgxpool.ParseConfig(w.dsn)
	if err != nil {
		w.Fatal(err)
	}
	c.MaxConns = 6
	pool, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(pool.Close)
	return pool, store.New(pool)
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := w.pool.Exec(ctx, sql, args...); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

func one[T any](w *world, sql string, args ...any) T {
	w.Helper()
	var v T
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := w.pool.QueryRow(ctx, sql, args...).Scan(&v); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	return v
}

func (w *world) spec(label, interval string) int64 {
	w.Helper()
	return one[int64](w, `INSERT INTO toolspecs (node, tool, label, run_interval) VALUES ('far', 'noop', $1, $2::text::interval) RETURNING id`, label, interval)
}

// until waits for a condition in SQL; a database that is away counts as no.
func (w *world) until(within time.Duration, sql string, args ...any) time.Duration {
	w.Helper()
	began := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var err error
	for time.Since(began) < within {
		var yes bool
		if err = w.pool.QueryRow(context.Background(), sql, args...).Scan(&yes); err == nil && yes {
			return time.Since(began)
		}
		<-tick.C
	}
	w.Fatalf("not within %s: %s %v (%v)", within, sql, args, err)
	return 0
}

// started is a scheduler at work.
type started struct {
	*scheduler.Scheduler
	stop   func()
	passed chan scheduler.Totals
}

func (w *world) start(name string) *started {
	w.Helper()
	_, st := w.connect()
	return w.startOn(name, st)
}

func (w *world) startOn(name string, st *store.Store) *started {
	w.Helper()
	s := &started{passed: make(chan scheduler.Totals, 1)}
	s.Scheduler = &scheduler.Scheduler{Store: st, Name: name, Log: slog.New(slog.NewTextHandler(w.log, nil)).With("scheduler", name),
		Report: func(doing string, _ time.Duration) { fmt.Fprintln(w.log, "report:", doing) },
		Counted: func(t scheduler.Totals) {
			select {
			case <-s.passed:
			default:
			}
			s.passed <- t
		}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			w.Errorf("scheduler %s: %v", name, err)
		}
	}()
	s.stop = sync.OnceFunc(func() { cancel(); <-done })
	w.Cleanup(s.stop)
	return s
}

// pass waits for the end of a pass that began after now.
func (w *world) pass(s *started) scheduler.Totals {
	w.Helper()
	var last scheduler.Totals
	select {
	case <-s.passed:
	default:
	}
	for range 2 {
		select {
		case last = <-s.passed:
		case <-time.After(30 * time.Second):
			w.Fatal("the scheduler makes no pass")
		}
	}
	return last
}

// specs reads the specs as a worker would.
func (w *world) specs() map[int64]store.Spec {
	w.Helper()
	c, err := w.store.SpecChanges(context.Background(), 0, "", "")
	if err != nil {
		w.Fatal(err)
	}
	m := map[int64]store.Spec{}
	for _, s := range c.Specs {
		m[s.ID] = s
	}
	return m
}

// accounted says that every instant of a spec in (from, to] is exactly one of:
// a schedule row, a result, part of a gap.
func (w *world) accounted(id int64, from, to time.Time) {
	w.Helper()
	s := w.specs()[id]
	n := 0
	for at := range plan.Between(s.Spec, from, to) {
		n++
		places := one[string](w, `SELECT concat_ws(' ', (SELECT 'schedule' FROM schedule WHERE toolspec_id = $1 AND due_at = $2),
			(SELECT 'data' FROM pingdata WHERE toolspec_id = $1 AND due_at = $2),
			(SELECT string_agg('gap', ' ') FROM gaps WHERE toolspec_id = $1 AND $2 BETWEEN from_at AND until_at))`, id, at)
		if places == "" || strings.Contains(places, " ") {
			w.Errorf("spec %d, instant %s is accounted for by %q", id, at.Format(time.RFC3339Nano), places)
		}
	}
	if n == 0 {
		w.Errorf("spec %d has no instants from %s to %s", id, from, to)
	}
	if inside := one[int](w, `SELECT coalesce(sum(runs), 0)::int FROM gaps WHERE toolspec_id = $1 AND until_at <= $2`, id, to); inside > 0 {
		if gapped := plan.Count(s.Spec, one[time.Time](w, `SELECT min(from_at) - interval '1 us' FROM gaps WHERE toolspec_id = $1`, id), one[time.Time](w, `SELECT max(until_at) FROM gaps WHERE toolspec_id = $1`, id)); gapped < inside {
			w.Errorf("gaps of spec %d count %d instants, it has only %d there", id, inside, gapped)
		}
	}
}

func (w *world) now() time.Time { w.Helper(); return one[time.Time](w, `SELECT clock_timestamp()`) }

// lines keeps what was logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
