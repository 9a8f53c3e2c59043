package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/config"
	"sonde/daemons/worker"
	"sonde/internal/daemon"
	"sonde/internal/proc"
	"sonde/internal/store"
	"sonde/probes/catalog"
)

// pool opens the daemon's connections without waiting for the database.
func (d asDaemon) pool(ctx context.Context) (*pgxpool.Pool, error) {
	return daemon.Open(ctx, d.DSN, d.Name)
}

// thisHost is this monitoring host as it enters itself into the database.
func thisHost(c config.Config) (store.Host, error) {
	instance, err := instanceOf(c.State)
	if err != nil {
		return store.Host{}, err
	}
	machine, _ := os.Hostname()
	h := store.Host{Name: c.Monhost, Address: c.Monhost, Instance: instance, Described: fmt.Sprintf("%s, state in %s", machine, c.State), Version: version}
	for _, t := range catalog.All() {
		h.Tools = append(h.Tools, t.Name)
	}
	return h, nil
}

// instanceOf is the identity of a state folder, made once: two folders that
// claim one monitoring host's name are told apart by it.
func instanceOf(state string) (string, error) {
	path := filepath.Join(state, "instance")
	for {
		raw, err := os.ReadFile(path)
		if id := strings.TrimSpace(string(raw)); err == nil && id != "" {
			return id, nil
		}
		// Empty since a power cut or a full disk: it names nobody. The supervisor
		// is the first to read it, and alone.
		if err == nil {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return "", fmt.Errorf("identity of this state folder: %w", err)
			}
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("identity of this state folder: %w", err)
		}
		if err := os.MkdirAll(state, 0o755); err != nil {
			return "", fmt.Errorf("identity of this state folder: %w", err)
		}
		// Several daemons may come first; the one that links its file wins.
		mine := fmt.Sprintf("%s.%d", path, os.Getpid())
		if err := proc.Replace(mine, []byte(rand.Text()+"\n"), 0o644, true); err != nil {
			return "", fmt.Errorf("identity of this state folder: %w", err)
		}
		err = os.Link(mine, path)
		_ = os.Remove(mine)
		if err != nil && !errors.Is(err, os.ErrExist) {
			return "", fmt.Errorf("identity of this state folder: %w", err)
		}
	}
}

// startedAt makes the name of a claim's owner differ from that of a process
// that had the same pid before.
func startedAt() int64 { return time.Now().Unix() }

// noSpool stands for a spool that could not be opened; it takes nothing.
type noSpool struct{ err error }

func (n noSpool) Append([]json.RawMessage) error { return n.err }
func (n noSpool) Release() error                 { return nil }

func orNoSpool(s worker.Spool, err error) worker.Spool {
	if err != nil {
		return noSpool{err}
	}
	return s
}
