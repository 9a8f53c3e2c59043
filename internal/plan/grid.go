package plan

import (
	"math/bits"
	"time"
)

const (
	leastSpread   = 5 * time.Second    // the soon runs of a few specs
	spreadForEach = time.Millisecond   // and for each spec inserted with them
	soonSalt      = 0x736f6f6e2072756e // soon run and phase must not go together
)

// Phase is where on its interval spec id stands: a hash of the id, spread
// evenly over the interval, in whole microseconds.
func Phase(id int64, interval time.Duration) time.Duration {
	if interval < time.Microsecond {
		return 0
	}
	return time.Duration(phaseOf(id, interval.Microseconds())) * time.Microsecond
}

// First is the run soon after the timing of s began: Since and a hash of the
// id spread over the lesser of the interval and 5 s + 1 ms for each spec
// inserted with it. Only background specs by interval have one.
func First(s Spec) (time.Time, bool) {
	at, ok := soon(&s)
	if !ok {
		return time.Time{}, false
	}
	return instant(at), true
}

func soon(s *Spec) (int64, bool) {
	if !s.Background || s.RunAt != "" || s.RunInterval < time.Microsecond {
		return 0, false
	}
	spread := min(s.RunInterval, leastSpread+time.Duration(max(s.Together, 1))*spreadForEach)
	// Strictly after Since, hence the one.
	return s.Since.UnixMicro() + 1 + scale(hash(uint64(s.ID)^soonSalt), spread.Microseconds()), true
}

// gridBegin is the instant after which s stands on its grid.
func gridBegin(s *Spec) int64 {
	first, ok := soon(s)
	if !ok {
		return s.Since.UnixMicro()
	}
	return first + max(0, min(s.TimeToRun, s.RunInterval).Microseconds())
}

func phaseOf(id, interval int64) int64 { return scale(hash(uint64(id)), interval) }

// scale maps the whole range of h evenly onto [0, n).
func scale(h uint64, n int64) int64 {
	hi, _ := bits.Mul64(h, uint64(n))
	return int64(hi)
}

// hash is the finalizer of SplitMix64 (Steele, Lea, Flood 2014). It must never
// change: all hosts of all versions share one grid.
func hash(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
