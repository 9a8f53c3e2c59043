package notifier_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/daemons/notifier"
	"sonde/internal/measure"
	"sonde/internal/pgtest"
	"sonde/internal/store"
	"sonde/migrations"
	"sonde/notify"
	"sonde/notify/catalog"
	"sonde/notify/log"
)

// types are the real mediums and one that tests play with.
func types() []notify.Type { return append(catalog.All(), scripted(nil)) }

func find(name string) (notify.Type, bool) {
	i := slices.IndexFunc(types(), func(t notify.Type) bool { return t.Name == name })
	if i < 0 {
		return notify.Type{}, false
	}
	return types()[i], true
}

// scripted is a medium whose ways are a function.
func scripted(send func(ctx context.Context, m notify.Message) (notify.Proof, error)) notify.Type {
	return notify.Type{
		Name: "scripted", Meaning: "for tests", Options: []measure.Option{{Name: "path", Type: measure.TextOption, Meaning: "anything"}},
		New: func(json.RawMessage, notify.Env) (notify.Medium, error) { return script(send), nil },
	}
}

type script func(ctx context.Context, m notify.Message) (notify.Proof, error)

func (s script) Send(ctx context.Context, m notify.Message) (notify.Proof, error) { return s(ctx, m) }
func (s script) Ask(context.Context, notify.Message) (notify.Proof, error) {
	return notify.Proof{}, fmt.Errorf("%w: it forgets", notify.ErrUnknown)
}

func known() migrations.Catalog {
	var c migrations.Catalog
	for _, t := range types() {
		options, _ := json.Marshal(t.Options)
		c.MediumTypes = append(c.MediumTypes, migrations.Described{Name: t.Name, Meaning: t.Meaning, Options: options})
	}
	return c
}

// world is a database, and a file for each medium of type log.
type world struct {
	*testing.T
	pool *pgxpool.Pool
	dsn  string
	dir  string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dsn: pgtest.DSNWith(t, known()), dir: t.TempDir()}
	pool, err := pgxpool.New(t.Context(), w.dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w.pool = pool
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	if _, err := w.pool.Exec(w.Context(), sql, args...); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

// logMedium makes a medium that writes to a file of its name.
func (w *world) logMedium(name string) {
	w.exec("INSERT INTO mediums (name, type, options) VALUES ($1, 'log', jsonb_build_object('path', $2::text))", name, filepath.Join(w.dir, name+".jsonl"))
}

// brokenMedium cannot send.
func (w *world) brokenMedium(name string) {
	w.exec("INSERT INTO mediums (name, type, options) VALUES ($1, 'log', jsonb_build_object('path', $2::text))", name, filepath.Join(w.dir, "nowhere", name+".jsonl"))
}

func (w *world) step(recipient string, step int, medium string, visible bool) {
	w.exec("INSERT INTO ladders (recipient, step, medium, address, visible) VALUES ($1, $2, $3, $1, $4)", recipient, step, medium, visible)
}

// got are the messages in a medium's file.
func (w *world) got(medium string) []log.Line {
	w.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, medium+".jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		w.Fatal(err)
	}
	var lines []log.Line
	for l := range strings.Lines(string(b)) {
		if !strings.HasSuffix(l, "\n") {
			break // just being written
		}
		var line log.Line
		if err := json.Unmarshal([]byte(l), &line); err != nil {
			w.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

// alert raises an alert with its notice, as the analyst does.
func (w *world) alert(node string) (alert, notice int64) {
	w.Helper()
	if err := w.pool.QueryRow(w.Context(), `INSERT INTO alerts (toolspec_id, node, tool, monhost, rule, severity, text, began_at, raised_at)
		VALUES ((SELECT count(*) + 1 FROM alerts), $1, 'ping', 'pi1', 'no answer', 'critical', 'no answer, 3 runs in a row', now() - interval '3 minutes', now()) RETURNING id`, node).Scan(&alert); err != nil {
		w.Fatal(err)
	}
	return alert, w.notice(alert, "raise", node)
}

func (w *world) notice(alert int64, kind, node string) (id int64) {
	w.Helper()
	words := notify.AlertWords(kind, notify.Alert{ID: alert, Severity: measure.Critical, Rule: "no answer", Node: node, Tool: "ping", Monhost: "pi1",
		Text: "no answer, 3 runs in a row", BeganAt: time.Now().Add(-3 * time.Minute)}, time.Now())
	if err := w.pool.QueryRow(w.Context(), `INSERT INTO notices (alert_id, kind, severity, node, subject, text, short) VALUES ($1, $2, 'critical', $3, $4, $5, $6) RETURNING id`,
		alert, kind, node, words.Subject, words.Text, words.Short).Scan(&id); err != nil {
		w.Fatal(err)
	}
	return id
}

func (w *world) notifier(name string, change ...func(*notifier.Notifier)) *notifier.Notifier {
	n := &notifier.Notifier{
		Store: store.New(w.pool), Type: find, Name: name, Log: slog.New(slog.NewTextHandler(w.Output(), nil)),
		Report: func(string, time.Duration) {}, Lease: 2 * time.Second,
	}
	for _, f := range change {
		f(n)
	}
	return n
}

// run has a notifier run until the test ends or stop is called.
func (w *world) run(n *notifier.Notifier) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := n.Run(ctx); err != nil {
			w.Errorf("the notifier ended: %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); done.Wait() })
	w.Cleanup(stop)
	return stop
}

func (w *world) wait(what, sql string, args ...any) {
	w.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-tick.C {
		var is bool
		if err := w.pool.QueryRow(w.Context(), "SELECT coalesce(("+sql+"), false)", args...).Scan(&is); err != nil {
			w.Fatal(err)
		}
		if is {
			return
		}
		if time.Now().After(end) {
			rows, _ := w.pool.Query(w.Context(), "SELECT 'notice ' || n::text FROM notices n UNION ALL SELECT 'delivery ' || d::text FROM deliveries d")
			var line string
			for rows.Next() {
				_ = rows.Scan(&line)
				w.Log(line)
			}
			rows.Close()
			w.Fatalf("waited half a minute for: %s", what)
		}
	}
}

func (w *world) done(notice int64) {
	w.Helper()
	w.wait(fmt.Sprintf("the end of notice %d", notice), "SELECT done_at IS NOT NULL FROM notices WHERE id = $1", notice)
}

func (w *world) text(sql string, args ...any) (s string) {
	w.Helper()
	if err := w.pool.QueryRow(w.Context(), sql, args...).Scan(&s); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	return s
}
