package anomaly

import "math"

// blocks are half days: four weeks of them are kept.
const blocks = 56

// extremes are the greatest deviations of each of the last half days. What is
// greater than they usually are is rare.
type extremes struct {
	Closed int64            // how many half days there were
	Now    [1]float32       // the greatest of the half day that goes on
	Usual  float64          // mean of the logarithms
	Spread float64          // their standard deviation
	Second float64          // the second greatest of all
	Block  *[blocks]float32 // elsewhere: only the end of a half day touches it
}

func newExtremes() extremes { return extremes{Block: new([blocks]float32)} }

// A half day in which nothing happened says little of how bad the bad ones are;
// nor do the first few days.
const (
	quiet       = 1.0
	quietWeight = 0.1
	leastBlock  = 0.7
	spreadsMost = 1e6 // nothing is further off
	priorBlocks = 4.0
	priorSpread = 1.0
)

// note takes a deviation; more than most counts as most, so that one disaster does
// not make every later one usual.
func (x *extremes) note(deviation, most float64) {
	x.Now[0] = max(x.Now[0], float32(min(deviation, most, spreadsMost)))
}

// close ends the half day.
func (x *extremes) close() {
	x.Block[x.Closed%blocks] = x.Now[0]
	x.Closed++
	x.Now[0] = 0
	n := int(min(x.Closed, blocks))
	var sum, squares, weight float64
	first, second := leastBlock, leastBlock
	for _, b := range x.Block[:n] {
		b := max(float64(b), leastBlock)
		first, second = max(first, b), max(second, min(first, b))
		v := math.Log(b)
		w := 1.0
		if b < quiet {
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
	x.Second = second
	if n == 1 {
		x.Second = first
	}
}

// rare is the deviation that a half day rarely brings: so many spreads above the
// mean of the logarithms.
func (x *extremes) rare(spreads float64) float64 {
	return math.Exp(x.Usual + spreads*max(x.Spread, leastSpread))
}

const leastSpread = 0.3
