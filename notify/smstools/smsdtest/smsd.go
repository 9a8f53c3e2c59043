package smsdtest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Spool is a spool directory with its smsd and modem.
type Spool struct {
	Dir   string
	Modem *Modem

	t   testing.TB
	cmd *exec.Cmd
}

// NewSpool makes the folders and the modem; no smsd runs yet.
func NewSpool(t testing.TB) *Spool {
	t.Helper()
	s := &Spool{Dir: t.TempDir(), t: t}
	for _, d := range []string{"outgoing", "checked", "sent", "failed", "incoming", "report"} {
		if err := os.Mkdir(filepath.Join(s.Dir, d), 0o770); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Options are options of the medium for this spool, with more of them as pairs.
func (s *Spool) Options(more ...any) json.RawMessage {
	o := map[string]any{"spool": s.Dir}
	for i := 0; i+1 < len(more); i += 2 {
		o[more[i].(string)] = more[i+1]
	}
	b, err := json.Marshal(o)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// Start runs the real smsd on the spool until the test ends. Lines of settings
// are added to the head of smsd.conf.
func (s *Spool) Start(settings ...string) {
	s.t.Helper()
	path, err := exec.LookPath("smsd")
	if err != nil {
		path = "/usr/sbin/smsd"
	}
	if _, err := os.Stat(path); err != nil {
		s.t.Fatalf("no smsd: install the package smstools (`make test` does)")
	}
	if s.Modem == nil {
		s.Modem = NewModem(s.t)
	}
	conf := fmt.Sprintf(`devices = GSM1
outgoing = %[1]s/outgoing
checked = %[1]s/checked
sent = %[1]s/sent
failed = %[1]s/failed
incoming = %[1]s/incoming
report = %[1]s/report
logfile = %[1]s/smsd.log
infofile = %[1]s/smsd.working
pidfile = %[1]s/smsd.pid
loglevel = 6
delaytime = 1
errorsleeptime = 1
blocktime = 2
autosplit = 3
%[2]s
[GSM1]
device = %[3]s
incoming = no
baudrate = 115200
rtscts = no
check_memory_method = 1
`, s.Dir, strings.Join(settings, "\n"), s.Modem.Device)
	file := filepath.Join(s.Dir, "smsd.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(path, "-t", "-c", file)
	// A group of its own: smsd has a process for each modem, and all must end.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := os.Create(filepath.Join(s.Dir, "smsd.out"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		s.Kill()
		if s.t.Failed() {
			for _, f := range []string{"smsd.out", "smsd.log"} {
				b, _ := os.ReadFile(filepath.Join(s.Dir, f))
				s.t.Logf("%s:\n%s", f, b)
			}
			s.t.Logf("the modem heard: %q", s.Modem.Heard())
		}
	})
}

// Kill ends smsd and its modem processes at once, as a power cut would.
func (s *Spool) Kill() {
	if s.cmd == nil {
		return
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Files are the names in one folder of the spool.
func (s *Spool) Files(folder string) []string {
	s.t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.Dir, folder))
	if err != nil {
		s.t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Wait waits until done says so.
func Wait(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited half a minute for: %s", what)
		}
	}
}
