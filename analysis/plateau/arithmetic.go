package plateau

import (
	"math"
	"time"

	"gonum.org/v1/gonum/stat"
)

// Length is how many values of this average separation fit into a buffer.
func Length(buffer, separation time.Duration) int {
	if separation <= 0 {
		return 0
	}
	return int(buffer / separation)
}

// Change is how far to lies from from, in percent of from; negative for a fall.
// From zero every change is infinite.
func Change(from, to float64) float64 {
	if from == to {
		return 0
	}
	return 100 * (to - from) / math.Abs(from)
}

// F1 says how far two means lie apart, in units of the spread around both: the
// published "statistical limit". It is positive for a fall, infinite when
// nothing spreads.
func F1(historyMean, historySD, triggerMean, triggerSD float64) float64 {
	return (historyMean - triggerMean) / math.Sqrt((historySD*historySD+triggerSD*triggerSD)/2)
}

// level is mean and sample standard deviation (n-1) of values.
func level(values []float64) (mean, sd float64) {
	switch len(values) {
	case 0:
		return 0, 0
	case 1:
		return values[0], 0 // one value does not spread
	}
	return stat.MeanStdDev(values, nil)
}

// spacing is the average separation of values, holes left out.
type spacing struct {
	Last  time.Time     `json:"last,omitzero"`
	Sum   time.Duration `json:"sum,omitempty"`
	Count int64         `json:"count,omitempty"`
}

// A distance of more than hole times the average, once the average rests on
// enough distances, is a hole in the series and not its rhythm.
const (
	hole   = 10
	enough = 10
	// forget halves the weight of the past, so that a changed run_interval shows.
	forget = 10000
)

func (s *spacing) add(at time.Time) {
	if !s.Last.IsZero() {
		d := at.Sub(s.Last)
		if d > 0 && (s.Count < enough || d < hole*s.average()) {
			s.Sum += d
			s.Count++
		}
		if s.Count >= forget || s.Sum > 1<<60 {
			s.Sum, s.Count = s.Sum/2, (s.Count+1)/2
		}
	}
	s.Last = at
}

func (s *spacing) average() time.Duration {
	if s.Count <= 0 {
		return 0
	}
	return s.Sum / time.Duration(s.Count)
}
