package anomaly

import "math"

// drifts looks for what gets worse so slowly that every forecaster follows it: the
// level of a day against that of ten days.
type drifts struct {
	Level  float64 // of ten days
	Spread float64 // mean distance of a day's level from it
	Told   bool    // the decline that goes on is known
}

const (
	driftDays    = 10.0
	driftLearnt  = 2.0  // days in which the long level is that of the day
	driftJudged  = 6.0  // days before anything is judged
	driftFloor   = 0.02 // of the long level
	driftClip    = 2.0  // spreads
	driftTold    = 1.25 // of what alerts: from here on it is known, until it has halved
	driftForgets = 2.0
)

// judge takes in a value and the level of a day, n samples after the first, and
// gives how many spreads the day lies below the ten; 0 while that is known.
func (d *drifts) judge(v, day, n, step, asked float64) float64 {
	days := n * step / 86400
	if days < driftLearnt {
		d.Level = day
	}
	below := d.Level - day
	spread := perSpread*d.Spread + driftFloor*math.Abs(d.Level)
	off := below / max(spread, tiny)
	known := d.Told
	switch {
	case off > asked*driftTold:
		d.Told = true
	case off < asked*driftTold/driftForgets:
		d.Told = false
	}
	w := min(1, max(step/(driftDays*86400), 1/n))
	d.Level += w * clip(v-d.Level, driftClip*(d.Spread+driftFloor*math.Abs(d.Level)))
	if days > driftLearnt {
		d.Spread += w * (min(math.Abs(below), 2*spread) - d.Spread)
	}
	if known || days <= driftJudged {
		return 0
	}
	return off
}
