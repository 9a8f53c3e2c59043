package ping

import (
	"math"
	"slices"
	"time"
)

// sample is what one run saw, whatever engine made it.
type sample struct {
	rtts       []time.Duration // one for each packet in order of sending; lost stands for none
	duplicates int             // replies to a packet that had been answered already
	reordered  int             // replies that came after the reply to a later packet (RFC 4737, type-P-reordered)
	ttls       map[int]int     // TTL of the replies → how many; empty if not known
	errnos     map[string]int  // packets our own kernel refused, by errno; nil if none
}

// lost is the round-trip time of a packet that was not answered.
const lost time.Duration = -1

// stats are the numbers of a sample; those that a sample does not give are NaN.
type stats struct {
	received                       int
	lossPct                        float64
	min, median, mean, max, stddev float64 // ms
}

func (s sample) stats() stats {
	got := make([]float64, 0, len(s.rtts))
	for _, rtt := range s.rtts {
		if rtt != lost {
			got = append(got, float64(rtt)/float64(time.Millisecond))
		}
	}
	none := math.NaN()
	out := stats{received: len(got), lossPct: none, min: none, median: none, mean: none, max: none, stddev: none}
	if len(s.rtts) > 0 {
		out.lossPct = 100 * float64(len(s.rtts)-len(got)) / float64(len(s.rtts))
	}
	if len(got) == 0 {
		return out
	}
	slices.Sort(got)
	out.min, out.max = got[0], got[len(got)-1]
	middle := len(got) / 2
	out.median = got[middle]
	if len(got)%2 == 0 {
		out.median = (got[middle-1] + got[middle]) / 2
	}
	sum := 0.0
	for _, v := range got {
		sum += v
	}
	out.mean = sum / float64(len(got))
	// One reply has no spread: the deviation is not 0, it is not known.
	if len(got) > 1 {
		squares := 0.0
		for _, v := range got {
			squares += (v - out.mean) * (v - out.mean)
		}
		out.stddev = math.Sqrt(squares / float64(len(got)-1))
	}
	return out
}

// ttl is the TTL that most replies had, 0 if not known.
func (s sample) ttl() int {
	best := 0
	for ttl, n := range s.ttls {
		if n > s.ttls[best] || n == s.ttls[best] && ttl > best {
			best = ttl
		}
	}
	return best
}
