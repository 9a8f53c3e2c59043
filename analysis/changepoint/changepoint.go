package changepoint

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"sonde/analysis"
	"sonde/analysis/usual"
	"sonde/internal/measure"
)

// Method is Bayesian online change point detection.
func Method() analysis.Method {
	return analysis.Method{
		Name:    "change-point",
		Meaning: "A run of values off the usual has begun, by the probabilities of all runs.",
		Options: append([]measure.Option{
			{Name: "every", Type: measure.IntOption, Default: 500, Min: 2, Max: 1000000, Meaning: "A run lasts so many values on average: one over the hazard."},
			{Name: "shift", Type: measure.FloatOption, Default: 5.0, Min: 0.1, Max: 1e6, Meaning: "How far off the mean of a run must be, in scales."},
			{Name: "confirm", Type: measure.IntOption, Default: 5, Min: 1, Max: longest, Meaning: "How many values it must have."},
			{Name: "certain", Type: measure.FloatOption, Default: 0.95, Min: 0.5, Max: 0.9999, Meaning: "With what probability."},
			{Name: "clip", Type: measure.FloatOption, Default: 20.0, Min: 0.1, Max: 1e6, Meaning: "A value counts as at most so many scales off."},
			{Name: "hypotheses", Type: measure.IntOption, Default: 50, Min: 5, Max: longest, Meaning: "How many runs are kept in mind."},
		}, usual.Options()...),
		New: newDetector,
	}
}

// remembered is how many values are kept beyond those that a run needs
// to be found: it may be found late.
const remembered = 8

type detector struct {
	usual.Settings
	hazard, shift, certain, clip float64
	confirm, hypotheses          int
	runs                         []hypothesis
	state                        state
}

type state struct {
	usual.Series
	Last []usual.Point     `json:"last,omitempty"` // the last values, as many as a run needs and a few more
	Runs analysis.Packed64 `json:"runs,omitempty"` // only while saved
}

func newDetector(p measure.Options, saved []byte) (analysis.Detector, error) {
	d := &detector{
		Settings: usual.Read(p), hazard: 1 / float64(p.Int("every")), shift: p.Float("shift"), certain: p.Float("certain"), clip: p.Float("clip"),
		confirm: p.Int("confirm"), hypotheses: p.Int("hypotheses"),
	}
	if d.clip <= d.shift {
		return nil, fmt.Errorf("option \"clip\" (%v) must be more than \"shift\" (%v), or no mean gets so far", d.clip, d.shift)
	}
	err := analysis.Load(saved, &d.state)
	if err == nil {
		d.runs, err = unpack(d.state.Runs)
	}
	if err != nil {
		return nil, err
	}
	for _, p := range d.state.Last {
		if !analysis.Finite(p.Value) {
			return nil, fmt.Errorf("saved state of a detector: %v among the last values", p.Value)
		}
	}
	return d, d.state.Check(d.Settings)
}

func (d *detector) Save() ([]byte, error) {
	st := d.state
	st.Runs = pack(d.runs)
	return json.Marshal(st)
}

func (d *detector) Tick(time.Time) []measure.Verdict { return nil }

func (d *detector) Feed(s measure.Sample) []measure.Verdict {
	st := &d.state
	value, at, ok := st.Accept(s)
	if !ok {
		return nil
	}
	st.Last = append(st.Last, usual.Point{At: at, Value: value})
	st.Last = append(st.Last[:0], st.Last[max(0, len(st.Last)-d.confirm-remembered):]...)
	from, scale, ok := st.Level(d.Settings, at)
	st.Keep(d.Settings, at, value)
	if !ok {
		return nil
	}
	z := 0.0
	if value != from {
		z = max(-d.clip, min(d.clip, (value-from)/scale)) // a scale of nought makes it infinite
	}
	d.runs = weigh(d.runs, z, d.hazard, d.hypotheses)
	off, likely := 0.0, hypothesis{}
	for _, h := range d.runs {
		if h.length >= d.confirm && math.Abs(h.mean) >= d.shift {
			off += h.p
		}
		if h.p > likely.p {
			likely = h
		}
	}
	score := off / d.certain
	if score >= 1 {
		score = max(1, math.Abs(likely.mean)/d.shift)
	}
	run := st.Last[max(0, len(st.Last)-max(1, likely.length)):]
	to := 0.0
	for _, p := range run {
		to += p.Value / float64(len(run))
	}
	return st.Judge(d.Settings, at, usual.Finding{
		Rule: "change point", Score: score, Clear: 0.2 / d.certain, Hold: 1,
		Since: run[0].At, From: from, To: to, Low: from - d.shift*scale, High: from + d.shift*scale, Value: value,
		Unfounded: !d.Counts(from, to),
		Evidence:  map[string]any{"probability": off, "certain": d.certain, "run": likely.length, "z": z, "scale": scale, "shift": d.shift},
		Sentence: fmt.Sprintf("a run around %s has begun, %d values long by now; usual is %s (probability %.2f)",
			d.Number(to), likely.length, d.Number(from), off),
	})
}
