package anomaly

import (
	"math"
	"time"

	"sonde/analysis/regular"
)

// core judges the points of one series.
type core struct {
	set     *setting // of the kind, and the same for all its series
	kind    string
	step    time.Duration
	*levels      // nil for a loss of probes, which is counted and not foretold
	silence bool // answers that do not come are judged here
	width   int  // values of the window
	learnt
	cal regular.Calendar
}

// learnt is what the points so far left behind, of every kind of series.
type learnt struct {
	N, Since    int64 // points; values since the last pause
	Loss        losses
	WindowN     int64   // residuals in the window
	Missing     int64   // answers that did not come, in a row
	MissingFrom int64   // the first of them, µs since 1970
	MissRate    float64 // how often they do not come
	Standing    bool    // the last point would alert, had it not been said
	StoodFor    float64 // and for how long, seconds, up to half a day
	Said        float64 // the greatest of late, fading
	Told        float64 // the same when it was said
	SaidSilence float64 // the same of silence: a slow host that dies is silent all the same
}

// levels are what values left behind: kilobytes, of which a sample touches a part.
// What every sample touches lies together, from the end of F to the beginning of S.
type levels struct {
	F              forecasters
	BlockFor       float64 // how long the half day has gone on, seconds of measuring
	WindowAt       int64
	Window         [windowMost]float32 // residuals of late, a ring
	window         window
	day            season
	Begun          bool // a value was seen
	Points, Levels extremes
	S              scales
	Hours          hours // of the points
	Drift          drifts
	ranks          *ranks // nil where the kind does not look at them
}

const (
	windowMost  = 25
	windowLeast = 2

	warm       = 30     // points before anything is judged
	learning   = 10     // points before deviations count as usual
	afterPause = 2      // values after a pause that are not judged
	halfDay    = 43200. // seconds

	rarelyMissing = 0.005
	missMemory    = 2000.0
	silenceAt     = 14.0 // evidence, in nats, at which silence alerts
	silenceLeast  = 3    // in a row
	silenceLearnt = 3    // of a silence so many count for how often answers do not come
	silencePause  = 6    // a longer one is a pause

	fullLoss = 100. // percent

	valueMost = 1e30 // what is learnt is kept in single precision, and must stay finite in it

	told  = 0.3 // of what alerts: from here on a score is remembered
	again = 1.2 // and said again when it is so many times greater, below what alerts

	stoodStill = 20. // the conviction, at most, that a series has changed which never did: nobody knows its scale
)

func newCore(kind string, silence bool, step time.Duration, zone *time.Location) core {
	set := settingOf(kind)
	c := core{kind: kind, set: set, silence: silence && set.silence, step: step, cal: regular.NewCalendar(zone),
		width: int(max(windowLeast, min(windowMost, math.Round(float64(set.window)/float64(step)))))}
	c.MissRate = rarelyMissing
	if kind != "loss" {
		slots := int(max(1, min(daySlotsMost, math.Round(86400/step.Seconds()))))
		c.levels = &levels{day: season{make([]float32, slots), make([]uint8, slots)}, Points: newExtremes(), Levels: newExtremes()}
		if set.ranks > 0 {
			c.ranks = &ranks{Most: newExtremes()}
		}
	}
	return c
}

// finding is what a point shows.
type finding struct {
	Conviction                    float64 // 1 alerts; said once
	Deviation                     float64 // the same, each time
	Alone                         float64 // the same of the value for itself, also where one value alone is never said
	Rule                          string  // what speaks: point, level, drift, loss or silence
	Basis                         string  // what the forecast comes from, in words
	Rose                          bool
	Value, Forecast, Low, High    float64 // NaN where there is none; the band is what would not alert
	Spread, Spreads, Usual, Asked float64 // the spread; how many off; what is usual; what is asked for
}

