package kolmogorov

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"

	"sonde/analysis"
	"sonde/analysis/usual"
	"sonde/internal/measure"
)

// Method is the two-sample test of Kolmogorov and Smirnov.
func Method() analysis.Method {
	return analysis.Method{
		Name:    "kolmogorov-smirnov",
		Meaning: "The last values are distributed otherwise than those of the same hours before.",
		Options: append([]measure.Option{
			{Name: "recent", Type: measure.IntOption, Default: 12, Min: 6, Max: 500, Meaning: "How many of the last values are compared."},
			{Name: "significance", Type: measure.FloatOption, Default: 1e-8, Min: 1e-30, Max: 0.1, Meaning: "How improbable by chance a difference must be."},
			{Name: "clear", Type: measure.FloatOption, Default: 1e-3, Min: 1e-30, Max: 1.0, Meaning: "From what probability on it is as usual again; more than significance."},
		}, usual.Options()...),
		New: newDetector,
	}
}

type detector struct {
	usual.Settings
	recent              int
	significance, clear float64
	state               usual.Window
}

func newDetector(p measure.Options, saved []byte) (analysis.Detector, error) {
	d := &detector{Settings: usual.Read(p), recent: p.Int("recent"), significance: p.Float("significance"), clear: p.Float("clear")}
	if d.clear <= d.significance {
		return nil, fmt.Errorf("option \"clear\" (%v) must be more than \"significance\" (%v)", d.clear, d.significance)
	}
	if err := analysis.Load(saved, &d.state); err != nil {
		return nil, err
	}
	return d, d.state.CheckWindow(d.Settings, d.recent)
}

func (d *detector) Save() ([]byte, error) { return json.Marshal(d.state) }

func (d *detector) Tick(time.Time) []measure.Verdict { return nil }

func (d *detector) Feed(s measure.Sample) []measure.Verdict {
	st := &d.state
	now, before, ok := st.Take(d.Settings, s, d.recent)
	if !ok {
		return nil
	}
	value := now[len(now)-1]
	slices.Sort(now)
	distance := stat.KolmogorovSmirnov(before, nil, now, nil)
	p := Probability(distance, len(before), len(now))
	from, to := usual.Median(before), usual.Median(now)
	// The score counts powers of ten: 1 at significance.
	score := math.Log(p) / math.Log(d.significance)
	return st.Judge(d.Settings, st.Newest, usual.Finding{
		Rule: "kolmogorov-smirnov", Score: score, Clear: math.Log(d.clear) / math.Log(d.significance), Hold: d.recent / 2,
		Since: st.Recent[0].At, From: from, To: to, Low: before[0], High: before[len(before)-1], Value: value,
		Unfounded: !d.Counts(from, to),
		Evidence:  map[string]any{"distance": distance, "p": p, "recent": len(now), "usual": len(before), "significance": d.significance},
		Sentence: fmt.Sprintf("the last %d values are unlike this hour before: around %s, usual is %s (distance %.2f, p %.1g)",
			len(now), d.Number(to), d.Number(from), distance, p),
	})
}

// Probability is that of a distance of at least this between samples of n and m
// values of one distribution (Smirnov 1948; Stephens 1970 for small samples).
func Probability(distance float64, n, m int) float64 {
	if distance <= 0 {
		return 1
	}
	effective := math.Sqrt(float64(n) * float64(m) / float64(n+m))
	lambda := (effective + 0.12 + 0.11/effective) * distance
	sum, sign := 0.0, 1.0
	for j := 1; j <= 100; j++ {
		term := math.Exp(-2 * lambda * lambda * float64(j*j))
		sum += sign * term
		if term < 1e-12*sum || term == 0 {
			return min(1, max(1e-300, 2*sum))
		}
		sign = -sign
	}
	return 1 // it converges but for small lambda, where the probability is 1
}
