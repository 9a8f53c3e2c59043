package holtwinters

import "math/bits"

// violations are the last Window judgements, as RRDtool's FAILURES counts
// them: a failure is Threshold of them outside the band.
type violations struct {
	Window, Threshold int
	bits              uint64 // the newest is the lowest
}

// mostWindow is what fits into the bits.
const mostWindow = 64

func (v *violations) add(outside bool) (failure bool) {
	v.bits <<= 1
	if outside {
		v.bits |= 1
	}
	if v.Window < mostWindow {
		v.bits &= 1<<v.Window - 1
	}
	return v.count() >= v.Threshold
}

func (v *violations) count() int { return bits.OnesCount64(v.bits) }

// first is how many steps ago the oldest violation in the window was; 0 is now.
func (v *violations) first() int { return bits.Len64(v.bits) - 1 }
