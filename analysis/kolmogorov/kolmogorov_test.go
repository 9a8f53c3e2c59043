package kolmogorov_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"sonde/analysis/analysistest"
	"sonde/analysis/kolmogorov"
	"sonde/internal/measure"
)

func TestTheMethodSitsTheExamination(t *testing.T) {
	for _, params := range []string{`{}`, `{"season":"none"}`} {
		t.Run(params, func(t *testing.T) { analysistest.Examine(t, kolmogorov.Method(), params) })
	}
}

func TestBadDataAreEndured(t *testing.T) { analysistest.Endure(t, kolmogorov.Method(), `{}`) }

func FuzzState(f *testing.F) { analysistest.FuzzState(f, kolmogorov.Method(), `{"season":"none"}`) }

// watch feeds values five minutes apart and gives the verdicts and their steps.
func watch(t *testing.T, params string, values []float64) (all []measure.Verdict, steps []int) {
	t.Helper()
	d := analysistest.New(t, kolmogorov.Method(), params)
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
	if found := at[0] - from; found < 0 || found > 13 {
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

// The published table of the distribution: 1.36 is the limit of 5 %, 1.63 that of 1 %.
func TestProbabilityIsThatOfTheTable(t *testing.T) {
	const n = 1 << 40 // so many that the correction for small samples is nothing
	effective := math.Sqrt(float64(n) / 2)
	for lambda, want := range map[float64]float64{0.5: 0.9639, 1.0: 0.2700, 1.36: 0.0495, 1.63: 0.0098, 2.0: 0.00067} {
		if got := kolmogorov.Probability(lambda/effective, n, n); math.Abs(got-want) > 0.00005 {
			t.Errorf("lambda %v: %v, the table has %v", lambda, got, want)
		}
	}
	if got := kolmogorov.Probability(0, 12, 72); got != 1 {
		t.Errorf("no distance has probability %v", got)
	}
}

func TestNonsenseParametersAreRefusedInWords(t *testing.T) {
	m := kolmogorov.Method()
	if _, err := m.New(analysistest.Params(t, m, `{"significance":1e-4,"clear":1e-5}`), nil); err == nil {
		t.Error("a clear below the significance was taken")
	}
}
