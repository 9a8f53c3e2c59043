package anomaly

import "math"

// ranks tell where the last values lie among those of the hours before. They do not
// ask how far a value is off, only how often values were above and below: what moves
// within the noise and stays for an hour is far for no single value, and its median
// is not far in the spreads of a level, which are never less than the usual steps.
//
// The measure is that of Anderson and Darling, A test of goodness of fit, J. Amer.
// Statist. Assoc. 49 (1954), over the octiles, which are tracked by stochastic
// approximation (Tierney, A space-efficient recursive procedure for estimating a
// quantile, SIAM J. Sci. Stat. Comput. 4, 1983). Values follow one another, so how far
// is far is told by how far they usually are.
type ranks struct {
	Edge  [octiles]float64 // of the values of the hours before
	Above [octiles]float64 // the share of the last values above each
	Usual float64          // mean distance of those shares from what they should be
	Most  extremes         // of the distances, in usual ones
}

const (
	octiles    = 7
	lastValues = 12.0
	edgePace   = 0.05      // spreads an edge moves with a value
	ranksLeast = 0.15      // the least usual distance; that of independent values is 0.2
	ranksKnown = 5 * 86400 // seconds, memory of the usual distance
)

// should is the share of values above edge i.
func (ranks) should(i int) float64 { return 1 - float64(i+1)/(octiles+1) }

// begin sets every edge to the first value.
func (r *ranks) begin(v float64) {
	for i := range r.Edge {
		r.Edge[i] = v
	}
	r.afterPause()
}

// afterPause forgets the last values.
func (r *ranks) afterPause() {
	for i := range r.Above {
		r.Above[i] = r.should(i)
	}
}

// add takes in value number n and tells how far the last ones are from where they
// should be, in usual distances. spread is that of a value.
func (r *ranks) add(v, spread, n, step float64) float64 {
	sum := 0.0
	for i, edge := range r.Edge {
		should, above := r.should(i), 0.0
		if v > edge {
			above = 1
		}
		r.Above[i] += (above - r.Above[i]) / lastValues
		r.Edge[i] += (above - should) * spread * max(edgePace, 2/n)
		off := r.Above[i] - should
		sum += off * off / (should * (1 - should))
	}
	distance := math.Sqrt(sum / octiles)
	usual := max(r.Usual, ranksLeast)
	r.Usual += (distance - r.Usual) * min(1, max(step/ranksKnown, 1/n))
	return distance / usual
}

// high reports whether most of the last values lie above the middle.
func (r *ranks) high() bool { return r.Above[octiles/2] > 0.5 }
