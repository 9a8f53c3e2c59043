package keepalive

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"sonde/internal/daemon"
	"sonde/internal/proc"
)

// Options of a supervisor. The caller holds the lock of State.
type Options struct {
	State   string
	LogDir  string
	Log     *slog.Logger
	Daemons []Daemon

	// Progress gets the supervisor's own keepalive.
	Progress *daemon.Progress

	// Env is the environment of the crontab's programs and the servers.
	Env []string
	// Program stands for the word sonde in the crontab.
	Program string
}

// Supervisor keeps the daemons of one host alive.
type Supervisor struct {
	o     Options
	log   *slog.Logger
	t     timing
	grace grace
	kids  []*child
	ready chan struct{}

	mu     sync.Mutex
	living map[string]proc.Ident
}

// New makes a supervisor; Run starts the daemons.
func New(o Options) *Supervisor { return timed(o, usual) }

func timed(o Options, t timing) *Supervisor {
	s := &Supervisor{o: o, log: o.Log, t: t, ready: make(chan struct{}), living: map[string]proc.Ident{}}
	for _, d := range o.Daemons {
		s.kids = append(s.kids, s.child(d))
	}
	return s
}

func (s *Supervisor) child(d Daemon) *child {
	c := &child{d: d, file: daemon.KeepaliveFile(s.o.State, d.Name), log: logFile(s.o.LogDir, d.Name), slog: s.log, t: s.t,
		grace: &s.grace, ready: make(chan struct{})}
	c.started = func(id proc.Ident) {
		s.remember(d.Name, id)
		s.log.Info("started", "name", d.Name, "pid", id.Pid)
	}
	return c
}

// Ready is closed when every daemon has promised progress once.
func (s *Supervisor) Ready() <-chan struct{} { return s.ready }

// Pids gives the process id of each living daemon.
func (s *Supervisor) Pids() map[string]int {
	pids := map[string]int{}
	for _, c := range s.kids {
		if pid := c.pid.Load(); pid != 0 {
			pids[c.d.Name] = int(pid)
		}
	}
	return pids
}

// TakeOver ends the daemons that an earlier supervisor left. Run does it too;
// who changes the database before Run calls it first.
func (s *Supervisor) TakeOver() error { return takeOver(s.o.State, s.t.stop, s.log) }

// Run keeps everything alive until stopping ends, then ends everything; when
// cancelled ends, at once. It returns when no child is left.
func (s *Supervisor) Run(stopping, cancelled context.Context) error {
	if err := s.TakeOver(); err != nil {
		return fmt.Errorf("take over from an earlier supervisor: %w", err)
	}
	s.layOut()
	var all sync.WaitGroup
	for _, c := range s.kids {
		all.Go(func() { c.run(stopping, cancelled) })
	}
	all.Go(func() { s.announce(stopping) })
	all.Go(func() { s.keepServers(stopping, cancelled) })
	all.Go(func() { s.cleanUp(stopping) })
	all.Go(func() { s.runCrontab(stopping) })
	all.Go(func() { s.watch(stopping) })
	all.Wait()
	return nil
}

func (s *Supervisor) announce(stopping context.Context) {
	for _, c := range s.kids {
		select {
		case <-c.ready:
		case <-stopping.Done():
			return
		}
	}
	close(s.ready)
}

// watch reports our own progress, turns logs, and notices when we ourselves
// stood still.
func (s *Supervisor) watch(stopping context.Context) {
	every := s.t.own / 7
	last, turned := daemon.BootClock(), time.Time{}
	for {
		now := daemon.BootClock()
		if now-last > every+3*time.Second {
			s.log.Warn("this process stood still; daemons get time to report", "for", (now - last).Round(time.Second).String())
			s.grace.extend(now + s.t.first)
		}
		last = now
		s.o.Progress.Report(fmt.Sprintf("keeping %d of %d daemons alive", len(s.Pids()), len(s.kids)), s.t.own)
		if time.Since(turned) > time.Minute {
			turned = time.Now()
			logs, _ := filepath.Glob(filepath.Join(s.o.LogDir, "*.log"))
			for _, path := range logs {
				if err := proc.TurnLog(path, mostLog, oldLogs); err != nil {
					s.log.Warn("a log cannot be turned", "file", path, "error", err)
				}
			}
		}
		select {
		case <-stopping.Done():
			s.o.Progress.Report("stopping", s.t.stop+s.t.drop+s.t.own)
			return
		case <-time.After(every):
		}
	}
}
