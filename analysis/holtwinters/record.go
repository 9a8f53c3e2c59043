package holtwinters

import (
	"math"
	"time"

	"sonde/analysis"
)

// A stretch is handed out when it has stretchSteps steps, or when a hole longer
// than that comes. Until then it is part of the state, which is why it is short.
const stretchSteps = 16

// Stretches that nobody fetches are dropped, the oldest first, beyond so many.
const mostStretches = 4096

// stretch grows. Deviations are kept instead of bands: a band is them times delta.
type stretch struct {
	From      time.Time         `json:"from"`
	Values    analysis.Packed64 `json:"values"`
	Forecast  analysis.Packed32 `json:"forecast,omitempty"` // none while nothing is foretold
	Deviation analysis.Packed32 `json:"deviation,omitempty"`
}

// note puts one step down, after so many holes; f is nil while nothing is foretold.
func (d *detector) note(at time.Time, holes int64, value float64, f *foretold) {
	st := &d.state
	if st.Stretch != nil && (holes > stretchSteps || holes < 0) {
		d.finish()
	}
	if st.Stretch != nil {
		for range holes {
			if d.push(math.NaN(), f != nil, foretold{forecast: math.NaN(), deviation: math.NaN()}); st.Stretch == nil {
				break // whole; the next begins with a value
			}
		}
	}
	if st.Stretch == nil {
		st.Stretch = &stretch{From: at}
	}
	if f == nil {
		d.push(value, false, foretold{})
	} else {
		d.push(value, true, *f)
	}
}

func (d *detector) push(value float64, isForetold bool, f foretold) {
	s := d.state.Stretch
	s.Values = append(s.Values, value)
	if isForetold {
		s.Forecast = append(s.Forecast, float32(f.forecast))
		s.Deviation = append(s.Deviation, float32(f.deviation))
	}
	if len(s.Values) >= stretchSteps {
		d.finish()
	}
}

// finish makes the growing stretch a whole one.
func (d *detector) finish() {
	s := d.state.Stretch
	d.state.Stretch = nil
	out := analysis.Stretch{From: s.From, Step: d.state.Grid.Step, Values: s.Values}
	for i, f := range s.Forecast {
		deviation := float64(s.Deviation[i])
		out.Forecast = append(out.Forecast, float64(f))
		out.Low = append(out.Low, float64(f)-d.deltaNeg*deviation)
		out.High = append(out.High, float64(f)+d.deltaPos*deviation)
	}
	if len(d.whole) >= mostStretches {
		d.whole = d.whole[1:]
	}
	d.whole = append(d.whole, out)
}

// Record gives the stretches that have become whole since the last call. They
// are no part of the state: fetch them before it is saved.
func (d *detector) Record() []analysis.Stretch {
	out := d.whole
	d.whole = nil
	return out
}