// next judges a point.
func (c *core) next(p regular.Point) finding {
	none := finding{Value: p.Value, Forecast: math.NaN(), Low: math.NaN(), High: math.NaN()}
	passed := max(p.After, c.step).Seconds()
	if !c.Standing && (c.Said > 0 || c.SaidSilence > 0) {
		left := math.Exp(-passed / max(c.set.once.Seconds(), c.set.onceSteps*c.step.Seconds()))
		c.Said *= left
		c.SaidSilence *= left
	}
	if p.Broken {
		c.Since, c.WindowN, c.Missing = 0, 0, 0
	}
	c.N++
	if p.Lost {
		return c.once(c.lost(p, none))
	}
	if math.IsNaN(p.Value) { // a counter whose rate is not known
		c.Since++
		return none
	}
	c.MissRate -= c.MissRate / missMemory
	if c.Missing > silencePause {
		c.Since, c.WindowN = 0, 0
	}
	c.Missing = 0
	c.Since++
	if c.kind == "loss" {
		p.Value = max(0, min(fullLoss, p.Value))
		return c.once(c.lossy(p))
	}
	return c.once(c.value(p))
}

// once lets a conviction out when it is greater than what was said of late. While
// it stands it does not fade: what lasts is said once. So is what comes and goes,
// where the kind says so, as long as it comes back in time. What stands for half a day
// is how the series is now, maybe in another unit: it is learnt as quickly as a
// series that is half a day old.
func (c *core) once(f finding) finding {
	f.Deviation = f.Conviction
	if c.Standing = f.Deviation >= 1; !c.Standing || f.Rule != "level" && f.Rule != "ranks" {
		c.StoodFor = 0
	} else if c.StoodFor += c.step.Seconds(); c.StoodFor >= halfDay {
		c.StoodFor = 0
		c.N = min(c.N, max(warm+1, int64(halfDay/c.step.Seconds())))
	}
	said, more := &c.Said, c.set.again
	if f.Rule == "silence" {
		said, more = &c.SaidSilence, again
	}
	switch {
	case f.Conviction <= 0 || f.Conviction < *said:
		if c.Standing && c.set.renews && f.Rule != "silence" {
			// Never above what was told: what grows slowly must be heard in the end.
			c.Said = max(c.Said, min(f.Conviction*more, c.Told))
		}
		f.Conviction = 0
	case f.Conviction >= told:
		times := again
		if f.Conviction >= 1 {
			times = more
		}
		*said = max(*said, f.Conviction*times)
		if f.Rule != "silence" {
			c.Told = c.Said
		}
	}
	return f
}

// lost judges an answer that did not come: so many in a row, where so few fail to come.
func (c *core) lost(p regular.Point, f finding) finding {
	if c.Missing++; c.Missing == 1 {
		c.MissingFrom = p.At.UnixMicro()
	}
	if c.silence && c.Missing >= silenceLeast {
		f.Rule = "silence"
		f.Conviction = float64(c.Missing) * -math.Log(max(c.MissRate, rarelyMissing)) / silenceAt
		f.Spreads, f.Usual = float64(c.Missing), c.MissRate
	}
	if c.Missing <= silenceLearnt {
		c.MissRate += (1 - c.MissRate) / missMemory
	}
	return f
}

