package analyst

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sonde/analysis"
	"sonde/internal/alert"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// Times of second looks.
const (
	lookWait  = 2 * time.Minute  // for the results of the runs that were ordered
	lookTrust = 10 * time.Minute // what a second look contradicts is told when it still stands so long after
	lookRuns  = 10               // are ordered a minute at most: a mass outage is no reason for a storm of probes
	lookLost  = 3                // packets of a run that must have been lost on average, before one without loss speaks against it: by chance 5 % lose none
)

// look is a second look at a doubtful finding before people are told: an extra
// run of its spec, and one from another monitoring host if there is one.
//
//	raised, doubtful ─▶ ordered ─▶ bad again, or nothing came of it ─▶ told
//	                           └─▶ good ─▶ not told, until it is found again by a later
//	                                       run, or has stood for ten minutes more
type look struct {
	Score     float64   `json:"score,omitempty"` // of the detector; 0 when the rule asks for the look
	Low, High *float64  `json:",omitempty"`      // the band, where the detector has one
	Ordered   time.Time `json:"ordered,omitzero"`
	Runs      []lookRun `json:"runs,omitempty"`
	Done      time.Time `json:"done,omitzero"`
	Good      bool      `json:"good,omitempty"`  // it contradicts the finding
	Again     bool      `json:"again,omitempty"` // found again since
	Noted     bool      `json:"noted,omitempty"` // what came of it is written down
	Says      string    `json:"says,omitempty"`
}

// lookRun is one of its runs.
type lookRun struct {
	Spec    int64     `json:"spec"`
	Monhost string    `json:"monhost"`
	DueAt   time.Time `json:"due_at"`
	Ended   bool      `json:"ended,omitempty"`
	Said    string    `json:"said,omitempty"`
	Verdict string    `json:"verdict,omitempty"` // bad, good, or "" when it says nothing
}

// doubt looks whether a finding that has just been raised or fed needs a second look, or no longer.
func (p *pass) doubt(w *watch, d measure.Decision, v *measure.Verdict, late bool) {
	st := &p.session.platform
	l := st.Looks[w.alert]
	score := w.episode.Score
	switch {
	case d.Action == measure.Clear && l != nil:
		delete(st.Looks, w.alert)
		st.dirty = true
	case d.Action == measure.Raise && !w.rule.Shadow && !late && w.column >= 0 && (w.rule.SecondLook || score > 0 && score < measure.NightScore):
		l = &look{Score: score}
		if v != nil {
			l.Low, l.High = number(v.Evidence["low"]), number(v.Evidence["high"])
		}
		st.Looks[w.alert], st.dirty = l, true
	case l != nil && v != nil && v.Kind == measure.Bad && !l.Again && (!l.Done.IsZero() && v.At.After(l.lastRun()) || score >= measure.NightScore):
		l.Again, st.dirty = true, true
	}
}

func number(v any) *float64 {
	if f, ok := v.(float64); ok {
		return &f
	}
	return nil
}

func (l *look) lastRun() time.Time {
	last := l.Ordered
	for _, r := range l.Runs {
		if r.DueAt.After(last) {
			last = r.DueAt
		}
	}
	return last
}

// secondLooks orders what is to be looked at, reads what came of it, and holds
// back what is not to be told yet.
func (p *pass) secondLooks() error {
	st := &p.session.platform
	for _, id := range slices.Sorted(maps.Keys(st.Looks)) {
		l, w, sp := st.Looks[id], p.byAlert[id], p.specOf[id]
		if w == nil || !w.episode.Told.IsZero() && !p.justTold(id) {
			delete(st.Looks, id)
			st.dirty = true
			continue
		}
		if p.session.hidden[id].by != 0 || p.planned(sp.Node, sp.Labels, p.now) != "" {
			continue
		}
		if l.Ordered.IsZero() {
			if err := p.tryLook(w, l, func() error { return p.orderLook(sp, l) }); err != nil {
				return err
			}
			st.dirty = true
		}
		if !l.Noted {
			if err := p.tryLook(w, l, func() error { return p.readLook(sp, w, l, false) }); err != nil {
				return err
			}
			if !l.Done.IsZero() {
				reason := "told: nothing speaks against the finding"
				if l.Good {
					reason = fmt.Sprintf("not told yet: told when a later run finds it again, or it still stands at %s", p.now.Add(lookTrust).UTC().Format("15:04 UTC"))
				}
				p.noteLook(sp, w, l, reason)
			}
		}
		switch {
		case l.Again:
		case l.Done.IsZero():
			p.session.hidden[id] = hiding{0, fmt.Sprintf("waits up to %s for a second look: %s", measure.FormatDuration(lookWait), l.asked(w))}
		case p.contradicted(id):
			p.session.hidden[id] = hiding{0, l.Says + ": not told yet"}
		}
	}
	return nil
}

