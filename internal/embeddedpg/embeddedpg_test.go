package embeddedpg

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/proc"
)

// open gives a folder that everybody may enter, unlike t.TempDir.
func open(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sonde-embeddedpg-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	s, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	return s
}

func query[T any](t *testing.T, dsn, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var v T
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func TestServerAnswersOnItsSocketAndStopsCleanly(t *testing.T) {
	dir := open(t)
	s := start(t, Options{Dir: dir})
	if s.Adopted() {
		t.Error("a new server counts as adopted")
	}
	for setting, want := range map[string]string{
		"listen_addresses": "", "fsync": "on", "synchronous_commit": "on", "jit": "off", "TimeZone": "UTC",
		"idle_in_transaction_session_timeout": "10min", "server_encoding": "UTF8", "shared_buffers": "64MB",
	} {
		if got := query[string](t, s.DSN(), "SHOW "+setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	if got := query[string](t, s.DSN(), "SELECT current_user || '@' || current_database()"); got != "sonde@sonde" {
		t.Error(got)
	}
	dsn, err := DSN(dir)
	if err != nil || dsn != s.DSN() {
		t.Errorf("DSN says %q %v, the server %q", dsn, err, s.DSN())
	}
	info, err := os.Stat(filepath.Join(dir, "run"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the socket's folder is the guard and must be 0700: %v %v", info, err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "postmaster.pid")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after a clean stop postmaster.pid is still there: %v", err)
	}
	if dsn, err := DSN(dir); err != nil || dsn != s.DSN() {
		t.Errorf("the connection string of a stopped server is %q %v", dsn, err)
	}
}

func TestLivingOrphanIsAdopted(t *testing.T) {
	dir := open(t)
	first := start(t, Options{Dir: dir})
	query[int](t, first.DSN(), "WITH x AS (SELECT 1) SELECT * FROM x")
	second := start(t, Options{Dir: dir})
	if !second.Adopted() || second.Pid() != first.Pid() {
		t.Fatalf("pid %d adopted %v, want the first one's %d", second.Pid(), second.Adopted(), first.Pid())
	}
	if err := second.Stop(); err != nil {
		t.Fatal(err)
	}
	<-first.Done()
}

func TestStoppedOrphanIsWokenAndAdopted(t *testing.T) {
	dir := open(t)
	first := start(t, Options{Dir: dir})
	if err := first.id.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if second := start(t, Options{Dir: dir}); second.Pid() != first.Pid() {
		t.Error("the stopped server was not taken over")
	}
}

func TestCommittedRowSurvivesKill9OfPostmaster(t *testing.T) {
	dir := open(t)
	s := start(t, Options{Dir: dir})
	conn, err := pgx.Connect(t.Context(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)"); err != nil {
		t.Fatal(err)
	}
	// The connection stays open: its backend outlives the postmaster for a moment.
	if err := s.id.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	again := start(t, Options{Dir: dir})
	if got := query[int](t, again.DSN(), "SELECT n FROM kept"); got != 7 {
		t.Errorf("the row reads %d", got)
	}
}

func TestBackendThatHoldsSharedMemoryIsWaitedFor(t *testing.T) {
	dir := open(t)
	s := start(t, Options{Dir: dir})
	conn, err := pgx.Connect(t.Context(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	backend, err := proc.Identify(int(conn.PgConn().PID()))
	if err != nil {
		t.Fatal(err)
	}
	// A stopped backend cannot notice that its postmaster died.
	if err := backend.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := s.id.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	waited := false
	again := start(t, Options{Dir: dir, Progress: func(doing string) {
		if strings.Contains(doing, "left behind") && !waited {
			waited = true
			backend.Signal(syscall.SIGCONT)
			backend.Signal(syscall.SIGKILL)
		}
	}})
	if !waited {
		t.Error("nothing was waited for")
	}
	if got := query[int](t, again.DSN(), "SELECT 1"); got != 1 {
		t.Error(got)
	}
}

func TestKeepStartsAKilledServerAgain(t *testing.T) {
	dir := open(t)
	o := Options{Dir: dir}
	s := start(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	next := make(chan *Server)
	ended := make(chan struct{})
	go func() {
		Keep(ctx, s, o, func(s *Server) { next <- s })
		close(ended)
	}()
	if err := s.id.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again := <-next
	if got := query[int](t, again.DSN(), "SELECT 1"); got != 1 {
		t.Error(got)
	}
	cancel()
	<-ended
	if err := again.Stop(); err != nil {
		t.Error(err)
	}
}

func TestServerThatStandsStillIsReplaced(t *testing.T) {
	dir := open(t)
	o := Options{Dir: dir, watchEvery: 100 * time.Millisecond, watchPatience: time.Second}
	s := start(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	next := make(chan *Server)
	ended := make(chan struct{})
	go func() {
		Keep(ctx, s, o, func(s *Server) { next <- s })
		close(ended)
	}()
	if err := s.id.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	again := <-next
	if got := query[int](t, again.DSN(), "SELECT 1"); got != 1 || again.Pid() == s.Pid() {
		t.Errorf("process %d after %d answers %d", again.Pid(), s.Pid(), got)
	}
	cancel()
	<-ended
	if err := again.Stop(); err != nil {
		t.Error(err)
	}
}

func TestFolderClosedToTheServersUserWorks(t *testing.T) {
	// t.TempDir is 0700 all the way, as /root is.
	dir := filepath.Join(t.TempDir(), "state with blank", "pg")
	s := start(t, Options{Dir: dir})
	if _, err := pgx.Connect(t.Context(), s.DSN()); err != nil {
		t.Fatal(err)
	}
	if dsn, err := DSN(dir); err != nil || dsn != s.DSN() {
		t.Errorf("DSN %q %v, want %q", dsn, err, s.DSN())
	}
	s.id.Signal(syscall.SIGKILL)
	<-s.Done()
	start(t, Options{Dir: dir})
	os.RemoveAll(s.socketDir)
}

func TestPsqlReadsTheConnectionString(t *testing.T) {
	s := start(t, Options{Dir: filepath.Join(open(t), "a b+c%d'e")})
	out, err := exec.Command("psql", "-XAtc", "SELECT current_user", s.DSN()).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "sonde" {
		t.Errorf("psql %s: %v %s", s.DSN(), err, out)
	}
}

func TestLongPathPutsTheSocketInAShortFolder(t *testing.T) {
	dir := filepath.Join(open(t), strings.Repeat("long/", 30))
	s := start(t, Options{Dir: dir})
	if len(s.socketDir) > 90 {
		t.Error(s.socketDir)
	}
	query[int](t, s.DSN(), "SELECT 1")
	t.Cleanup(func() { os.RemoveAll(s.socketDir) })
}

func TestHalfMadeClusterIsMadeAnew(t *testing.T) {
	dir := open(t)
	if err := os.MkdirAll(filepath.Join(dir, "data.new", "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	start(t, Options{Dir: dir})
}

func TestPidfileOfAnotherLivingProcessIsNoServer(t *testing.T) {
	dir := open(t)
	s := start(t, Options{Dir: dir})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	// After a reboot the recorded pid may be anybody's: say, ours.
	other := exec.Command("cat")
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	who := serverOwner()
	other.SysProcAttr = &syscall.SysProcAttr{Credential: who.cred}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer in.Close()
	pid := filepath.Join(dir, "data", "postmaster.pid")
	if err := os.WriteFile(pid, []byte(strings.Join([]string{itoa(other.Process.Pid), "/x", "1", "5432", "/x", "", "", "ready", ""}, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	if s := start(t, Options{Dir: dir}); s.Adopted() {
		t.Error("cat was adopted as a database")
	}
}

func TestEphemeralServerDiesWithItsKilledParent(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "SONDE_TEST_EPHEMERAL="+open(t))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	id, err := proc.Identify(atoi(strings.TrimSpace(string(buf[:n]))))
	if err != nil {
		t.Fatal(err)
	}
	gone, err := id.Gone()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	io.Copy(io.Discard, out)
	cmd.Wait()
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("the ephemeral server lives on")
	}
}

func TestAbsentProgramsAreFetchedOrNamed(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	// Where the network refuses, the sentence says which package to install.
	p, err := fetchPrograms(ctx, open(t))
	if err == nil && p.major == "" || err != nil && !strings.Contains(err.Error(), "fetching them") {
		t.Errorf("%+v %v", p, err)
	}
}

func TestProgramsOfAnotherVersionAreNotTaken(t *testing.T) {
	_, err := findPrograms(t.Context(), "9999")
	if !errors.Is(err, ErrNoPrograms) || !strings.Contains(err.Error(), "postgresql-9999") {
		t.Errorf("the error does not name the package: %v", err)
	}
}

func FuzzPidfile(f *testing.F) {
	f.Add("8791\n/var/lib/sonde/pg/data\n1795178239\n5432\n/run/sonde\n\n  9978147         4\nready   \n")
	f.Add("")
	f.Add("-1\n")
	f.Add("12")
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := parsePidfile(raw)
		if err == nil && p.pid <= 0 {
			t.Errorf("pid %d accepted", p.pid)
		}
	})
}
