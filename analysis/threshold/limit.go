package threshold

import (
	"fmt"
	"time"

	"sonde/analysis"
	"sonde/internal/measure"
)

// Limit finds a series of which M of the last N values pass a limit. Runs
// without a value do not move the window: a failed run is neither a good value
// nor a bad one.
func Limit() analysis.Method {
	return analysis.Method{
		Name:    "limit",
		Meaning: "M of the last N values lie over (or under) a limit.",
		Options: []measure.Option{
			{Name: "limit", Type: measure.FloatOption, Default: 20.0, Meaning: "The limit, in the unit of the series; a value equal to it is within."},
			{Name: "clear_limit", Type: measure.FloatOption, Meaning: "The edge values must come back to; half of the limit (twice, for under) when not set."},
			{Name: "critical", Type: measure.FloatOption, Meaning: "When M of N values pass this as well, it is critical, whatever the severity of the rule."},
			{Name: "direction", Type: measure.EnumOption, Default: "over", Values: []string{"over", "under"}, Meaning: "Which side of the limit is bad."},
			{Name: "runs", Type: measure.IntOption, Default: 5, Min: 1, Max: 1000, Meaning: "M: how many values must pass the limit."},
			{Name: "of", Type: measure.IntOption, Default: 10, Min: 1, Max: 1000, Meaning: "N: of how many."},
			{Name: "clear_runs", Type: measure.IntOption, Default: 1, Min: 0, Max: 999, Meaning: "How many of N may still pass clear_limit when it is over."},
			{Name: "full", Type: measure.FloatOption, Meaning: "Values this far are another detector's (100 % loss is no answer's) when full_runs of them come in a row; then they leave the window."},
			{Name: "full_runs", Type: measure.IntOption, Default: 3, Min: 1, Max: 1000, Meaning: "How many full values in a row leave the window."},
			{Name: "unit", Type: measure.TextOption, Default: "", Meaning: "The unit, for the sentence."},
		},
		New: newLimit,
	}
}

type limit struct {
	limit, clearLimit, critical float64
	full                        float64
	hasCritical, hasFull        bool
	sign                        float64 // +1 over, -1 under
	runs, of, clearRuns         int
	fullRuns                    int
	unit                        string
	state                       limitState
}

type limitState struct {
	Window []limitValue
	Bad    bool
	Since  time.Time
	Full   int // full values in a row
}

type limitValue struct {
	At    time.Time
	Value float64
}

func newLimit(p measure.Options, saved []byte) (analysis.Detector, error) {
	d := &limit{
		limit: p.Float("limit"), clearLimit: p.Float("limit") / 2, critical: p.Float("critical"), sign: 1,
		runs: p.Int("runs"), of: p.Int("of"), clearRuns: p.Int("clear_runs"),
		unit: p.Text("unit"),
	}
	if p.Text("direction") == "under" {
		d.sign, d.clearLimit = -1, d.limit*2
	}
	if d.sign*(d.limit-d.clearLimit) < 0 {
		d.clearLimit = d.limit // half of a negative limit lies on its far side
	}
	if _, given := p["clear_limit"]; given {
		d.clearLimit = p.Float("clear_limit")
	}
	_, d.hasCritical = p["critical"]
	_, d.hasFull = p["full"]
	d.full, d.fullRuns = p.Float("full"), p.Int("full_runs")
	switch {
	case d.runs > d.of:
		return nil, fmt.Errorf("option \"runs\" (%d) must be at most \"of\" (%d)", d.runs, d.of)
	case d.clearRuns >= d.runs:
		return nil, fmt.Errorf("option \"clear_runs\" (%d) must be less than \"runs\" (%d), or it never ends", d.clearRuns, d.runs)
	case d.sign*(d.limit-d.clearLimit) < 0:
		return nil, fmt.Errorf("option \"clear_limit\" (%v) must not lie on the bad side of \"limit\" (%v)", d.clearLimit, d.limit)
	}
	if len(saved) > 0 {
		packing := analysis.Unpack(saved)
		d.state.pack(packing)
		if err := packing.Err(); err != nil {
			return nil, err
		}
	}
	if d.state.Bad && d.state.Since.IsZero() || d.state.Full < 0 {
		return nil, fmt.Errorf("saved state of a detector: bad since never, or less than no full values")
	}
	d.trim()
	return d, nil
}