// contradicted reports whether an alert is held back by its second look.
func (p *pass) contradicted(id int64) bool {
	l := p.platform.Looks[id]
	return l != nil && l.Good && !l.Again && !l.Done.IsZero() && p.now.Sub(l.Done) < lookTrust
}

// tryLook does a part of a second look. One that fails is over, and its finding is told.
func (p *pass) tryLook(w *watch, l *look, f func() error) error {
	if !l.Done.IsZero() {
		return nil
	}
	ordered := len(l.Runs)
	failed, err := p.try(f)
	if failed == nil || err != nil {
		return err
	}
	p.Log.Warn("a second look failed: its finding is told without", "rule", w.rule.Name, "alert", w.alert, "error", failed)
	l.Runs = l.Runs[:ordered] // what was ordered just now is taken back
	l.Done, l.Good, l.Says = p.now, false, "the second look failed: "+failed.Error()
	p.session.platform.dirty = true
	return nil
}

// justTold reports whether this very pass decided to tell of an alert; that can still be taken back.
func (p *pass) justTold(id int64) bool {
	return slices.ContainsFunc(p.told, func(t told) bool { return t.alert == id && !t.dropped })
}

func (l *look) asked(w *watch) string {
	var from []string
	for _, r := range l.Runs {
		from = append(from, r.Monhost)
	}
	why := fmt.Sprintf("its score of %.2f is doubtful", l.Score)
	if l.Score == 0 || w.rule.SecondLook {
		why = "its rule asks for one"
	}
	return fmt.Sprintf("%s; extra run from %s", why, strings.Join(from, " and "))
}

// orderLook orders the runs, as far as there is room for them.
func (p *pass) orderLook(sp *spec, l *look) error {
	st := &p.session.platform
	l.Ordered = p.now
	st.Ordered = slices.DeleteFunc(st.Ordered, func(at time.Time) bool { return p.now.Sub(at) >= time.Minute || at.After(p.now) })
	if len(st.Ordered) >= lookRuns {
		l.Done, l.Says = p.now, fmt.Sprintf("no second look: %d were made within a minute", len(st.Ordered))
		return nil
	}
	other, host, err := p.j.OtherView(p.ctx, sp.ID)
	if err != nil {
		return err
	}
	for _, from := range []lookRun{{Spec: sp.ID, Monhost: sp.Monhost}, {Spec: other, Monhost: host}} {
		if from.Spec == 0 {
			continue
		}
		due, had := p.sameLook(from.Spec)
		if !had {
			if due, had, err = p.j.OrderRun(p.ctx, from.Spec); err != nil {
				return err
			}
			if !had {
				continue
			}
			st.Ordered = append(st.Ordered, p.now)
		}
		from.DueAt = due
		l.Runs = append(l.Runs, from)
	}
	if len(l.Runs) == 0 {
		l.Done, l.Says = p.now, "no second look: a run of "+sp.Tool+" loads the path, and runs alone"
	}
	return nil
}

// sameLook gives a run of a spec that was ordered in this pass for another finding.
func (p *pass) sameLook(spec int64) (time.Time, bool) {
	for _, l := range p.platform.Looks {
		for _, r := range l.Runs {
			if r.Spec == spec && l.Ordered.Equal(p.now) {
				return r.DueAt, true
			}
		}
	}
	return time.Time{}, false
}

// endLook says what a look showed whose finding is over before it was done: it may
// be the look's own run that ended it.
func (p *pass) endLook(sp *spec, w *watch) error {
	l := p.platform.Looks[w.alert]
	if l == nil || l.Noted || l.Ordered.IsZero() {
		return nil
	}
	if err := p.tryLook(w, l, func() error { return p.readLook(sp, w, l, true) }); err != nil {
		return err
	}
	p.noteLook(sp, w, l, "not told: it is over")
	return nil
}

// readLook reads the runs that have ended and says what they show, when all have,
// the time is up, or there is no more to wait for.
func (p *pass) readLook(sp *spec, w *watch, l *look, atOnce bool) error {
	table, column := sp.source.Table, sp.source.Columns[w.column]
	all := true
	for i := range l.Runs {
		r := &l.Runs[i]
		if r.Ended {
			continue
		}
		if own := p.specs[r.Spec]; own != nil && own.judgedTo.Before(r.DueAt) {
			all = false // its own detectors come first
			continue
		}
		run, ended, err := p.j.LookRun(p.ctx, table, column, r.Spec, r.DueAt)
		if err != nil {
			return err
		}
		if !ended {
			all = false
			continue
		}
		r.Ended, p.session.platform.dirty = true, true
		if err := p.judgeLook(sp, w, l, r, run, table, column); err != nil {
			return err
		}
	}
	if waited := p.now.Sub(l.Ordered); !all && !atOnce && waited < lookWait && waited >= 0 {
		return nil
	}
	l.Done = p.now
	l.sum(w.episode.Raised)
	return nil
}

