package holtwinters

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/optimize"
)

// Free says which constants Fit may choose.
type Free struct{ Alpha, Beta, Gamma, Omega, Phi, AR bool }

// ranges hold what Fit may choose from. A level that takes everything and a
// season that takes everything are the same forecast as yesterday's value.
var ranges = struct{ share, phi, ar [2]float64 }{share: [2]float64{0, 1}, phi: [2]float64{0.8, 1}, ar: [2]float64{0, 0.95}}

// Fit chooses the free constants of p by the least sum of squared errors one
// step ahead over values, run from start(p). NaN values are holes. It gives p
// back when nothing better is found.
//
// With Clip an error counts for at most Clip times the median error of p, or
// one outage among the values would choose the constants.
func Fit[F Real](p Params, free Free, values []float64, start func(Params) *Model[F]) (Params, float64) {
	names := []*bool{&free.Alpha, &free.Beta, &free.Gamma, &free.Omega, &free.Phi, &free.AR}
	at := func(p *Params) []*float64 {
		return []*float64{&p.Alpha, &p.Beta, &p.Gamma, &p.Omega, &p.Phi, &p.AR}
	}
	limits := [][2]float64{ranges.share, ranges.share, ranges.share, ranges.share, ranges.phi, ranges.ar}
	var chosen []int
	for i, is := range names {
		if *is {
			chosen = append(chosen, i)
		}
	}
	most := math.Inf(1)
	if p.Clip > 0 {
		most = p.Clip * 1.4826 * median(absolute(values, start(p)))
	}
	cost := func(p Params) float64 { return sumOfSquares(values, start(p), most) }
	best := cost(p)
	if len(chosen) == 0 || !(best > 0) {
		return p, best
	}
	// The simplex walks on the whole line, a sine bends it to each range.
	with := func(x []float64) Params {
		q := p
		for k, i := range chosen {
			low, high := limits[i][0], limits[i][1]
			*at(&q)[i] = low + (high-low)*(1+math.Sin(x[k]))/2
		}
		return q
	}
	x := make([]float64, len(chosen))
	for k, i := range chosen {
		low, high := limits[i][0], limits[i][1]
		share := (*at(&p)[i] - low) / (high - low)
		x[k] = math.Asin(max(-1, min(1, 2*share-1)))
	}
	for range 3 { // a simplex that has collapsed finds more when it is spread again
		result, err := optimize.Minimize(optimize.Problem{Func: func(x []float64) float64 { return cost(with(x)) }}, x,
			&optimize.Settings{FuncEvaluations: 150 * len(chosen), Converger: &optimize.FunctionConverge{Relative: 1e-9, Iterations: 20 * len(chosen)}},
			&optimize.NelderMead{})
		if result == nil || err != nil && result.X == nil || !(result.F < best*(1-1e-12)) {
			break
		}
		x, best = slices.Clone(result.X), result.F
	}
	return with(x), best
}

// sumOfSquares runs m over values; no error counts for more than most.
func sumOfSquares[F Real](values []float64, m *Model[F], most float64) float64 {
	sum := 0.0
	for _, y := range values {
		if math.IsNaN(y) {
			m.Skip(1)
			continue
		}
		e := max(-most, min(most, y-m.Forecast(1)))
		sum += e * e
		m.Update(y)
	}
	if math.IsNaN(sum) {
		return math.Inf(1)
	}
	return sum
}

func absolute[F Real](values []float64, m *Model[F]) []float64 {
	out := make([]float64, 0, len(values))
	for _, y := range values {
		if math.IsNaN(y) {
			m.Skip(1)
			continue
		}
		out = append(out, math.Abs(y-m.Forecast(1)))
		m.Update(y)
	}
	return out
}
