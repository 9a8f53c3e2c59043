package cusum

import (
	"encoding/json"
	"fmt"
	"time"

	"sonde/analysis"
	"sonde/analysis/usual"
	"sonde/internal/measure"
)

// Method is the cumulative sum with a robust scale.
func Method() analysis.Method {
	return analysis.Method{
		Name:    "cusum",
		Meaning: "Many values in a row lie a little to one side of what is usual.",
		Options: append([]measure.Option{
			{Name: "k", Type: measure.FloatOption, Default: 2.0, Min: 0.0, Max: 100.0, Meaning: "What a value may be off without counting, in scales: half the shift that is looked for."},
			{Name: "h", Type: measure.FloatOption, Default: 25.0, Min: 0.1, Max: 1e6, Meaning: "From what sum on it is a change, in scales."},
			{Name: "clip", Type: measure.FloatOption, Default: 8.0, Min: 0.1, Max: 1e6, Meaning: "A value counts as at most so many scales off."},
		}, usual.Options()...),
		New: newDetector,
	}
}

type detector struct {
	usual.Settings
	k, h, clip float64
	state      state
}

type state struct {
	usual.Series
	High side `json:"rise"`
	Low  side `json:"fall"`
}

// side is one of the two sums, and since when it has not been nought.
type side struct {
	Sum   float64   `json:"sum,omitempty"`
	Since time.Time `json:"since,omitzero"`
	Count int       `json:"count,omitempty"` // values since then
	Total float64   `json:"total,omitempty"` // of what they were off, in the unit of the series
}

func newDetector(p measure.Options, saved []byte) (analysis.Detector, error) {
	d := &detector{Settings: usual.Read(p), k: p.Float("k"), h: p.Float("h"), clip: p.Float("clip")}
	if d.clip <= d.k {
		return nil, fmt.Errorf("option \"clip\" (%v) must be more than \"k\" (%v), or nothing ever counts", d.clip, d.k)
	}
	if err := analysis.Load(saved, &d.state); err != nil {
		return nil, err
	}
	for _, s := range []side{d.state.High, d.state.Low} {
		if !(s.Sum >= 0) || !analysis.Finite(s.Sum) || !analysis.Finite(s.Total) || s.Count < 0 || s.Sum > 0 && (s.Since.IsZero() || s.Count == 0) {
			return nil, fmt.Errorf("saved state of a detector: the sum %+v cannot be", s)
		}
	}
	return d, d.state.Check(d.Settings)
}

func (d *detector) Save() ([]byte, error) { return json.Marshal(d.state) }

func (d *detector) Tick(time.Time) []measure.Verdict { return nil }

func (d *detector) Feed(s measure.Sample) []measure.Verdict {
	st := &d.state
	value, at, ok := st.Accept(s)
	if !ok {
		return nil
	}
	from, scale, ok := st.Level(d.Settings, at)
	st.Keep(d.Settings, at, value)
	if !ok {
		return nil
	}
	off := value - from
	z := 0.0
	if off != 0 {
		z = max(-d.clip, min(d.clip, off/scale)) // a scale of nought makes it infinite
	}
	st.High.add(at, z-d.k, off, 2*d.h)
	st.Low.add(at, -z-d.k, off, 2*d.h)
	sum, verb := st.High, "above"
	if st.Low.Sum > st.High.Sum {
		sum, verb = st.Low, "below"
	}
	to := from
	if sum.Count > 0 {
		to += sum.Total / float64(sum.Count)
	}
	verdicts := st.Judge(d.Settings, at, usual.Finding{
		Rule: "cusum", Score: sum.Sum / d.h, Clear: 0.25, Hold: 1,
		Since: sum.Since, From: from, To: to, Low: from - scale, High: from + scale, Value: value,
		Unfounded: !d.Counts(from, to),
		Evidence:  map[string]any{"sum": sum.Sum, "h": d.h, "k": d.k, "z": z, "scale": scale, "values": sum.Count},
		Sentence:  fmt.Sprintf("%d values around %s, %s the usual %s", sum.Count, d.Number(to), verb, d.Number(from)),
	})
	if len(verdicts) > 0 && verdicts[0].Kind == measure.Good {
		st.High.begin(at, off)
		st.Low.begin(at, off)
	}
	return verdicts
}

// begin lets what comes after an episode have begun now: the sum that is left
// would give the next one the beginning of the last.
func (s *side) begin(at time.Time, off float64) {
	if s.Sum > 0 {
		s.Since, s.Count, s.Total = at, 1, off
	}
}

// add moves the sum by what a value is off beyond k.
func (s *side) add(at time.Time, beyond, off, most float64) {
	sum := min(most, s.Sum+beyond)
	if sum <= 0 {
		*s = side{}
		return
	}
	if s.Sum == 0 {
		s.Since = at
	}
	s.Sum = sum
	s.Count++
	s.Total += off
	if s.Count > 1<<20 || !analysis.Finite(s.Total) {
		s.Count, s.Total = 1, off
	}
}
