package loader

import (
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

	"sonde/internal/pgtest"
	"sonde/internal/spool"
	"sonde/internal/store"
)

// base is the due_at of row 0; rows are a millisecond apart.
func base() time.Time { return time.Now().UTC().Add(-time.Hour).Truncate(time.Second) }

func pingRow(at time.Time, n int) json.RawMessage {
	raw, err := json.Marshal(store.SpoolRow{Table: "pingdata", Row: map[string]any{
		"toolspec_id": 1, "due_at": at.Add(time.Duration(n) * time.Millisecond), "outcome": "ok", "sent": 10, "received": n % 11, "rtts_us": []any{n, nil}, "late": true}})
	if err != nil {
		panic(err) // a map of plain values
	}
	return raw
}

func pingRows(at time.Time, from, n int) []json.RawMessage {
	var list []json.RawMessage
	for i := range n {
		list = append(list, pingRow(at, from+i))
	}
	return list
}

// segments fills a spool with segments of so many rows each.
func segments(t testing.TB, dir string, at time.Time, count, rows int) {
	t.Helper()
	w, err := spool.Open(dir, "worker-ping", 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for i := range count {
		if err := errors.Join(w.Append(pingRows(at, i*rows, rows)), w.Release()); err != nil {
			t.Fatal(err)
		}
	}
}

// running is a loader under way.
type running struct {
	*testing.T
	mu   sync.Mutex
	log  strings.Builder
	seen chan Counters
	stop func()
}

func (r *running) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *running) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func start(t *testing.T, dir string, db Database, wait func(context.Context) error) *running {
	r := &running{T: t, seen: make(chan Counters, 1000)}
	ctx, cancel := context.WithCancel(t.Context())
	l := New(Options{Dir: dir, Database: db, Log: slog.New(slog.NewTextHandler(r, nil)), Report: func(string, time.Duration) {}, Wait: wait,
		Tell: func(c Counters) {
			select {
			case r.seen <- c:
			default:
			}
		}})
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// until waits for counters that satisfy f.
func (r *running) until(f func(Counters) bool) Counters {
	r.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case c := <-r.seen:
			if f(c) {
				return c
			}
		case <-limit:
			r.Fatalf("it never came so far: %s", r.said())
		}
	}
}

func empty(c Counters) bool { return c.Files == 0 }

