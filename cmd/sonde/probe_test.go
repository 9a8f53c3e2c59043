package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sonde/internal/lab"
	"sonde/internal/measure"
	"sonde/probes"
	"sonde/probes/catalog"
	"sonde/probes/ping"
)

// stubborn is a tool whose run ends as the test wants.
func stubborn(run func(ctx context.Context, o measure.Options) (measure.Result, error)) probes.Tool {
	known := []measure.Option{
		{Name: "n", Type: measure.IntOption, Default: 1, Max: 9, Meaning: "a number"},
		{Name: "on", Type: measure.BoolOption, Meaning: "whether"},
		{Name: "word", Type: measure.TextOption, Meaning: "a word"},
	}
	return probes.Tool{
		Name: "stubborn", Meaning: "what the test wants", Options: known, Columns: []string{"n", "word"}, TimeToRun: time.Minute,
		Perf: func(row []any) (int, string, string) { return int(row[0].(int64)), "a|b\nc", "'n'=1" },
		New: func(spec json.RawMessage, _ probes.Env) (probes.Probe, error) {
			o, err := measure.ReadOptions(known, spec)
			return probeFunc(func(ctx context.Context) (measure.Result, error) { return run(ctx, o) }), err
		},
	}
}

type probeFunc func(context.Context) (measure.Result, error)

func (f probeFunc) Run(ctx context.Context, _ measure.Target) (measure.Result, error) { return f(ctx) }

func echo(_ context.Context, o measure.Options) (measure.Result, error) {
	return measure.Result{Row: []any{int64(o.Int("n")), o.Text("word")}}, nil
}

// probeWith runs the verb and gives what it printed and the exit code.
func probeWith(t *testing.T, tools []probes.Tool, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, log bytes.Buffer
	err := probeOnce(t.Context(), args, tools, &out, &log)
	var own exitCode
	switch {
	case err == nil:
	case errors.As(err, &own):
		code = int(own)
	case errors.Is(err, errUsage):
		code = 2
	default:
		code = 1
	}
	if err != nil {
		log.WriteString(err.Error())
	}
	return out.String(), log.String(), code
}

