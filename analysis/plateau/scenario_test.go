package plateau

import (
	"bufio"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sonde/analysis/analysistest"
	"sonde/internal/measure"
)

var update = flag.Bool("update", false, "write the verdicts found into the scenario files")

// A scenario file has a series and the verdicts expected of it:
//
//	params {"direction":"up"}
//	every 1m
//	20 ± 1 x 400     400 values of 20, evenly spread within 1 (the seed is the line)
//	lost x 10        10 runs without a value
//	skip 3h          three hours without runs
//	= +6h41m bad since +6h40m: rose from …
func scenario(t *testing.T, path string) (input []string, want, got string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	params, every, at := `{}`, time.Minute, analysistest.Start
	var verdicts []measure.Verdict
	d := analysistest.New(t, Method(), params)
	feed := func(s measure.Sample) {
		s.DueAt = at
		verdicts = append(verdicts, d.Feed(s)...)
		at = at.Add(every)
	}
	lines := bufio.NewScanner(f)
	for n := 0; lines.Scan(); n++ {
		line := lines.Text()
		if strings.HasPrefix(line, "= ") {
			want += line + "\n"
			continue
		}
		input = append(input, line)
		var value, spread float64
		var times int
		switch fields := strings.Fields(line); {
		case line == "" || strings.HasPrefix(line, "#"):
		case fields[0] == "params":
			params = strings.TrimPrefix(line, "params ")
			d = analysistest.New(t, Method(), params)
		case fields[0] == "every" || fields[0] == "skip":
			dur, err := measure.ParseDuration(fields[1])
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if fields[0] == "skip" {
				at = at.Add(dur)
			} else {
				every = dur
			}
		case fields[0] == "lost":
			if _, err := fmt.Sscanf(line, "lost x %d", &times); err != nil {
				t.Fatalf("%s: line %q: %v", path, line, err)
			}
			for i := range times {
				s := measure.Sample{Outcome: measure.OK, Value: math.NaN()}
				if i%2 == 1 {
					s.Outcome, s.Reason = measure.Missed, "worker down"
				}
				feed(s)
			}
		default:
			if _, err := fmt.Sscanf(line, "%g ± %g x %d", &value, &spread, &times); err != nil {
				t.Fatalf("%s: line %q: %v", path, line, err)
			}
			r := rand.New(rand.NewPCG(uint64(n), 7))
			for range times {
				feed(measure.Sample{Outcome: measure.OK, Value: value + spread*(2*r.Float64()-1)})
			}
		}
	}
	for _, v := range verdicts {
		got += fmt.Sprintf("= +%s %s since +%s: %s\n", v.At.Sub(analysistest.Start), v.Kind, v.Since.Sub(analysistest.Start), v.Text)
	}
	return input, want, got
}

func TestScenariosGiveTheirVerdicts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("scenario files: %v, %v", files, err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			input, want, got := scenario(t, path)
			if *update {
				if err := os.WriteFile(path, []byte(strings.TrimRight(strings.Join(input, "\n"), "\n")+"\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != want {
				t.Errorf("verdicts\n%swant\n%s", got, want)
			}
		})
	}
}

func TestMethodSitsTheExamination(t *testing.T) {
	analysistest.Examine(t, Method(), `{"start":20,"trigger":"2m","history":"1h","settle":"30m"}`)
	analysistest.Examine(t, Method(), `{"start":20,"trigger":"3m","history":"1h","direction":"up","least":5,"unit":"ms","floor_pct":0}`)
}

func FuzzState(f *testing.F) {
	analysistest.FuzzState(f, Method(), `{"start":20,"trigger":"2m","history":"1h"}`)
}

func TestBadDataAreEndured(t *testing.T) { analysistest.Endure(t, Method(), `{}`) }
