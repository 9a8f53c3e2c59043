package keepalive

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	mostLog   = 10 << 20 // bytes of one log
	oldLogs   = 3        // turned logs kept of each daemon
	oldStacks = 5        // goroutine dumps kept of each daemon
)

// openLog opens a log for a child to write to by itself: a pipe through us would
// break when we are killed, and take a child down that is just finishing its work.
func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("folder of logs: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return f, nil
}

// turnLog moves a grown log aside: NAME.log.1 is the newest old one. Children
// hold the file open and append, so it is copied and cut; a line written between
// the two is lost.
func turnLog(path string, most int64) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() < most {
		return nil
	}
	for n := oldLogs; n > 1; n-- {
		_ = os.Rename(fmt.Sprintf("%s.%d", path, n-1), fmt.Sprintf("%s.%d", path, n))
	}
	copyErr := copyFrom(path, 0, path+".1")
	// Cut also when there was no room for the copy: then least of all may it grow.
	if err := os.Truncate(path, 0); err != nil {
		return fmt.Errorf("turn log: %w", err)
	}
	return copyErr
}

func copyFrom(path string, offset int64, to string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := in.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, in)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil || n == 0 {
		_ = os.Remove(to)
	}
	return err
}

// keepStack keeps what a child wrote to its log since offset, its goroutines,
// as a file of its own, and removes the oldest of those files.
func keepStack(logPath string, offset int64, now time.Time) (string, error) {
	base := logPath[:len(logPath)-len(filepath.Ext(logPath))]
	to := base + "." + now.UTC().Format("20060102T150405.000") + ".stack"
	if err := copyFrom(logPath, offset, to); err != nil {
		return "", err
	}
	old, _ := filepath.Glob(base + ".*.stack")
	slices.Sort(old)
	for len(old) > oldStacks {
		_ = os.Remove(old[0])
		old = old[1:]
	}
	return to, nil
}
