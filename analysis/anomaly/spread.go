package anomaly

import "math"

// scales is what the spread of a residual is measured by.
type scales struct {
	Low, High  float64 // the range, quick out and slow back
	Resolution float64 // the least change seen; 0: none yet
	Last       float64
	Change     float64     // mean logarithm of the changes that were not nought
	Changes    float64     // how many there were
	Hour       [24]float32 // mean absolute residual of each hour of the day
	HourN      [24]uint16  // how many there were, up to 60000
	Level      float64     // mean absolute level of the last 25 minutes' residuals
}

const (
	floorLevel      = 0.01 // of the level
	floorRange      = 0.03 // of the range
	floorResolution = 0.5  // resolutions
	floorChange     = 1.5  // usual changes
	hourShare       = 0.5  // the spread of an hour is at least this share of the whole day's
	hourKnown       = 30   // samples
	perSpread       = 1.25 // standard deviations a mean absolute error, for the normal distribution
	changesMemory   = 300.0
)

func (s *scales) begin(v float64) { s.Low, s.High, s.Last = v, v, v }

// see takes in how far a value lies from the one before.
func (s *scales) see(v float64) {
	if d := math.Abs(v - s.Last); d > 0 {
		if s.Resolution == 0 || d < s.Resolution {
			s.Resolution = d
		}
		s.Changes++
		s.Change += (math.Log(d) - s.Change) / min(s.Changes, changesMemory)
	}
	s.Last = v
}

// floor is the least spread: what a person would not call a change.
func (s *scales) floor(level float64) float64 {
	f := max(floorLevel*math.Abs(level), floorRange*(s.High-s.Low), floorResolution*s.Resolution)
	if s.Changes > 0 {
		f = max(f, floorChange*math.Exp(s.Change))
	}
	return f
}

// point is the spread of one residual at this hour of the day.
func (s *scales) point(hour int, err, floor float64) float64 {
	all := err * perSpread
	spread := all
	if s.HourN[hour] > 0 {
		spread = max(all*hourShare, float64(s.Hour[hour])*perSpread)
		if s.HourN[hour] < hourKnown {
			spread = max(spread, all)
		}
	}
	return max(spread, floor, tiny)
}

// level is the spread of the level of residuals.
func (s *scales) level(floor float64) float64 { return max(s.Level*perSpread, floor, tiny) }

// tiny keeps quotients finite where nothing ever changed.
const tiny = 1e-9

// learn takes in a residual and the level of residuals; n is how many values there were.
func (s *scales) learn(v, residual, spread float64, hour int, level float64, full bool, floor, step, n float64) {
	a := min(math.Abs(residual), clipAt*perSpread*spread)
	if s.HourN[hour] < 60000 {
		s.HourN[hour]++
	}
	k := min(float64(s.HourN[hour]), max(20, 5*3600/step))
	s.Hour[hour] += float32((a - float64(s.Hour[hour])) / k)
	if full {
		m := min(math.Abs(level), clipAt*perSpread*max(s.Level, floor))
		s.Level += (m - s.Level) / min(n, 2*memory)
	}
	back := step / (2 * 86400)
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
