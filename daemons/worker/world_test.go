package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/daemons/scheduler"
	"sonde/daemons/worker"
	"sonde/internal/measure"
	"sonde/internal/pgtest"
	"sonde/internal/plan"
	"sonde/internal/schema"
	"sonde/internal/spool"
	"sonde/internal/store"
	"sonde/migrations"
	"sonde/probes"
)

// played is a tool that does what its option says, and remembers what it did.
type played struct {
	mu      sync.Mutex
	now     map[string]int // runs under way, by node
	most    int            // at once, of all
	total   int
	overlap bool
	starts  []time.Time
	release chan struct{} // "wait" runs end when it is closed
	begun   chan struct{} // gets one for each run that began, if there is room
}

func newPlayed() *played {
	return &played{now: map[string]int{}, release: make(chan struct{}), begun: make(chan struct{}, 10000)}
}

func (p *played) tool() probes.Tool {
	return probes.Tool{Name: "noop", Meaning: "does what it is told", Table: "pingdata", Columns: []string{"sent", "received"}, TimeToRun: time.Second,
		Options: []measure.Option{{Name: "do", Type: measure.TextOption, Meaning: "what to do"}}, Metrics: []measure.Metric{},
		New: func(raw json.RawMessage, env probes.Env) (probes.Probe, error) {
			var o struct{ Do string }
			if err := json.Unmarshal(raw, &o); err != nil {
				return nil, err
			}
			if o.Do == "nonsense" {
				return nil, fmt.Errorf("%w: option \"do\" must make sense, not nonsense", probes.ErrSpec)
			}
			return act{p, o.Do, env}, nil
		}}
}

type act struct {
	p   *played
	do  string
	env probes.Env
}

func (a act) Run(ctx context.Context, t measure.Target) (measure.Result, error) {
	a.p.mu.Lock()
	a.p.starts = append(a.p.starts, time.Now())
	a.p.now[t.Node+t.Address+a.do]++
	a.p.total++
	n := 0
	for _, k := range a.p.now {
		n += k
	}
	a.p.most = max(a.p.most, n)
	a.p.overlap = a.p.overlap || a.p.now[t.Node+t.Address+a.do] > 1
	a.p.mu.Unlock()
	defer func() {
		a.p.mu.Lock()
		a.p.now[t.Node+t.Address+a.do]--
		a.p.mu.Unlock()
	}()
	select {
	case a.p.begun <- struct{}{}:
	default:
	}
	t.Log.Info("asked", "do", a.do)
	word, rest, _ := strings.Cut(a.do, ":")
	switch word {
	case "panic":
		panic("the tool fell over")
	case "busy":
		return measure.Result{}, fmt.Errorf("ping: %w: 3 replies were dropped unread", probes.ErrBusy)
	case "fail":
		return measure.Result{}, errors.New("the name does not resolve")
	case "hang":
		<-ctx.Done()
		return measure.Result{}, ctx.Err()
	case "wait":
		select {
		case <-a.p.release:
		case <-ctx.Done():
			return measure.Result{}, ctx.Err()
		}
	case "for":
		d, err := time.ParseDuration(rest)
		if err != nil {
			return measure.Result{}, err
		}
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return measure.Result{}, ctx.Err()
		}
	}
	return measure.Result{Row: []any{1, 1}}, nil
}

func (p *played) count() (total, most int, overlap bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total, p.most, p.overlap
}

func catalog(t testing.TB) migrations.Catalog {
	t.Helper()
	c, err := schema.Catalog([]probes.Tool{newPlayed().tool()})
	if err != nil {
		t.Fatal(err)
	}
	c.Rules = nil // they are about tools that are not here
	return c
}

// world is a migrated database with one monitoring host and one node.
type world struct {
	*testing.T
	*played
	dsn   string
	dir   string
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
	w := &world{T: t, played: newPlayed(), dsn: dsn, dir: t.TempDir(), log: &lines{}}
	w.pool = w.connect(dsn)
	w.store = store.New(w.pool)
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

func (w *world) connect(dsn string) *pgxpool.Pool {
	w.Helper()
	c, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		w.Fatal(err)
	}
	c.MaxConns, c.ConnConfig.ConnectTimeout = 6, 5*time.Second
	pool, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(pool.Close)
	return pool
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
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var v T
	if err := w.pool.QueryRow(ctx, sql, args...).Scan(&v); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	return v
}

// until waits for a condition in SQL; a database that is away counts as no.
func (w *world) until(within time.Duration, sql string, args ...any) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var err error
	for ctx.Err() == nil {
		var yes bool
		if err = w.pool.QueryRow(ctx, sql, args...).Scan(&yes); err == nil && yes {
			return
		}
		<-tick.C
	}
	w.Fatalf("not within %s: %s %v (%v)", within, sql, args, err)
}

// spec inserts a spec that does this; by itself it is due once a day only.
func (w *world) spec(do, interval string) int64 {
	w.Helper()
	options, _ := json.Marshal(map[string]string{"do": do})
	return one[int64](w, `INSERT INTO toolspecs (node, tool, label, options, run_interval, test_type) VALUES ('far', 'noop', $1 || gen_random_uuid(), $2, $3::text::interval, 'background') RETURNING id`, do, string(options), interval)
}

// due makes a run due in so many seconds, with this tolerance.
func (w *world) due(id int64, in, tolerance float64) time.Time {
	w.Helper()
	at := one[time.Time](w, `INSERT INTO schedule (toolspec_id, due_at, monhost, tool, start_by)
		SELECT $1, now() + make_interval(secs => $2), 'm1', 'noop', now() + make_interval(secs => $2 + $3) RETURNING due_at`, id, in, tolerance)
	w.exec(`SELECT pg_notify('sonde_due', 'm1/noop')`)
	return at
}