// Usual reports whether no value of the last N passes the limit.
func (d *limit) Usual() bool {
	n, _ := d.passing(d.limit)
	return n == 0 && d.state.Full == 0 && !d.state.Bad
}

func (d *limit) Save() ([]byte, error) {
	p := analysis.Pack(64 + limitValueSize*len(d.state.Window))
	d.state.pack(p)
	return p.Packed(), nil
}

const limitValueSize = 12 + 8

func (s *limitState) pack(p *analysis.Packing) {
	p.Version(1)
	p.Flags(&s.Bad)
	p.Instants(&s.Since)
	p.Count(&s.Full)
	if n := p.Length(len(s.Window), limitValueSize); p.Reading() {
		s.Window = make([]limitValue, n)
	}
	for i := range s.Window {
		p.Instants(&s.Window[i].At)
		p.Number(&s.Window[i].Value)
	}
}

func (d *limit) Tick(time.Time) []measure.Verdict { return nil }

func (d *limit) Feed(s measure.Sample) []measure.Verdict {
	v, ok := analysis.Value(s)
	if !ok {
		return nil
	}
	st := &d.state
	at := s.DueAt.UTC()
	if !d.hasFull || d.sign*(v-d.full) < 0 {
		st.Full = 0
	} else if st.Full++; st.Full >= d.fullRuns {
		if st.Full == d.fullRuns {
			st.Window = st.Window[:max(0, len(st.Window)-d.fullRuns+1)]
		}
		return nil
	}
	st.Window = append(st.Window, limitValue{at, v})
	d.trim()
	if !st.Bad {
		n, first := d.passing(d.limit)
		if n < d.runs {
			return nil
		}
		st.Bad, st.Since = true, first
		return d.verdict(at, n)
	}
	if n, _ := d.passing(d.clearLimit); n <= d.clearRuns && len(st.Window) == d.of {
		out := measure.Verdict{
			Kind: measure.Good, At: at, Since: d.well(),
			Text:     fmt.Sprintf("%d of the last %d values within %s", len(st.Window)-n, len(st.Window), d.number(d.clearLimit)),
			Evidence: map[string]any{"values": d.values(), "clear_limit": d.clearLimit, "bad_since": st.Since},
		}
		st.Bad, st.Since = false, time.Time{}
		return []measure.Verdict{out}
	}
	n, _ := d.passing(d.limit)
	return d.verdict(at, n)
}

// trim keeps the last N values. While bad, the values that made it bad leave the window
// one by one, so it takes about N good values to be good again.
func (d *limit) trim() {
	if over := len(d.state.Window) - d.of; over > 0 {
		d.state.Window = append(d.state.Window[:0], d.state.Window[over:]...)
	}
}

func (d *limit) passing(edge float64) (n int, first time.Time) {
	for _, v := range d.state.Window {
		if d.sign*(v.Value-edge) > 0 {
			if n == 0 {
				first = v.At
			}
			n++
		}
	}
	return n, first
}

// well is when the last unbroken row of good values began.
func (d *limit) well() time.Time {
	w := d.state.Window
	i := len(w) - 1
	for i > 0 && d.sign*(w[i-1].Value-d.clearLimit) <= 0 {
		i--
	}
	return w[i].At
}

func (d *limit) verdict(at time.Time, n int) []measure.Verdict {
	side := "over"
	if d.sign < 0 {
		side = "under"
	}
	v := measure.Verdict{
		Kind: measure.Bad, At: at, Since: d.state.Since,
		Text:     fmt.Sprintf("%d of the last %d values %s %s, now %s", n, len(d.state.Window), side, d.number(d.limit), d.number(d.state.Window[len(d.state.Window)-1].Value)),
		Evidence: map[string]any{"values": d.values(), "limit": d.limit, "runs": n, "of": len(d.state.Window)},
	}
	if d.hasCritical {
		if n, _ := d.passing(d.critical); n >= d.runs {
			v.Severity = measure.Critical
		}
	}
	return []measure.Verdict{v}
}

func (d *limit) values() []float64 {
	out := make([]float64, len(d.state.Window))
	for i, v := range d.state.Window {
		out[i] = v.Value
	}
	return out
}

func (d *limit) number(v float64) string { return analysis.Number(v, d.unit) }
