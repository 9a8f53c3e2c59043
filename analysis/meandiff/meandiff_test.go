package meandiff_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"sonde/analysis/analysistest"
	"sonde/analysis/meandiff"
	"sonde/internal/measure"
)

func TestTheMethodSitsTheExamination(t *testing.T) {
	for _, params := range []string{`{}`, `{"season":"none"}`} {
		t.Run(params, func(t *testing.T) { analysistest.Examine(t, meandiff.Method(), params) })
	}
}

func TestBadDataAreEndured(t *testing.T) { analysistest.Endure(t, meandiff.Method(), `{}`) }

func FuzzState(f *testing.F) { analysistest.FuzzState(f, meandiff.Method(), `{"season":"none"}`) }

// watch feeds values five minutes apart and gives the verdicts and their steps.
func watch(t *testing.T, params string, values []float64) (all []measure.Verdict, steps []int) {
	t.Helper()
	d := analysistest.New(t, meandiff.Method(), params)
	for i, v := range values {
		at := analysistest.Start.Add(time.Duration(i) * 5 * time.Minute)
		for _, v := range d.Feed(measure.Sample{RunKey: measure.RunKey{ToolspecID: 1, DueAt: at}, Outcome: measure.OK, Value: v}) {
			all, steps = append(all, v), append(steps, i)
		}
	}
	return all, steps
}

// days of five-minute values around 100 with a season; off is added to some from a step on.
func days(n, from, steps int, off float64) []float64 {
	r := rand.New(rand.NewPCG(41, 42))
	out := make([]float64, n*288)
	for i := range out {
		out[i] = 100 + 10*math.Sin(2*math.Pi*float64(i)/288) + r.NormFloat64()
		if i >= from && i < from+steps {
			out[i] += off
		}
	}
	return out
}

func TestARiseIsFoundAndItsEndToo(t *testing.T) {
	const from, steps = 6 * 288, 48
	all, at := watch(t, `{}`, days(9, from, steps, 40))
	if len(all) < 2 || all[0].Kind != measure.Bad || all[len(all)-1].Kind != measure.Good {
		t.Fatalf("verdicts %+v", all)
	}
	if found := at[0] - from; found < 0 || found > 8 {
		t.Errorf("found after %d values", found)
	}
	since := all[0].Since.Sub(analysistest.Start.Add(from * 5 * time.Minute))
	if since < -15*time.Minute || since > time.Hour {
		t.Errorf("since %v, it began %v before", all[0].Since, since)
	}
	if over := at[len(at)-1] - from - steps; over < 0 || over > 36 {
		t.Errorf("over after %d values", over)
	}
	for _, name := range []string{"rule", "value", "forecast", "low", "high", "score"} {
		if _, ok := all[0].Evidence[name]; !ok {
			t.Errorf("no %q in %v", name, all[0].Evidence)
		}
	}
}

func TestWhatComesEveryDayIsNoNews(t *testing.T) {
	all, _ := watch(t, `{}`, days(20, 0, 0, 0))
	for _, v := range all {
		t.Errorf("unexpected: %s %s", v.At, v.Text)
	}
}

func TestTheSideThatIsGoodIsNotTold(t *testing.T) {
	if all, _ := watch(t, `{"direction":"down"}`, days(9, 6*288, 48, 40)); len(all) != 0 {
		t.Errorf("a rise was told: %+v", all)
	}
}

// IEPM's pages print these means, deviations and F1s.
func TestF1IsThePublishedOne(t *testing.T) {
	for _, row := range []struct{ mean, sd, mean2, sd2, want float64 }{
		{1000, 0, 540.34, 55.0129, 11.82},
		{1000, 0, 659.22, 273.1441, 1.76},
		{987.34, 80.7157, 633.01, 285.5772, 1.69},
	} {
		if got := meandiff.F1(row.mean, row.sd, row.mean2, row.sd2); math.Abs(got-row.want) > 0.005 {
			t.Errorf("%+v: %v", row, got)
		}
	}
}
