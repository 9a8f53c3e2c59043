package analyst

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"sonde/internal/alert"
	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/notify"
)

// found is what a pass will write.
type found struct{ store.Found }

// Empty reports whether there is nothing to write.
func (f found) Empty() bool {
	return len(f.Changes)+len(f.Findings)+len(f.Ticks)+len(f.States)+len(f.Stretches)+len(f.Excursions)+len(f.Forget)+len(f.Notices) == 0
}

// told is a decision that people are to hear of, until grouping has been looked at.
type told struct {
	watch   *watch // nil for the platform's
	finding int    // index of its row in found.Findings
	alert   int64
	kind    string
	at      time.Time
	words   notify.Alert
	dropped bool
}

// decide writes down what was decided, and makes it so; errOwed says that the
// alert could not be raised, and all is as it was.
func (p *pass) decide(sp *spec, w *watch, before, next alert.Episode, d measure.Decision, v *measure.Verdict, late bool) error {
	about := notify.Alert{Rule: w.rule.Name, Node: sp.Node, Address: sp.Address, Tool: sp.Tool, Metric: w.rule.Metric, Monhost: sp.Monhost}
	row := store.Alert{ToolspecID: sp.ID, Monhost: sp.Monhost, Node: sp.Node, Tool: sp.Tool, Label: sp.Label, Metric: w.rule.Metric, Rule: w.rule.Name,
		Shadow: w.rule.Shadow, Planned: p.planned(sp.Node, sp.Labels, d.At) != ""}
	if d.Action == measure.Raise {
		row.Evidence = map[string]any{"raised_by": map[string]any{"name": w.rule.Name, "method": w.rule.Method, "options": w.rule.Options}}
	}
	if l := p.platform.Looks[w.alert]; l != nil && d.Tell && !l.Done.IsZero() {
		d.Reason += "; " + l.Says
	}
	if d.Action == measure.Clear {
		if err := p.endLook(sp, w); err != nil {
			return err
		}
	}
	t, err := p.record(about, row, &w.alert, before, next, d, v, late)
	if err != nil {
		return err
	}
	w.episode = next
	p.restless[sp.ID] = true
	p.doubt(w, d, v, late)
	if d.Action == measure.Raise {
		w.opened = p.now
	}
	if d.Action == measure.Raise || d.Action == measure.Clear {
		sp.keep = true // whatever becomes of the samples, detector and episode agree
	}
	if t != nil {
		t.watch = w
		p.told = append(p.told, *t)
	}
	if d.Action == measure.Clear {
		w.alert, w.opened, w.partOf, w.reason = 0, time.Time{}, 0, ""
	}
	return nil
}

