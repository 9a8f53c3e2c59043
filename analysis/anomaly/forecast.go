package anomaly

import "math"

// Seasons and speeds of the forecasters that run side by side.
const (
	noSeason = iota
	daySeason
	weekSeason
	seasons
)

const (
	quick = iota
	middle
	slow
	speeds
)

const (
	daySlotsMost = 288 // five minutes
	weekSlots    = 168 // an hour
)

// forecasters are nine levels: of the series itself, less its day, less its week,
// each at three speeds (exponential smoothing, bounded influence: Gelper, Fried
// and Croux, Robust forecasting with exponential and Holt-Winters smoothing, 2010).
type forecasters struct {
	Week  [weekSlots]float32
	WeekN [weekSlots]uint8
	Level [seasons][speeds]float64
	Error [seasons][speeds]float64 // mean absolute error one step ahead, bounded
	Base  float64                  // the level of about a day, from which seasons are measured
}

// season is a usual day, in as many slots as there are samples.
type season struct {
	mean []float32
	n    []uint8 // samples seen, as far as they matter
}

const (
	alphaQuick  = 0.5
	alphaMiddle = 0.15
	leastSlow   = 12.0  // samples
	margin      = 0.85  // a season must be so much better than none
	known       = 2     // visits after which a slot is known
	clipAt      = 4.0   // errors
	memory      = 500.0 // samples, of the errors
	visits      = 8.0   // memory of a slot
	warming     = 20    // samples in which nothing is bounded
)

// believed is what the best forecasters say of a value.
type believed struct {
	less     [seasons]float64 // the value less each season
	known    [seasons]bool
	season   int     // of the best of all
	speed    int     //
	lasting  int     // the best season of the slow ones
	forecast float64 // of the best of all
	residual float64 // the value less that
	slow     float64 // the value less the best slow forecast
	error    float64 // of the best, without a season's margin
	worth    float64 // and with it
	height   float64 // of that season now, over the level
	near     near    // and within an hour
}

func (f *forecasters) believe(v float64, day season, daySlot, weekSlot int) believed {
	b := believed{
		less:  [seasons]float64{v, v - float64(day.mean[daySlot]), v - float64(f.Week[weekSlot])},
		known: [seasons]bool{true, day.n[daySlot] >= known, f.WeekN[weekSlot] >= known},
	}
	best, bestSlow := math.Inf(1), math.Inf(1)
	for i := range f.Level {
		if !b.known[i] {
			continue
		}
		m := 1.0
		if i != noSeason {
			m = 1 / margin
		}
		for j, e := range f.Error[i] {
			if e*m < best {
				best, b.season, b.speed = e*m, i, j
			}
		}
		if e := f.Error[i][slow] * m; e < bestSlow {
			bestSlow, b.lasting = e, i
		}
	}
	switch b.lasting {
	case daySeason:
		b.height, b.near = float64(day.mean[daySlot]), around(day.mean, day.n, daySlot, max(1, len(day.mean)/24))
	case weekSeason:
		b.height, b.near = float64(f.Week[weekSlot]), around(f.Week[:], f.WeekN[:], weekSlot, 1)
	}
	b.residual = b.less[b.season] - f.Level[b.season][b.speed]
	b.forecast = v - b.residual
	b.slow = b.less[b.lasting] - f.Level[b.lasting][slow]
	b.error, b.worth = f.Error[b.season][b.speed], best
	return b
}

// begin sets every level to the first value.
func (f *forecasters) begin(v float64) {
	for i := range f.Level {
		for j := range f.Level[i] {
			f.Level[i][j] = v
		}
	}
	f.Base = v
}

// afterPause lets the quick levels begin where the slow one is: what they knew is old.
func (f *forecasters) afterPause() {
	for i := range f.Level {
		f.Level[i][quick], f.Level[i][middle] = f.Level[i][slow], f.Level[i][slow]
	}
}

// learn takes the value in. floor is the least spread, n how many values there were.
func (f *forecasters) learn(v float64, b believed, day season, daySlot, weekSlot int, step, tau, floor, n float64) {
	w := 1 / min(n, memory)
	for i := range f.Level {
		for j := range f.Level[i] {
			if !b.known[i] {
				// A season that is not known yet is as good as none.
				f.Level[i][j] = f.Level[noSeason][j]
				f.Error[i][j] += (math.Abs(v-f.Level[noSeason][j]) - f.Error[i][j]) * w
				continue
			}
			a := math.Abs(b.less[i] - f.Level[i][j])
			if n > warming {
				a = min(a, clipAt*1.25*max(f.Error[i][j], floor/2))
			}
			f.Error[i][j] += (a - f.Error[i][j]) * w
		}
	}
	alpha := [speeds]float64{alphaQuick, alphaMiddle, min(step/tau, 1/leastSlow)}
	for i := range f.Level {
		for j := range f.Level[i] {
			bound := clipAt * max(f.Error[i][j], floor/2)
			if j != slow {
				bound *= 4
			}
			f.Level[i][j] += max(alpha[j], 1/min(n, 1000)) * clip(b.less[i]-f.Level[i][j], bound)
		}
	}
	r := v - f.Base
	if n > warming {
		r = clip(r, clipAt*max(f.Error[noSeason][slow], floor))
	}
	f.Base += max(min(1, step/86400), 1/n) * r
	bound := clipAt * 1.25 * max(b.worth, floor)
	learnSlot(day.mean, day.n, daySlot, v-f.Base, bound, max(1, 86400/step/float64(len(day.mean))))
	learnSlot(f.Week[:], f.WeekN[:], weekSlot, v-f.Base, bound, max(1, 3600/step))
}

// learnSlot moves a slot of a season towards x; per is how many samples a visit brings.
func learnSlot(mean []float32, n []uint8, k int, x, bound, per float64) {
	// No more is counted than matters: then all slots have the same in the end, and pack well.
	if float64(n[k]) < min(visits*per, 250) {
		n[k]++
	}
	r := x - float64(mean[k])
	if n[k] > 3 {
		r = clip(r, bound)
	}
	mean[k] += float32(r / min(math.Ceil(float64(n[k])/per), visits) / per)
}

func clip(x, bound float64) float64 { return max(-bound, min(bound, x)) }

// near is how far a season goes within an hour, up and down from where it is.
type near struct{ up, down float64 }

// around looks a season an hour back and forth from slot k; hour is in slots.
func around(mean []float32, n []uint8, k, hour int) near {
	var a near
	for _, i := range [2]int{k - hour, k + hour} {
		if i = (i + len(mean)) % len(mean); n[i] >= known {
			d := float64(mean[i] - mean[k])
			a.up, a.down = max(a.up, d), min(a.down, d)
		}
	}
	return a
}

// beyond takes from a deviation what an hour earlier or later explains: clocks are
// changed, and people are not on time.
func (a near) beyond(deviation float64) float64 {
	if deviation > 0 {
		return max(0, deviation-a.up)
	}
	return min(0, deviation-a.down)
}
