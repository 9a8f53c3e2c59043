package proc

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Command is one foreign program to run to its end.
type Command struct {
	Path string   // looked up in PATH when it has no slash
	Args []string // without the program's own name
	Env  []string // nil: ours
	Dir  string
	Most int           // bytes kept of each output; 0 means 64 KiB
	Wait time.Duration // between SIGTERM and SIGKILL; 0 means 2 s
}

// Output is what a program said. Cut tells that there was more than was kept:
// the beginning is kept, the rest is read and dropped, so that the program
// never blocks on a full pipe.
type Output struct {
	Stdout, Stderr []byte
	Cut            bool
	Code           int // exit code; -1 if a signal ended it
	Took           time.Duration
}

// ErrDeadline is in the error of a program that ctx ended.
var ErrDeadline = errors.New("out of time")

// Run runs a program in a process group of its own until it ends or ctx does;
// then the group gets SIGTERM and after a while SIGKILL. What was said so far is
// returned in any case. A code other than 0 is an error too.
func Run(ctx context.Context, c Command) (Output, error) {
	if c.Most <= 0 {
		c.Most = 64 << 10
	}
	if c.Wait <= 0 {
		c.Wait = 2 * time.Second
	}
	if ctx.Err() != nil {
		return Output{Code: -1}, fmt.Errorf("%s: %w: %w", c.Path, ErrDeadline, context.Cause(ctx))
	}
	out, errOut := &capped{most: c.Most}, &capped{most: c.Most}
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env, cmd.Dir = c.Env, c.Dir
	cmd.Stdout, cmd.Stderr = out, errOut
	// A grandchild that left the group may hold the pipe for ever.
	cmd.WaitDelay = c.Wait
	began := time.Now()
	child, err := Start(cmd, syscall.SIGKILL)
	if err != nil {
		return Output{Code: -1}, fmt.Errorf("start %s: %w", c.Path, err)
	}
	// Done is closed when Wait returned, and Wait waits for the pipes: with
	// background children alive that is later than the program's own end.
	select {
	case <-child.Done():
	case <-ctx.Done():
		_ = child.Signal(syscall.SIGTERM)
		select {
		case <-child.Done():
		case <-time.After(c.Wait):
			_ = child.Signal(syscall.SIGKILL)
			<-child.Done()
		}
	}
	_ = child.Signal(syscall.SIGKILL) // what it left behind in its group
	res := Output{Took: time.Since(began), Code: -1}
	res.Stdout, res.Stderr = out.take(), errOut.take()
	res.Cut = out.cut() || errOut.cut()
	if cmd.ProcessState != nil {
		res.Code = cmd.ProcessState.ExitCode()
	}
	switch err := child.Err(); {
	case ctx.Err() != nil && err != nil:
		return res, fmt.Errorf("%s: %w: %w", c.Path, ErrDeadline, context.Cause(ctx))
	case errors.Is(err, exec.ErrWaitDelay):
		return res, nil // it ended well; somebody else held its pipe
	case err != nil:
		return res, fmt.Errorf("%s: %w", c.Path, err)
	}
	return res, nil
}

// capped keeps the first bytes and counts the rest.
type capped struct {
	mu    sync.Mutex
	most  int
	kept  []byte
	total int
}

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total += len(p)
	if room := c.most - len(c.kept); room > 0 {
		c.kept = append(c.kept, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

func (c *capped) take() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept
}

func (c *capped) cut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total > len(c.kept)
}
