package regular

import (
	"math"
	"time"

	"sonde/analysis"
)

// Point is one sample of a regular series.
type Point struct {
	At     time.Time
	Value  float64       // NaN: there is none
	After  time.Duration // since the point before: 0 for the first, negative when time went back
	Lost   bool          // the probe ran and got nothing
	Again  bool          // this instant was read before
	Broken bool          // the first, or the first after a pause or a jump of the clock
}

// Reader makes points of samples. Its fields are its whole state: a copy goes on
// from there.
type Reader struct {
	Step    time.Duration
	Counter bool
	Begun   bool
	Read    bool    // a counter has been read
	Last    int64   // of the newest point, µs since 1970
	Raw     float64 // reading of the counter
	RawAt   int64   // when it was read
	Rate    float64 // the usual rate of the counter, units a second
}

// A pause is longer than an hour and than six steps; a clock that goes back by
// less than half an hour is put right, one that goes back further has jumped.
const (
	leastPause = time.Hour
	pauseSteps = 6
	backAtMost = 30 * time.Minute
)

// Next makes a point of the sample v at an instant; NaN and numbers that cannot be
// squared are samples without a value.
func (r *Reader) Next(at time.Time, v float64) Point {
	now := at.UnixMicro()
	p := Point{At: at, Value: v, Broken: !r.Begun}
	if r.Begun {
		p.After = time.Duration(now-r.Last) * time.Microsecond
		p.Again = p.After == 0
		p.Broken = p.After > max(leastPause, pauseSteps*r.Step) || p.After < -backAtMost
	}
	r.Last, r.Begun = now, true
	if !analysis.Finite(v) { // also NaN
		p.Value, p.Lost = math.NaN(), true
		return p
	}
	if r.Counter {
		p.Value = r.rate(now, v)
	}
	return p
}

// Ranges of counters: 32 bits, 53 bits (counters kept as floating point numbers), 64 bits.
var ranges = [...]float64{1 << 32, 1 << 53, 1 << 64}

// wrapAtMost is how many times the usual rate a counter may seem to have run
// over its wrap; beyond that it was reset.
const wrapAtMost = 4

// rate gives what a counter ran since its last reading, units a second; NaN where
// that cannot be known: after a reset, over a pause, with a clock that jumped.
func (r *Reader) rate(now int64, v float64) float64 {
	before, at, read := r.Raw, r.RawAt, r.Read
	r.Raw, r.RawAt, r.Read = v, now, true
	dt := float64(now-at) / 1e6
	step := r.Step.Seconds()
	if !read || dt < step/2 || dt > 2.5*step {
		return math.NaN()
	}
	ran := v - before
	if ran < 0 {
		ran = math.NaN()
		for _, top := range ranges {
			if before >= top {
				continue
			}
			if w := top - before + v; r.Rate > 0 && w <= wrapAtMost*r.Rate*dt {
				ran = w
			}
			break
		}
		if math.IsNaN(ran) {
			return ran
		}
	}
	rate := ran / dt
	if r.Rate == 0 {
		r.Rate = rate
	} else {
		// One surge does not change what is usual.
		r.Rate += (min(rate, 5*r.Rate) - r.Rate) / 50
	}
	return rate
}
