package threshold_test

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"sonde/analysis"
	"sonde/analysis/analysistest"
	"sonde/analysis/threshold"
	"sonde/internal/measure"
)

func TestMethodsSitTheExamination(t *testing.T) {
	for _, m := range []struct {
		method analysis.Method
		params string
	}{
		{threshold.NoAnswer(), `{}`},
		{threshold.NoAnswer(), `{"runs":1,"clear":1}`},
		{threshold.CannotMeasure(), `{"runs":2}`},
		{threshold.NoData(), `{"runs":2,"interval":"10s"}`},
		{threshold.NoData(), `{}`},
		{threshold.Limit(), `{}`},
		{threshold.Limit(), `{"limit":15,"runs":2,"of":3,"critical":50,"clear_runs":0}`},
		{threshold.Limit(), `{"limit":15,"full":100,"full_runs":2}`},
		{threshold.Limit(), `{"limit":15,"runs":2,"of":3,"direction":"under","unit":"Mbit/s"}`},
	} {
		t.Run(m.method.Name+" "+m.params, func(t *testing.T) { analysistest.Examine(t, m.method, m.params) })
	}
}

func TestBadDataAreEndured(t *testing.T) {
	for _, m := range []struct {
		method analysis.Method
		params string
	}{
		{threshold.NoAnswer(), `{}`},
		{threshold.CannotMeasure(), `{}`},
		{threshold.NoData(), `{"interval":"5m"}`},
		{threshold.Limit(), `{"limit":45}`},
		{threshold.Limit(), `{"limit":10,"clear_limit":12,"direction":"under"}`},
	} {
		t.Run(m.method.Name+" "+m.params, func(t *testing.T) { analysistest.Endure(t, m.method, m.params) })
	}
}

func FuzzNoAnswerState(f *testing.F) { analysistest.FuzzState(f, threshold.NoAnswer(), "") }
func FuzzNoDataState(f *testing.F) {
	analysistest.FuzzState(f, threshold.NoData(), `{"interval":"1m"}`)
}
func FuzzLimitState(f *testing.F) { analysistest.FuzzState(f, threshold.Limit(), `{"limit":15}`) }

// A scenario is one letter a minute: L all lost, h half lost, . nothing lost,
// n ok without the number, f fail, m missed, g a gap of three, t a tick only.
// The second line has the expected verdicts under the same minute: B bad, G good.
func scenario(t *testing.T, m analysis.Method, params, runs, want string) []measure.Verdict {
	t.Helper()
	d := analysistest.New(t, m, params)
	var got strings.Builder
	var all []measure.Verdict
	for i, c := range runs {
		at := analysistest.Start.Add(time.Duration(i) * time.Minute)
		s := measure.Sample{RunKey: measure.RunKey{ToolspecID: 1, DueAt: at}, Outcome: measure.OK, Value: math.NaN()}
		var vs []measure.Verdict
		switch c {
		case 'L':
			s.Value = 100
		case 'r':
			s.Outcome, s.Reason = measure.Missed, measure.StillRunning+": the run due at 12:00 UTC had not ended"
		case 'h':
			s.Value = 50
		case '.':
			s.Value = 0
		case 'n':
		case 'f':
			s.Outcome, s.Reason = measure.Fail, "name does not resolve"
		case 'm':
			s.Outcome, s.Reason = measure.Missed, "worker down"
		case 'g':
			s.Outcome, s.Reason, s.Gap, s.Runs = measure.Missed, "scheduler down", true, 3
		}
		if c == 't' {
			vs = d.Tick(at)
		} else {
			vs = d.Feed(s)
		}
		switch {
		case len(vs) == 0:
			got.WriteByte(' ')
		case vs[0].Kind == measure.Bad:
			got.WriteByte('B')
		default:
			got.WriteByte('G')
		}
		all = append(all, vs...)
	}
	if g := strings.TrimRight(got.String(), " "); g != strings.TrimRight(want, " ") {
		t.Errorf("%s %s\n runs %q\n got  %q\n want %q", m.Name, params, runs, g, want)
	}
	return all
}

