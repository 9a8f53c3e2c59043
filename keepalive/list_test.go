package keepalive

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sonde/internal/proc"
)

func TestWordsKnowQuotesAndNoShell(t *testing.T) {
	for in, want := range map[string][]string{
		`iperf3 -s`:                   {"iperf3", "-s"},
		`echo "a b" 'c "d"' e\ f ""`:  {"echo", "a b", `c "d"`, "e f", ""},
		"printf\t$HOME `id` ; rm -rf": {"printf", "$HOME", "`id`", ";", "rm", "-rf"},
	} {
		if got, err := words(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q %v", in, got, err)
		}
	}
	for _, in := range []string{`echo "a`, `echo 'a`, `echo a\`, "echo a\x00b"} {
		if _, err := words(in); err == nil {
			t.Errorf("%q is taken", in)
		}
	}
}

func TestServerIsKeptAliveUntilItsLineGoes(t *testing.T) {
	state := t.TempDir()
	o := options(state, "good")
	s, log, _ := supervise(t, o, quick)
	list := filepath.Join(state, serversList)
	write(t, list, "# ours\nsleeper sleep 600\nBAD sleep 1\nlost no-such-program\n")
	pid := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		if id := s.living["server-sleeper"]; id.Alive() {
			return id.Pid
		}
		return 0
	}
	seen := 0
	wait(t, "the server", func() bool { seen = pid(); return seen != 0 })
	first := identify(t, seen)
	first.Signal(9)
	wait(t, "the server again", func() bool { seen = pid(); return seen != 0 && seen != first.Pid })
	if !log.has("line=3") || !log.has("line=4") {
		t.Error("the wrong lines are not named")
	}
	second := identify(t, seen)
	write(t, list, "\n")
	wait(t, "its end", func() bool { return !second.Alive() })
}

func TestHungProgramIsEndedAndOursAreSpared(t *testing.T) {
	state := t.TempDir()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	if sleep, err = filepath.EvalSymlinks(sleep); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	// A name of its own, so that no other process of this machine is meant.
	name := "hung" + filepath.Base(filepath.Dir(state))[:8]
	program := filepath.Join(state, name)
	if err := os.WriteFile(program, raw, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func() *proc.Child {
		c, err := proc.Start(exec.Command(program, "600"), 9)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Signal(9); <-c.Done() })
		return c
	}
	s := timed(options(state, "good"), quick)
	foreign, ours := run(), run()
	s.remember("server-x", identify(t, ours.Pid))
	s.kill([]hung{{program: name, age: time.Hour}}, map[proc.Ident]time.Time{})
	if !identify(t, foreign.Pid).Alive() {
		t.Fatal("a young program was ended")
	}
	s.kill([]hung{{program: name}}, map[proc.Ident]time.Time{})
	<-foreign.Done()
	if !identify(t, ours.Pid).Alive() {
		t.Error("a server of ours was ended")
	}
}

func TestCleanupRefusesWhatWouldEndTheMachine(t *testing.T) {
	for _, line := range []string{"systemd 10m", "/usr/lib/systemd/systemd 10m", "sshd 1h", "postgres 1h", "sonde 1h", "trace* 1h", "ping 5", "ping 5s", "ping", "ping 1h now", "bin/ping 1h"} {
		if h, err := readHung(strings.Fields(line)); err == nil {
			t.Errorf("%q is taken as %+v", line, h)
		}
	}
	if h, err := readHung([]string{"traceroute", "10m"}); err != nil || h.age != 10*time.Minute {
		t.Errorf("%+v %v", h, err)
	}
}

func TestCrontabLineIsFiveFieldsAndAProgram(t *testing.T) {
	for line, ok := range map[string]bool{
		"0 3 * * * sonde report --out /srv/www": true,
		"*/5 * * * 1-5 true":                    true,
		"@daily true":                           false,
		"TZ=UTC 0 3 * * * true":                 false,
		"0 3 * * *":                             false,
		"0 3 30 2 * true":                       false,
		"61 3 * * * true":                       false,
	} {
		if _, err := readJob(strings.Fields(line)); (err == nil) != ok {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestCrontabProgramRunsWithoutAShellAndItsOutputIsKept(t *testing.T) {
	state := t.TempDir()
	s := timed(options(state, "good"), quick)
	j, err := readJob([]string{"*", "*", "*", "*", "*", "printf", "%s|", "a b", "$HOME", "; id"})
	if err != nil {
		t.Fatal(err)
	}
	s.runJob(t.Context(), 1, j)
	raw, err := os.ReadFile(filepath.Join(state, "log", "crontab.log"))
	if err != nil || !strings.Contains(string(raw), "a b|$HOME|; id|") || !strings.Contains(string(raw), "code 0") {
		t.Errorf("%v %s", err, raw)
	}
}

func TestCrontabIsReadAndItsWrongLineNamed(t *testing.T) {
	state := t.TempDir()
	_, log, stop := supervise(t, options(state, "good"), quick)
	write(t, filepath.Join(state, crontabFile), "* * * * * true\n99 * * * * true\n")
	wait(t, "the wrong line", func() bool { return log.has("line=2") })
	stop()
}

func TestGrownLogIsTurnedAndOldOnesGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.log")
	log, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for n := range 6 {
		if _, err := log.WriteString(strings.Repeat(string(rune('a'+n)), 100)); err != nil {
			t.Fatal(err)
		}
		if err := proc.TurnLog(path, 100, oldLogs); err != nil {
			t.Fatal(err)
		}
	}
	log.WriteString("new")
	if raw, err := os.ReadFile(path); err != nil || string(raw) != "new" {
		t.Errorf("%q %v", raw, err)
	}
	old, _ := filepath.Glob(path + ".*")
	if len(old) != oldLogs {
		t.Errorf("%v", old)
	}
	if raw, err := os.ReadFile(path + ".1"); err != nil || raw[0] != 'f' {
		t.Errorf("the newest old log begins with %q %v", raw[:1], err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := proc.Replace(path, []byte(content), 0o644, false); err != nil {
		t.Fatal(err)
	}
}

func FuzzLists(f *testing.F) {
	f.Add("iperf3 iperf3 -s\n# x\n'a b' c")
	f.Add("* * * * * true")
	f.Add("traceroute 10m")
	f.Add("\\")
	f.Fuzz(func(t *testing.T, raw string) {
		lines, _ := readList(raw)
		for _, l := range lines {
			if len(l.words) == 0 {
				t.Error("a line without words")
			}
			if h, err := readHung(l.words); err == nil && h.age < time.Minute {
				t.Errorf("age %v", h.age)
			}
			if j, err := readJob(l.words); err == nil && len(j.words) == 0 {
				t.Error("a job without a program")
			}
		}
	})
}
