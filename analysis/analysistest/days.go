package analysistest

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"sonde/analysis"
	"sonde/internal/measure"
)

// Step is how far apart the values of Days are.
const Step = 5 * time.Minute

// Watch feeds values a Step apart and gives the verdicts and their steps.
func Watch(t testing.TB, m analysis.Method, params string, values []float64) (all []measure.Verdict, steps []int) {
	t.Helper()
	d := New(t, m, params)
	for i, v := range values {
		for _, v := range d.Feed(measure.Sample{RunKey: measure.RunKey{ToolspecID: 1, DueAt: Start.Add(time.Duration(i) * Step)}, Outcome: measure.OK, Value: v}) {
			all, steps = append(all, v), append(steps, i)
		}
	}
	return all, steps
}

// Days of values around 100 with a season; off is added to some from a step on.
func Days(n, from, steps int, off float64) []float64 {
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

// Level examines a method that finds levels which change: a rise of four hours is
// found within so many values, and over within three hours of its end; what comes
// every day is no news, nor is the side that is good.
func Level(t *testing.T, m analysis.Method, most int) {
	const from, steps = 6 * 288, 48
	t.Run("a rise is found, and its end too", func(t *testing.T) {
		all, at := Watch(t, m, `{}`, Days(9, from, steps, 40))
		if len(all) < 2 || all[0].Kind != measure.Bad || all[len(all)-1].Kind != measure.Good {
			t.Fatalf("verdicts %+v", all)
		}
		if found := at[0] - from; found < 0 || found > most {
			t.Errorf("found after %d values", found)
		}
		since := all[0].Since.Sub(Start.Add(from * Step))
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
	})
	t.Run("what comes every day is no news", func(t *testing.T) {
		all, _ := Watch(t, m, `{}`, Days(20, 0, 0, 0))
		for _, v := range all {
			t.Errorf("unexpected: %s %s", v.At, v.Text)
		}
	})
	t.Run("the side that is good is not told", func(t *testing.T) {
		if all, _ := Watch(t, m, `{"direction":"down"}`, Days(9, from, steps, 40)); len(all) != 0 {
			t.Errorf("a rise was told: %+v", all)
		}
	})
}
