package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sonde/internal/pgtest"
)

var quiet = slog.New(slog.DiscardHandler)

func TestReportIsAPromiseByTheBootClock(t *testing.T) {
	t.Setenv(FileEnv, "")
	state := t.TempDir()
	p := NewProgress(state, "scheduler", "1.2", quiet)
	before := BootClock()
	p.Report("planning", 10*time.Second)
	k, err := ReadKeepalive(KeepaliveFile(state, "scheduler"))
	if err != nil {
		t.Fatal(err)
	}
	if !k.Alive() || k.Pid != os.Getpid() || k.Doing != "planning" || k.Version != "1.2" || k.Seq != 1 {
		t.Errorf("%+v", k)
	}
	if k.Promised < before+10*time.Second || k.Late() > 0 {
		t.Errorf("promised %v at %v", k.Promised, before)
	}
	p.Report("working", time.Hour) // reaches further: written at once
	if k, err := ReadKeepalive(KeepaliveFile(state, "scheduler")); err != nil || k.Doing != "working" {
		t.Errorf("%+v %v", k, err)
	}
}

func TestBusyLoopWritesFewReports(t *testing.T) {
	t.Setenv(FileEnv, "")
	p := NewProgress(t.TempDir(), "worker", "1", quiet)
	written := 0
	p.OnReport(func(Keepalive) { written++ })
	for range 10000 {
		p.Report("claiming", 10*time.Second)
	}
	if written == 0 || written > 100 {
		t.Errorf("%d reports were written", written)
	}
}

func TestFullDiskStillTakesTheKeepalive(t *testing.T) {
	t.Setenv(FileEnv, "")
	state := t.TempDir()
	p := NewProgress(state, "loader", "1", quiet)
	p.Report("loading", time.Second)
	path := KeepaliveFile(state, "loader")
	if err := os.Symlink("/dev/full", path+".new"); err != nil {
		t.Fatal(err)
	}
	p.Report(strings.Repeat("ü", 1000), time.Hour)
	k, err := ReadKeepalive(path)
	if err != nil || !strings.HasPrefix(k.Doing, "üüü") || k.Late() > -time.Minute {
		t.Errorf("%+v %v", k, err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != keepaliveSize {
		t.Errorf("%v %v", info, err)
	}
}

func TestUnwritableFolderIsSaidOnceAndKillsNobody(t *testing.T) {
	t.Setenv(FileEnv, filepath.Join("/proc", "none", "x.json"))
	var log strings.Builder
	p := NewProgress(t.TempDir(), "loader", "1", slog.New(slog.NewTextHandler(&log, nil)))
	for range 10 {
		p.Report("loading", time.Second)
	}
	if n := strings.Count(log.String(), "cannot be written"); n != 1 {
		t.Errorf("said %d times: %s", n, &log)
	}
}

func TestFirstSignalStopsSecondCancels(t *testing.T) {
	stopping, cancelled, release := Signals(t.Context())
	defer release()
	syscall.Kill(os.Getpid(), syscall.SIGTERM)
	<-stopping.Done()
	if cancelled.Err() != nil {
		t.Error("the first signal cancelled")
	}
	syscall.Kill(os.Getpid(), syscall.SIGTERM)
	<-cancelled.Done()
}

func TestEndOfParentStopsAndDoesNotCancel(t *testing.T) {
	parent, end := context.WithCancel(t.Context())
	stopping, cancelled, release := Signals(parent)
	defer release()
	end()
	<-stopping.Done()
	if cancelled.Err() != nil {
		t.Error("the end of the parent cancelled")
	}
}

func TestWaitingForTheDatabaseIsProgress(t *testing.T) {
	t.Setenv(FileEnv, "")
	server := pgtest.NewServer(t)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	p := NewProgress(t.TempDir(), "loader", "1", quiet)
	waiting := make(chan struct{}, 100)
	p.OnReport(func(k Keepalive) {
		if k.Doing == "waiting for the database" {
			waiting <- struct{}{}
		}
	})
	connected := make(chan error)
	go func() {
		pool, err := Connect(t.Context(), server.DSN(), "loader", p, quiet)
		if err == nil {
			var name string
			err = pool.QueryRow(t.Context(), "SHOW application_name").Scan(&name)
			if name != "sonde loader" {
				t.Errorf("application_name is %q", name)
			}
			pool.Close()
		}
		connected <- err
	}()
	<-waiting
	pgtest.Restart(t, server)
	if err := <-connected; err != nil {
		t.Error(err)
	}
}

func TestPasswordIsNotInTheError(t *testing.T) {
	if _, err := PoolConfig("postgresql://u:topsecret@h:notaport/d", "x"); err == nil || strings.Contains(err.Error(), "topsecret") {
		t.Error(err)
	}
}

func FuzzKeepalive(f *testing.F) {
	f.Add([]byte(`{"pid":12,"start_ticks":5,"boot_id":"x","name":"web","promised_boot_ns":12}`))
	f.Add([]byte(`{"pid":-1}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if k, err := parseKeepalive(raw); err == nil && k.Pid <= 0 {
			t.Error("a keepalive of nobody")
		}
	})
}
