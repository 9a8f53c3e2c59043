package keepalive

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sonde/internal/daemon"
	"sonde/internal/proc"
)

var quick = timing{look: 20 * time.Millisecond, first: 10 * time.Second, slack: 300 * time.Millisecond, dump: 10 * time.Second,
	stop: 10 * time.Second, drop: 300 * time.Millisecond, own: 2 * time.Second, list: 20 * time.Millisecond}

const modeEnv, stateEnv = "KEEPALIVE_TEST_MODE", "KEEPALIVE_TEST_STATE"

// TestMain lets the test binary be a daemon of one kind or another.
func TestMain(m *testing.M) {
	mode, state := os.Getenv(modeEnv), os.Getenv(stateEnv)
	if mode == "" {
		os.Exit(m.Run())
	}
	p := daemon.NewProgress(state, "d", "1", quiet)
	switch mode {
	case "good":
		stopping, _, release := daemon.Signals(context.Background())
		defer release()
		for stopping.Err() == nil {
			p.Report("working", time.Second)
			select {
			case <-stopping.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	case "stuck":
		p.Report("about to get stuck", 500*time.Millisecond)
		standForEver()
	case "silent":
		<-time.After(time.Hour)
	case "crash":
		os.Exit(3)
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		for {
			p.Report("not listening", time.Second)
			<-time.After(100 * time.Millisecond)
		}
	case "supervisor-deaf", "supervisor-good":
		lock, err := Own(state)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		defer lock.Release()
		stopping, cancelled, release := daemon.Signals(context.Background())
		defer release()
		s := timed(options(state, strings.TrimPrefix(mode, "supervisor-")), quick)
		if err := s.Run(stopping, cancelled); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// standForEver has a name that a goroutine dump shows.
func standForEver() { <-time.After(time.Hour) }

var quiet = slog.New(slog.DiscardHandler)

// notes is a log that tests read while it is written.
type notes struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Write(p)
}

func (n *notes) has(s string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return bytes.Contains(n.b.Bytes(), []byte(s))
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.String()
}

// options of a supervisor whose one daemon, "d", is the test binary in a mode.
func options(state, mode string) Options {
	os.Unsetenv(daemon.FileEnv)
	return Options{State: state, LogDir: filepath.Join(state, "log"), Log: quiet, Env: os.Environ(),
		Progress: daemon.NewProgress(state, SupervisorName, "1", quiet),
		Daemons:  []Daemon{{Name: "d", Path: "/proc/self/exe", Env: append(os.Environ(), modeEnv+"="+mode, stateEnv+"="+state), Promises: true}}}
}

// supervise runs a supervisor until the test ends.
func supervise(t *testing.T, o Options, q timing) (*Supervisor, *notes, func()) {
	t.Helper()
	log := &notes{}
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	if len(o.Daemons) == 1 && o.Daemons[0].Path == "/proc/self/exe" {
		// The child's own /proc/self would be whoever forks it.
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		o.Daemons[0].Path = self
	}
	s := timed(o, q)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, context.Background()) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Log(log)
		}
	})
	return s, log, stop
}

// wait polls until something is so.
func wait(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for !so() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("in vain: %s", what)
		}
	}
}

func newPid(s *Supervisor, name string, old int) func() bool {
	return func() bool { pid := s.Pids()[name]; return pid != 0 && pid != old }
}

func identify(t *testing.T, pid int) proc.Ident {
	t.Helper()
	id, err := proc.Identify(pid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
