package loader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"sonde/internal/spool"
	"sonde/internal/store"
)

const (
	chunkRows = 500              // rows in one transaction
	chunkTime = 30 * time.Second // for one transaction, then the database counts as away
	poll      = time.Second
	promise   = chunkTime + 30*time.Second
	againIn   = 10 * time.Minute // a segment that could not be removed or moved
)

// Database is what the loader needs of internal/store.
type Database interface {
	Load(ctx context.Context, rows []store.SpoolRow) (store.Loaded, error)
}

// Options is what a loader is made of. All of it is needed.
type Options struct {
	Dir      string // the spool
	Database Database
	Log      *slog.Logger

	// Report tells of progress and promises the next report.
	Report func(doing string, next time.Duration)

	// Wait returns when the database answers. It reports as it waits.
	Wait func(ctx context.Context) error

	// Tell gets the counters from time to time and after each change; it must not block.
	Tell func(c Counters)
}

// Counters are what the loader tells of itself.
type Counters struct {
	Files   int           // in the spool, those still being written included
	Bytes   int64         // their length
	Oldest  time.Duration // how long the oldest of them has been there
	Loaded  int           // rows stored since the start
	Doubles int           // rows whose run had a result already
	Refused int           // rows set aside
	Damaged int           // files set aside
}

// Loader loads one spool folder.
type Loader struct {
	Options
	counters Counters
	passed   map[string]time.Time // segments that could not be removed or moved, and when
	told     time.Time
	problem  string // of the folder, so that it is logged once
}

// New makes a loader.
func New(o Options) *Loader {
	return &Loader{Options: o, passed: map[string]time.Time{}}
}

// Run loads until ctx ends; the chunk under way is finished. The error is nil:
// nothing that goes wrong here gets better by giving up.
func (l *Loader) Run(ctx context.Context) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		changed := l.pass(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if changed || time.Since(l.told) > 5*time.Second {
			l.tell()
		}
		l.Report("waiting for segments", promise)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (l *Loader) tell() {
	l.told = time.Now()
	l.Tell(l.counters)
}

// pass loads every segment that can be had, oldest first, and says whether the
// counters changed.
func (l *Loader) pass(ctx context.Context) bool {
	list, err := spool.Scan(l.Dir)
	if err != nil {
		if l.problem != err.Error() {
			l.Log.Error("the spool cannot be read", "error", err)
		}
		l.problem = err.Error()
		return false
	}
	l.problem = ""
	before := l.counters
	l.look(list)
	for _, s := range list {
		if ctx.Err() != nil {
			return true
		}
		if at, ok := l.passed[s.Name()]; ok && time.Since(at) < againIn {
			continue
		}
		if l.load(ctx, s) {
			l.counters.Files--
			l.counters.Bytes -= s.Size
		}
		if time.Since(l.told) > 5*time.Second {
			l.tell()
		}
	}
	after := l.counters
	after.Oldest = before.Oldest
	return after != before
}

func (l *Loader) look(list []*spool.Segment) {
	l.counters.Files, l.counters.Bytes, l.counters.Oldest = len(list), 0, 0
	for _, s := range list {
		l.counters.Bytes += s.Size
	}
	if len(list) > 0 {
		if info, err := os.Stat(list[0].Path); err == nil {
			l.counters.Oldest = max(0, time.Since(info.ModTime()))
		}
	}
}

// load brings one segment into the database; true when it is gone from the spool.
func (l *Loader) load(ctx context.Context, s *spool.Segment) bool {
	records, err := s.Read()
	defer s.Close()
	var damage *spool.Damage
	switch {
	case errors.Is(err, spool.ErrBusy), errors.Is(err, os.ErrNotExist):
		return false
	case errors.As(err, &damage):
	case err != nil:
		l.passOver(s, "the segment cannot be read", err)
		return false
	}
	rows, refused := decode(records)
	stored, doubles := 0, 0
	for len(rows) > 0 {
		n := min(chunkRows, len(rows))
		l.Report(fmt.Sprintf("loading %s, %d rows to go", s.Name(), len(rows)), promise)
		loaded, bad, err := l.chunk(ctx, rows[:n])
		if err != nil {
			return false // told to stop: the next loader reads it again
		}
		refused = append(refused, bad...)
		rows, stored, doubles = rows[n:], stored+loaded.Stored, doubles+loaded.Doubles
	}
	l.counters.Loaded += stored
	l.counters.Doubles += doubles
	l.counters.Refused += len(refused)
	if len(refused) > 0 {
		file, err := setAside(l.Dir, s.Name(), refused)
		if err != nil {
			l.passOver(s, "rows that the database refuses cannot be set aside", err)
			return false
		}
		l.Log.Error("the database refuses rows of the spool; they are set aside", "rows", len(refused), "file", file, "first", refused[0].Why)
	}
	if damage != nil {
		file, err := s.SetAside()
		if err != nil {
			l.passOver(s, "the damaged segment cannot be set aside", err)
			return false
		}
		l.counters.Damaged++
		l.Log.Error("a segment of the spool is damaged; its good rows are loaded, the file is set aside", "file", file, "damage", damage)
	} else if err := s.Remove(); err != nil {
		l.passOver(s, "the loaded segment cannot be removed", err)
		return false
	}
	l.Log.Info("segment loaded", "segment", s.Name(), "rows", stored, "doubles", doubles, "refused", len(refused))
	return true
}

// passOver leaves a segment alone for a while: what cannot be removed would
// otherwise be loaded without pause.
func (l *Loader) passOver(s *spool.Segment, what string, err error) {
	l.passed[s.Name()] = time.Now()
	l.Log.Error(what, "segment", s.Path, "again_in", againIn, "error", err)
}
