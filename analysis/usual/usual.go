package usual

import (
	"fmt"
	"math"
	"slices"
	"time"

	"sonde/analysis"
	"sonde/internal/measure"
)

// Series is what is kept of a series; it is part of a detector's state.
type Series struct {
	Hours  [24]analysis.Packed32 `json:"hours"` // the oldest value first
	Kept   time.Time             `json:"kept,omitzero"`
	Newest time.Time             `json:"newest,omitzero"`
	Behind int                   `json:"behind,omitempty"` // values in a row older than that
	Bad    *Episode              `json:"bad,omitempty"`

	known level
}

const (
	thin = 5 * time.Minute
	// So many values in a row that are older than the newest are a clock that
	// was set back, or had been ahead.
	setBack = 12
	// enough values of an hour say what is usual.
	enough = 12
	// most is the largest value that single precision keeps with room to spare.
	most = 1e30
)

// Options are the options that all methods of this kind share.
func Options() []measure.Option {
	return []measure.Option{
		{Name: "season", Type: measure.EnumOption, Default: "day", Values: []string{"day", "none"}, Meaning: "Whether now is compared with the same hours of the days before, or with all values kept."},
		{Name: "memory", Type: measure.IntOption, Default: 36, Min: enough, Max: 500, Meaning: "How many values of each hour are kept, at most one in five minutes: 36 are three days."},
		{Name: "direction", Type: measure.EnumOption, Default: "both", Values: []string{"up", "down", "both"}, Meaning: "Which changes are bad."},
		{Name: "least_pct", Type: measure.FloatOption, Default: 5.0, Min: 0.0, Max: 1e6, Meaning: "The least change that counts, in % of what is usual."},
		{Name: "least", Type: measure.FloatOption, Default: 0.0, Min: 0.0, Max: 1e15, Meaning: "The least change that counts, in the unit of the series."},
		{Name: "unit", Type: measure.TextOption, Default: "", Meaning: "The unit, for the sentence."},
	}
}

// Settings are these options, read.
type Settings struct {
	seasonal bool
	memory   int
	up, down bool
	pct      float64
	least    float64
	unit     string
}

// Read takes the shared options.
func Read(p measure.Options) Settings {
	return Settings{
		seasonal: p.Text("season") == "day", memory: p.Int("memory"),
		up: p.Text("direction") != "down", down: p.Text("direction") != "up",
		pct: p.Float("least_pct"), least: p.Float("least"), unit: p.Text("unit"),
	}
}

// Number says a value to people.
func (o Settings) Number(v float64) string { return analysis.Number(v, o.unit) }

// Counts says whether a change of level is of the kind and size that counts.
func (o Settings) Counts(from, to float64) bool {
	return (to > from && o.up || to < from && o.down) && math.Abs(to-from) >= max(o.least, o.pct/100*math.Abs(from))
}

// Floor is the least spread a level can have: a fifth of the change that counts.
func (o Settings) Floor(level float64) float64 { return max(o.least, o.pct/100*math.Abs(level)) / 5 }

// Accept gives the value of a sample that comes after all before it. The false
// return means that there is nothing to judge.
func (s *Series) Accept(sample measure.Sample) (value float64, at time.Time, ok bool) {
	at = sample.DueAt.UTC()
	value, ok = analysis.Value(sample)
	if !ok || math.Abs(value) > most {
		return 0, at, false
	}
	if !at.After(s.Newest) {
		if s.Behind++; s.Behind < setBack {
			return 0, at, false
		}
		s.Kept = time.Time{}
		if s.Bad != nil && s.Bad.Since.After(at) {
			s.Bad.Since = at
		}
	}
	s.Newest, s.Behind = at, 0
	return value, at, true
}

// Keep makes a value part of what is usual.
func (s *Series) Keep(o Settings, at time.Time, value float64) {
	i, n := 0, 2*o.memory
	if o.seasonal {
		i, n = at.UTC().Hour(), o.memory
	}
	if since := at.Sub(s.Kept); o.seasonal && !s.Kept.IsZero() && since >= 0 && since < thin {
		return
	}
	s.Kept = at
	hour := append(s.Hours[i], float32(value))
	if over := len(hour) - n; over > 0 {
		hour = append(hour[:0], hour[over:]...)
	}
	s.Hours[i] = hour
	s.known.fresh = false
}

// At gives what was usual at this hour, sorted, and false while too little is
// known. The values are good until the next Keep, and not to be changed.
func (s *Series) At(o Settings, at time.Time) ([]float64, bool) {
	hour := 0
	if o.seasonal {
		hour = at.UTC().Hour()
	}
	if l := &s.known; !l.fresh || l.hour != hour {
		l.fresh, l.hour, l.sorted, l.scaled = true, hour, l.sorted[:0], false
		for _, v := range s.Hours[hour] {
			l.sorted = append(l.sorted, float64(v))
		}
		if o.seasonal {
			for _, v := range s.Hours[(hour+23)%24] {
				l.sorted = append(l.sorted, float64(v))
			}
		}
		slices.Sort(l.sorted)
	}
	return s.known.sorted, len(s.known.sorted) >= enough
}

// Level is the median of what was usual at this hour, and the deviation that
// normal values of its median absolute deviation have; nought if nine tenths are nought.
func (s *Series) Level(o Settings, at time.Time) (median, scale float64, ok bool) {
	values, ok := s.At(o, at)
	l := &s.known
	if ok && !l.scaled {
		l.scaled = true
		l.median = Median(values)
		l.off = l.off[:0]
		for _, v := range values {
			l.off = append(l.off, math.Abs(v-l.median))
		}
		slices.Sort(l.off)
		l.scale = max(1.4826*Median(l.off), o.Floor(l.median))
		if l.scale == 0 {
			// More than half of the values are equal, and nought: the outer tenths show what the others do.
			n := len(values) - 1
			l.scale = (values[n-n/10] - values[n/10]) / 2.56
		}
	}
	return l.median, l.scale, ok
}

// level is what has been worked out of the values of one hour.
type level struct {
	fresh, scaled bool
	hour          int
	sorted, off   []float64
	median, scale float64
}

// Check refuses what no series can have left, and shortens what a larger memory left.
func (s *Series) Check(o Settings) error {
	for i, hour := range s.Hours {
		for _, v := range hour {
			if !(math.Abs(float64(v)) <= 2*most) {
				return fmt.Errorf("saved state of a detector: %v at hour %d", v, i)
			}
		}
		if over := len(hour) - 2*o.memory; over > 0 {
			s.Hours[i] = hour[over:]
		}
	}
	if s.Behind < 0 || s.Behind >= setBack {
		return fmt.Errorf("saved state of a detector: %d values behind", s.Behind)
	}
	if e := s.Bad; e != nil && (e.Since.IsZero() || !analysis.Finite(e.Score) || !analysis.Finite(e.From) || e.Calm < 0) {
		return fmt.Errorf("saved state of a detector: the episode %+v cannot be", *e)
	}
	return nil
}

// Median of sorted values.
func Median(sorted []float64) float64 {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return sorted[(n-1)/2]/2 + sorted[n/2]/2
}
