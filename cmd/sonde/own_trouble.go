package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"sonde/probes"
	tools "sonde/probes/catalog"
)

// socketTrial is what came of trying a tool's sockets.
type socketTrial struct {
	tool, text string
	err        error
}

// trySockets tries what the probes need of the kernel, with the rights of this process.
func trySockets(ctx context.Context) []socketTrial {
	var trials []socketTrial
	for _, tool := range tools.All() {
		if tool.Open == nil {
			continue
		}
		text := "its sockets open"
		engine, err := tool.Open(ctx, probes.Env{Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			if what, ok := engine.(fmt.Stringer); ok {
				text = what.String()
			}
			err = engine.Close()
		}
		trials = append(trials, socketTrial{tool.Name, text, err})
	}
	return trials
}

const (
	diskEvery = time.Minute
	diskAgain = 15 * time.Minute // a full disk is said again so often
	diskLeast = 100 << 20        // bytes; PostgreSQL writes its log ahead in files of 16 MiB
)

// ownTrouble tells on the supervisor's own standard error, where the journal
// takes it, what the daemons can only write to the disk that is full, or what
// makes every run fail that a person is about to ask for.
func (h *host) ownTrouble(ctx context.Context) {
	for _, t := range trySockets(ctx) {
		if t.err != nil {
			h.log.Warn("every run of a tool will fail", "tool", t.tool, "error", t.err)
		}
	}
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	var said time.Time
	for {
		if free, err := freeBytes(h.State); err == nil && free < diskLeast && time.Since(said) > diskAgain {
			said = time.Now()
			h.log.Error("THE DISK IS NEARLY FULL: results are lost when nothing can be written", "folder", h.State, "free", fmt.Sprintf("%d MiB", free>>20))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// freeBytes is the room for us on the file system of a folder.
func freeBytes(dir string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("free disk of %s: %w", dir, err)
	}
	return int64(fs.Bavail) * int64(fs.Bsize), nil // 32 bits on ARM
}
