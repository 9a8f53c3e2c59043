package anomaly

import "slices"

// window keeps the ring of residuals in order, so that its median is at hand. It
// holds nothing that the ring does not.
type window struct {
	sorted [windowMost]float32
}

// restore sorts what a saved ring holds.
func (w *window) restore(ring []float32, at, n int64) {
	width := int64(len(ring))
	for i := range n {
		w.sorted[i] = ring[(at%width-1-i+width*2)%width]
	}
	slices.Sort(w.sorted[:n])
}

// add puts a residual into the ring after at others, of which it still has n, and
// gives the median of the ring and whether it is full.
func (w *window) add(ring []float32, count, n *int64, residual float64) (float64, bool) {
	width := len(ring)
	v, at := float32(residual), *count%int64(width)
	have := w.sorted[:*n]
	if len(have) == width {
		i, _ := slices.BinarySearch(have, ring[at])
		copy(have[i:], have[i+1:])
		have = have[:width-1]
	}
	i, _ := slices.BinarySearch(have, v)
	have = have[:len(have)+1]
	copy(have[i+1:], have[i:])
	have[i] = v
	ring[at] = v
	*count++
	*n = int64(len(have))
	if len(have) < width {
		return 0, false
	}
	return float64(weaker(have)), true
}

// weaker is the median; of the middle two the one nearer to nought: half of the
// window is not enough.
func weaker(sorted []float32) float32 {
	low, high := sorted[(len(sorted)-1)/2], sorted[len(sorted)/2]
	switch {
	case low > 0:
		return low
	case high < 0:
		return high
	case len(sorted)%2 == 1:
		return low
	}
	return 0
}
