package keepalive

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"sonde/internal/daemon"
	"sonde/internal/proc"
)

// SupervisorName is the supervisor's own name among the keepalives.
const SupervisorName = "supervisor"

// Pass is one look at the supervisor itself, for a crontab: one that is not
// there, or whose promise is broken, is started by start, which returns when it
// has started a process. did says in a sentence what was done.
func Pass(ctx context.Context, state, logDir string, start func() error) (did string, err error) {
	pid, err := Owner(state)
	if err != nil {
		return "", err
	}
	did = "no supervisor was running"
	if pid != 0 {
		id, err := proc.Identify(pid)
		if err != nil {
			return "", fmt.Errorf("the state folder is held by process %d, which cannot be looked at: %w", pid, err)
		}
		k, why := standing(state, id)
		if why == "" {
			return fmt.Sprintf("the supervisor, process %d, is alive: %s", pid, k.Doing), nil
		}
		if err := put(ctx, id); err != nil {
			return "", fmt.Errorf("the supervisor, process %d, %s: %w", pid, why, err)
		}
		did = fmt.Sprintf("the supervisor, process %d, %s and was killed", pid, why)
	}
	if err := start(); err != nil {
		return "", fmt.Errorf("%s; start it: %w", did, err)
	}
	for {
		if k, err := daemon.ReadKeepalive(daemon.KeepaliveFile(state, SupervisorName)); err == nil && k.Alive() && k.Late() < 0 {
			return fmt.Sprintf("%s; started it as process %d", did, k.Pid), nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("%s; it was started but has not reported: see %s", did, logFile(logDir, SupervisorName))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// standing says why a supervisor that lives is as good as dead, or "".
func standing(state string, id proc.Ident) (daemon.Keepalive, string) {
	k, err := daemon.ReadKeepalive(daemon.KeepaliveFile(state, SupervisorName))
	if err != nil || k.Ident != id {
		age := daemon.BootClock() - time.Duration(id.Start)*(time.Second/100)
		if age > time.Minute {
			return k, "has never reported"
		}
		k.Doing = "starting"
		return k, ""
	}
	if late := k.Late(); late > 5*time.Second {
		return k, fmt.Sprintf("stood still (its report was due %v ago)", late.Round(time.Second))
	}
	return k, ""
}

// put ends a supervisor that stands still, goroutines first, and waits for its lock.
func put(ctx context.Context, id proc.Ident) error {
	gone, err := id.Gone()
	if err != nil {
		return nil // it went by itself
	}
	for _, step := range []struct {
		sig  syscall.Signal
		wait time.Duration
	}{{syscall.SIGQUIT, 5 * time.Second}, {syscall.SIGKILL, 10 * time.Second}} {
		_ = id.Signal(step.sig)
		_ = id.Signal(syscall.SIGCONT)
		select {
		case <-gone:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(step.wait):
		}
	}
	return errors.New("it does not end")
}
