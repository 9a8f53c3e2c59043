package regular

import (
	"fmt"
	"math"
	"time"

	"sonde/analysis"
)

// A stretch of the grid is about an hour long, and no more than gridMost steps, a bit each.
const (
	gridLength = time.Hour
	gridLeast  = 12
	gridMost   = 60
)

// Grid collects points and what was foretold of them into stretches. The first
// value of a step stands; a step without a value is a hole.
type Grid struct {
	step  time.Duration
	from  time.Time // of the stretch that grows; zero: none
	has   uint64    // which of its steps have a value; they are written and not read
	cells []cell
	whole []analysis.Stretch
}

// cell is a step of the grid: a value, and what was foretold of it as precisely as
// a state keeps it. What belongs together lies together: among 100,000 series each
// piece of memory is fetched anew.
type cell struct {
	value               float64
	forecast, low, high float32
}

// NewGrid of a step.
func NewGrid(step time.Duration) Grid {
	return Grid{step: step, cells: make([]cell, max(gridLeast, min(gridMost, gridLength/step)))}
}

// length of a stretch.
func (g *Grid) length() time.Duration { return g.step * time.Duration(len(g.cells)) }

// Add puts a point with its forecast and band into its step. Points from before
// the stretch that grows are left out: it has been given away.
func (g *Grid) Add(p Point, forecast, low, high float64) {
	since := p.At.Sub(g.from)
	if g.from.IsZero() || since < 0 || since >= g.length() {
		from := p.At.Truncate(g.length())
		if from.Before(g.from) {
			return
		}
		if !g.from.IsZero() {
			g.whole = append(g.whole, g.stretch())
		}
		g.begin(from)
		since = p.At.Sub(from)
	}
	i := since / g.step
	if g.has&(1<<i) != 0 {
		return
	}
	g.cells[i] = cell{p.Value, float32(forecast), float32(low), float32(high)}
	if !math.IsNaN(p.Value) {
		g.has |= 1 << i
	}
}

func (g *Grid) begin(from time.Time) {
	g.from, g.has = from, 0
	nan := float32(math.NaN())
	for i := range g.cells {
		g.cells[i] = cell{math.NaN(), nan, nan, nan}
	}
}

// stretch is the one that grows.
func (g *Grid) stretch() analysis.Stretch {
	n := len(g.cells)
	all := make([]float64, 4*n)
	s := analysis.Stretch{From: g.from, Step: g.step, Values: all[:n:n], Forecast: all[n : 2*n : 2*n], Low: all[2*n : 3*n : 3*n], High: all[3*n:]}
	for i, c := range g.cells {
		s.Values[i], s.Forecast[i], s.Low[i], s.High[i] = c.value, float64(c.forecast), float64(c.low), float64(c.high)
	}
	return s
}

// Whole gives the stretches that are complete and forgets them.
func (g *Grid) Whole() []analysis.Stretch {
	out := g.whole
	g.whole = nil
	return out
}

// Pack keeps the stretch that grows, up to its last step with a value.
func (g *Grid) Pack(p *analysis.Packing) {
	growing := !g.from.IsZero()
	if p.Flags(&growing); !growing {
		return
	}
	from, n := g.from, len(g.cells)
	if p.Instants(&from); p.Reading() {
		g.begin(from)
	}
	for n > 0 && g.cells[n-1].empty() {
		n--
	}
	n = p.Length(n, cellSize)
	if n > len(g.cells) || !from.Truncate(g.length()).Equal(from) {
		p.Refuse(fmt.Errorf("saved state of a detector: a stretch of %d steps from %v", n, from))
		return
	}
	for i := range g.cells[:n] {
		c := &g.cells[i]
		p.Any(&c.value)
		p.Holes(&c.forecast, &c.low, &c.high)
		if !math.IsNaN(c.value) {
			g.has |= 1 << i
		}
	}
}

const cellSize = 8 + 3*4

// empty tells a step that nothing came for from one that only lacks its value.
func (c *cell) empty() bool {
	return math.IsNaN(c.value) && c.forecast != c.forecast && c.low != c.low && c.high != c.high
}
