package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/daemon"
	"sonde/internal/embeddedpg"
	"sonde/internal/proc"
)

// asSonde makes the test binary the program itself, also in the children that
// its supervisor starts.
const asSonde = "TEST_AS_SONDE"

func TestMain(m *testing.M) {
	if os.Getenv(asSonde) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program is one running sonde.
type program struct {
	cmd   *exec.Cmd
	lines chan string // of standard output; closed at its end
	done  chan struct{}
	code  int

	mu  sync.Mutex
	err bytes.Buffer
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err.Write(b)
}

func (p *program) stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err.String()
}

func sonde(t *testing.T, args ...string) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, exec.Command(self, args...))
}

// start starts the test binary as the program.
func start(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{cmd: cmd, lines: make(chan string, 100), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asSonde+"=1")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stderr = p
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
		close(p.lines)
		p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(90 * time.Second):
			p.cmd.Process.Kill()
			t.Error("it does not stop")
		}
		if t.Failed() {
			t.Log(p.stderr())
		}
	})
	return p
}

// end waits for the end of a program and gives what it printed.
func (p *program) end(t *testing.T) string {
	t.Helper()
	var out []string
	for line := range p.lines {
		out = append(out, line)
	}
	select {
	case <-p.done:
	case <-time.After(2 * time.Minute):
		t.Fatal("it does not end")
	}
	return strings.Join(out, "\n")
}

// until polls until something is so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(90 * time.Second)
	for !so() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("in vain: %s", what)
		}
	}
}

// reporting gives a daemon's keepalive, if it lives.
func reporting(state, name string) (daemon.Keepalive, bool) {
	k, err := daemon.ReadKeepalive(daemon.KeepaliveFile(state, name))
	return k, err == nil && k.Alive()
}

func postmaster(state string) proc.Ident {
	raw, err := os.ReadFile(filepath.Join(state, "pg", "data", "postmaster.pid"))
	var pid int
	if err == nil {
		fmt.Sscan(string(raw), &pid)
	}
	id, _ := proc.Identify(pid)
	return id
}

