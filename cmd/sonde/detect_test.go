package main

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// aSeries writes a day's delay every four minutes for ten days, with a level of its own for the last hours.
func aSeries(t *testing.T, path string, rows int) {
	t.Helper()
	var b strings.Builder
	b.WriteString("timestamp,value\n")
	noise, at := rand.New(rand.NewPCG(1, 2)), time.Date(2016, 9, 23, 20, 0, 0, 0, time.UTC)
	for i := range rows {
		v := 160 + noise.NormFloat64()
		if i >= 3400 {
			v += 40
		}
		switch {
		case i%500 == 499:
			fmt.Fprintf(&b, "%s,\n", at.Format(time.DateTime))
		default:
			fmt.Fprintf(&b, "%s,%.3f\n", at.Format(time.DateTime), v)
		}
		at = at.Add(4 * time.Minute)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// detected runs the verb and gives the rows it wrote.
func detected(t *testing.T, args ...string) (rows []string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "scores.csv")
	var stderr bytes.Buffer
	if code := run(t.Context(), append(append([]string{"detect"}, args...), "--out", out), &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(raw)), "\n")
}

func TestDetectScoresEachRowOfASeries(t *testing.T) {
	in := filepath.Join(t.TempDir(), "a.csv")
	aSeries(t, in, 3500)
	rows := detected(t, "--in", in, "--kind", "rtt", "--interval", "240")
	if len(rows) != 3501 || rows[0] != "timestamp,score" || !strings.HasPrefix(rows[1], "2016-09-23 20:00:00,") {
		t.Fatalf("%d rows, beginning %q", len(rows), rows[:2])
	}
	alerts := 0
	for i, row := range rows[1:] {
		score := math.NaN()
		if _, err := fmt.Sscanf(row[len(row)-6:], "%f", &score); err != nil || !(score >= 0 && score <= 1) {
			t.Fatalf("row %d is %q", i, row)
		}
		if score >= 0.5 {
			alerts++
			if i < 3400 {
				t.Errorf("row %d is an alert, the delay rose at 3400: %s", i, row)
			}
		}
	}
	if alerts == 0 {
		t.Error("the rise was not found")
	}
}

// What was said of a row stays true when more rows come.
func TestDetectKnowsNothingOfLaterRows(t *testing.T) {
	dir := t.TempDir()
	aSeries(t, filepath.Join(dir, "whole.csv"), 3500)
	aSeries(t, filepath.Join(dir, "begun.csv"), 3450)
	whole := detected(t, "--in", filepath.Join(dir, "whole.csv"), "--kind", "rtt", "--interval", "4m")
	begun := detected(t, "--in", filepath.Join(dir, "begun.csv"), "--kind", "rtt", "--interval", "4m")
	for i := range begun {
		if begun[i] != whole[i] {
			t.Fatalf("row %d: %q, and with later rows %q", i, begun[i], whole[i])
		}
	}
}

func TestDetectReadsADirectoryAsItReadsOneSeries(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	if err := os.Mkdir(filepath.Join(dir, "far"), 0o755); err != nil {
		t.Fatal(err)
	}
	aSeries(t, filepath.Join(dir, "far", "a.csv"), 3500)
	known := filepath.Join(dir, "series.json")
	if err := os.WriteFile(known, []byte(`{"far/a.csv": {"kind": "latency", "interval_s": 240}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"detect", "--data", dir, "--series", known, "--out", out}, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	raw, err := os.ReadFile(filepath.Join(out, "far", "a.csv"))
	if err != nil {
		t.Fatal(err)
	}
	one := detected(t, "--in", filepath.Join(dir, "far", "a.csv"), "--kind", "latency", "--interval", "240")
	if string(raw) != strings.Join(one, "\n")+"\n" {
		t.Error("a series scored in a directory has other scores than alone")
	}
}

func TestSeriesThatCannotBeReadCostsNoOther(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	aSeries(t, filepath.Join(dir, "good.csv"), 100)
	for name, text := range map[string]string{
		"bad.csv": "timestamp,value\nyesterday,1\n",
		"of.json": `{"absent.csv": {"kind": "rtt", "interval_s": 240}, "bad.csv": {"kind": "rtt", "interval_s": 240}, "good.csv": {"kind": "rtt", "interval_s": 240}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"detect", "--data", dir, "--series", filepath.Join(dir, "of.json"), "--out", out}, &stderr); code == 0 {
		t.Error("two of three series could not be read, and the exit code is 0")
	}
	for _, want := range []string{"absent.csv", "bad.csv: line 2"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q does not say %q", stderr.String(), want)
		}
	}
	raw, err := os.ReadFile(filepath.Join(out, "good.csv"))
	if n := bytes.Count(raw, []byte("\n")); err != nil || n != 101 {
		t.Errorf("the good one got %d rows, %v", n, err)
	}
}

