package ping

import (
	"iter"
	"math"
	"slices"
	"time"
)

// sample is what one run saw.
type sample struct {
	rtts        []time.Duration // one for each packet in order of sending; lost stands for none
	joined      int             // other addresses of the same name, whose packets follow, as many of each
	duplicates  int32           // replies to a packet that had been answered already
	reordered   int32           // replies that came after the reply to a later packet (RFC 4737, type-P-reordered)
	corrupted   int32           // replies that brought back something else than was sent; they answer nothing
	userStamped int32           // round-trip times of which the kernel did not stamp both ends
	latest      int32           // packet that was answered and sent last; -1 before the first
	errors      map[string]int  // packets our own kernel refused, by errno; ICMP errors, by name and sender; nil if none

	// The TTL that most replies had, as far as more than half of them agree, by
	// the vote of Boyer and Moore (1981): one counter for any number of candidates.
	ttl   int32
	votes int32
}

// join adds what another address of the same name did.
func (s *sample) join(other sample) {
	s.rtts = append(s.rtts, other.rtts...)
	s.joined++
	s.duplicates += other.duplicates
	s.reordered += other.reordered
	s.corrupted += other.corrupted
	s.userStamped += other.userStamped
	if s.errors == nil {
		s.errors = other.errors
	} else {
		for name, n := range other.errors {
			s.errors[name] += n
		}
	}
	if other.votes > s.votes {
		s.ttl, s.votes = other.ttl, other.votes
	}
}

// sawTTL counts the TTL of a reply; 0 is none.
func (s *sample) sawTTL(ttl int) {
	switch {
	case ttl <= 0:
	case s.votes == 0:
		s.ttl, s.votes = int32(ttl), 1
	case s.ttl == int32(ttl):
		s.votes++
	default:
		s.votes--
	}
}

// lost is the round-trip time of a packet that was not answered.
const lost time.Duration = -1

// stats are the numbers of a sample; those that a sample does not give are NaN.
type stats struct {
	received                       int
	lossPct                        float64
	min, median, mean, max, stddev float64 // ms
	ipdvMean, ipdvIQR              float64 // ms
	clpPct                         float64
}

func (s sample) stats() stats {
	got := make([]float64, 0, len(s.rtts))
	for _, rtt := range s.rtts {
		if rtt != lost {
			got = append(got, float64(rtt)/float64(time.Millisecond))
		}
	}
	none := math.NaN()
	out := stats{received: len(got), lossPct: none, min: none, median: none, mean: none, max: none, stddev: none, ipdvMean: none, ipdvIQR: none}
	if len(s.rtts) > 0 {
		out.lossPct = 100 * float64(len(s.rtts)-len(got)) / float64(len(s.rtts))
	}
	out.clpPct = s.conditionalLoss()
	if len(got) == 0 {
		return out
	}
	if steps := s.steps(); len(steps) > 0 {
		slices.Sort(steps)
		out.ipdvMean, out.ipdvIQR = mean(steps), quantile(steps, 0.75)-quantile(steps, 0.25)
	}
	slices.Sort(got)
	out.min, out.max = got[0], got[len(got)-1]
	middle := len(got) / 2
	out.median = got[middle]
	if len(got)%2 == 0 {
		out.median = (got[middle-1] + got[middle]) / 2
	}
	out.mean = mean(got)
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

// each gives the packets of each address.
func (s sample) each() iter.Seq[[]time.Duration] {
	return slices.Chunk(s.rtts, max(1, len(s.rtts)/(s.joined+1)))
}

// steps are the absolute differences, in ms, between the round-trip times of
// successive answers of one address. Lost packets between them do not count.
func (s sample) steps() (steps []float64) {
	for rtts := range s.each() {
		last := lost
		for _, rtt := range rtts {
			if rtt != lost && last != lost {
				steps = append(steps, float64((rtt-last).Abs())/float64(time.Millisecond))
			}
			if rtt != lost {
				last = rtt
			}
		}
	}
	return steps
}

// conditionalLoss is 100 times the share of lost packets, the first one of an
// address left out, whose predecessor was lost as well, as PingER has it after
// Bolot 1993. It is not known with fewer than two losses of an address.
func (s sample) conditionalLoss() float64 {
	after, pairs := 0, 0
	for rtts := range s.each() {
		first := true
		for i, rtt := range rtts {
			switch {
			case rtt != lost:
			case first:
				first = false
			default:
				after++
				if rtts[i-1] == lost {
					pairs++
				}
			}
		}
	}
	if after == 0 {
		return math.NaN()
	}
	return 100 * float64(pairs) / float64(after)
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// quantile interpolates between the two nearest of sorted values (Hyndman and
// Fan 1996, type 7, as R and NumPy do).
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	below := int(at)
	if below+1 == len(sorted) {
		return sorted[below]
	}
	return sorted[below] + (at-float64(below))*(sorted[below+1]-sorted[below])
}
