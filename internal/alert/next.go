package alert

import "time"

// Next is the instant at which time alone will do something to the episode: with
// it a replay needs no clock. Zero: nothing, or it hangs on facts of the moment
// as well, such as the end of planned quiet.
func (e Episode) Next(p Policy) time.Time {
	switch {
	case e.Phase == Waiting:
		return e.Since.Add(p.Tolerance)
	case e.IsOpen() && e.Flapping:
		return e.Changed.Add(p.Steady)
	case e.Phase == Closing:
		return e.Changed.Add(p.Recovery)
	case e.Phase == Open && !e.Told.IsZero() && p.Repeat > 0:
		return e.Told.Add(p.Repeat)
	}
	return time.Time{}
}