func TestDetectReadsSecondsSince1970(t *testing.T) {
	dir := t.TempDir()
	words, numbers := filepath.Join(dir, "words.csv"), filepath.Join(dir, "numbers.csv")
	aSeries(t, words, 3500)
	raw, err := os.ReadFile(words)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for line := range strings.Lines(string(raw)) {
		at, value, _ := strings.Cut(line, ",")
		if when, err := time.Parse(time.DateTime, at); err == nil {
			at = fmt.Sprint(when.Unix())
		}
		text.WriteString(at + "," + value)
	}
	if err := os.WriteFile(numbers, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	a, b := detected(t, "--in", words, "--kind", "rtt", "--interval", "240"), detected(t, "--in", numbers, "--kind", "rtt", "--interval", "240")
	if len(a) != len(b) {
		t.Fatalf("%d rows, with numbers %d", len(a), len(b))
	}
	for i := range a {
		_, x, _ := strings.Cut(a[i], ",")
		_, y, _ := strings.Cut(b[i], ",")
		if x != y {
			t.Fatalf("row %d: %q, with numbers %q", i, a[i], b[i])
		}
	}
}

func TestDetectFindsItsColumnsByTheHeader(t *testing.T) {
	dir := t.TempDir()
	plain, mixed := filepath.Join(dir, "plain.csv"), filepath.Join(dir, "mixed.csv")
	aSeries(t, plain, 500)
	raw, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	text := "\ufeffhost,Value, timestamp \r\n"
	for i, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		if at, value, _ := strings.Cut(line, ","); i > 0 {
			text += "17," + value + "," + at + "\r\n"
		}
	}
	if err := os.WriteFile(mixed, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	a, b := detected(t, "--in", plain, "--kind", "rtt", "--interval", "240"), detected(t, "--in", mixed, "--kind", "rtt", "--interval", "240")
	if !slices.Equal(a, b) {
		t.Errorf("%d and %d rows differ: %q, %q", len(a), len(b), a[:3], b[:3])
	}
}

func TestDetectSaysWhatIsWrongWithItsInput(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.csv", "timestamp,value\n2016-09-23 20:00:00,1\n2016-09-23 20:00:00,\n2016-09-23 19:00:00,NaN\n")
	out, outs := filepath.Join(dir, "out.csv"), filepath.Join(dir, "outs")
	for args, want := range map[string]string{
		"":                               "say which series: --in FILE",
		"--in none":                      "say where the scores go",
		"--in " + good + " --out " + out: "--interval 300",
		"--in " + good + " --out " + out + " --interval 0":                                                                          "seconds between two samples",
		"--in " + good + " --out " + out + " --interval month":                                                                      "--interval month",
		"--in " + good + " --out " + out + " --interval 60 --kind delay":                                                            "rtt",
		"--in " + good + " --out " + out + " --interval 60 --method crystal":                                                        "known are",
		"--in " + good + " --out " + out + " --interval 60 -o ball=3":                                                               "ball",
		"--in " + filepath.Join(dir, "none.csv") + " --out " + out + " --interval 60":                                               "no such file",
		"--in " + write("empty.csv", "") + " --out " + out + " --interval 60":                                                       "the file is empty",
		"--in " + write("time.csv", "timestamp,value\nyesterday,1\n") + " --out " + out + " --interval 60":                          "line 2: \"yesterday\" is no time",
		"--in " + write("word.csv", "timestamp,value\n2016-09-23 20:00:00,much\n") + " --out " + out + " --interval 60":             "line 2: \"much\" is no number",
		"--in " + write("blank.csv", "timestamp,value\n\n\n2016-09-23 20:00:00,much\n") + " --out " + out + " --interval 60":        "line 4: \"much\"",
		"--in " + write("semi.csv", "timestamp;value\n1700000000;5\n") + " --out " + out + " --interval 60":                         "line 1: the header has no column timestamp and no column value: it is \"timestamp;value\"",
		"--in " + write("semi2.csv", "1700000000;5\n") + " --out " + out + " --interval 60":                                         "line 1: \"1700000000;5\" is no time: wanted 2006-01-02 15:04:05, UTC, or seconds since 1970; and a comma",
		"--in " + write("other.csv", "timestamp,rtt\n2016-09-23 20:00:00,1\n") + " --out " + out + " --interval 60":                 "line 1: the header has no column value: it is \"timestamp,rtt\"",
		"--in " + write("twice.csv", "timestamp,value,value\n2016-09-23 20:00:00,1,2\n") + " --out " + out + " --interval 60":       "line 1: two columns are named value",
		"--in " + write("cut.csv", "value,timestamp\n1\n") + " --out " + out + " --interval 60":                                     "line 2: there is no column 2",
		"--in " + good + " --out " + good + " --interval 60":                                                                        "written over the series",
		"--in " + write("bare.csv", "2016-99-23 20:00:00,1\n") + " --out " + out + " --interval 60":                                 "line 1",
		"--in " + write("void.csv", ",\n") + " --out " + out + " --interval 60":                                                     "line 1",
		"--data " + dir + " --out " + dir + " --series " + write("over.json", `{"good.csv": {"kind": "rtt", "interval_s": 60}}`):    "written over the series",
		"--data " + dir + " --out " + outs:                                                                                          "--series FILE",
		"--data " + dir + " --out " + outs + " --series " + write("list.json", "[]"):                                                "wanted {\"NAME.csv\"",
		"--data " + dir + " --out " + outs + " --series " + write("out.json", `{"../a.csv": {"kind": "rtt", "interval_s": 60}}`):    "leads out of the directory",
		"--data " + dir + " --out " + outs + " --series " + write("step.json", `{"good.csv": {"kind": "rtt"}}`):                     "interval_s 0",
		"--data " + dir + " --out " + outs + " --series " + write("lost.json", `{"gone.csv": {"kind": "rtt", "interval_s": 60}}`):   "gone.csv",
		"--data " + dir + " --out " + outs + " --series " + write("kind.json", `{"good.csv": {"kind": "delay", "interval_s": 60}}`): "good.csv",
	} {
		var stderr bytes.Buffer
		if code := run(t.Context(), append([]string{"detect"}, strings.Fields(args)...), &stderr); code == 0 || !strings.Contains(stderr.String(), want) {
			t.Errorf("detect %s: exit code %d, %q; wanted it to say %q", args, code, stderr.String(), want)
		}
	}
	if rows := detected(t, "--in", good, "--interval", "60"); len(rows) != 4 {
		t.Errorf("repeated, missing and earlier rows: %q", rows)
	}
}

// Scores of half a series would be taken for those of all.
func TestScoresOfASeriesThatCannotBeReadLeaveNoFile(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	if err := os.WriteFile(in, []byte("timestamp,value\n1700000000,5\n1700000060,much\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, says := call(t, "detect", "--in", in, "--out", out, "--interval", "60"); code != 1 || !strings.Contains(says, "line 3") {
		t.Errorf("exit code %d and %q", code, says)
	}
	if err := os.WriteFile(out, []byte("scores of yesterday\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	call(t, "detect", "--in", in, "--out", out, "--interval", "60")
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if got, err := os.ReadFile(out); string(got) != "scores of yesterday\n" {
		t.Errorf("the scores of before are %q, %v", got, err)
	}
}
