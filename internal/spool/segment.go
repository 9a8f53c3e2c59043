package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sonde/internal/proc"
)

// ErrBusy says that somebody still writes, or reads, the segment.
var ErrBusy = errors.New("the segment is in use")

// maxSegment bounds what is read into memory. No writer makes longer ones.
const maxSegment = segmentSize + maxWrite + maxRecord + 64

// Segment is one file of the folder.
type Segment struct {
	Path string
	Size int64

	file *os.File
}

// Name is the segment's name in its folder.
func (s *Segment) Name() string { return filepath.Base(s.Path) }

// Scan lists all segments, oldest first; those still being written too.
func Scan(dir string) ([]*Segment, error) {
	entries, err := os.ReadDir(dir) // by name, and names begin with the time
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("spool: %w", err)
	}
	var list []*Segment
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // loaded and removed meanwhile
		}
		list = append(list, &Segment{Path: filepath.Join(dir, e.Name()), Size: info.Size()})
	}
	return list, nil
}

// Usage tells how many segments dir holds, and how long they are together.
func Usage(dir string) (files int, bytes int64, err error) {
	list, err := Scan(dir)
	for _, s := range list {
		bytes += s.Size
	}
	return len(list), bytes, err
}

// Read takes the segment and gives its good records. The error is ErrBusy, a
// *Damage beside the good records, or that of the file system. A segment that
// was taken is held until Close, Remove or SetAside.
func (s *Segment) Read() ([]json.RawMessage, error) {
	if s.file == nil {
		f, err := os.Open(s.Path)
		if err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			_ = f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, ErrBusy
			}
			return nil, fmt.Errorf("spool: lock %s: %w", s.Path, err)
		}
		s.file = f
	}
	raw, err := io.ReadAll(io.NewSectionReader(s.file, 0, maxSegment+1))
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("spool: %w", err)
	}
	tooLong := len(raw) > maxSegment
	records, damage := parse(raw)
	switch {
	case tooLong:
		return records, &Damage{Lines: 1, First: maxSegment} // what lies behind was not read
	case damage != nil:
		return records, damage
	}
	return records, nil
}

// Remove deletes the segment: all of it is in the database.
func (s *Segment) Remove() error {
	defer s.Close()
	if err := os.Remove(s.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// SetAside moves the segment to the folder damaged beside it, and tells where it is now.
func (s *Segment) SetAside() (string, error) {
	defer s.Close()
	dir := filepath.Join(filepath.Dir(s.Path), "damaged")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("spool: %w", err)
	}
	to := filepath.Join(dir, s.Name())
	for n := 1; ; n++ {
		if _, err := os.Lstat(to); err != nil {
			break
		}
		to = filepath.Join(dir, fmt.Sprintf("%s.%d", s.Name(), n))
	}
	if err := os.Rename(s.Path, to); err != nil {
		return "", fmt.Errorf("spool: %w", err)
	}
	return to, errors.Join(proc.SyncDir(dir), proc.SyncDir(filepath.Dir(s.Path)))
}

// Close gives a segment back that was taken by Read.
func (s *Segment) Close() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}
