package anomaly

import "math"

// losses judges the loss of probes: Poisson counts of lost packets, in a sum of
// log likelihood ratios of several times the usual rate against the usual rate
// (Page, Continuous inspection schemes, 1954; the CUSUM of Lucas, Counted data
// CUSUM's, 1985). A little loss for long and much loss for a while add up to
// the same; one bad sample does not.
type losses struct {
	Quantum float64 // the least loss seen: one packet
	Rate    float64 // packets lost a sample, usually
	Sum     float64 // of the ratios, never below nought
}

const (
	leastLoss  = 1e-3       // percent; less is none
	lossTimes  = 5.0        // the rate looked for, in usual rates …
	lossLeast  = 0.5        // … and at least, packets a sample
	lossUsual  = 0.01       // the least usual rate
	lossMost   = 10.0       // packets of one sample that count
	lossCap    = 4.0        // the most that one sample adds
	lossAt     = 10.5       // the sum that alerts
	lossFull   = 42.0       // and the greatest: what was long is over soon after
	lossMemory = 3 * 86400. // seconds, of the usual rate
	lossWarm   = 100        // samples before anything is judged
)

// judge takes in a loss, of n samples so far, and gives the sum.
func (l *losses) judge(loss, n, step float64) float64 {
	if loss > leastLoss && (l.Quantum == 0 || loss < l.Quantum) {
		l.Quantum = loss
	}
	if l.Quantum == 0 {
		return 0
	}
	packets := min(loss/l.Quantum, lossMost)
	usual := max(l.Rate, lossUsual)
	more := max(lossTimes*usual, lossLeast)
	l.Sum = max(0, min(lossFull, l.Sum+min(packets*math.Log(more/usual)-(more-usual), lossCap)))
	l.Rate += (min(packets, 3*usual+1) - l.Rate) / max(1, min(n, lossMemory/step))
	return l.Sum
}