func count(t *testing.T, pool *pgxpool.Pool, sql string) (n int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func answers(pool *pgxpool.Pool) func(context.Context) error {
	return func(ctx context.Context) error { return pool.Ping(ctx) }
}

func TestSegmentsAreLoadedAndRemoved(t *testing.T) {
	dir, pool := t.TempDir(), pgtest.New(t)
	segments(t, dir, base(), 3, 1200)
	r := start(t, dir, store.New(pool), answers(pool))
	c := r.until(empty)
	if c.Loaded != 3600 || c.Doubles != 0 || c.Refused != 0 || c.Damaged != 0 || c.Bytes != 0 {
		t.Errorf("%+v", c)
	}
	if n := count(t, pool, "SELECT count(*) FROM pingdata WHERE late AND outcome = 'ok'"); n != 3600 {
		t.Errorf("%d rows", n)
	}
	// What is written while it runs is taken too, once its writer lets go.
	w, err := spool.Open(dir, "worker-ping", 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append(pingRows(base(), 100_000, 5)); err != nil {
		t.Fatal(err)
	}
	if c := r.until(func(c Counters) bool { return c.Files == 1 }); c.Loaded != 3600 {
		t.Errorf("an open segment was loaded: %+v", c)
	}
	if err := w.Release(); err != nil {
		t.Fatal(err)
	}
	if c := r.until(empty); c.Loaded != 3605 {
		t.Errorf("%+v", c)
	}
}

func TestDamagedSegmentIsSetAsideOnceAndItsGoodRowsAreLoaded(t *testing.T) {
	dir, pool := t.TempDir(), pgtest.New(t)
	segments(t, dir, base(), 1, 10)
	list, err := spool.Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(list[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(list[0].Path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "20000101T000000-alien.spool"), []byte("what\nis\nthis\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, dir, store.New(pool), answers(pool))
	c := r.until(empty)
	if c.Loaded != 9 || c.Damaged != 2 {
		t.Errorf("%+v", c)
	}
	if n := strings.Count(r.said(), "is damaged"); n != 2 {
		t.Errorf("said %d times", n)
	}
	aside, err := filepath.Glob(filepath.Join(dir, "damaged", "*"))
	if err != nil || len(aside) != 2 {
		t.Errorf("%v %v", aside, err)
	}
}

func TestRowsTheDatabaseRefusesAreSetAsideWithItsSentence(t *testing.T) {
	dir, pool := t.TempDir(), pgtest.New(t)
	w, err := spool.Open(dir, "worker-ping", 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	at := base()
	rows := pingRows(at, 0, 700)
	rows[3] = pingRow(at.AddDate(-2, 0, 0), 3)
	rows[99] = pingRow(at.AddDate(0, 0, 5), 99)
	rows[600] = json.RawMessage(`{"table":"pingdata","row":{"toolspec_id":1,"due_at":"` + at.Format(time.RFC3339) + `","outcome":"so so"}}`)
	rows[601] = json.RawMessage(`["no","row"]`)
	rows[602] = json.RawMessage(`{"table":"pg_class","row":{"toolspec_id":1}}`)
	if err := errors.Join(w.Append(rows), w.Release()); err != nil {
		t.Fatal(err)
	}
	r := start(t, dir, store.New(pool), answers(pool))
	if c := r.until(empty); c.Loaded != 695 || c.Refused != 5 || c.Damaged != 0 {
		t.Errorf("%+v", c)
	}
	files, err := filepath.Glob(filepath.Join(dir, "refused", "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"keep_days_pingdata", "run_outcome", "so so", "no row of a data table", `["no","row"]`, "pg_class"} {
		if !strings.Contains(string(text), word) {
			t.Errorf("no word of %q in %s", word, text)
		}
	}
	if n := strings.Count(string(text), "\n"); n != 5 {
		t.Errorf("%d lines", n)
	}
}

// away fails a number of calls before it works.
type away struct {
	Database
	left int
	err  error
}

func (a *away) Load(ctx context.Context, rows []store.SpoolRow) (store.Loaded, error) {
	if a.left > 0 {
		a.left--
		return store.Loaded{}, a.err
	}
	return a.Database.Load(ctx, rows)
}

func TestFaultsThatSomebodyCanMendAreWaitedOut(t *testing.T) {
	dir, pool := t.TempDir(), pgtest.New(t)
	segments(t, dir, base(), 1, 10)
	denied := errors.New("permission denied for table pingdata")
	r := start(t, dir, &away{store.New(pool), 1, denied}, answers(pool))
	if c := r.until(empty); c.Loaded != 10 || c.Refused != 0 {
		t.Errorf("%+v", c)
	}
	if !strings.Contains(r.said(), "permission denied") || !strings.Contains(r.said(), "loading goes on") {
		t.Errorf("said %s", r.said())
	}
}

func TestDatabaseThatGoesAwayInTheMiddleLosesNothing(t *testing.T) {
	server := pgtest.NewServer(t)
	migrate(t, server.DSN())
	pool, err := pgxpool.New(t.Context(), server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	dir := t.TempDir()
	segments(t, dir, base(), 4, 1500)
	waited := make(chan struct{}, 100)
	st := &stopsServer{Database: store.New(pool), after: 5, stop: server.Stop}
	r := start(t, dir, st, func(ctx context.Context) error {
		waited <- struct{}{}
		for pool.Ping(ctx) != nil {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	<-waited
	pgtest.Restart(t, server)
	c := r.until(empty)
	if c.Loaded+c.Doubles != 6000 || c.Refused != 0 {
		t.Errorf("%+v", c)
	}
	if n := count(t, pool, "SELECT count(*) FROM pingdata"); n != 6000 {
		t.Errorf("%d rows", n)
	}
}

type stopsServer struct {
	Database
	after int
	stop  func() error
}

func (s *stopsServer) Load(ctx context.Context, rows []store.SpoolRow) (store.Loaded, error) {
	if s.after--; s.after == 0 {
		if err := s.stop(); err != nil {
			return store.Loaded{}, err
		}
	}
	return s.Database.Load(ctx, rows)
}

func TestFileThatCannotBeRemovedIsNoLoop(t *testing.T) {
	dir, pool := t.TempDir(), pgtest.New(t)
	segments(t, dir, base(), 1, 10)
	list, err := spool.Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	loads := 0
	db := counting{store.New(pool), &loads}
	l := New(Options{Dir: dir, Database: db, Log: slog.New(slog.DiscardHandler), Report: func(string, time.Duration) {}, Tell: func(Counters) {}})
	// Refused rows need the folder refused; a file of that name is in the way.
	if err := os.WriteFile(filepath.Join(dir, "refused"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(list[0].Path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// A good line that is no row.
	if _, err := fmt.Fprint(f, "b83dbc6b [1]\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for range 5 {
		l.pass(t.Context())
	}
	if loads != 1 {
		t.Errorf("it was loaded %d times", loads)
	}
	if files, _, err := spool.Usage(dir); err != nil || files != 1 {
		t.Errorf("%d files, %v: what could not be put away was removed", files, err)
	}
}

type counting struct {
	Database
	n *int
}

func (c counting) Load(ctx context.Context, rows []store.SpoolRow) (store.Loaded, error) {
	*c.n++
	return c.Database.Load(ctx, rows)
}
