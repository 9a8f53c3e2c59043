package anomaly

import "time"

// Kinds are the kinds of series a probe makes.
var Kinds = []string{"rtt", "latency", "count", "throughput", "loss", "counter", "unknown"}

// setting is how a kind of series is judged. Deviations are in spreads.
type setting struct {
	point, level float64       // the least deviation that alerts: of one point, of a level
	points       bool          // one point may alert
	usual        float64       // it must lie so many times what a half day rarely brings above that
	usualLevel   float64       // the same for a level
	record       bool          // it must be greater than all but one of the last four weeks' half days
	cap          float64       // a half day's greatest counts as at most so many times what was asked for
	window       time.Duration // a level is the median of so much of the past
	once         time.Duration // what was said fades by e
	rises, falls bool          // which way is bad
	floor        float64       // of the level: a level's residuals spread at least so much
	silence      bool          // a value that did not come is an answer that did not come
}

// settingOf a kind. They are the same program and differ in what the kind itself
// says: which way is bad, whether an empty value is a lost answer, and that a
// path which is worse every evening is still worse.
func settingOf(kind string) setting {
	s := setting{point: 4, level: 2.5, points: true, usual: 0.5, usualLevel: 1, cap: 3, window: 25 * time.Minute, once: 2 * time.Hour,
		rises: true, falls: true, floor: 0.015}
	switch kind {
	case "rtt":
		s.points, s.usualLevel, s.cap = false, 0, 100
		s.falls, s.silence = false, true
	case "latency":
		s.silence = true
	case "loss":
		s.falls, s.silence = false, true
	case "throughput":
		s.rises, s.silence = false, true
	case "unknown":
		s.usual, s.usualLevel, s.record = 0, 0, true
		s.window, s.once = time.Hour, 16*time.Hour
	}
	return s
}

// bad is the size of a deviation in the direction that is bad; 0 in the other.
func (s *setting) bad(deviation float64) float64 {
	switch {
	case deviation > 0 && s.rises:
		return deviation
	case deviation < 0 && s.falls:
		return -deviation
	}
	return 0
}

// asked is the deviation that alerts.
func (s *setting) asked(least, usual float64, x *extremes) float64 {
	asked := least
	if usual > 0 {
		asked += usual * x.rare()
	}
	if s.record {
		asked = max(asked, x.Second)
	}
	return asked
}
