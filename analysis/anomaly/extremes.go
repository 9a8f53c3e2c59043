package anomaly

import (
	"math"
	"slices"
)

// blocks are half days: four weeks of them are kept.
const blocks = 56

// extremes are the greatest deviations of each of the last half days. What is
// greater than they usually are is rare.
type extremes struct {
	Block  [blocks]float32
	Closed int64   // how many half days there were
	Now    float32 // the greatest of the half day that goes on
	Usual  float64 // mean of the logarithms
	Spread float64 // their standard deviation
	Second float64 // the second greatest of all
}

// A half day in which nothing happened says little of how bad the bad ones are;
// nor do the first few days.
const (
	quiet       = 1.0
	quietWeight = 0.1
	leastBlock  = 0.7
	priorBlocks = 4.0
	priorSpread = 1.0
)

// note takes a deviation; more than most counts as most, so that one disaster does
// not make every later one usual.
func (x *extremes) note(deviation, most float64) {
	x.Now = max(x.Now, float32(min(deviation, most)))
}

// close ends the half day.
func (x *extremes) close() {
	x.Block[x.Closed%blocks] = x.Now
	x.Closed++
	x.Now = 0
	n := int(min(x.Closed, blocks))
	var logs [blocks]float64
	var sum, squares, weight float64
	for i, b := range x.Block[:n] {
		v := math.Log(max(float64(b), leastBlock))
		logs[i] = v
		w := 1.0
		if float64(b) < quiet {
			w = quietWeight
		}
		sum += w * v
		squares += w * v * v
		weight += w
	}
	mean := sum / weight
	variance := max(0, squares/weight-mean*mean)
	prior := priorBlocks / (priorBlocks + weight)
	x.Usual = mean
	x.Spread = math.Sqrt((1-prior)*variance + prior*priorSpread*priorSpread)
	slices.Sort(logs[:n])
	x.Second = math.Exp(logs[max(0, n-2)])
}

// rare is the deviation that a half day rarely brings: so many spreads above the
// mean of the logarithms.
func (x *extremes) rare(spreads float64) float64 {
	return math.Exp(x.Usual + spreads*max(x.Spread, leastSpread))
}

const leastSpread = 0.3
