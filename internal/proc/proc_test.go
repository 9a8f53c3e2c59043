package proc

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the foreign program.
func TestMain(m *testing.M) {
	switch os.Getenv("SONDE_TEST_PROGRAM") {
	case "":
		os.Exit(m.Run())
	case "shout":
		for range 1000 {
			os.Stdout.WriteString(strings.Repeat("x", 999) + "\n")
		}
	case "parent":
		// A child in the same group, which we outlive by nothing.
		cmd := exec.Command("sleep", "600")
		if err := cmd.Start(); err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString(strconv.Itoa(cmd.Process.Pid) + "\n")
		cmd.Wait()
	case "tying":
		child, err := Start(exec.Command("sleep", "600"), syscall.SIGKILL)
		if err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString(strconv.Itoa(child.Pid) + "\n")
		<-child.Done()
	}
}

func program(name string) []string {
	return append(os.Environ(), "SONDE_TEST_PROGRAM="+name)
}

func TestOutputIsCappedAndTheProgramEnds(t *testing.T) {
	out, err := Run(t.Context(), Command{Path: "/proc/self/exe", Env: program("shout"), Most: 5000})
	if err != nil || len(out.Stdout) != 5000 || !out.Cut || out.Code != 0 {
		t.Errorf("%d bytes, cut %v, code %d, %v", len(out.Stdout), out.Cut, out.Code, err)
	}
}

func TestArgumentsReachNoShell(t *testing.T) {
	arg := "a b; echo $HOME `id` > /x"
	out, err := Run(t.Context(), Command{Path: "printf", Args: []string{"%s", arg}})
	if err != nil || string(out.Stdout) != arg {
		t.Errorf("%q %v", out.Stdout, err)
	}
}

func TestDeadlineEndsTheWholeGroup(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	out, err := Run(ctx, Command{Path: "/proc/self/exe", Env: program("parent")})
	if !errors.Is(err, ErrDeadline) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out.Stdout)))
	if err != nil {
		t.Fatalf("%q: %v", out.Stdout, err)
	}
	// The grandchild was killed; init or nobody reaps it, but it runs no more.
	for deadline := time.Now().Add(5 * time.Second); ; {
		if _, err := Identify(pid); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the grandchild lives on")
		}
	}
}

func TestExitCodeIsToldAndAbsentProgramIsAnError(t *testing.T) {
	out, err := Run(t.Context(), Command{Path: "false"})
	if err == nil || out.Code != 1 {
		t.Errorf("code %d, %v", out.Code, err)
	}
	if _, err := Run(t.Context(), Command{Path: "no-such-program"}); !errors.Is(err, exec.ErrNotFound) {
		t.Error(err)
	}
}

func TestTiedChildDiesWithItsKilledParent(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = program("tying")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	id, err := Identify(pid)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := id.Gone()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the child lives on")
	}
}

func TestRecycledPidIsNotOurProcess(t *testing.T) {
	self := Self()
	if !self.Alive() {
		t.Error("we are dead")
	}
	old := self
	old.Start--
	if old.Alive() || old.Signal(syscall.SIGKILL) == nil {
		t.Error("another process was taken for an old one")
	}
	boot := self
	boot.Boot = "another"
	if boot.Alive() {
		t.Error("a process of another boot was taken for ours")
	}
}

func TestReplaceLeavesTheOldFileWhenThereIsNoRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := Replace(path, []byte("old"), 0o600, true); err != nil {
		t.Fatal(err)
	}
	// /dev/full under the temporary name: a disk without room.
	if err := os.Symlink("/dev/full", path+".new"); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("new"), 0o600, false); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
	if raw, err := os.ReadFile(path); err != nil || string(raw) != "old" {
		t.Errorf("%q %v", raw, err)
	}
}

func FuzzStat(f *testing.F) {
	f.Add("12 (cat) S 1 12 12 0 -1 4194560 95 0 0 0 0 0 0 0 20 0 1 0 998877 8232960 200")
	f.Add("12 (a) b) (c) R 1 12 12 0 -1 4194560 95 0 0 0 0 0 0 0 20 0 1 0 5")
	f.Add(")")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		state, _, err := parseStat(s)
		if err == nil && state == "" {
			t.Error("no state and no error")
		}
	})
}