// record opens, feeds or closes the alert of an episode and writes its finding.
// It gives what people are to hear, nil for nothing; after errOwed nothing is written.
func (p *pass) record(about notify.Alert, row store.Alert, id *int64, before, next alert.Episode, d measure.Decision, v *measure.Verdict, late bool) (*told, error) {
	f := store.NewFinding{ToolspecID: row.ToolspecID, Monhost: row.Monhost, Node: row.Node, Tool: row.Tool, Metric: row.Metric, Rule: row.Rule,
		Kind: string(measure.Bad), Severity: string(d.Severity), At: d.At, Since: before.Since, Decision: string(d.Action), Reason: d.Reason, Text: d.Text}
	if d.Action == measure.Clear {
		f.Kind, f.Since = string(measure.Good), before.Well
	}
	if v != nil {
		f.Kind, f.Since, f.Evidence = string(v.Kind), v.Since, v.Evidence
	}
	if f.Since.IsZero() {
		f.Since = d.At
	}
	switch {
	case d.Action == measure.Raise:
		row.Severity, row.Text, row.BeganAt, row.RaisedAt, row.Flapping = string(d.Severity), d.Text, next.Since, d.At, next.Flapping
		if row.Evidence == nil {
			row.Evidence = map[string]any{}
		}
		if v != nil {
			for name, value := range v.Evidence {
				row.Evidence[name] = value
			}
		}
		opened, err := p.open(row)
		if err != nil {
			return nil, err
		}
		*id = opened
	case d.Action == measure.None && f.Kind == string(measure.Note):
		f.Decision = "note"
	case d.Action == measure.None && next.Phase == alert.Waiting:
		f.Decision = "wait"
	case d.Action == measure.None && next.IsOpen() && f.Kind == string(measure.Bad):
		f.Decision = "feed"
		f.Evidence = nil // those of the raise are kept; a day's outage is a thousand rows
	}
	if before.IsOpen() || next.IsOpen() {
		f.AlertID = *id
		c := p.change(*id, next, before)
		if f.Kind == string(measure.Bad) && v != nil && d.Action != measure.Raise {
			c.Findings++
		}
		c.Flapping = c.Flapping || next.Flapping
		if d.Action == measure.Clear {
			c.Closed, c.CloseText, c.EndedAt = true, d.Text, f.Since
			c.Late = late && before.Late && before.Told.IsZero()
			p.closed[keyOf(row)] = c
		}
	}
	p.found.Findings = append(p.found.Findings, f)
	if !d.Tell {
		return nil, nil
	}
	t := &told{finding: len(p.found.Findings) - 1, alert: *id, kind: kindOf(before, next, d), at: d.At, words: about}
	t.words.ID, t.words.Severity, t.words.Text, t.words.BeganAt = *id, d.Severity, d.Text, next.Since
	if d.Action == measure.Clear {
		t.words.Text, t.words.CloseText, t.words.BeganAt, t.words.EndedAt = before.Text, d.Text, before.Since, f.Since
	}
	return t, nil
}

// closeFirst writes the end of an alert that this very pass closed, so that the
// next of the same subject, metric and rule is another row.
func (p *pass) closeFirst(row store.Alert) error {
	c := p.closed[keyOf(row)]
	if c == nil {
		return nil
	}
	return p.j.Write(p.ctx, store.Found{Changes: []store.AlertChange{*c}})
}

// closedFirst notes that this has been written.
func (p *pass) closedFirst(row store.Alert) {
	if c := p.closed[keyOf(row)]; c != nil {
		delete(p.closed, keyOf(row))
		c.Findings = 0 // counted; the rest is the same when it is written again with what people were told
	}
}

func keyOf(a store.Alert) string {
	return fmt.Sprint(a.ToolspecID, a.Subject, "/", a.Metric, "/", a.Rule)
}

// kindOf is the kind of notice for a decision that is told.
func kindOf(before, next alert.Episode, d measure.Decision) string {
	switch {
	case d.Action == measure.Clear:
		return "clear"
	case d.Action == measure.Raise && next.Flapping:
		return "flapping"
	case d.Action == measure.Raise || before.Told.IsZero():
		return "raise"
	}
	return "remind"
}

// change is the row of changes of an alert.
func (p *pass) change(id int64, next, before alert.Episode) *store.AlertChange {
	c := p.changes[id]
	if c == nil {
		c = &store.AlertChange{ID: id}
		p.changes[id] = c
		p.order = append(p.order, id)
	}
	e := next
	if !next.IsOpen() {
		e = before
	}
	c.Severity, c.Text = string(e.Severity), e.Text
	return c
}

// drop ends the episode of a watch that is no more.
func (p *pass) drop(sp *spec, w *watch, why string) {
	next, d, stood := w.episode.Drop(p.now, why)
	if !stood || w.alert == 0 {
		return
	}
	p.found.Findings = append(p.found.Findings, store.NewFinding{
		AlertID: w.alert, ToolspecID: sp.ID, Monhost: sp.Monhost, Node: sp.Node, Tool: sp.Tool, Metric: w.rule.Metric, Rule: w.rule.Name,
		Kind: string(measure.Note), Severity: string(d.Severity), At: d.At, Since: w.episode.Since, Decision: string(d.Action), Reason: d.Reason, Text: d.Text})
	c := p.change(w.alert, next, w.episode)
	c.Closed, c.EndedAt, c.CloseText = true, d.At, d.Text+": "+why
	p.found.Excursions = append(p.found.Excursions, store.Excursion{ToolspecID: sp.ID, Rule: w.rule.Name, Ended: p.now})
	w.episode, w.alert = next, 0
}

