package anomaly

import "math"

// scales is what the spread of a residual is measured by.
type scales struct {
	Low, High float64 // the range, quick out and slow back
	Last      float64
	Change    float64 // mean logarithm of the changes that were not nought
	Changes   float64 // how many there were
	Level     float64 // mean absolute level of the residuals of late, bounded
	Hours     [24]hourScale
}

// hourScale is the spread in an hour of the day.
type hourScale struct {
	Point, Level   float32 // mean absolute residual, and mean absolute level of the residuals
	PointN, LevelN uint16  // how many there were
}

const (
	floorLevel    = 0.01 // of the level
	floorRange    = 0.03 // of the range
	floorChange   = 1.5  // usual changes
	hourShare     = 0.5  // the spread of an hour is at least this share of the whole day's
	hourKnown     = 30   // samples
	perSpread     = 1.25 // standard deviations a mean absolute error, for the normal distribution
	changesMemory = 300.0
	changesLeast  = 3 // fewer say nothing of what is usual: a series that always stood still has changed
)

func (s *scales) begin(v float64) { s.Low, s.High, s.Last = v, v, v }

// see takes in how far a value lies from the one before.
func (s *scales) see(v float64) {
	if d := math.Abs(v - s.Last); d > 0 {
		s.Changes++
		s.Change += (math.Log(d) - s.Change) / min(s.Changes, changesMemory)
	}
	s.Last = v
}

// floor is the least spread: what a person would not call a change.
func (s *scales) floor(level float64) float64 {
	f := max(floorLevel*math.Abs(level), floorRange*(s.High-s.Low))
	if s.Changes >= changesLeast {
		f = max(f, floorChange*math.Exp(s.Change))
	}
	return f
}

// point is the spread of one residual at this hour of the day.
func (s *scales) point(hour int, err, floor float64) float64 {
	all := err * perSpread
	spread := all
	if h := s.Hours[hour]; h.PointN > 0 {
		spread = max(all*hourShare, float64(h.Point)*perSpread)
		if h.PointN < hourKnown {
			spread = max(spread, all)
		}
	}
	return max(spread, floor, tiny)
}

// lasting is the spread of the level of residuals at this hour of the day; base is
// the level of the series.
func (s *scales) lasting(set *setting, hour int, base, floor, step float64) float64 {
	spread := s.Level
	if h := s.Hours[hour]; set.hourly > 0 && float64(h.LevelN) > levelKnown/step {
		spread = max(set.hourly*spread, float64(h.Level))
	}
	return max(spread*perSpread*set.spreadTimes, floor, set.floorShare*math.Abs(base)+set.floorLeast, tiny)
}

const (
	levelKnown  = 3 * 3600. // seconds of an hour of the day, seen before its spread is believed
	levelMemory = 1000.0    // samples
)

// tiny keeps quotients finite where nothing ever changed.
const tiny = 1e-9

// learn takes in a residual and the level of residuals, when the window is full;
// n is how many values there were.
func (s *scales) learn(set *setting, v, residual, spread float64, hour int, level float64, full bool, floor, step, n float64) {
	a := min(math.Abs(residual), clipAt*perSpread*spread)
	h := &s.Hours[hour]
	mean(&h.Point, &h.PointN, a, max(20, 5*3600/step))
	if full {
		a := math.Abs(level)
		here := max(s.Level/2, float64(h.Level))
		mean(&h.Level, &h.LevelN, min(a, set.spreadClip*max(here, floor)), set.hourDays*3600/step)
		s.Level += (min(a, set.spreadClip*max(s.Level, floor)) - s.Level) / min(n, levelMemory)
	}
	back := min(1, step/(2*86400))
	s.High += pull(v-s.High, 1, back, n)
	s.Low += pull(v-s.Low, -1, back, n)
}

// pull moves an end of the range: quickly outwards, slowly back.
func pull(distance, outwards, back, n float64) float64 {
	if distance*outwards > 0 {
		return min(1, 0.05+1/n) * distance
	}
	return back * distance
}

// mean moves the mean of an hour towards x; it remembers memory samples.
func mean(m *float32, n *uint16, x, memory float64) {
	*n = uint16(min(int(*n)+1, math.MaxUint16))
	*m += float32((x - float64(*m)) / min(float64(*n), max(1, memory)))
}
