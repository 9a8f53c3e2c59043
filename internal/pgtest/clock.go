package pgtest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sonde/internal/embeddedpg"
)

// NewSteppable gives a server of the test's own whose wall clock the test sets,
// by an offset such as "+3600"; its monotonic clock goes on as it does. It is
// the work of libfaketime.
func NewSteppable(t testing.TB) (s *embeddedpg.Server, set func(offset string)) {
	t.Helper()
	libs, _ := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if len(libs) == 0 {
		t.Fatal("no libfaketime: run `make test`, or apt-get install libfaketime")
	}
	dir, err := os.MkdirTemp("", "sonde-clock-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // the server runs as another user
		t.Fatal(err)
	}
	file := filepath.Join(dir, "offset")
	set = func(offset string) {
		t.Helper()
		// By rename: the server reads it at every look at the clock.
		if err := os.WriteFile(file+".new", []byte(offset+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	set("+0")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s, err = embeddedpg.Start(ctx, embeddedpg.Options{Dir: filepath.Join(dir, "pg"), Ephemeral: true, Env: []string{
		"LD_PRELOAD=" + libs[0], "FAKETIME_TIMESTAMP_FILE=" + file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"}})
	if err != nil {
		t.Fatalf("%s: %v", howTo, err)
	}
	t.Cleanup(func() {
		if err := s.Discard(); err != nil {
			t.Error(err)
		}
	})
	return s, set
}
