package alert

import (
	"fmt"
	"time"

	"sonde/internal/measure"
)

// Policy is how an episode is treated.
type Policy struct {
	Tolerance time.Duration // how long bad must last before an alert is raised
	Recovery  time.Duration // how long good must last before it is cleared
	Repeat    time.Duration // a standing alert is told again no more often; 0 never

	FlapTimes  int           // so many raises …
	FlapWithin time.Duration // … within this time are flapping; FlapTimes 0: never
	Steady     time.Duration // so long without change and it flaps no more

	Grow time.Duration // a finding with a score that lasts so long is a step graver; 0 never
}

// Usual is the policy where a rule says nothing else.
func Usual() Policy {
	return Policy{Repeat: 4 * time.Hour, FlapTimes: 3, FlapWithin: time.Hour, Steady: 30 * time.Minute, Grow: 4 * time.Hour}
}

// Facts are what the fold must know of the moment and cannot see in verdicts.
type Facts struct {
	Mute     string // never told, and why: the rule says so
	Quiet    string // not told now, and why: maintenance, hidden by another
	Late     bool   // the verdict comes from data that came late
	Acked    bool   // a person has taken note
	Silenced string // nothing more is told for a while, not even the end
}

// Phase of an episode.
type Phase string

// The phases.
const (
	Nothing Phase = ""
	Waiting Phase = "waiting" // bad, tolerated so far
	Open    Phase = "open"    // raised
	Closing Phase = "closing" // raised, good for the moment
)

// Episode is the state of one (spec, metric, rule).
type Episode struct {
	Phase    Phase            `json:"phase,omitempty"`
	Severity measure.Severity `json:"severity,omitempty"`
	Base     measure.Severity `json:"base,omitempty"`    // what the rule says, before magnitude and duration
	Score    float64          `json:"score,omitempty"`   // the greatest of its verdicts; 0: the detector says none
	Since    time.Time        `json:"since,omitzero"`    // when the trouble began
	Text     string           `json:"text,omitempty"`    // the last bad sentence
	Raised   time.Time        `json:"raised,omitzero"`   // when it was raised
	Well     time.Time        `json:"well,omitzero"`     // Closing: good since
	GoodText string           `json:"good,omitempty"`    // Closing: the sentence
	Told     time.Time        `json:"told,omitzero"`     // when people heard last; zero: they have not
	ToldAs   measure.Severity `json:"told_as,omitempty"` // how grave it was then
	Late     bool             `json:"late,omitempty"`    // raised by late data and not confirmed since
	Starts   []time.Time      `json:"starts,omitempty"`  // raises of the recent past
	Flapping bool             `json:"flapping,omitempty"`
	Changed  time.Time        `json:"changed,omitzero"` // when it last went from good to bad or back
}

// IsOpen reports whether an alert stands.
func (e Episode) IsOpen() bool { return e.Phase == Open || e.Phase == Closing }

// Verdict folds one verdict in.
func (e Episode) Verdict(p Policy, f Facts, v measure.Verdict) (Episode, measure.Decision) {
	switch v.Kind {
	case measure.Bad:
		return e.bad(p, f, v)
	case measure.Good:
		return e.good(p, f, v)
	default:
		return e, none(v.At, v.Severity, v.Text, "a note: it is recorded and shown, and opens no alert")
	}
}

func (e Episode) bad(p Policy, f Facts, v measure.Verdict) (Episode, measure.Decision) {
	if e.IsOpen() {
		return e.fed(p, f, v)
	}
	if e.Phase == Nothing {
		e.Since = v.Since
	}
	e.Base, e.Score, e.Text = v.Severity, max(e.Score, v.Score()), v.Text
	e.Severity = p.severity(e, v.At)
	if lasted := v.At.Sub(e.Since); lasted < p.Tolerance {
		e.Phase = Waiting
		return e, none(v.At, v.Severity, v.Text, fmt.Sprintf("tolerated so far: it has lasted %s of %s", short(lasted), short(p.Tolerance)))
	}
	return e.raise(p, f, v.At)
}

