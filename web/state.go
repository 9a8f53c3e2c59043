package web

import (
	"fmt"
	"time"

	"sonde/internal/measure"
	"sonde/internal/plan"
	"sonde/internal/store"
	"sonde/web/chart"
)

// state of a spec or a node, worst first.
type state int

const (
	critical state = iota
	warning
	stale   // nothing is known of now
	planned // an alert in planned maintenance
	noted   // an open alert of the least severity
	waiting // new, not measured yet
	fine
	off
	states
)

// Every state has a sign and a word of its own, so that nobody needs its colour.
var stateSigns = [states]struct{ sign, word string }{
	critical: {"✖", "critical"},
	warning:  {"▲", "warning"},
	stale:    {"?", "stale"},
	planned:  {"◆", "maintenance"},
	noted:    {"●", "note"},
	waiting:  {"…", "waiting"},
	fine:     {"✔", "ok"},
	off:      {"–", "off"},
}

func (s state) Sign() string { return stateSigns[s].sign }
func (s state) Word() string { return stateSigns[s].word }

func stateByWord(word string) (state, bool) {
	for s := range states {
		if stateSigns[s].word == word {
			return s, true
		}
	}
	return 0, false
}

// stateOfAlert is what an alert makes of what it is about.
func stateOfAlert(a store.PageAlert) state {
	switch {
	case a.ClosedAt != nil || a.Shadow:
		return fine
	case a.Planned:
		return planned
	case a.Severity == string(measure.Critical):
		return critical
	case a.Severity == string(measure.Warning):
		return warning
	}
	return noted
}

// planOf tells the plan of a spec; ok is false when it has none.
func planOf(s store.PageSpec) (plan.Spec, bool) {
	p := plan.Spec{ID: s.ID, RunInterval: s.RunInterval, RunAt: s.RunAt, TimeZone: s.TimeZone}
	return p, plan.Check(p) == nil
}

// interval is how often a spec runs, about: for a cron expression the time
// between the next two runs.
func interval(s store.PageSpec, now time.Time) time.Duration {
	if s.RunInterval > 0 {
		return s.RunInterval
	}
	if p, ok := planOf(s); ok {
		if a, ok := plan.Next(p, now); ok {
			if b, ok := plan.Next(p, a); ok {
				return b.Sub(a)
			}
		}
	}
	return time.Hour
}

// freshUntil is when a result of at becomes stale: after three instants, and the
// time that a run may take.
func freshUntil(s store.PageSpec, at time.Time) time.Time {
	if s.RunInterval > 0 {
		return at.Add(3*s.RunInterval + s.TimeToRun)
	}
	if p, ok := planOf(s); ok {
		for range 3 {
			next, ok := plan.Next(p, at)
			if !ok {
				break
			}
			at = next
		}
	}
	return at.Add(s.TimeToRun)
}

// judge says how a spec stands by its newest run alone, and why in words.
func judge(s store.PageSpec, now time.Time) (state, string) {
	last := s.Last
	switch {
	case !s.Enabled:
		return off, "switched off"
	case last.DueAt.IsZero() && now.Before(freshUntil(s, s.Since)):
		return waiting, "not measured yet"
	case last.DueAt.IsZero():
		return stale, "no run has ended of late"
	case now.After(freshUntil(s, last.DueAt)):
		return stale, "last result is " + ago(now.Sub(last.DueAt)) + " old"
	case last.Outcome == string(measure.Missed):
		return stale, "last run was missed: " + last.Reason
	case last.Outcome == string(measure.Fail):
		return warning, "cannot be measured: " + last.Reason
	case last.Loss != nil && *last.Loss >= 100:
		return critical, "no answer"
	}
	return fine, says(last, s.Unit)
}

// says tells the numbers of a run.
func says(r store.PageRun, unit string) string {
	text := ""
	add := func(format string, args ...any) {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf(format, args...)
	}
	if r.Hops != nil {
		unit = "ms"
		if r.Route != nil {
			add("route %d", *r.Route)
		}
		switch lost := r.Reached != nil && !*r.Reached; {
		case lost && *r.Hops == 0:
			add("nobody answers on the way")
		case lost:
			add("target does not answer, nor anybody behind hop %d", *r.Hops)
		case *r.Hops == 1:
			add("1 hop")
		default:
			add("%d hops", *r.Hops)
		}
	}
	if r.Loss != nil {
		unit = "ms"
	}
	if r.Value != nil {
		add("%s %s", chart.Number(*r.Value), unit)
	}
	if r.Loss != nil {
		add("%s %% loss", chart.Number(*r.Loss))
	}
	if text == "" {
		return "measured"
	}
	return text
}

// ago writes a length of time in its two greatest units.
func ago(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + ago(-d)
	case d < time.Second:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return measure.FormatDuration(d.Truncate(time.Second))
	case d < 24*time.Hour:
		return measure.FormatDuration(d.Truncate(time.Minute))
	}
	return measure.FormatDuration(d.Truncate(time.Hour))
}