// started is a worker at work.
type started struct {
	*worker.Worker
	stop   func() // the first signal, and wait
	signal func() // the first signal
	cancel func() // the second
	done   chan struct{}
}

func (w *world) start(name string, change func(*worker.Worker)) *started {
	w.Helper()
	out, err := spool.Open(filepath.Join(w.dir, "spool"), name, 1<<20)
	if err != nil {
		w.Fatal(err)
	}
	s := &started{Worker: &worker.Worker{Spool: out, Tool: w.tool(), Monhost: "m1", Name: name,
		PlanFile: filepath.Join(w.dir, name+".json"), Log: slog.New(slog.NewTextHandler(w.log, nil)).With("worker", name),
		Report: func(string, time.Duration) {}, Register: func(context.Context) error { return nil }}, done: make(chan struct{})}
	if change != nil {
		change(s.Worker)
	}
	if s.Store == nil {
		s.Store = store.New(w.connect(w.dsn))
	}
	stopping, signal := context.WithCancel(context.Background())
	cancelled, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(s.done)
		if err := s.Run(stopping, cancelled); err != nil {
			w.Errorf("worker %s: %v", name, err)
		}
	}()
	s.signal, s.cancel = signal, cancel
	s.stop = sync.OnceFunc(func() {
		signal()
		select {
		case <-s.done:
		case <-time.After(30 * time.Second):
			w.Errorf("worker %s does not stop", name)
			cancel()
			<-s.done
		}
	})
	w.Cleanup(s.stop)
	return s
}

// scheduler starts a scheduler and gives the way to stop it.
func (w *world) scheduler(name string) (stop func()) {
	w.Helper()
	s := &scheduler.Scheduler{Store: store.New(w.connect(w.dsn)), Name: name, Log: slog.New(slog.NewTextHandler(w.log, nil)).With("scheduler", name),
		Report: func(string, time.Duration) {}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			w.Errorf("scheduler: %v", err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	w.Cleanup(stop)
	return stop
}

// load brings the spool into the database, as the loader does.
func (w *world) load() (loaded store.Loaded) {
	w.Helper()
	list, err := spool.Scan(filepath.Join(w.dir, "spool"))
	if err != nil {
		w.Fatal(err)
	}
	for _, segment := range list {
		records, err := segment.Read()
		if errors.Is(err, spool.ErrBusy) || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			w.Fatal(err)
		}
		var rows []store.SpoolRow
		for _, raw := range records {
			var row store.SpoolRow
			if err := json.Unmarshal(raw, &row); err != nil {
				w.Fatal(err)
			}
			rows = append(rows, row)
		}
		l, err := w.store.Load(context.Background(), rows)
		if err != nil {
			w.Fatal(err)
		}
		loaded.Stored += l.Stored
		loaded.Doubles += l.Doubles
		if err := segment.Remove(); err != nil {
			w.Fatal(err)
		}
	}
	return loaded
}

// end waits for the end of a run and gives it as "outcome: reason".
func (w *world) end(id int64, due time.Time) string {
	w.Helper()
	w.until(20*time.Second, `SELECT EXISTS (SELECT FROM pingdata WHERE toolspec_id = $1 AND due_at = $2)`, id, due)
	return one[string](w, `SELECT outcome || ': ' || coalesce(reason, '') FROM pingdata WHERE toolspec_id = $1 AND due_at = $2`, id, due)
}

func (w *world) now() time.Time { w.Helper(); return one[time.Time](w, `SELECT clock_timestamp()`) }

// accounted says that every instant of every spec in (from, to] is in the data
// table or in a gap. It gives how many there were, and how many were measured.
func (w *world) accounted(from, to time.Time) (instants, measured int) {
	w.Helper()
	c, err := w.store.SpecChanges(context.Background(), 0, "", "")
	if err != nil {
		w.Fatal(err)
	}
	for _, s := range c.Specs {
		for at := range plan.Between(s.Spec, from, to) {
			instants++
			var outcome *string
			var gaps int
			if err := w.pool.QueryRow(context.Background(), `SELECT (SELECT outcome FROM pingdata WHERE toolspec_id = $1 AND due_at = $2),
				(SELECT count(*)::int FROM gaps WHERE toolspec_id = $1 AND $2 BETWEEN from_at AND until_at)`, s.ID, at).Scan(&outcome, &gaps); err != nil {
				w.Fatal(err)
			}
			if outcome == nil && gaps == 0 {
				w.Errorf("spec %d, instant %s is accounted for nowhere", s.ID, at.Format(time.RFC3339Nano))
			}
			if gaps > 1 {
				w.Errorf("spec %d, instant %s lies in %d gaps", s.ID, at.Format(time.RFC3339Nano), gaps)
			}
			if outcome != nil && *outcome != "missed" {
				measured++
			}
		}
		// And nothing that is no instant of the spec.
		rows, err := w.pool.Query(context.Background(), `SELECT due_at FROM pingdata WHERE toolspec_id = $1 AND due_at > $2 AND due_at <= $3`, s.ID, from, to)
		if err != nil {
			w.Fatal(err)
		}
		for rows.Next() {
			var at time.Time
			if err := rows.Scan(&at); err != nil {
				w.Fatal(err)
			}
			if next, ok := plan.Next(s.Spec, at.Add(-time.Microsecond)); !ok || !next.Equal(at) {
				w.Errorf("spec %d has a run at %s, which is none of its instants", s.ID, at.Format(time.RFC3339Nano))
			}
		}
		rows.Close()
	}
	return instants, measured
}

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
	s := l.buf.String()
	return s[max(0, len(s)-12000):]
}

func (l *lines) has(t testing.TB, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(l.String(), word) {
			t.Errorf("the log does not say %q", word)
		}
	}
}
