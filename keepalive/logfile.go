package keepalive

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sonde/internal/proc"
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

// keepStack keeps what a child wrote to its log since offset, its goroutines,
// as a file of its own, and removes the oldest of those files.
func keepStack(logPath string, offset int64, now time.Time) (string, error) {
	base := logPath[:len(logPath)-len(filepath.Ext(logPath))]
	to := base + "." + now.UTC().Format("20060102T150405.000") + ".stack"
	if err := proc.CopyFrom(logPath, offset, to); err != nil {
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
