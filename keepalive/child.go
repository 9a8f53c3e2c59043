package keepalive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sonde/internal/daemon"
	"sonde/internal/proc"
)

// Daemon is one child to keep alive.
type Daemon struct {
	Name string // of its keepalive and its log
	Path string
	Args []string
	Env  []string // whole environment; nil: ours

	// Promises is false for a foreign server, which writes no keepalive: for it
	// living is enough.
	Promises bool
}

// timing is what tests shorten.
type timing struct {
	look  time.Duration // between two looks at the keepalives
	first time.Duration // for the first keepalive after a start
	slack time.Duration // a promise may be late by so much
	dump  time.Duration // for the goroutine dump before SIGKILL
	stop  time.Duration // between the first SIGTERM and the second
	drop  time.Duration // between the second SIGTERM and SIGKILL
	own   time.Duration // the supervisor's own promise
	list  time.Duration // between two looks at servers.alive and its kin
}

var usual = timing{look: 500 * time.Millisecond, first: 30 * time.Second, slack: 2 * time.Second, dump: 3 * time.Second, stop: 30 * time.Second, drop: 5 * time.Second, own: 15 * time.Second, list: 5 * time.Second}

// child keeps one daemon alive.
type child struct {
	d     Daemon
	file  string
	log   string
	slog  *slog.Logger
	t     timing
	grace *grace

	ready    chan struct{} // closed when the first promise was seen
	once     sync.Once
	pid      atomic.Int64
	restarts atomic.Int64
	started  func(proc.Ident)
}

// run starts the daemon again and again until stopping ends, then sees it off.
func (c *child) run(stopping, cancelled context.Context) {
	var b backoff
	for stopping.Err() == nil {
		born := time.Now()
		err := c.live(stopping, cancelled)
		if stopping.Err() != nil {
			return
		}
		pause := b.fell(time.Since(born))
		c.restarts.Add(1)
		c.slog.Warn("a daemon fell and is started again", "name", c.d.Name, "error", err, "pause", pause.Round(time.Millisecond).String(), "restarts", c.restarts.Load())
		select {
		case <-stopping.Done():
		case <-time.After(pause):
		}
	}
}

// live is one life of the daemon, from start to end.
func (c *child) live(stopping, cancelled context.Context) error {
	log, err := openLog(c.log)
	if err != nil {
		// Measuring without a log is better than not measuring.
		c.slog.Error("a daemon runs without its log", "name", c.d.Name, "error", err)
		if log, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0); err != nil {
			return err
		}
	}
	defer log.Close()
	// The keepalive of the life before stays: on a full disk the new one is
	// written over it in place. Its identity tells whose it is.
	cmd := exec.Command(c.d.Path, c.d.Args...)
	cmd.Env = c.d.Env
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	// "all": every goroutine in the dump, not only the running one.
	cmd.Env = append(cmd.Env[:len(cmd.Env):len(cmd.Env)], daemon.FileEnv+"="+c.file, "GOTRACEBACK=all")
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	p, err := proc.Start(cmd, syscall.SIGTERM)
	if err != nil {
		return fmt.Errorf("start %s: %w", c.d.Path, err)
	}
	id, err := proc.Identify(p.Pid)
	if err != nil {
		<-p.Done() // it ended before we could look
		return ended(p.Err())
	}
	c.pid.Store(int64(p.Pid))
	c.started(id)
	defer c.pid.Store(0)
	// The group may hold more than its leader, and nothing of it may stay.
	defer p.Signal(syscall.SIGKILL)

	born := daemon.BootClock()
	for {
		select {
		case <-p.Done():
			return ended(p.Err())
		case <-stopping.Done():
			return c.seeOff(p, cancelled)
		case <-time.After(c.t.look):
		}
		why := c.judge(id, born)
		if why == nil {
			continue
		}
		// Who cannot write cannot keep a promise. Killing it would not help.
		if err := c.room(); err != nil {
			c.slog.Error("keepalives cannot be written, so nobody is judged by them", "error", err)
			c.grace.extend(daemon.BootClock() + c.t.first)
			continue
		}
		c.end(p, why)
		return why
	}
}

// judge looks at the promise; an error is a broken one.
func (c *child) judge(id proc.Ident, born time.Duration) error {
	if !c.d.Promises {
		c.once.Do(func() { close(c.ready) })
		return nil
	}
	now, grace := daemon.BootClock(), c.grace.until()
	k, err := daemon.ReadKeepalive(c.file)
	if err != nil || k.Ident != id {
		if due := max(born+c.t.first, grace); now > due {
			return fmt.Errorf("no keepalive within %v of its start", (now - born).Round(time.Second))
		}
		return nil
	}
	c.once.Do(func() { close(c.ready) })
	if due := max(k.Promised+c.t.slack, grace); now > due {
		return fmt.Errorf("it stands still: its report %d (%s) promised another %v ago", k.Seq, k.Doing, (now - k.Promised).Round(100*time.Millisecond))
	}
	return nil
}

// room tries whether a keepalive could be made where the daemon makes its own.
func (c *child) room() error {
	path := c.file + ".room"
	err := proc.Replace(path, make([]byte, 4096), 0o644, false)
	_ = os.Remove(path)
	return err
}

// end takes the goroutine dump of a daemon that stands still, and kills its group.
func (c *child) end(p *proc.Child, why error) {
	var offset int64
	if info, err := os.Stat(c.log); err == nil {
		offset = info.Size()
	}
	// The dump comes from the Go runtime, in the signal handler. A stopped
	// process handles it only when it is woken.
	_ = syscall.Kill(p.Pid, syscall.SIGQUIT)
	_ = syscall.Kill(p.Pid, syscall.SIGCONT)
	select {
	case <-p.Done():
	case <-time.After(c.t.dump):
	}
	_ = p.Signal(syscall.SIGKILL)
	<-p.Done()
	stack, err := keepStack(c.log, offset, time.Now())
	c.slog.Error("a daemon stood still and was killed", "name", c.d.Name, "pid", p.Pid, "reason", why, "goroutines", stack, "dump_error", err)
}

// seeOff is the two-step end.
func (c *child) seeOff(p *proc.Child, cancelled context.Context) error {
	_ = syscall.Kill(p.Pid, syscall.SIGTERM)
	_ = syscall.Kill(p.Pid, syscall.SIGCONT)
	select {
	case <-p.Done():
		return nil
	case <-cancelled.Done():
	case <-time.After(c.t.stop):
		c.slog.Warn("a daemon takes long to stop and is asked again", "name", c.d.Name, "pid", p.Pid)
	}
	_ = syscall.Kill(p.Pid, syscall.SIGTERM)
	select {
	case <-p.Done():
		return nil
	case <-time.After(c.t.drop):
	}
	c.end(p, errors.New("it does not stop"))
	return nil
}

func ended(err error) error {
	if err == nil {
		return errors.New("it ended by itself")
	}
	return fmt.Errorf("it ended: %w", err)
}

// grace is a moment by the boot clock before which no promise counts as
// broken: after we ourselves stood still (a suspended machine, SIGSTOP) the
// daemons, which did too, get time to report.
type grace struct{ at atomic.Int64 }

func (g *grace) until() time.Duration    { return time.Duration(g.at.Load()) }
func (g *grace) extend(to time.Duration) { g.at.Store(int64(to)) }

func logFile(dir, name string) string { return filepath.Join(dir, name+".log") }
