package keepalive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sonde/internal/daemon"
	"sonde/internal/proc"
)

func TestNobodyElseCanHoldTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	lock, err := Own(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestKilledDaemonIsStartedAgain(t *testing.T) {
	s, _, stop := supervise(t, options(t.TempDir(), "good"), quick)
	<-s.Ready()
	for range 2 {
		old := s.Pids()["d"]
		identify(t, old).Signal(syscall.SIGKILL)
		wait(t, "a new process", newPid(s, "d", old))
	}
	last := identify(t, s.Pids()["d"])
	stop()
	if last.Alive() {
		t.Error("the daemon outlived its supervisor's clean end")
	}
}

func TestStoppedDaemonIsStartedAgainAndItsGoroutinesAreKept(t *testing.T) {
	state := t.TempDir()
	s, _, _ := supervise(t, options(state, "good"), quick)
	<-s.Ready()
	old := s.Pids()["d"]
	began := time.Now()
	identify(t, old).Signal(syscall.SIGSTOP)
	wait(t, "a new process", newPid(s, "d", old))
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("it took %v to notice, with a promise of 1s", took)
	}
	stacks, _ := filepath.Glob(filepath.Join(state, "log", "d.*.stack"))
	if len(stacks) != 1 {
		t.Fatalf("goroutine dumps: %v", stacks)
	}
	raw, err := os.ReadFile(stacks[0])
	if err != nil || !strings.Contains(string(raw), "goroutine ") {
		t.Errorf("%v %s", err, raw)
	}
}

func TestLivingDaemonWithoutProgressIsStartedAgain(t *testing.T) {
	for _, mode := range []string{"stuck", "silent"} {
		t.Run(mode, func(t *testing.T) {
			q := quick
			q.first = time.Second
			state := t.TempDir()
			s, log, _ := supervise(t, options(state, mode), q)
			wait(t, "a process", newPid(s, "d", 0))
			wait(t, "a new process", newPid(s, "d", s.Pids()["d"]))
			wait(t, "the reason", func() bool { return log.has("stands still") || log.has("no keepalive within") })
			if mode == "stuck" {
				stacks, _ := filepath.Glob(filepath.Join(state, "log", "d.*.stack"))
				if len(stacks) == 0 {
					t.Fatal("no goroutine dump")
				}
				if raw, err := os.ReadFile(stacks[0]); err != nil || !strings.Contains(string(raw), "standForEver") {
					t.Errorf("the dump does not show where it stood: %v %s", err, raw)
				}
			}
		})
	}
}

func TestDaemonThatFallsAtOnceDoesNotMakeUsReady(t *testing.T) {
	s, log, _ := supervise(t, options(t.TempDir(), "crash"), quick)
	wait(t, "a pause", func() bool { return log.has("restarts=4") })
	select {
	case <-s.Ready():
		t.Error("ready without a daemon")
	default:
	}
	if !log.has("exit status 3") {
		t.Error("the log does not say how it ended")
	}
}

func TestDeafDaemonIsKilledAtTheEnd(t *testing.T) {
	q := quick
	q.stop = 300 * time.Millisecond
	s, _, stop := supervise(t, options(t.TempDir(), "deaf"), q)
	<-s.Ready()
	id := identify(t, s.Pids()["d"])
	stop()
	if id.Alive() {
		t.Error("it lives")
	}
}

func TestOrphansOfAKilledSupervisorAreEnded(t *testing.T) {
	state := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	first := exec.Command(self)
	first.Env = append(os.Environ(), modeEnv+"=supervisor-deaf", stateEnv+"="+state)
	first.Stderr = os.Stderr
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	var k daemon.Keepalive
	wait(t, "the first supervisor's daemon", func() bool {
		var err error
		k, err = daemon.ReadKeepalive(daemon.KeepaliveFile(state, "d"))
		return err == nil && k.Alive()
	})
	if _, err := Own(state); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), fmt.Sprint(first.Process.Pid)) {
		t.Errorf("the answer does not name the owner: %v", err)
	}
	first.Process.Kill()
	first.Wait()
	// The daemon is deaf to the SIGTERM that its parent's death sent it.
	if !k.Alive() {
		t.Fatal("the orphan is gone already; this test shows nothing")
	}
	lock, err := Own(state)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	q := quick
	q.stop = 300 * time.Millisecond
	s, _, _ := supervise(t, options(state, "good"), q)
	<-s.Ready()
	if k.Alive() {
		t.Error("the orphan lives beside the new daemon")
	}
}

