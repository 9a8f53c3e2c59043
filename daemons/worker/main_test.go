package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/daemons/worker"
	"sonde/internal/spool"
	"sonde/internal/store"
)

// child is what a worker in a process of its own, to be killed, is told.
type child struct{ DSN, Dir, Name, Monhost string }

const childEnv = "SONDE_TEST_WORKER"

// TestMain lets the test binary be a worker that a test kills.
func TestMain(m *testing.M) {
	raw := os.Getenv(childEnv)
	if raw == "" {
		os.Exit(m.Run())
	}
	if err := runChild(raw); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runChild(raw string) error {
	var c child
	if err := json.Unmarshal([]byte(raw), &c); err != nil {
		return err
	}
	config, err := pgxpool.ParseConfig(c.DSN)
	if err != nil {
		return err
	}
	config.MaxConns, config.ConnConfig.ConnectTimeout = 5, 5*time.Second
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return err
	}
	defer pool.Close()
	name := fmt.Sprintf("%s, pid %d of %d", c.Name, os.Getpid(), time.Now().UnixNano())
	out, err := spool.Open(filepath.Join(c.Dir, "spool"), c.Name, 64<<20)
	if err != nil {
		return err
	}
	stopping, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	w := &worker.Worker{Store: store.New(pool), Spool: out, Tool: newPlayed().tool(), Monhost: c.Monhost, Name: name,
		PlanFile: filepath.Join(c.Dir, c.Name+".json"), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)).With("worker", c.Name),
		Report: func(string, time.Duration) {}, Register: func(context.Context) error { return nil }}
	return w.Run(stopping, context.Background())
}

// startChild starts a worker in a process of its own.
func (w *world) startChild(name, monhost string) *exec.Cmd {
	w.Helper()
	raw, _ := json.Marshal(child{w.dsn, w.dir, name, monhost})
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(raw))
	cmd.Stderr = w.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}