// value judges a value, then learns from it.
func (c *core) value(p regular.Point) finding {
	v, step, n := clip(p.Value, valueMost), c.step.Seconds(), float64(c.N)
	if c.set.logs {
		v = math.Log1p(max(v, 0))
	}
	daySlot, weekSlot, hour := c.cal.Day(p.At, len(c.day.mean)), c.cal.Week(p.At, weekSlots), c.cal.Day(p.At, 24)
	if !c.Begun {
		c.Begun = true
		c.F.begin(v)
		c.S.begin(v)
		if c.ranks != nil {
			c.ranks.begin(v)
		}
	}
	c.S.see(v)
	if c.Since == 1 {
		c.F.afterPause()
		if c.ranks != nil {
			c.ranks.afterPause()
		}
	}
	b := c.F.believe(v, c.day, daySlot, weekSlot)
	floor := c.S.floor(c.F.Base)
	spread := c.S.point(hour, b.error, floor)
	level, full := c.window.add(c.Window[:c.width], &c.WindowAt, &c.WindowN, b.slow)
	lasting := c.S.lasting(c.set, hour, c.F.Base, floor, step) + c.set.seasonShare*max(0, b.height)

	off, offLevel, usual := c.set.bad(b.residual/spread), 0.0, 0.0
	if c.set.daily {
		usual = c.Hours.usual(hour)
	}
	news := max(0, off-usual)
	if full {
		offLevel = c.set.bad(b.near.beyond(level) / lasting)
	}
	asked, askedLevel := c.set.pointAsked(&c.Points), c.set.levelAsked(&c.Levels)
	var f finding
	conviction := news / asked
	if !c.set.points || offLevel/askedLevel > conviction {
		conviction = offLevel / askedLevel
		f = finding{Rule: "level", Basis: basis[b.lasting], Rose: level > 0, Value: v, Forecast: v - b.slow, Spread: lasting, Spreads: offLevel, Asked: askedLevel, Usual: math.Exp(c.Levels.Usual)}
	} else {
		f = finding{Rule: "point", Basis: basis[b.season], Rose: b.residual > 0, Value: v, Forecast: b.forecast, Spread: spread, Spreads: off, Asked: usual + asked, Usual: math.Exp(c.Points.Usual)}
	}
	f.Low, f.High = f.Forecast-f.Asked*f.Spread, f.Forecast+f.Asked*f.Spread
	unlike, askedRanks := 0.0, 1.0
	if r := c.ranks; r != nil {
		unlike, askedRanks = r.add(v, spread, n, step), c.set.asked(c.set.ranks, 0, 0, &r.Most)
		if unlike/askedRanks > conviction {
			f = finding{Rule: "ranks", Basis: "the hours before", Rose: r.high(), Value: v, Forecast: r.Edge[octiles/2], Low: r.Edge[0], High: r.Edge[octiles-1],
				Spread: spread, Spreads: math.NaN(), Asked: math.NaN(), Usual: math.NaN()}
		}
		// Neither knows much of the other: what both see is surer.
		conviction = math.Hypot(conviction, unlike/askedRanks)
	}
	if c.N > warm && c.Points.Closed > 0 && c.Since > afterPause {
		f.Conviction = conviction
		if c.S.Changes < changesLeast {
			f.Conviction = min(conviction, stoodStill) // or it would be remembered for weeks
		}
	}
	if c.N > learning && c.Since > afterPause {
		most := c.set.cap
		if c.Points.Closed == 0 {
			most = c.set.capFirst
		}
		c.Points.note(news, most*asked)
		c.Levels.note(offLevel, most*askedLevel)
		if c.set.daily {
			c.Hours.note(hour, off, hoursMost*asked)
		}
		if c.ranks != nil {
			c.ranks.Most.note(unlike, most*askedRanks)
		}
	}
	c.BlockFor += step
	if c.BlockFor >= max(halfDay, 12*step) {
		c.BlockFor = 0
		c.Points.close()
		c.Levels.close()
		if c.ranks != nil {
			c.ranks.Most.close()
		}
	}
	f.Alone = off / asked
	c.F.learn(v, b, c.day, daySlot, weekSlot, step, c.set.tau.Seconds(), floor, n)
	c.S.learn(c.set, v, b.residual, spread, hour, level, full, floor, step, n)
	if c.set.drift > 0 {
		if off := c.Drift.judge(v, c.F.Base, n, step, c.set.drift); off/c.set.drift > f.Conviction {
			f.Rule, f.Basis, f.Rose, f.Conviction = "drift", "the last ten days", false, off/c.set.drift
			f.Forecast, f.Spreads, f.Asked = c.Drift.Level, off, c.set.drift
		}
	}
	if c.set.logs {
		f.Value, f.Forecast, f.Low, f.High = p.Value, math.Expm1(f.Forecast), math.Expm1(f.Low), math.Expm1(f.High)
	}
	return f
}

// basis is what the forecast of each season comes from.
var basis = [seasons]string{"the values before", "the same time of earlier days", "the same hour of earlier weeks"}

// lossy judges a loss of probes.
func (c *core) lossy(p regular.Point) finding {
	if p.Value >= fullLoss && !c.silence {
		return finding{Rule: "loss", Value: p.Value, Forecast: math.NaN(), Low: math.NaN(), High: math.NaN()} // silence is for another rule
	}
	f := finding{Rule: "loss", Basis: "the usual loss", Rose: true, Value: p.Value, Low: 0}
	f.Spreads, f.Asked = c.Loss.judge(p.Value, float64(c.N), c.step.Seconds()), lossAt
	f.Forecast = c.Loss.Rate * c.Loss.Quantum
	f.High = max(lossTimes*c.Loss.Rate, lossLeast) * c.Loss.Quantum
	if c.N >= lossWarm && c.Since >= afterPause {
		f.Conviction = f.Spreads / f.Asked
	}
	return f
}
