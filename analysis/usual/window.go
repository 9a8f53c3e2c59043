package usual

import (
	"fmt"
	"time"

	"sonde/analysis"
	"sonde/internal/measure"
)

// Window holds the last values apart from what is usual, which they join as
// newer ones come.
type Window struct {
	Series
	Recent []Point `json:"recent,omitempty"` // the oldest first
}

// Point is a value and when it was measured.
type Point struct {
	At    time.Time `json:"at"`
	Value float64   `json:"v"`
}

// Take takes a sample and gives the last n values in their order and those
// that are usual, sorted. The false return means that there is nothing to compare.
func (w *Window) Take(o Settings, sample measure.Sample, n int) (now, before []float64, ok bool) {
	value, at, ok := w.Accept(sample)
	if !ok {
		return nil, nil, false
	}
	w.Recent = append(w.Recent, Point{at, value})
	if len(w.Recent) > n {
		w.Keep(o, w.Recent[0].At, w.Recent[0].Value)
		w.Recent = append(w.Recent[:0], w.Recent[1:]...)
	}
	before, ok = w.At(o, at)
	if !ok || len(w.Recent) < n {
		return nil, nil, false
	}
	now = make([]float64, n)
	for i, p := range w.Recent {
		now[i] = p.Value
	}
	return now, before, true
}

// CheckWindow is Check, of a window of n.
func (w *Window) CheckWindow(o Settings, n int) error {
	for _, p := range w.Recent {
		if !analysis.Finite(p.Value) {
			return fmt.Errorf("saved state of a detector: %v among the last values", p.Value)
		}
	}
	w.Recent = w.Recent[max(0, len(w.Recent)-n):]
	return w.Check(o)
}
