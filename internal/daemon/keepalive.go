package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sonde/internal/proc"
)

// Keepalive is one report of a daemon, as it lies in its file.
type Keepalive struct {
	proc.Ident
	Name       string        `json:"name"`
	Version    string        `json:"version"`
	StartedAt  time.Time     `json:"started_at"`
	Seq        uint64        `json:"seq"`
	Doing      string        `json:"doing"`
	ReportedAt time.Time     `json:"reported_at"`
	Reported   time.Duration `json:"reported_boot_ns"` // by the boot clock
	Promised   time.Duration `json:"promised_boot_ns"` // when the next report comes, by the boot clock
}

// Late says by how much the promise is broken; 0 or less: it is kept.
func (k Keepalive) Late() time.Duration { return BootClock() - k.Promised }

// BootClock is the time since boot, suspension included.
func BootClock() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0 // never on Linux
	}
	return time.Duration(ts.Nano())
}

// FileEnv names the variable by which the supervisor tells its child which file to write.
const FileEnv = "SONDE_KEEPALIVE_FILE"

// KeepaliveFile is where a daemon's keepalive lies.
func KeepaliveFile(state, name string) string {
	return filepath.Join(state, "keepalive", name+".json")
}

// keepaliveSize is what every file is padded to. On a full disk no new file can
// be written, but an old one of the same size can be overwritten in place.
const keepaliveSize = 1024

// ReadKeepalive reads a keepalive. A file that is being overwritten in place, on
// a full disk, may be half new; that is an error like any other, and the next
// look finds it whole.
func ReadKeepalive(path string) (Keepalive, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Keepalive{}, err
	}
	return parseKeepalive(raw)
}

func parseKeepalive(raw []byte) (Keepalive, error) {
	var k Keepalive
	if err := json.Unmarshal(raw, &k); err != nil {
		return Keepalive{}, fmt.Errorf("keepalive: %w", err)
	}
	if k.Pid <= 0 || k.Promised < 0 {
		return Keepalive{}, errors.New("keepalive: no process or no promise")
	}
	return k, nil
}

// Progress writes the keepalive of this process.
type Progress struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	k       Keepalive
	written time.Duration
	failing bool
	hook    func(Keepalive)
}

// NewProgress makes the writer for a daemon. Nothing is written before the first Report.
func NewProgress(state, name, version string, log *slog.Logger) *Progress {
	path := os.Getenv(FileEnv)
	if path == "" {
		path = KeepaliveFile(state, name)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		log.Error("the folder of keepalives cannot be made", "error", err)
	}
	return &Progress{path: path, log: log, k: Keepalive{Ident: proc.Self(), Name: name, Version: version, StartedAt: time.Now().UTC()}}
}

// Another gives the pid of another living process that reports under this
// daemon's name.
func (p *Progress) Another() (pid int, runs bool) {
	k, err := ReadKeepalive(p.path)
	return k.Pid, err == nil && k.Ident != p.k.Ident && k.Alive()
}

// Withdraw removes what was reported.
func (p *Progress) Withdraw() { _ = os.Remove(p.path) }

// OnReport has f called after each report that was written, by the reporter's
// own goroutine: f must not block.
func (p *Progress) OnReport(f func(Keepalive)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook = f
}

// Report says what the daemon does and promises that the next report comes
// within next. It may be called as often as one likes: a report that says
// nothing new within half a second is not written.
func (p *Progress) Report(doing string, next time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := BootClock()
	promised := now + next
	// A promise that reaches further must be written at once, or the old one breaks.
	if p.written != 0 && now-p.written < 500*time.Millisecond && promised-p.k.Promised < time.Second && promised-p.k.Promised > -time.Second {
		return
	}
	p.k.Seq++
	p.k.Doing, p.k.ReportedAt = clip(doing), time.Now().UTC()
	p.k.Reported, p.k.Promised = now, promised
	if err := p.write(); err != nil {
		if !p.failing {
			p.log.Error("the keepalive cannot be written", "file", p.path, "error", err)
		}
		p.failing = true
		return
	}
	if p.failing {
		p.log.Info("the keepalive can be written again", "file", p.path)
	}
	p.failing = false
	p.written = now
	if p.hook != nil {
		p.hook(p.k)
	}
}

func (p *Progress) write() error {
	raw, err := json.Marshal(p.k)
	if err != nil {
		return err
	}
	if len(raw) < keepaliveSize {
		raw = append(raw, bytes.Repeat([]byte(" "), keepaliveSize-1-len(raw))...)
		raw = append(raw, '\n')
	}
	err = proc.Replace(p.path, raw, 0o644, false)
	if err == nil {
		return nil
	}
	f, inPlace := os.OpenFile(p.path, os.O_WRONLY, 0)
	if inPlace != nil {
		return err
	}
	_, inPlace = f.WriteAt(raw, 0)
	return errors.Join(inPlace, f.Close())
}

// clip bounds what a report says, in whole letters.
func clip(s string) string {
	const most = 160
	n := 0
	for i := range s {
		if n++; n > most {
			return s[:i] + "…"
		}
	}
	return s
}
