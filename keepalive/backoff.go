package keepalive

import (
	"math"
	"math/rand/v2"
	"time"
)

// backoff says how long to wait before the next start. Falls are counted, and
// the count halves with every halfLife that the daemon lived, so that what fell
// once a day starts at once, and what falls at once waits longer and longer.
type backoff struct{ falls float64 }

const (
	halfLife  = 30 * time.Second
	mostPause = 30 * time.Second
)

func (b *backoff) fell(lived time.Duration) time.Duration {
	b.falls = b.falls*math.Exp2(-float64(lived)/float64(halfLife)) + 1
	if b.falls <= 2.5 {
		return 0
	}
	pause := min(500*time.Millisecond*time.Duration(math.Exp2(min(b.falls-2, 10))), mostPause)
	// Jitter: what fell together need not rise together.
	return pause/2 + rand.N(pause/2)
}