// raise opens the alert, and tells of it if it may be told.
func (e Episode) raise(p Policy, f Facts, at time.Time) (Episode, measure.Decision) {
	e.Phase, e.Raised, e.Changed, e.Late = Open, at, at, f.Late
	e.Told, e.Well, e.GoodText = time.Time{}, time.Time{}, ""
	e.Starts = append(recent(e.Starts, at, p.FlapWithin), at)
	d := measure.Decision{Action: measure.Raise, Severity: e.Severity, At: at, Text: e.Text, Reason: "nothing was open"}
	if p.Tolerance > 0 {
		d.Reason = "it has lasted longer than the tolerance of " + short(p.Tolerance)
	}
	if p.FlapTimes > 0 && len(e.Starts) >= p.FlapTimes {
		e.Flapping = true
		d.Text = fmt.Sprintf("flapping, %d times within %s: %s", len(e.Starts), short(p.FlapWithin), e.Text)
		d.Reason = "it comes and goes; until it is steady nothing more is told"
	}
	return e.tell(f, d)
}

// tell decides whether people hear of d.
func (e Episode) tell(f Facts, d measure.Decision) (Episode, measure.Decision) {
	switch why := f.quiet(); {
	case why != "":
		d.Reason += "; not told: " + why
	default:
		d.Tell, e.Told, e.ToldAs = true, d.At, e.Severity
	}
	return e, d
}

// quiet is the reason why a raise or a reminder is not told now.
func (f Facts) quiet() string {
	switch {
	case f.Mute != "":
		return f.Mute
	case f.Silenced != "":
		return f.Silenced
	case f.Late:
		return "it is known only from data that came late"
	}
	return f.Quiet
}

// fed takes a bad verdict while an alert stands.
func (e Episode) fed(p Policy, f Facts, v measure.Verdict) (Episode, measure.Decision) {
	reason := "feeds the open alert"
	if e.Phase == Closing {
		e.Phase, e.Changed, e.Well, e.GoodText = Open, v.At, time.Time{}, ""
		reason = "bad again before it was closed"
		if e.Flapping {
			reason = "flapping: told when it is steady"
		}
	}
	e.Text = v.Text
	e.Base, e.Score = Graver(e.Base, v.Severity), max(e.Score, v.Score())
	e, d, graver := e.grow(p, f, v.At)
	if graver {
		return e, d
	}
	if e, d, due := e.due(p, f, v.At); due {
		return e, d
	}
	return e, none(v.At, e.Severity, v.Text, reason)
}

func (e Episode) good(p Policy, f Facts, v measure.Verdict) (Episode, measure.Decision) {
	switch e.Phase {
	case Nothing:
		return e, none(v.At, v.Severity, v.Text, "nothing was open")
	case Waiting:
		lasted := v.Since.Sub(e.Since)
		e = Episode{Starts: e.Starts}
		return e, none(v.At, v.Severity, v.Text, fmt.Sprintf("over after %s, within the tolerance of %s", short(lasted), short(p.Tolerance)))
	case Closing:
		return e, none(v.At, e.Severity, v.Text, "good, and closing already")
	}
	e.Well, e.GoodText = v.Since, v.Text
	if e.Flapping || p.Recovery > 0 {
		e.Phase, e.Changed = Closing, v.At
		reason := fmt.Sprintf("closed when it has been good for %s", short(p.Recovery))
		if e.Flapping {
			reason = fmt.Sprintf("flapping: told when nothing has changed for %s", short(p.Steady))
		}
		return e, none(v.At, e.Severity, v.Text, reason)
	}
	return e.clear(f, v.At, "the detector finds it good")
}

// clear closes the alert. Its end is told to those who heard of its beginning.
func (e Episode) clear(f Facts, at time.Time, reason string) (Episode, measure.Decision) {
	d := measure.Decision{Action: measure.Clear, Severity: e.Severity, At: at, Text: e.GoodText, Reason: reason}
	switch {
	case e.Told.IsZero() && e.Late && f.Late:
		d.Reason += "; not told: it began and ended in data that came late"
	case e.Told.IsZero():
		d.Reason += "; not told: nobody was told of its beginning"
	case f.Silenced != "":
		d.Reason += "; not told: " + f.Silenced
	default:
		d.Tell = true
	}
	next := Episode{Starts: e.Starts}
	if e.Flapping {
		next.Starts = nil // steady: the count begins anew
	}
	return next, d
}

