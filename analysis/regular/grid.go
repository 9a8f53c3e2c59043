package regular

import (
	"encoding/binary"
	"fmt"
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
		g.begin(from)
	}
	i := int(p.At.Sub(from) / g.step)
	if !math.IsNaN(g.open.Values[i]) {
		return
	}
	// What is foretold is kept as precisely as a state keeps it.
	single := func(v float64) float64 { return float64(float32(v)) }
	g.open.Values[i], g.open.Forecast[i], g.open.Low[i], g.open.High[i] = p.Value, single(forecast), single(low), single(high)
}

func (g *Grid) begin(from time.Time) {
	g.from = from
	g.open = analysis.Stretch{From: from, Step: g.step, Values: holes(g.steps), Forecast: holes(g.steps), Low: holes(g.steps), High: holes(g.steps)}
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

// Growing packs the stretch that is not complete, for the state; from is zero for none.
func (g *Grid) Growing() (from time.Time, packed []byte) {
	if g.from.IsZero() {
		return g.from, nil
	}
	for i, v := range g.open.Values {
		packed = binary.LittleEndian.AppendUint64(packed, math.Float64bits(v))
		for _, f := range []float64{g.open.Forecast[i], g.open.Low[i], g.open.High[i]} {
			packed = binary.LittleEndian.AppendUint32(packed, math.Float32bits(float32(f)))
		}
	}
	return g.from, packed
}

// Resume goes on with a stretch that Growing gave.
func (g *Grid) Resume(from time.Time, packed []byte) error {
	const size = 8 + 3*4
	if len(packed) != g.steps*size || !from.Truncate(g.step*time.Duration(g.steps)).Equal(from) {
		return fmt.Errorf("a stretch of %d bytes from %v: wanted %d bytes", len(packed), from, g.steps*size)
	}
	g.begin(from)
	for i := range g.open.Values {
		p := packed[i*size:]
		g.open.Values[i] = math.Float64frombits(binary.LittleEndian.Uint64(p))
		for k, f := range [][]float64{g.open.Forecast, g.open.Low, g.open.High} {
			f[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(p[8+4*k:])))
		}
	}
	return nil
}
