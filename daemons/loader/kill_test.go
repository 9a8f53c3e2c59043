package loader

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/internal/pgtest"
	"sonde/internal/spool"
	"sonde/internal/store"
	"sonde/migrations"
)

const asChild = "SONDE_TEST_LOADER_CHILD"

func TestMain(m *testing.M) {
	if dsn := os.Getenv(asChild); dsn != "" {
		fmt.Println(loadAll(dsn, os.Args[1]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func migrate(t *testing.T, dsn string) {
	t.Helper()
	if _, err := migrations.Up(t.Context(), dsn, migrations.Catalog{}); err != nil {
		t.Fatal(err)
	}
}

// loadAll is a loader as a process of its own, to be killed.
func loadAll(dsn, dir string) error {
	pool, err := pgxpool.New(context.Background(), dsn)
	if err != nil {
		return err
	}
	l := New(Options{Dir: dir, Database: store.New(pool), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Report: func(doing string, _ time.Duration) { fmt.Println(doing) },
		Wait: answers(pool), Tell: func(Counters) {}})
	return l.Run(context.Background())
}

// Killed at any moment and started again, until the spool is empty.
func TestKilledLoaderLosesNothingAndDoublesNothing(t *testing.T) {
	dsn := pgtest.DSN(t)
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	dir := t.TempDir()
	const files, rows = 12, 2000
	at := base()
	segments(t, dir, at, files, rows)
	// Some results came by another way already, some runs were named missed.
	if _, err := pool.Exec(t.Context(), `
		INSERT INTO pingdata (toolspec_id, due_at, outcome, sent) SELECT 1, $1::timestamptz + g * interval '10 ms', 'ok', 99 FROM generate_series(0, 99) g`, at); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `
		INSERT INTO pingdata (toolspec_id, due_at, outcome, reason) SELECT 1, $1::timestamptz + g * interval '10 ms' + interval '1 ms', 'missed', 'away' FROM generate_series(0, 99) g`, at); err != nil {
		t.Fatal(err)
	}
	kills := 0
	for {
		left, _, err := spool.Usage(dir)
		if err != nil {
			t.Fatal(err)
		}
		if left == 0 {
			break
		}
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", dir)
		cmd.Env = append(os.Environ(), asChild+"="+dsn)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// So many reports, each before a transaction, and then somewhere in it.
		lines := bufio.NewScanner(out)
		for range rand.IntN(30) {
			if !lines.Scan() || strings.HasPrefix(lines.Text(), "waiting") {
				break
			}
		}
		<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("the child ended by itself")
		}
		if kills++; kills > 300 {
			t.Fatalf("%d files left after %d kills", left, kills)
		}
	}
	for sql, want := range map[string]int{
		"SELECT count(*) FROM pingdata":                                   files * rows,
		"SELECT count(*) FROM pingdata WHERE outcome = 'ok'":              files * rows,
		"SELECT count(*) FROM pingdata WHERE sent = 99":                   100,
		"SELECT count(*) FROM pingdata WHERE late":                        files*rows - 100,
		"SELECT count(DISTINCT (toolspec_id, due_at))::int FROM pingdata": files * rows,
	} {
		if n := count(t, pool, sql); n != want {
			t.Errorf("%s is %d, want %d", sql, n, want)
		}
	}
	if kills < 3 {
		t.Errorf("killed %d times only", kills)
	}
	t.Logf("killed %d times", kills)
	if _, err := os.Stat(dir + "/refused"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was refused: %v", err)
	}
}