// Tick says that it is now at. The false return means that nothing is to be done.
func (e Episode) Tick(p Policy, f Facts, at time.Time) (Episode, measure.Decision, bool) {
	switch {
	case e.Phase == Waiting && at.Sub(e.Since) >= p.Tolerance:
		e, d := e.raise(p, f, at)
		return e, d, true
	case e.IsOpen() && e.Flapping && at.Sub(e.Changed) >= p.Steady:
		if e.Phase == Closing {
			e, d := e.clear(f, at, "steady for "+short(p.Steady)+", no longer flapping")
			return e, d, true
		}
		e.Flapping, e.Starts = false, nil
		e, d := e.tell(f, measure.Decision{Action: measure.Remind, Severity: e.Severity, At: at, Text: e.Text,
			Reason: "steady for " + short(p.Steady) + ", no longer flapping, and still bad"})
		return e, d, true
	case e.Phase == Closing && !e.Flapping && at.Sub(e.Changed) >= p.Recovery:
		e, d := e.clear(f, at, "good for "+short(p.Recovery))
		return e, d, true
	case e.Phase == Open:
		before := e.Severity
		e, d, graver := e.grow(p, f, at)
		if graver {
			return e, d, true
		}
		if e, d, due := e.due(p, f, at); due || e.Severity == before {
			return e, d, due
		}
		return e, none(at, e.Severity, e.Text, "it has become graver, and is not told now"), true
	}
	return e, measure.Decision{}, false
}

// due looks whether an alert that stands is to be told, for the first time or again.
func (e Episode) due(p Policy, f Facts, at time.Time) (Episode, measure.Decision, bool) {
	if f.quiet() != "" {
		return e, measure.Decision{}, false
	}
	d := measure.Decision{Action: measure.Remind, Severity: e.Severity, At: at, Text: e.Text}
	switch {
	case e.Told.IsZero():
		// An acknowledgement by someone who saw it on a page is as good as having told.
		if f.Acked {
			return e, d, false
		}
		d.Reason = "it still stands, and may be told now"
		e.Late = false
	case f.Acked || e.Flapping || p.Repeat <= 0 || at.Sub(e.Told) < p.Repeat:
		return e, d, false
	default:
		d.Reason = "it still stands, and was last told more than " + short(p.Repeat) + " ago"
	}
	e, d = e.tell(f, d)
	return e, d, true
}

// Drop ends an episode that nobody watches any more: its rule or its spec was
// changed or switched off. The false return means that no alert stood.
func (e Episode) Drop(at time.Time, why string) (Episode, measure.Decision, bool) {
	was := e
	if !was.IsOpen() {
		return Episode{}, measure.Decision{}, false
	}
	return Episode{}, measure.Decision{Action: measure.Clear, Severity: was.Severity, At: at, Text: "no longer watched",
		Reason: why + "; not told: nothing is known of its end"}, true
}

func none(at time.Time, s measure.Severity, text, reason string) measure.Decision {
	return measure.Decision{Action: measure.None, Severity: s, At: at, Text: text, Reason: reason}
}

func recent(starts []time.Time, at time.Time, within time.Duration) []time.Time {
	var out []time.Time
	for _, s := range starts {
		if at.Sub(s) < within {
			out = append(out, s)
		}
	}
	return out
}

func rank(s measure.Severity) int {
	switch s {
	case measure.Critical:
		return 2
	case measure.Warning:
		return 1
	}
	return 0
}

// Graver gives the graver of two severities.
func Graver(a, b measure.Severity) measure.Severity {
	if rank(b) > rank(a) {
		return b
	}
	return a
}

func short(d time.Duration) string {
	if d >= time.Minute {
		d = d.Round(time.Second)
	} else {
		d = d.Round(time.Millisecond)
	}
	return measure.FormatDuration(d)
}
