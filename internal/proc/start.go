package proc

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Child is a program that Start has started.
type Child struct {
	Cmd  *exec.Cmd
	Pid  int
	done chan struct{}
	err  error
}

// Done is closed when the child has ended and has been reaped.
func (c *Child) Done() <-chan struct{} { return c.done }

// Err waits for the end and says how it ended: nil, or what exec.Cmd.Wait returned.
func (c *Child) Err() error {
	<-c.done
	return c.err
}

// Signal reaches the child's whole process group, also what a dead leader left
// behind in it; a group that is gone is no error.
func (c *Child) Signal(sig syscall.Signal) error {
	err := syscall.Kill(-c.Pid, sig)
	if err == syscall.ESRCH {
		return nil
	}
	return err
}

// Start starts cmd in a process group of its own. With tied not 0 the kernel
// sends the child that signal when this process dies, of whatever.
//
// PR_SET_PDEATHSIG watches the thread that forked, not the process. So one
// goroutine keeps a locked thread from the fork until the child has ended.
func Start(cmd *exec.Cmd, tied syscall.Signal) (*Child, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if !cmd.SysProcAttr.Setsid {
		cmd.SysProcAttr.Setpgid = true
	}
	cmd.SysProcAttr.Pdeathsig = tied
	c := &Child{Cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			c.Pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		c.err = cmd.Wait()
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}