func TestOptionsOfTheCommandLineAreTypedByTheTool(t *testing.T) {
	var got measure.Options
	tool := stubborn(func(_ context.Context, o measure.Options) (measure.Result, error) {
		got = o
		return measure.Result{Row: []any{int64(0), ""}}, nil
	})
	if _, stderr, code := probeWith(t, []probes.Tool{tool}, "stubborn", "-o", "n=3", "x", "--option=on=true", "-o", "word=7=7"); code != 0 {
		t.Fatal(stderr)
	}
	if want := (measure.Options{"n": int64(3), "on": true, "word": "7=7"}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWrongUseOfProbeEndsWithTwoAndSaysWhy(t *testing.T) {
	for args, want := range map[string]string{
		"pong x":                         `no tool "pong"`,
		"stubborn":                       "name the target",
		"stubborn x y":                   "3 arguments",
		"stubborn x -o n":                "write name=value",
		"stubborn x -o =3":               "write name=value",
		"stubborn x -o n=1 -o n=2":       "given twice",
		"stubborn x -o n=three":          `option "n" must be a whole number such as 1, not "three"`,
		"stubborn x -o n=10":             "at most 9",
		"stubborn x -o m=1":              `unknown option "m"; known options: n, on, word`,
		"stubborn x --json --nagios":     "",
		"stubborn x --frob":              "frob",
		"stubborn x --time-to-run 5":     "has no unit",
		"stubborn x -o n=[1]":            "whole number",
		"stubborn x -o on=1":             "true or false",
		`stubborn x -o n=1,"word":"oops`: "whole number",
	} {
		stdout, stderr, code := probeWith(t, []probes.Tool{stubborn(echo)}, strings.Split(args, " ")...)
		if strings.Contains(args, "--nagios") {
			if code != 3 || !strings.Contains(stdout, "UNKNOWN - --json and --nagios exclude each other") {
				t.Errorf("%s: %d, %q", args, code, stdout)
			}
			continue
		}
		if code != 2 || !strings.Contains(stderr, want) || stdout != "" {
			t.Errorf("%s: exit code %d, %q, %q; want 2 and %q", args, code, stdout, stderr, want)
		}
	}
}

func TestNagiosGetsItsOwnExitCodesAndOneLine(t *testing.T) {
	fails := stubborn(func(context.Context, measure.Options) (measure.Result, error) {
		return measure.Result{}, errors.New("no socket|\nat all")
	})
	for _, c := range []struct {
		tool probes.Tool
		args string
		line string
		code int
	}{
		{stubborn(echo), "-o n=0", "STUBBORN OK - a/b c | 'n'=1\n", 0},
		{stubborn(echo), "-o n=1", "STUBBORN WARNING - a/b c | 'n'=1\n", 1},
		{stubborn(echo), "-o n=2", "STUBBORN CRITICAL - a/b c | 'n'=1\n", 2},
		{stubborn(echo), "-o n=99", "STUBBORN UNKNOWN - option \"n\" must be at most 9, not 99\n", 3},
		{fails, "-o n=0", "STUBBORN UNKNOWN - no socket/ at all\n", 3},
	} {
		stdout, _, code := probeWith(t, []probes.Tool{c.tool}, append([]string{"stubborn", "x", "--nagios"}, strings.Split(c.args, " ")...)...)
		if stdout != c.line || code != c.code {
			t.Errorf("%s: %d %q, want %d %q", c.args, code, stdout, c.code, c.line)
		}
	}
}

func TestRunThatOutlivesItsTimeFailsAndSaysSo(t *testing.T) {
	hangs := stubborn(func(ctx context.Context, _ measure.Options) (measure.Result, error) {
		<-ctx.Done()
		return measure.Result{}, ctx.Err()
	})
	stdout, stderr, code := probeWith(t, []probes.Tool{hangs}, "stubborn", "x", "--time-to-run", "20ms", "--json")
	if code != 1 || !strings.Contains(stderr, "did not end within 20ms") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%q: %v", stdout, err)
	}
	if got["outcome"] != "fail" || !strings.Contains(got["reason"].(string), "did not end within 20ms") {
		t.Errorf("got %v", got)
	}
	if v, there := got["word"]; !there || v != nil {
		t.Errorf("a run that failed has the column word as %v, %v; want null", v, there)
	}
}

func TestProbeAloneListsToolsAndHelpListsOptions(t *testing.T) {
	stdout, _, code := probeWith(t, catalog.All())
	for _, tool := range catalog.All() {
		if !strings.Contains(stdout, tool.Name) || !strings.Contains(stdout, tool.Meaning) || code != 0 {
			t.Errorf("%s is not in %q", tool.Name, stdout)
		}
		help, _, _ := probeWith(t, catalog.All(), tool.Name, "--help")
		for _, o := range tool.Options {
			if !strings.Contains(help, "-o "+o.Name+"=") || !strings.Contains(help, o.Meaning) {
				t.Errorf("option %s of %s is not in %q", o.Name, tool.Name, help)
			}
		}
	}
}

func TestPingJSONHasTheColumnsAsFields(t *testing.T) {
	stdout, stderr, code := probeWith(t, catalog.All(), "ping", "127.0.0.1", "-o", "count=3", "-o", "interval=10ms", "--json")
	if code != 0 {
		t.Fatal(stderr)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%q: %v", stdout, err)
	}
	want := append([]string{"tool", "target", "address", "outcome", "reason", "took_ms"}, ping.Tool().Columns...)
	slices.Sort(want)
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		t.Errorf("fields %v, want %v", names, want)
	}
	if got["tool"] != "ping" || got["outcome"] != "ok" || got["address"] != "127.0.0.1" || got["sent"] != 3.0 || len(got["rtts_us"].([]any)) != 3 {
		t.Errorf("got %v", got)
	}
}

