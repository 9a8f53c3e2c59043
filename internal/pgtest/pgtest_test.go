package pgtest

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	a, b := New(t), New(t)
	if _, err := a.Exec(t.Context(), "CREATE TABLE mine (n int)"); err != nil {
		t.Fatal(err)
	}
	var there bool
	if err := b.QueryRow(t.Context(), "SELECT to_regclass('mine') IS NOT NULL").Scan(&there); err != nil || there {
		t.Errorf("the table of one test is seen by the other: %v %v", there, err)
	}
	if err := b.QueryRow(t.Context(), "SELECT to_regclass('toolspecs') IS NOT NULL").Scan(&there); err != nil || !there {
		t.Errorf("the database is not migrated: %v", err)
	}
}

func TestDatabaseIsGoneAfterItsTest(t *testing.T) {
	var dsn string
	t.Run("one", func(t *testing.T) { dsn = Bare(t) })
	p, err := pgxpool.New(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.Ping(t.Context()) == nil {
		t.Error("the database is still there")
	}
}

func TestServerOfOnesOwnKeepsItsRowsOverAKill(t *testing.T) {
	s := NewServer(t)
	p := pool(t, s.DSN())
	if _, err := p.Exec(t.Context(), "CREATE TABLE kept AS SELECT 7 AS n"); err != nil {
		t.Fatal(err)
	}
	proc, err := os.FindProcess(s.Pid())
	if err != nil {
		t.Fatal(err)
	}
	proc.Kill()
	<-s.Done()
	s = Restart(t, s)
	var n int
	if err := pool(t, s.DSN()).QueryRow(t.Context(), "SELECT n FROM kept").Scan(&n); err != nil || n != 7 {
		t.Errorf("%d %v", n, err)
	}
}
