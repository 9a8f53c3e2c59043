package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sonde/internal/proc"
)

const (
	segmentSize = 4 << 20 // a segment this long is closed
	maxRecord   = 8 << 20
	maxWrite    = 16 << 20 // of one batch into one segment
	suffix      = ".spool"
	usageAge    = 10 * time.Second // how old the knowledge of what others wrote may be
)

// segmentAge is how long a segment stays with its writer, also when nobody says
// Release: a row that was spooled by mishap, the database being there, is loaded too.
var segmentAge = time.Minute

// ErrFull says that the folder has reached its limit: nothing was written.
var ErrFull = errors.New("the spool is full")

// Writer appends records to segments of its own. It may be used by several
// goroutines.
type Writer struct {
	dir, name string
	limit     int64

	mu     sync.Mutex
	file   *os.File
	size   int64 // bytes known to be on disk
	old    *time.Timer
	used   int64 // of the whole folder, without what was written since
	looked time.Time
}

// Open makes the folder when there is none, and checks that it can be written
// to. name is part of the segments' names; no two living writers of a folder
// share one. limit is for the whole folder, in bytes.
func Open(dir, name string, limit int64) (*Writer, error) {
	if name == "" || strings.ContainsAny(name, "/\x00") {
		return nil, fmt.Errorf("spool: %q is no name of a writer", name)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := Writable(dir); err != nil {
		return nil, err
	}
	w := &Writer{dir: dir, name: name, limit: limit}
	// Left by a writer of this name that was killed before its segment was visible: surely empty.
	left, _ := filepath.Glob(filepath.Join(dir, "*-"+name+suffix+".new"))
	for _, path := range left {
		_ = os.Remove(path)
	}
	return w, nil
}

// Writable says whether files can be made in dir, by making one: permissions
// alone do not tell. A disk that is full today is no reason against a folder.
func Writable(dir string) error {
	f, err := os.CreateTemp(dir, ".writable-*")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil && !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("spool %s cannot be written to: %w", dir, err)
	}
	return nil
}

// Append writes records and returns when they are on disk. An error means that
// none of them counts as kept; ErrFull that the folder is at its limit.
func (w *Writer) Append(records []json.RawMessage) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var parts [][]byte
	var buf []byte
	var total int64
	for _, r := range records {
		before := len(buf)
		var err error
		if buf, err = appendLine(buf, r); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		total += int64(len(buf) - before)
		if len(buf) >= maxWrite {
			parts, buf = append(parts, buf), nil
		}
	}
	if len(buf) > 0 {
		parts = append(parts, buf)
	}
	if total == 0 {
		return nil
	}
	if err := w.room(total); err != nil {
		return err
	}
	for _, p := range parts {
		if err := w.write(p); err != nil {
			return fmt.Errorf("spool %s: %w", w.dir, err)
		}
		w.used += int64(len(p))
	}
	return nil
}

func (w *Writer) room(more int64) error {
	if w.looked.IsZero() || time.Since(w.looked) > usageAge || w.used+more > w.limit {
		_, used, err := Usage(w.dir)
		if err != nil {
			return err
		}
		w.used, w.looked = used, time.Now()
	}
	if w.used+more > w.limit {
		return fmt.Errorf("%w: %s holds %d bytes, its limit is %d", ErrFull, w.dir, w.used, w.limit)
	}
	return nil
}

// write brings raw to disk, in a segment that is neither full nor old.
func (w *Writer) write(raw []byte) error {
	if w.file == nil {
		if err := w.newSegment(); err != nil {
			return err
		}
	}
	_, err := w.file.WriteAt(raw, w.size)
	if err == nil {
		err = w.file.Sync()
	}
	if err == nil {
		w.size += int64(len(raw))
		if w.size >= segmentSize {
			_ = w.closeSegment() // the bytes are on disk whatever close says
		}
		return nil
	}
	// Part of raw may be in the file. Cut it off; what comes next goes to a new
	// segment, because after a failed fsync nobody knows what this one holds.
	return errors.Join(err, w.file.Truncate(w.size), w.closeSegment())
}

func (w *Writer) newSegment() error {
	now := time.Now().UTC()
	path := filepath.Join(w.dir, fmt.Sprintf("%s%09d-%s%s", now.Format("20060102T150405."), now.Nanosecond(), w.name, suffix))
	hidden := path + ".new"
	f, err := os.OpenFile(hidden, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		if _, exists := os.Lstat(path); exists == nil {
			err = os.ErrExist // the clock stepped back; a rename would replace the other
		}
	}
	if err == nil {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(hidden)
		return err
	}
	w.file, w.size = f, 0
	w.old = time.AfterFunc(segmentAge, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.file == f {
			_ = w.closeSegment()
		}
	})
	if err := proc.SyncDir(w.dir); err != nil {
		return errors.Join(err, w.closeSegment())
	}
	return nil
}

// closeSegment gives the segment to the loader, or removes it when nothing is in it.
func (w *Writer) closeSegment() error {
	f := w.file
	w.old.Stop()
	var err error
	if w.size == 0 {
		err = os.Remove(strings.TrimSuffix(f.Name(), ".new"))
	}
	w.file, w.size = nil, 0
	return errors.Join(err, f.Close())
}

// Release closes the current segment, so that the loader may take it at once.
// What Append wrote is on disk also when closing fails.
func (w *Writer) Release() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	if err := w.closeSegment(); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}