// The built program, without any capability, in a network of its own: datagram
// sockets need no more than the sysctl, and without it the error says so.
func TestProbePingWorksWithoutPrivileges(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "sonde")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	alone := lab.New(t).Host("alone")
	for _, c := range []struct {
		groups, target string
		code           int
		begin, end     string
	}{
		{"0 0", "127.0.0.1", 0, "PING OK - 0 of 2 packets lost, rta ", "'pl'=0%;;;0;100"},
		{"0 0", "192.0.2.1", 2, "PING CRITICAL - no answer, 2 of 2 packets lost, 2 ENETUNREACH | 'rta'=U;;;0 ", "'pl'=100%;;;0;100"},
		{"0 0", "not..a..name", 3, `PING UNKNOWN - resolve "not..a..name": `, "no such host"},
		{"1 0", "127.0.0.1", 3, "PING UNKNOWN - local trouble: this process may not send ICMP: give the program CAP_NET_RAW, or, as root, run sysctl", "(also in /etc/sysctl.d)"},
	} {
		alone.Sysctl("net/ipv4/ping_group_range", c.groups)
		cmd := alone.Command("setpriv", "--bounding-set", "-all", "--inh-caps", "-all",
			binary, "probe", "ping", c.target, "-o", "count=2", "-o", "interval=10ms", "--nagios")
		out, err := cmd.Output()
		line := strings.TrimSpace(string(out))
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != c.code || !strings.HasPrefix(line, c.begin) || !strings.HasSuffix(line, c.end) {
			t.Errorf("group range %q, %s: %v, %q; want exit code %d, %q … %q", c.groups, c.target, err, line, c.code, c.begin, c.end)
		}
	}
}

// As with fping, a line that is no target costs none of the others, is named, and
// shows in the exit code.
func TestLinesThatAreNoTargetsAreLeftOut(t *testing.T) {
	var measured []string
	tool := probes.Tool{Name: "many", New: func(json.RawMessage, probes.Env) (probes.Probe, error) { return nil, nil },
		Lines: func(_ context.Context, job probes.Lines) error { measured = job.Targets; return nil }}
	file := filepath.Join(t.TempDir(), "targets")
	if err := os.WriteFile(file, []byte("# mine\n192.0.2.1\n\n192.0.2.2 web server\r\n\x00\xff\x1b[2J\n"+strings.Repeat("a", 300)+"\n192.0.2.3\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := probeWith(t, []probes.Tool{tool}, "many", "--file", file)
	if code != 1 || !slices.Equal(measured, []string{"192.0.2.1", "192.0.2.3"}) {
		t.Errorf("exit code %d, measured %q", code, measured)
	}
	for _, want := range []string{`line=4 text="192.0.2.2 web server"`, "line=5 ", "line=6 ", "no address and no name", "3 lines left out"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is not in\n%s", want, stderr)
		}
	}
	if strings.Contains(stderr, "\x1b") || len(stderr) > 1000 {
		t.Errorf("%.2000q", stderr)
	}
	if err := os.WriteFile(file, []byte("192.0.2.1\n"+strings.Repeat("not a name\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code = probeWith(t, []probes.Tool{tool}, "many", "--file", file); code != 1 || !strings.Contains(stderr, "1000 lines left out") || len(stderr) > 10_000 {
		t.Errorf("exit code %d, %.2000q", code, stderr)
	}
}

func TestFileThatNamesNoTargetsIsWrongUse(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"empty":   {"", "names no target"},
		"remarks": {"# nobody\n\n", "names no target"},
		"a novel": {strings.Repeat("a", 300), "no address and no name; write one target a line"},
		"no end":  {strings.Repeat("a", 70_000), `read the targets, line 1`},
	} {
		file := filepath.Join(t.TempDir(), "targets")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		stdout, stderr, code := probeWith(t, catalog.All(), "ping", "--file", file, "--count", "1")
		if stdout != "" || code == 0 || !strings.Contains(stderr, c.want) || len(stderr) > 500 {
			t.Errorf("%s: exit code %d, %q %.500q, want %q", name, code, stdout, stderr, c.want)
		}
	}
}
