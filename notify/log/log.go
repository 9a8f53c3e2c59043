package log

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"sonde/internal/measure"
	"sonde/notify"
)

// Type is the medium as the catalogue lists it.
func Type() notify.Type {
	return notify.Type{
		Name:    "log",
		Meaning: "writes messages to a file, one JSON line each, or to the notifier's own log",
		Options: options,
		New:     open,
	}
}

var options = []measure.Option{
	{Name: "path", Type: measure.TextOption, Meaning: "the file to append to, as an absolute path that ends in .log, .json or .jsonl; default: the notifier's own log"},
}

// Line is what one message looks like in the file.
type Line struct {
	At      time.Time `json:"at"`
	Name    string    `json:"name"`
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	Short   string    `json:"short"`
	Text    string    `json:"text"`
}

type medium struct {
	path string
	log  *slog.Logger
}

func open(raw json.RawMessage, env notify.Env) (notify.Medium, error) {
	o, err := measure.ReadOptions(options, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", notify.ErrSpec, err)
	}
	m := &medium{path: o.Text("path"), log: env.Log}
	if m.path != "" && !filepath.IsAbs(m.path) {
		return nil, fmt.Errorf("%w: option \"path\" must be an absolute path, not %q", notify.ErrSpec, m.path)
	}
	// Whoever may insert mediums must not write into other programs' files with
	// the rights of the notifier: an /etc/ld.so.preload, say, or a crontab.
	if ext := filepath.Ext(m.path); m.path != "" && ext != ".log" && ext != ".json" && ext != ".jsonl" {
		return nil, fmt.Errorf("%w: option \"path\" must end in .log, .json or .jsonl, not %q", notify.ErrSpec, m.path)
	}
	if m.log == nil {
		m.log = slog.Default()
	}
	return m, nil
}

// Send writes the message down; the proof is the sync.
func (m *medium) Send(ctx context.Context, msg notify.Message) (notify.Proof, error) {
	if err := ctx.Err(); err != nil {
		return notify.Proof{}, fmt.Errorf("%w: %w", notify.ErrFailed, err)
	}
	if m.path == "" {
		m.log.Info("message", "name", msg.Name, "to", msg.To, "subject", msg.Subject, "short", msg.Short, "text", msg.Text)
		return notify.Proof{Reference: msg.Name, Text: "written to the notifier's log"}, nil
	}
	b, err := json.Marshal(Line{time.Now().UTC(), msg.Name, msg.To, msg.Subject, msg.Short, msg.Text})
	if err != nil {
		return notify.Proof{}, fmt.Errorf("%w: %w", notify.ErrFailed, err)
	}
	if err := m.append(ctx, append(b, '\n')); err != nil {
		return notify.Proof{}, fmt.Errorf("%w: write to %s: %w", notify.ErrFailed, m.path, err)
	}
	return m.proof(msg), nil
}

// append writes one whole line. Several notifiers may share the file: O_APPEND
// keeps lines whole. After a power cut the last line may lack its end, so a
// line is begun anew where the file does not end with one; the lock keeps us
// from taking for such a line one that another is just writing. A symbolic link
// is refused: in a shared folder anybody could have put it there.
func (m *medium) append(ctx context.Context, line []byte) error {
	f, err := os.OpenFile(m.path, os.O_CREATE|os.O_RDWR|os.O_APPEND|syscall.O_NOFOLLOW, 0o640)
	if err != nil {
		return err
	}
	defer f.Close()
	lock(ctx, f)
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() && st.Size() > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, st.Size()-1); err == nil && last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err := f.Write(line); err != nil {
		return err
	}
	// A pipe or terminal cannot be synced, and need not be.
	if err := f.Sync(); err != nil && !errors.Is(err, os.ErrInvalid) {
		if st, serr := f.Stat(); serr == nil && st.Mode().IsRegular() {
			return err
		}
	}
	return f.Close()
}

// lock takes the file for ourselves until it is closed. Whoever may read it may
// hold it for ever, so after a second the message goes without: it may get an
// empty line before it, which is better than not being written.
func lock(ctx context.Context, f *os.File) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return // ours, or a file system without locks
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Millisecond):
		}
	}
}

func (m *medium) proof(msg notify.Message) notify.Proof {
	return notify.Proof{Reference: msg.Name, Text: "written to " + m.path}
}

// Ask looks for the message's line in the file.
func (m *medium) Ask(ctx context.Context, msg notify.Message) (notify.Proof, error) {
	if m.path == "" {
		return notify.Proof{}, fmt.Errorf("%w: the notifier's log cannot be asked", notify.ErrUnknown)
	}
	f, err := os.Open(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return notify.Proof{}, fmt.Errorf("%w: %w: there is no file %s", notify.ErrFailed, notify.ErrNotBegun, m.path)
	}
	if err != nil {
		return notify.Proof{}, fmt.Errorf("%w: %w", notify.ErrUnknown, err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if ctx.Err() != nil {
			return notify.Proof{}, fmt.Errorf("%w: %w", notify.ErrUnknown, context.Cause(ctx))
		}
		var l Line
		if bytes.Contains(lines.Bytes(), []byte(msg.Name)) && json.Unmarshal(lines.Bytes(), &l) == nil && l.Name == msg.Name {
			return m.proof(msg), nil
		}
	}
	if err := lines.Err(); err != nil {
		return notify.Proof{}, fmt.Errorf("%w: read %s: %w", notify.ErrUnknown, m.path, err)
	}
	return notify.Proof{}, fmt.Errorf("%w: %w: it is not in %s", notify.ErrFailed, notify.ErrNotBegun, m.path)
}