func execSQL(t *testing.T, state, sql string) {
	t.Helper()
	dsn, err := embeddedpg.DSN(filepath.Join(state, "pg"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// upReady starts sonde up and gives it and its one line.
func upReady(t *testing.T, state string) (*program, string) {
	t.Helper()
	p := sonde(t, "up", "--data", state, "--listen", "127.0.0.1:0")
	select {
	case line, ok := <-p.lines:
		if !ok {
			t.Fatalf("it ended: %s", p.stderr())
		}
		return p, line
	case <-time.After(2 * time.Minute):
		t.Fatal("it is not ready")
	}
	return nil, ""
}

func TestUpIsReadyAndStopsWithoutLeavingAnything(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	p, line := upReady(t, state)
	address, rest, ok := strings.Cut(strings.TrimPrefix(line, "ready "), " psql ")
	if !ok || !strings.HasPrefix(address, "http://127.0.0.1:") {
		t.Fatalf("the line is %q", line)
	}
	resp, err := http.Get(address + "/")
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	dsn := sonde(t, "dsn", "--data", state)
	if said := dsn.end(t); `"`+said+`"` != rest || dsn.code != 0 {
		t.Errorf("sonde dsn says %s, up says %s", said, rest)
	}
	execSQL(t, state, "INSERT INTO nodes (name, address) VALUES ('here', '127.0.0.1')")

	second := sonde(t, "up", "--data", state, "--listen", "127.0.0.1:0")
	if second.end(t); second.code != 1 || !strings.Contains(second.stderr(), fmt.Sprintf("held by process %d", p.cmd.Process.Pid)) {
		t.Errorf("a second one on the same folder: code %d, %s", second.code, second.stderr())
	}

	ids := []proc.Ident{postmaster(state)}
	files, _ := filepath.Glob(filepath.Join(state, "keepalive", "*.json"))
	for _, f := range files {
		if k, err := daemon.ReadKeepalive(f); err == nil {
			ids = append(ids, k.Ident)
		}
	}
	if len(ids) < 8 {
		t.Errorf("%d processes are known", len(ids))
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	if out := p.end(t); out != "" || p.code != 0 {
		t.Errorf("after the clean end: code %d, %q", p.code, out)
	}
	for _, id := range ids {
		if id.Alive() {
			t.Errorf("process %d is left", id.Pid)
		}
	}
}

func TestAfterKill9OfUpTheServerIsAdoptedAndDaemonsAreNotDoubled(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	p, _ := upReady(t, state)
	execSQL(t, state, "CREATE TABLE kept AS SELECT 7 AS n")
	server := postmaster(state)
	var old []proc.Ident
	for _, name := range []string{"scheduler", "worker-ping", "worker-traceroute", "loader", "analyst", "notifier", "annotator", "web"} {
		k, ok := reporting(state, name)
		if !ok {
			t.Fatalf("%s does not report", name)
		}
		old = append(old, k.Ident)
	}
	p.cmd.Process.Kill()
	<-p.done
	if !server.Alive() {
		t.Error("the database died with its supervisor")
	}
	again, _ := upReady(t, state)
	if now := postmaster(state); now != server {
		t.Errorf("the server is process %d, it was %d", now.Pid, server.Pid)
	}
	for _, id := range old {
		if id.Alive() {
			t.Errorf("the old daemon %d lives beside the new one", id.Pid)
		}
	}
	execSQL(t, state, "SELECT n FROM kept")

	// The database dies under them all.
	server.Signal(syscall.SIGKILL)
	until(t, "a new server", func() bool { id := postmaster(state); return id.Alive() && id != server })
	until(t, "an answer", func() bool {
		dsn, err := embeddedpg.DSN(filepath.Join(state, "pg"))
		return err == nil && daemon.Answers(t.Context(), dsn) == nil
	})
	execSQL(t, state, "SELECT n FROM kept")
	last := postmaster(state)
	again.cmd.Process.Signal(syscall.SIGTERM)
	if again.end(t); again.code != 0 || last.Alive() {
		t.Errorf("code %d, the server lives: %v", again.code, last.Alive())
	}
}

func TestStoppedDaemonOfUpIsReplacedWithinItsPromise(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	upReady(t, state)
	stopped := map[string]daemon.Keepalive{}
	for _, name := range []string{"scheduler", "worker-ping", "web"} {
		k, ok := reporting(state, name)
		if !ok {
			t.Fatalf("%s does not report", name)
		}
		if err := k.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		// What it may have reported between the look and the signal counts too.
		if k, ok = reporting(state, name); !ok {
			t.Fatalf("%s is gone", name)
		}
		stopped[name] = k
	}
	for name, k := range stopped {
		until(t, name+" again", func() bool {
			now, ok := reporting(state, name)
			return ok && now.Ident != k.Ident
		})
		// When it was started, whenever we look: ticks of 10 ms since boot.
		now, _ := reporting(state, name)
		if late := time.Duration(now.Start)*10*time.Millisecond - k.Promised; late > 10*time.Second {
			t.Errorf("%s was started again %v after its promise", name, late)
		}
	}
}

func TestPortInUseIsSaidClearly(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := sonde(t, "up", "--data", filepath.Join(t.TempDir(), "state"), "--listen", l.Addr().String())
	if p.end(t); p.code != 1 || !strings.Contains(p.stderr(), "choose another --listen") {
		t.Errorf("code %d, %s", p.code, p.stderr())
	}
}

func TestPasswordIsNotPrinted(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgresql://u:secret@h/d":                      "postgresql://u@h/d",
		"postgresql://h/d?password=secret&user=u":        "postgresql://h/d?user=u",
		"host=h password=secret dbname=d":                "host=h dbname=d",
		"host=h password = 'sec ret' dbname=d":           "host=h dbname=d",
		"postgresql://sonde@/sonde?host=%2Frun&port=543": "postgresql://sonde@/sonde?host=%2Frun&port=543",
	} {
		if got := withoutPassword(dsn); got != want {
			t.Errorf("%s is printed as %s", dsn, got)
		}
	}
}
