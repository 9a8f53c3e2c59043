package plan

import (
	"errors"
	"fmt"
	"iter"
	"time"
)

// Spec is what decides when a spec runs: either RunInterval or RunAt is set.
type Spec struct {
	ID          int64
	RunInterval time.Duration
	RunAt       string // cron expression of five fields
	TimeZone    string // of RunAt; "" is UTC

	// Since is when this timing began: the spec was inserted or enabled, or
	// its timing changed. It never runs at that instant or before.
	Since time.Time

	Together   int  // specs with the same Since, this one included
	Background bool // a background spec by interval also runs soon after Since

	// TimeToRun is how long a run may take; the grid begins that long after
	// the soon run, one interval at most.
	TimeToRun time.Duration
}

// Check says what is wrong with the timing of s. A spec that does not pass has
// no instants.
func Check(s Spec) error {
	switch {
	case s.RunInterval != 0 && s.RunAt != "":
		return errors.New("both run_interval and run_at are set: give one")
	case s.RunAt != "":
		_, err := compile(s.RunAt, s.TimeZone)
		return err
	case s.RunInterval < time.Microsecond:
		return fmt.Errorf("run_interval must be positive, not %s", s.RunInterval)
	}
	return nil
}

// Begun is s as it is to be planned at now. A clock that was set back has put
// the beginning of some specs into the future: their grid goes on at once, and
// the run soon after the beginning is not made again.
func (s Spec) Begun(now time.Time) Spec {
	if s.Since.After(now.Add(time.Second)) {
		s.Since, s.Background = now, false
	}
	return s
}

// Usual is how far apart the runs of s usually are, 0 for a spec without instants.
// Nights and weekends that an expression leaves out are longer than that: at most
// a third of the distances are.
func Usual(s Spec) time.Duration {
	if Check(s) != nil {
		return 0
	}
	if s.RunAt == "" {
		return s.RunInterval
	}
	timing, _ := compile(s.RunAt, s.TimeZone)
	return timing.usual
}

// Next gives the first instant of s after the given one, if there is one.
func Next(s Spec, after time.Time) (time.Time, bool) {
	at, ok := next(&s, after.UnixMicro())
	if !ok {
		return time.Time{}, false
	}
	return instant(at), true
}

// Append appends all instants of s in (from, to] to dst, in ascending order.
func Append(dst []time.Time, s Spec, from, to time.Time) []time.Time {
	last := to.UnixMicro()
	for at, ok := next(&s, from.UnixMicro()); ok && at <= last; at, ok = next(&s, at) {
		dst = append(dst, instant(at))
	}
	return dst
}

// Between gives all instants of s in (from, to] in ascending order.
func Between(s Spec, from, to time.Time) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		last := to.UnixMicro()
		for at, ok := next(&s, from.UnixMicro()); ok && at <= last; at, ok = next(&s, at) {
			if !yield(instant(at)) {
				return
			}
		}
	}
}

// Count gives the number of instants of s in (from, to] without going through
// them: what a week of sleep missed is known at once.
func Count(s Spec, from, to time.Time) int {
	lo, hi := max(from.UnixMicro(), s.Since.UnixMicro()), to.UnixMicro()
	if lo >= hi {
		return 0
	}
	if s.RunAt != "" {
		timing, err := compile(s.RunAt, s.TimeZone)
		if err != nil || s.RunInterval != 0 {
			return 0
		}
		return int(timing.cron.count(lo, hi, timing.zone))
	}
	interval := s.RunInterval.Microseconds()
	if interval <= 0 {
		return 0
	}
	n := int64(0)
	first, hasFirst := soon(&s)
	if hasFirst && lo < first && first <= hi {
		n++
	}
	if lo = max(lo, gridBegin(&s)); lo < hi {
		phase := phaseOf(s.ID, interval)
		n += floorDiv(hi-phase, interval) - floorDiv(lo-phase, interval)
	}
	return int(n)
}

// next works in microseconds since the epoch, and by pointer: a pass over a
// hundred thousand specs should allocate nothing.
func next(s *Spec, after int64) (int64, bool) {
	after = max(after, s.Since.UnixMicro())
	if s.RunAt != "" {
		timing, err := compile(s.RunAt, s.TimeZone)
		if err != nil || s.RunInterval != 0 {
			return 0, false
		}
		return timing.cron.next(after, timing.zone)
	}
	interval := s.RunInterval.Microseconds()
	if interval <= 0 {
		return 0, false
	}
	if first, ok := soon(s); ok && first > after {
		return first, true
	}
	after = max(after, gridBegin(s))
	phase := phaseOf(s.ID, interval)
	return (floorDiv(after-phase, interval)+1)*interval + phase, true
}

func instant(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// floorDiv rounds down below zero too; instants before 1970 are only asked for
// by tests and broken clocks, and must not be doubled there.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