func TestNoneWaitsForAnother(t *testing.T) {
	for _, s := range []struct {
		method     analysis.Method
		params     string
		runs, want string
	}{
		{threshold.NoAnswer(), `{}`, "..LLL", "    B"},
		{threshold.NoAnswer(), `{}`, "LL.LLLL", "     BB"},
		{threshold.NoAnswer(), `{}`, "LfLmLgn", "    B"}, // nothing between them feeds or clears
		{threshold.NoAnswer(), `{}`, "LLLfffmmmL", "  B      B"},
		{threshold.NoAnswer(), `{}`, "LLLh.", "  B G"},
		{threshold.NoAnswer(), `{}`, "LLL.L.L..", "  B B B G"},
		{threshold.NoAnswer(), `{}`, "LLL.f.", "  B  G"},
		{threshold.NoAnswer(), `{"runs":1,"clear":1}`, "L.L.", "BGBG"},

		{threshold.CannotMeasure(), `{}`, "fff.", "  BG"},
		{threshold.CannotMeasure(), `{}`, "fmfgf", "    B"},
		{threshold.CannotMeasure(), `{}`, "ffLfff", "     B"}, // silence is a measurement
		{threshold.CannotMeasure(), `{}`, "fffmmmn", "  B   G"},

		{threshold.NoData(), `{}`, "mmm.", "  BG"},
		{threshold.NoData(), `{}`, "mmg", "  B"},
		{threshold.NoData(), `{}`, "g", "B"},
		{threshold.NoData(), `{}`, "mmfmm", ""}, // a failure has been shown
		{threshold.NoData(), `{}`, "mmmf", "  BG"},
		{threshold.NoData(), `{"interval":"1m"}`, "L.ttttttt.", "     B   G"},
		{threshold.NoData(), `{"interval":"1m"}`, "tttttttm.", "    B  BG"},
		{threshold.NoData(), `{}`, ".tttttttt", ""},

		{threshold.Limit(), `{}`, "hhhhh", "    B"},
		{threshold.Limit(), `{}`, "h.h.h.h.h", "        B"},
		{threshold.Limit(), `{}`, "hhfmghhh", "       B"},
		{threshold.Limit(), `{}`, "hhhh............", ""},
		{threshold.Limit(), `{}`, "hhhhh.............", "    BBBBBBBBBG"},
		{threshold.Limit(), `{"full":100}`, "..LLLLLLLLL.......", ""},   // an outage is no answer's
		{threshold.Limit(), `{"full":100}`, "L.L.L.L.LL", "        BB"}, // every second run is loss
		{threshold.Limit(), `{"full":100}`, "hhhhhLLLLL..........", "    BBB   BBBBBBBBG"},
		{threshold.Limit(), `{"runs":1,"of":1,"clear_runs":0}`, "h.L.f.", "BGBG"},
	} {
		scenario(t, s.method, s.params, s.runs, s.want)
	}
}

// A spec that is due again before its run has ended brings data, only not so often.
func TestRunsThatAreStillRunningAreNoMissingData(t *testing.T) {
	scenario(t, threshold.NoData(), `{}`,
		".rrrr.rrrrmrmrm",
		"              B")
}

func TestTheSentenceNamesCountAndReason(t *testing.T) {
	v := scenario(t, threshold.CannotMeasure(), `{}`, ".fff", "   B")[0]
	if v.Text != "cannot be measured, 3 runs in a row: name does not resolve" {
		t.Errorf("text %q", v.Text)
	}
	if want := analysistest.Start.Add(time.Minute); !v.Since.Equal(want) {
		t.Errorf("since %v, want the first failed run %v", v.Since, want)
	}
	v = scenario(t, threshold.NoAnswer(), `{}`, "LLLL", "  BB")[1]
	if v.Text != "no answer, 4 runs in a row" || v.Severity != "" {
		t.Errorf("verdict %+v", v)
	}
	v = scenario(t, threshold.Limit(), `{"unit":"%"}`, "hhhhh", "    B")[0]
	if v.Text != "5 of the last 5 values over 20 %, now 50 %" {
		t.Errorf("verdict %+v", v)
	}
	v = scenario(t, threshold.NoData(), `{"interval":"1m"}`, ".tttt", "    B")[0]
	if !strings.Contains(v.Text, "nothing has come") || !v.Since.Equal(analysistest.Start) {
		t.Errorf("verdict %+v", v)
	}
}

func TestLossThatGrowsBecomesCritical(t *testing.T) {
	vs := scenario(t, threshold.Limit(), `{"critical":80,"runs":2,"of":3,"clear_runs":0}`, "hhLLhhh", " BBBBBB")
	var got []string
	for _, v := range vs {
		got = append(got, cmp.Or(string(v.Severity), "rule"))
	}
	if want := "[rule rule critical critical rule rule]"; fmt.Sprint(got) != want {
		t.Errorf("severities %v, want %v", got, want)
	}
}

func TestAValueThatHoversAtTheLimitDoesNotFlap(t *testing.T) {
	d := analysistest.New(t, threshold.Limit(), `{}`)
	verdicts := map[measure.VerdictKind]int{}
	for i := range 500 {
		v := measure.Sample{RunKey: measure.RunKey{DueAt: analysistest.Start.Add(time.Duration(i) * time.Minute)}, Outcome: measure.OK, Value: 15 + float64(i%2)*10}
		for _, v := range d.Feed(v) {
			verdicts[v.Kind]++
		}
	}
	if verdicts[measure.Good] != 0 || verdicts[measure.Bad] == 0 {
		t.Errorf("verdicts %v, want bad all along", verdicts)
	}
}

func TestNonsenseParametersAreRefusedInWords(t *testing.T) {
	for params, want := range map[string]string{
		`{"runs":6,"of":5}`:               `"runs" (6) must be at most "of" (5)`,
		`{"runs":2,"clear_runs":2}`:       "never ends",
		`{"limit":20,"clear_limit":30}`:   "bad side",
		`{"limit":-20,"clear_limit":-10}`: "bad side",
	} {
		m := threshold.Limit()
		_, err := m.New(analysistest.Params(t, m, params), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", params, err, want)
		}
	}
	m := threshold.Limit()
	for _, params := range []string{`{"limit":-20}`, `{"limit":0}`, `{"limit":5,"direction":"under"}`, `{"limit":-5,"direction":"under"}`} {
		if _, err := m.New(analysistest.Params(t, m, params), nil); err != nil {
			t.Errorf("%s: %v", params, err)
		}
	}
}
