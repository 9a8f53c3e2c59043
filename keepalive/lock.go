package keepalive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrTaken says that a living process owns the state folder.
var ErrTaken = errors.New("the state folder is in use")

// Lock is the ownership of a state folder, for as long as this process lives.
type Lock struct{ f *os.File }

// Own takes the lock of a state folder, which is made when missing. The error
// of a taken one names the owner. The file stays: removing it would let two
// processes hold a lock on two files of one name.
func Own(state string) (*Lock, error) {
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	path := filepath.Join(state, "lock")
	// Who may open the file, if only to read it, may hold the lock: then nobody
	// could start here, and a pass of the crontab would take whoever has the pid
	// that was written there last for a supervisor that stands still.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock of the state folder: %w", err)
	}
	_ = f.Chmod(0o600) // one of an older version
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is held by process %s; stop it first, or use another --data folder", ErrTaken, path, ownerOf(path))
		}
		return nil, fmt.Errorf("lock of the state folder: %w", err)
	}
	// Only for people and for that message; the lock itself is the kernel's. A
	// full disk is no reason not to start.
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return &Lock{f: f}, nil
}

// Owner gives the pid of the process that holds the lock; 0 if nobody does.
func Owner(state string) (int, error) {
	path := filepath.Join(state, "lock")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("lock of the state folder: %w", err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		return 0, nil
	}
	pid, err := strconv.Atoi(ownerOf(path))
	if err != nil {
		return 0, fmt.Errorf("%s is held by a process that did not write its id there", path)
	}
	return pid, nil
}

// Release gives the folder back.
func (l *Lock) Release() { l.f.Close() }

func ownerOf(path string) string {
	raw, err := os.ReadFile(path)
	if pid := strings.TrimSpace(string(raw)); err == nil && pid != "" {
		return pid
	}
	return "(unknown)"
}
