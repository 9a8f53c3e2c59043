package kolmogorov_test

import (
	"math"
	"testing"

	"sonde/analysis/analysistest"
	"sonde/analysis/kolmogorov"
)

func TestTheMethodSitsTheExamination(t *testing.T) {
	for _, params := range []string{`{}`, `{"season":"none"}`} {
		t.Run(params, func(t *testing.T) { analysistest.Examine(t, kolmogorov.Method(), params) })
	}
}

func TestBadDataAreEndured(t *testing.T) { analysistest.Endure(t, kolmogorov.Method(), `{}`) }

func FuzzState(f *testing.F) { analysistest.FuzzState(f, kolmogorov.Method(), `{"season":"none"}`) }

func TestAChangedLevelIsFound(t *testing.T) { analysistest.Level(t, kolmogorov.Method(), 13) }

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
