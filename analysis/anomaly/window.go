package anomaly

import "slices"

// window keeps the ring of residuals in order, so that its median is at hand. It
// holds nothing that the ring does not.
type window struct {
	sorted [windowMost]float32
}

// restore sorts what a saved ring holds.
func (w *window) restore(l *learnt, width int) {
	for i := range l.WindowN {
		w.sorted[i] = l.Window[(l.WindowAt-1-i+int64(width)*2)%int64(width)]
	}
	slices.Sort(w.sorted[:l.WindowN])
}

// add puts a residual into the ring, and gives its median and whether it is full.
func (w *window) add(l *learnt, width int, residual float64) (float64, bool) {
	v, at := float32(residual), l.WindowAt%int64(width)
	have := w.sorted[:l.WindowN]
	if int(l.WindowN) == width {
		i, _ := slices.BinarySearch(have, l.Window[at])
		copy(have[i:], have[i+1:])
		have = have[:width-1]
	}
	i, _ := slices.BinarySearch(have, v)
	have = have[:len(have)+1]
	copy(have[i+1:], have[i:])
	have[i] = v
	l.Window[at] = v
	l.WindowAt++
	l.WindowN = int64(len(have))
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
