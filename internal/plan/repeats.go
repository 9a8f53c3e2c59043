package plan

import "time"

// Repeat is a stretch of time that came again because the clock was set back:
// from Until to From.
type Repeat struct {
	From, Until time.Time
}

// Repeats are all of them that are still remembered.
type Repeats []Repeat

// Shift gives the due_at of an instant that is planned now: the instant itself
// the first time it comes, a microsecond more for each time it comes again.
// Keys (toolspec_id, due_at) stay unique that way.
func (r Repeats) Shift(at time.Time) time.Time {
	n := 0
	for _, again := range r {
		if at.After(again.From) && !at.After(again.Until) {
			n++
		}
	}
	return at.Add(time.Duration(n) * time.Microsecond)
}
