package regular

import (
	"math"
	"time"

	"sonde/analysis"
)

// A stretch of the grid is about an hour long, and no more than gridMost steps.
const (
	gridLength = time.Hour
	gridLeast  = 12
	gridMost   = 60
)

// Grid collects points and what was foretold of them into stretches. The first
// value of a step stands; a step without a value is a hole.
type Grid struct {
	step  time.Duration
	steps int
	from  time.Time // of the stretch that grows; zero: none
	open  analysis.Stretch
	whole []analysis.Stretch
}

// NewGrid of a step.
func NewGrid(step time.Duration) *Grid {
	return &Grid{step: step, steps: int(max(gridLeast, min(gridMost, gridLength/step)))}
}

// Add puts a point with its forecast and band into its step. Points from before
// the stretch that grows are left out: it has been given away.
func (g *Grid) Add(p Point, forecast, low, high float64) {
	length := g.step * time.Duration(g.steps)
	from := p.At.Truncate(length)
	if !g.from.IsZero() && from.Before(g.from) {
		return
	}
	if g.from.IsZero() || from.After(g.from) {
		g.close()
		g.from = from
		g.open = analysis.Stretch{From: from, Step: g.step, Values: holes(g.steps), Forecast: holes(g.steps), Low: holes(g.steps), High: holes(g.steps)}
	}
	i := int(p.At.Sub(from) / g.step)
	if !math.IsNaN(g.open.Values[i]) {
		return
	}
	g.open.Values[i], g.open.Forecast[i], g.open.Low[i], g.open.High[i] = p.Value, forecast, low, high
}

func holes(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	return out
}

func (g *Grid) close() {
	if !g.from.IsZero() {
		g.whole = append(g.whole, g.open)
		g.from = time.Time{}
	}
}

// Whole gives the stretches that are complete and forgets them.
func (g *Grid) Whole() []analysis.Stretch {
	out := g.whole
	g.whole = nil
	return out
}

// Growing is the stretch that is not complete, for the state; from is zero for none.
func (g *Grid) Growing() (from time.Time, open analysis.Stretch) { return g.from, g.open }

// Resume goes on with a stretch that Growing gave; one that does not fit is dropped.
func (g *Grid) Resume(from time.Time, values, forecast, low, high []float64) {
	for _, v := range [][]float64{values, forecast, low, high} {
		if len(v) != g.steps {
			return
		}
	}
	g.from = from
	g.open = analysis.Stretch{From: from, Step: g.step, Values: values, Forecast: forecast, Low: low, High: high}
}
