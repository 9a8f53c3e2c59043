package cusum_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"sonde/analysis/analysistest"
	"sonde/analysis/cusum"
	"sonde/internal/measure"
)

func TestTheMethodSitsTheExamination(t *testing.T) {
	for _, params := range []string{`{}`, `{"season":"none"}`} {
		t.Run(params, func(t *testing.T) { analysistest.Examine(t, cusum.Method(), params) })
	}
}

func TestBadDataAreEndured(t *testing.T) { analysistest.Endure(t, cusum.Method(), `{}`) }

func FuzzState(f *testing.F) { analysistest.FuzzState(f, cusum.Method(), `{"season":"none"}`) }

// watch feeds values five minutes apart and gives the verdicts and their steps.
func watch(t *testing.T, params string, values []float64) (all []measure.Verdict, steps []int) {
	t.Helper()
	d := analysistest.New(t, cusum.Method(), params)
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
	if found := at[0] - from; found < 0 || found > 6 {
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

// What is left of the sum when an episode ends goes on, and what follows is news of its own.
func TestTheNextEpisodeHasABeginningOfItsOwn(t *testing.T) {
	d := analysistest.New(t, cusum.Method(), `{}`)
	var began []time.Time
	good := false
	for i, v := range days(9, 0, 0, 0) {
		if i >= 6*288 && i < 6*288+12 || good && len(began) == 1 {
			v += 40
		}
		at := analysistest.Start.Add(time.Duration(i) * 5 * time.Minute)
		for _, v := range d.Feed(measure.Sample{RunKey: measure.RunKey{ToolspecID: 1, DueAt: at}, Outcome: measure.OK, Value: v}) {
			if good = v.Kind == measure.Good; v.Kind == measure.Bad {
				began = append(began, v.Since)
			}
		}
	}
	if len(began) != 2 || !began[1].After(began[0]) {
		t.Errorf("episodes began at %v", began)
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

// A shift of s scales is found after about h / (s - k) values.
func TestASmallShiftTakesItsTime(t *testing.T) {
	for shift, most := range map[float64]int{6: 8, 10: 4} {
		_, at := watch(t, `{"least_pct":0,"least":0.5,"k":2,"h":20}`, days(9, 6*288+72, 96, shift*1.7)) // the scale of an hour with its slope
		if len(at) == 0 || at[0]-6*288-72 > 2*most {
			t.Errorf("a shift of %v was found at %v", shift, at)
		}
	}
}

func TestNonsenseParametersAreRefusedInWords(t *testing.T) {
	m := cusum.Method()
	if _, err := m.New(analysistest.Params(t, m, `{"k":9}`), nil); err == nil {
		t.Error("a clip below k was taken")
	}
}
