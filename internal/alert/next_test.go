package alert

import (
	"testing"
	"time"

	"sonde/internal/measure"
)

// A replay that looks at an episode only when a verdict comes and at Next tells
// the same at the same time as an analyst that looks each second.
func TestAReplayNeedsNoClockBesideNext(t *testing.T) {
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	p := Policy{Tolerance: 10 * time.Minute, Recovery: 5 * time.Minute, Repeat: time.Hour, FlapTimes: 3, FlapWithin: 2 * time.Hour, Steady: 30 * time.Minute}
	kinds := map[int]measure.VerdictKind{}
	for minute, letter := range "b....b.g..bb.............g......b..........g....b...........g...b..............g.g.g.b.b.b......................................................................................b..g" {
		switch letter {
		case 'b':
			kinds[minute] = measure.Bad
		case 'g':
			kinds[minute] = measure.Good
		}
	}
	type told struct {
		Action measure.Action
		At     time.Time
		Tell   bool
	}
	run := func(times func(e Episode, from, to time.Time) []time.Time) (out []told) {
		var e Episode
		note := func(d measure.Decision) {
			if d.Action != measure.None {
				out = append(out, told{d.Action, d.At, d.Tell})
			}
		}
		last := start
		for minute := range 400 {
			at := start.Add(time.Duration(minute) * time.Minute)
			for {
				some := false
				for _, tick := range times(e, last, at) {
					next, d, due := e.Tick(p, Facts{}, tick)
					e, last = next, tick
					if due {
						note(d)
						some = true
						break
					}
				}
				if !some {
					break
				}
			}
			if k, some := kinds[minute]; some {
				next, d := e.Verdict(p, Facts{}, measure.Verdict{Kind: k, Severity: measure.Warning, At: at, Since: at, Text: "x"})
				e = next
				note(d)
			}
			last = at
		}
		return out
	}
	clock := run(func(_ Episode, from, to time.Time) (out []time.Time) {
		for at := from.Add(time.Second); at.Before(to); at = at.Add(time.Second) {
			out = append(out, at)
		}
		return append(out, to)
	})
	replay := run(func(e Episode, _, to time.Time) []time.Time {
		if at := e.Next(p); !at.IsZero() && !at.After(to) {
			return []time.Time{at}
		}
		return nil
	})
	if len(clock) < 8 || len(clock) != len(replay) {
		t.Fatalf("by the clock %d decisions, %v\nby Next %d, %v", len(clock), clock, len(replay), replay)
	}
	for i := range clock {
		if clock[i] != replay[i] {
			t.Errorf("decision %d is %v by the clock, %v by Next", i, clock[i], replay[i])
		}
	}
}