// withhold takes back what was to be told now that grouping knows better. While
// the analyst catches up nothing is grouped, so no alert is told: what still
// stands then is, by a later pass.
func (p *pass) withhold() {
	for i := range p.told {
		t := &p.told[i]
		h, hidden := p.session.hidden[t.alert]
		if p.behind {
			h, hidden = hiding{why: "newer data are to be read first"}, true
		}
		if !hidden || t.watch == nil || t.kind == "clear" || t.watch.alert != t.alert || t.kind == "remind" {
			continue
		}
		t.dropped = true
		t.watch.episode.Told = time.Time{}
		p.found.Findings[t.finding].Reason += "; not told: " + h.why
	}
}

// notices writes what people are to hear.
func (p *pass) notices() {
	for _, t := range p.told {
		if t.dropped {
			continue
		}
		if t.kind != "clear" {
			t.words.Text += p.company[t.alert]
			t.words.Parts = p.parts(t.alert)
		}
		w := notify.AlertWords(t.kind, t.words, p.now)
		p.found.Notices = append(p.found.Notices, store.Notice{AlertID: t.alert, Kind: t.kind, Severity: string(t.words.Severity), Node: t.words.Node,
			Subject: w.Subject, Text: w.Text, Short: w.Short})
		if c := p.changes[t.alert]; c != nil {
			c.Told++
			c.ToldAt = p.now
		}
	}
}

// parts gives what an alert stands for.
func (p *pass) parts(by int64) []notify.Part {
	var ids []int64
	for id := range p.byAlert {
		if p.session.hidden[id].by == by {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b int64) int {
		return cmp.Or(cmp.Compare(p.specOf[a].Node, p.specOf[b].Node), cmp.Compare(a, b))
	})
	parts := make([]notify.Part, len(ids))
	for i, id := range ids {
		sp, e := p.specOf[id], p.byAlert[id].episode
		parts[i] = notify.Part{Node: sp.Node, Tool: sp.Tool, Monhost: sp.Monhost, Text: e.Text, BeganAt: e.Since}
	}
	return parts
}

// write stores it all.
func (p *pass) write() error {
	p.notices()
	for _, id := range p.order {
		c := p.changes[id]
		if with, stands := p.company[id]; stands {
			c.Text += with
		} else {
			c.Text += p.platform.Company[id]
		}
		p.found.Changes = append(p.found.Changes, *c)
	}
	if p.company != nil {
		maps.DeleteFunc(p.company, func(_ int64, with string) bool { return with == "" })
		if st := &p.session.platform; !maps.Equal(p.company, st.Company) {
			st.Company, st.dirty = p.company, true
		}
	}
	if err := p.writeStates(); err != nil {
		return err
	}
	if p.found.Empty() {
		return nil
	}
	return p.j.Write(p.ctx, p.found.Found)
}

// writeStates stores the states that are due, some at a time: when many specs are
// new, theirs together would fill the memory of a small machine.
func (p *pass) writeStates() error {
	var states []store.DetectorState
	flush := func() error {
		if len(states) == 0 {
			return nil
		}
		p.report("judging: writing the state of the detectors", reports)
		err := p.j.Write(p.ctx, store.Found{States: states})
		states, p.kept = nil, true
		return err
	}
	for _, sp := range p.session.order {
		if !sp.dirty && !sp.keep {
			continue
		}
		state, err := p.save(sp, sp.keep)
		if err != nil {
			return err
		}
		states = append(states, state)
		if sp.keep {
			sp.kept(p.now)
		}
		sp.dirty = false
		if len(states) == statesAtOnce {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}
