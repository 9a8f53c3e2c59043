package log_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"sonde/notify"
	"sonde/notify/log"
	"sonde/notify/notifytest"
)

func options(path string) json.RawMessage {
	b, _ := json.Marshal(map[string]string{"path": path})
	return b
}

func open(t *testing.T, path string) notify.Medium {
	t.Helper()
	m, err := log.Type().New(options(path), notify.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFileMediumKeepsItsPromises(t *testing.T) {
	notifytest.Examine(t, notifytest.Candidate{
		Type: log.Type(), To: "anna",
		Works:  options(filepath.Join(t.TempDir(), "messages.jsonl")),
		Broken: options(filepath.Join(t.TempDir(), "no", "such", "folder.jsonl")),
	})
}

func TestOwnLogMediumKeepsItsPromises(t *testing.T) {
	notifytest.Examine(t, notifytest.Candidate{Type: log.Type(), To: "anna", Works: json.RawMessage(`{}`), Forgets: true})
}

func TestRelativePathIsRefused(t *testing.T) {
	if _, err := log.Type().New(options("messages"), notify.Env{}); !errors.Is(err, notify.ErrSpec) {
		t.Errorf("%v, want ErrSpec", err)
	}
}

func TestFilesOfOtherProgramsAreNotWrittenTo(t *testing.T) {
	for _, path := range []string{"/etc/ld.so.preload", "/etc/cron.d/sonde", "/var/lib/sonde/crontab"} {
		if _, err := log.Type().New(options(path), notify.Env{}); !errors.Is(err, notify.ErrSpec) || !strings.Contains(err.Error(), ".jsonl") {
			t.Errorf("%s: %v", path, err)
		}
	}
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "target"), filepath.Join(dir, "a.log")); err != nil {
		t.Fatal(err)
	}
	m := open(t, filepath.Join(dir, "a.log"))
	if _, err := m.Send(t.Context(), notifytest.Message("anna")); !errors.Is(err, notify.ErrFailed) {
		t.Errorf("through a symbolic link: %v", err)
	}
}

func TestMessageStandsInTheNotifiersLog(t *testing.T) {
	var b bytes.Buffer
	m, err := log.Type().New(json.RawMessage(`{}`), notify.Env{Log: slog.New(slog.NewTextHandler(&b, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Send(t.Context(), notifytest.Message("anna")); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "DOWN cern") || !strings.Contains(b.String(), "to=anna") {
		t.Errorf("the log says %q", b.String())
	}
}

func TestLineCutByAPowerFailureSpoilsNoOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages.jsonl")
	if err := os.WriteFile(path, []byte(`{"at":"2026-11-`), 0o600); err != nil {
		t.Fatal(err)
	}
	m := open(t, path)
	msg := notifytest.Message("anna")
	if _, err := m.Send(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	if proof, err := m.Ask(t.Context(), msg); err != nil {
		t.Errorf("the message after the cut line is not found: %+v %v", proof, err)
	}
}

// Long lines cross pages, and a file grows page by page: whoever looks at its
// end meanwhile sees half a line, which is no reason to begin a new one.
func TestMessagesWrittenAtOnceAreOneLineEach(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages.jsonl")
	m := open(t, path)
	const writers, each = 8, 50
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				msg := notifytest.Message("anna")
				msg.Text = strings.Repeat("from pi1, since 03:12 UTC ", 2000)
				if _, err := m.Send(t.Context(), msg); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for l := range bytes.Lines(b) {
		lines++
		if !json.Valid(l) {
			t.Errorf("line %d is no message: %.80q", lines, l)
		}
	}
	if lines != writers*each {
		t.Errorf("%d lines for %d messages", lines, writers*each)
	}
}

func TestFileHeldByAnotherGetsItsMessageAllTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	m := open(t, path)
	msg := notifytest.Message("anna")
	if _, err := m.Send(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Ask(t.Context(), msg); err != nil {
		t.Error(err)
	}
}
