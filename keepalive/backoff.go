package keepalive

import (
	"math"
	"math/rand/v2"
	"time"
)

// backoff says how long to wait before the next start. Falls are counted, and
// the count halves every halfLife, so that what fell once a day always starts
// at once, and what falls at once waits longer and longer.
type backoff struct {
	falls float64
	last  time.Time
}

const (
	halfLife  = 30 * time.Second
	mostPause = time.Minute
)

func (b *backoff) fell(now time.Time) time.Duration {
	if !b.last.IsZero() {
		b.falls *= math.Exp2(-float64(now.Sub(b.last)) / float64(halfLife))
	}
	b.falls, b.last = b.falls+1, now
	if b.falls <= 2.5 {
		return 0
	}
	pause := min(500*time.Millisecond*time.Duration(math.Exp2(min(b.falls-2, 10))), mostPause)
	// Jitter: what fell together need not rise together.
	return pause/2 + rand.N(pause/2)
}