func TestAfterWeStoodStillDaemonsGetTimeToReport(t *testing.T) {
	state := t.TempDir()
	s := timed(options(state, "good"), quick)
	c := s.kids[0]
	p := daemon.NewProgress(state, "d", "1", quiet)
	p.Report("working", -time.Minute) // its promise broke a minute ago
	if err := c.judge(proc.Self(), 0); err == nil {
		t.Fatal("a broken promise was not seen")
	}
	s.grace.extend(daemon.BootClock() + time.Hour)
	if err := c.judge(proc.Self(), 0); err != nil {
		t.Errorf("no grace was given: %v", err)
	}
}

func TestNobodyIsKilledForADiskWithoutRoom(t *testing.T) {
	state := t.TempDir()
	q := quick
	q.first, q.slack = time.Second, 0
	o := options(state, "stuck")
	// The daemon's next life could make no file, and neither can we.
	if err := os.MkdirAll(filepath.Join(state, "keepalive"), 0o755); err != nil {
		t.Fatal(err)
	}
	room := daemon.KeepaliveFile(state, "d") + ".room.new"
	if err := os.Symlink("/dev/full", room); err != nil {
		t.Fatal(err)
	}
	s, log, _ := supervise(t, o, q)
	<-s.Ready()
	first := s.Pids()["d"]
	wait(t, "the reason", func() bool { return log.has("nobody is judged") })
	if s.Pids()["d"] != first {
		t.Fatal("it was killed all the same")
	}
	wait(t, "judgement when there is room again", newPid(s, "d", first))
}

func TestListsToFillInAreThereFromTheStart(t *testing.T) {
	state := t.TempDir()
	if err := os.WriteFile(filepath.Join(state, crontabFile), []byte("# mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, log, _ := supervise(t, options(state, "good"), quick)
	<-s.Ready()
	for name, want := range map[string]string{serversList: "iperf3", cleanupList: "10m", crontabFile: "# mine"} {
		raw, err := os.ReadFile(filepath.Join(state, name))
		if err != nil || !strings.Contains(string(raw), want) {
			t.Errorf("%s: %v %s", name, err, raw)
		}
	}
	if log.has("wrong") {
		t.Error("the lists we made ourselves are wrong")
	}
}

func TestBackoffStartsAtOnceGrowsAndForgets(t *testing.T) {
	var b backoff
	if p := b.fell(0); p != 0 {
		t.Errorf("the first fall pauses %v", p)
	}
	var last time.Duration
	for range 30 {
		if last = b.fell(time.Second); last > mostPause {
			t.Fatalf("a pause of %v", last)
		}
	}
	if last < mostPause/2 {
		t.Errorf("what falls at once is started again after %v", last)
	}
	if p := b.fell(10 * time.Minute); p != 0 {
		t.Errorf("after ten good minutes it pauses %v", p)
	}
}

func TestPassStartsWhatIsDeadOrStandsStill(t *testing.T) {
	state := t.TempDir()
	logDir := filepath.Join(state, "log")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var started *exec.Cmd
	start := func() error {
		started = exec.Command(self)
		started.Env = append(os.Environ(), modeEnv+"=supervisor-good", stateEnv+"="+state)
		started.Stderr = os.Stderr
		if err := started.Start(); err != nil {
			return err
		}
		go started.Wait()
		return nil
	}
	pass := func() string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		did, err := Pass(ctx, state, logDir, start)
		if err != nil {
			t.Fatal(err)
		}
		return did
	}
	t.Cleanup(func() {
		pid, err := Owner(state)
		if err != nil || pid == 0 {
			return
		}
		id := identify(t, pid)
		gone, err := id.Gone()
		id.Signal(syscall.SIGTERM)
		id.Signal(syscall.SIGTERM)
		if err == nil {
			<-gone
		}
	})
	if did := pass(); !strings.Contains(did, "no supervisor was running; started it as process") {
		t.Error(did)
	}
	first := started.Process.Pid
	if did := pass(); !strings.Contains(did, fmt.Sprintf("process %d, is alive", first)) {
		t.Error(did)
	}
	stopped := identify(t, first)
	stopped.Signal(syscall.SIGSTOP)
	wait(t, "its promise to break", func() bool {
		k, err := daemon.ReadKeepalive(daemon.KeepaliveFile(state, SupervisorName))
		return err == nil && k.Late() > 5*time.Second
	})
	if did := pass(); !strings.Contains(did, "stood still") || !strings.Contains(did, "was killed; started it") {
		t.Error(did)
	}
	if stopped.Alive() || started.Process.Pid == first {
		t.Error("the one that stood still is still there")
	}
}
