package holtwinters

import (
	"encoding/json"
	"fmt"

	"sonde/analysis"
)

// savedModel is a model as its state keeps it: the seasons packed.
type savedModel struct {
	Params
	Level, Trend, Variance, Least, Error float64
	Missing                              int               `json:",omitempty"`
	Hold                                 bool              `json:",omitempty"`
	Season                               analysis.Packed32 // season and deviation of each slot in turn
	Long                                 analysis.Packed32 `json:",omitempty"`
}

func (m *Model[F]) MarshalJSON() ([]byte, error) {
	s := savedModel{Params: m.Params, Level: m.Level, Trend: m.Trend, Variance: m.Variance, Least: m.Least, Error: m.Error, Missing: m.missing, Hold: m.Hold}
	for _, slot := range m.Season {
		s.Season = append(s.Season, float32(slot.Season), float32(slot.Deviation))
	}
	for _, v := range m.Long {
		s.Long = append(s.Long, float32(v))
	}
	return json.Marshal(s)
}

func (m *Model[F]) UnmarshalJSON(text []byte) error {
	var s savedModel
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	if len(s.Season) == 0 || len(s.Season)%2 != 0 {
		return fmt.Errorf("a model with half a slot")
	}
	*m = Model[F]{Params: s.Params, Level: s.Level, Trend: s.Trend, Variance: s.Variance, Least: s.Least, Error: s.Error, missing: s.Missing, Hold: s.Hold}
	for i := 0; i < len(s.Season); i += 2 {
		m.Season = append(m.Season, Slot[F]{F(s.Season[i]), F(s.Season[i+1])})
	}
	for _, v := range s.Long {
		m.Long = append(m.Long, F(v))
	}
	return nil
}

// bits of a window as JSON: a number of 64 bits is beyond what all readers of
// jsonb keep, so it is text.
func (v violations) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprintf("%x", v.bits)) }

func (v *violations) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	if _, err := fmt.Sscanf(s, "%x", &v.bits); err != nil {
		return fmt.Errorf("violations %q: %w", s, err)
	}
	return nil
}

// check refuses a state that no series can have led to.
func (d *detector) check() error {
	st := &d.state
	if err := st.Grid.check(); err != nil {
		return err
	}
	if w := st.Window; w.Window < mostWindow && w.bits >= 1<<w.Window {
		st.Window.bits &= 1<<w.Window - 1 // the window is shorter than it was
	}
	if st.Learning != nil {
		if err := st.Learning.check(d.season.slots, d.turns); err != nil {
			return err
		}
	}
	if s := st.Stretch; s != nil {
		if n := len(s.Values); n == 0 || n >= stretchSteps || len(s.Forecast) != len(s.Deviation) || len(s.Forecast) != 0 && len(s.Forecast) != n || (len(s.Forecast) > 0) != (st.Model != nil) {
			return fmt.Errorf("saved state of a detector: a stretch of %d values cannot grow", n)
		}
	}
	if st.Bad != nil && (st.Bad.Since.IsZero() || !analysis.Finite(st.Bad.Score) || !analysis.Finite(st.Bad.Level) || st.Bad.Calm < 0 || st.Model == nil) {
		return fmt.Errorf("saved state of a detector: bad since never, or without a model")
	}
	if st.Again < 0 {
		return fmt.Errorf("saved state of a detector: %d failures before", st.Again)
	}
	if st.Model == nil {
		return nil
	}
	if st.Grid.Step == 0 {
		return fmt.Errorf("saved state of a detector: a model without a grid")
	}
	return d.fits(st.Model)
}

// fits says whether the model is one of this detector.
func (d *detector) fits(m *Model[float32]) error {
	slots, long := 1, 0
	if d.seasonal {
		slots = d.season.slots
	}
	if d.double {
		long = d.long.slots
	}
	if len(m.Season) != slots || len(m.Long) != long {
		return fmt.Errorf("saved state of a detector: %d and %d slots, this series has %d and %d", len(m.Season), len(m.Long), slots, long)
	}
	for _, share := range []float64{m.Alpha, m.Beta, m.Gamma, m.Omega, m.Phi, m.AR, m.GammaDeviation} {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("saved state of a detector: a constant of %v", share)
		}
	}
	if !(m.Clip >= 0 && m.Clip <= 100) || !(m.Variance >= 0) || !(m.Least >= 0) || m.missing < 0 || m.missing > mostMissing {
		return fmt.Errorf("saved state of a detector: clip %v, variance %v", m.Clip, m.Variance)
	}
	for _, v := range []float64{m.Level, m.Trend, m.Error, m.Variance, m.Least} {
		if !analysis.Finite(v) {
			return fmt.Errorf("saved state of a detector: %v in the model", v)
		}
	}
	for _, s := range m.Season {
		if !analysis.Finite(float64(s.Season)) || s.Deviation < 0 {
			return fmt.Errorf("saved state of a detector: a slot of %v", s)
		}
	}
	for _, v := range m.Long {
		if !analysis.Finite(float64(v)) {
			return fmt.Errorf("saved state of a detector: a slot of %v", v)
		}
	}
	return nil
}