// judgeLook says what one run shows: no answer and loss by its packets, the own
// spec's numbers by the band of the finding, others by what is usual there. A run too
// short to have shown a small loss says nothing.
func (p *pass) judgeLook(sp *spec, w *watch, l *look, r *lookRun, run store.LookRun, table, column string) error {
	unit := p.unit(sp.Tool, w.column)
	verdict := func(good bool) {
		if r.Verdict = "bad"; good {
			r.Verdict = "good"
		}
	}
	packets := run.Sent != nil && run.Received != nil && *run.Sent > 0
	cause := p.cause(sp.Tool, w.rule)
	switch {
	case run.Outcome != measure.OK:
		r.Said = strings.TrimSuffix("not measured: "+run.Reason, ": ")
	case packets && cause == alert.NoAnswer:
		r.Said = fmt.Sprintf("%d of %d lost", *run.Sent-*run.Received, *run.Sent)
		verdict(*run.Received > 0)
	case packets && cause == alert.Loss:
		r.Said = fmt.Sprintf("%d of %d lost", *run.Sent-*run.Received, *run.Sent)
		if *run.Received < *run.Sent {
			verdict(false)
			return nil
		}
		pct, err := p.j.Mean(p.ctx, table, column, sp.ID, w.episode.Since, w.episode.Raised)
		if err != nil {
			return err
		}
		if pct/100*float64(*run.Sent) < lookLost {
			r.Said += fmt.Sprintf(", too few to tell whether %s are", analysis.Number(pct, "%"))
			return nil
		}
		verdict(true)
	case run.Value == nil:
		r.Said = "no value"
		if packets {
			r.Said = fmt.Sprintf("%d of %d lost", *run.Sent-*run.Received, *run.Sent)
			verdict(false)
		}
	case cause == alert.NoAnswer || cause == alert.Loss:
		r.Said = analysis.Number(*run.Value, unit) + " lost"
		verdict(*run.Value == 0 || cause == alert.NoAnswer && *run.Value < 100)
	case r.Spec == sp.ID && l.Low != nil && l.High != nil:
		r.Said = fmt.Sprintf("%s, expected %s to %s", analysis.Number(*run.Value, unit), analysis.Number(*l.Low, ""), analysis.Number(*l.High, ""))
		verdict(*run.Value >= *l.Low && *run.Value <= *l.High)
	default:
		low, high, known, err := p.j.Usual(p.ctx, table, column, r.Spec, w.episode.Since)
		if err != nil {
			return err
		}
		r.Said = analysis.Number(*run.Value, unit)
		if !known {
			r.Said += ", and nothing is known of what is usual there"
			return nil
		}
		r.Said += fmt.Sprintf(", usual there %s to %s", analysis.Number(low, ""), analysis.Number(high, ""))
		room := max(high-low, 0.1*max(high, -low))
		verdict(*run.Value >= low-room && *run.Value <= high+room)
	}
	return nil
}

// sum says what the look shows as a whole: it contradicts the finding when no run
// bears it out and one at least speaks against it.
func (l *look) sum(raised time.Time) {
	var said []string
	bad := false
	for _, r := range l.Runs {
		if !r.Ended {
			r.Said = "nothing so far"
		}
		bad, l.Good = bad || r.Verdict == "bad", l.Good || r.Verdict == "good"
		when := ""
		if d := r.DueAt.Sub(raised).Round(time.Second); d > 0 && d < time.Hour {
			when = fmt.Sprintf(" %s later", measure.FormatDuration(d))
		}
		said = append(said, fmt.Sprintf("from %s%s: %s", r.Monhost, when, r.Said))
	}
	l.Good = l.Good && !bad
	l.Says = "a second look " + strings.Join(said, "; ")
}

// noteLook writes down what came of a second look.
func (p *pass) noteLook(sp *spec, w *watch, l *look, reason string) {
	l.Noted, p.session.platform.dirty = true, true
	p.found.Findings = append(p.found.Findings, store.NewFinding{AlertID: w.alert, ToolspecID: sp.ID, Monhost: sp.Monhost, Node: sp.Node, Tool: sp.Tool, Metric: w.rule.Metric, Rule: w.rule.Name,
		Kind: string(measure.Note), Severity: string(measure.Info), At: p.now, Since: l.Ordered, Decision: "look", Text: l.Says, Reason: reason,
		Evidence: map[string]any{"score": l.Score, "runs": l.Runs, "good": l.Good}})
}

func (s *session) unit(tool string, column int) string {
	for _, t := range s.Tools {
		if t.Name == tool && column >= 0 && column < len(t.Metrics) {
			return t.Metrics[column].Unit
		}
	}
	return ""
}
