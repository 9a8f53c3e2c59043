package analyst

import (
	"errors"
	"maps"
	"time"

	"sonde/analysis/route"
	"sonde/internal/alert"
	"sonde/internal/measure"
	"sonde/internal/store"
)

const routeMethod = string(alert.RouteLeft)

// turnLinger is how long after the last alert of a turn that ended another of
// them speaks: routes come back one after the other, each with its next run.
const turnLinger = 30 * time.Minute

// turn is one place at which routes of a host left their history for the same AS.
type turn struct {
	Alert   int64     `json:"alert"`          // speaks for all
	Members int       `json:"members"`        // open alerts
	Ended   time.Time `json:"ended,omitzero"` // when the last of them ended, once Alert has
}

// effectsAPass bounds what a pass asks about routes: when a carrier fails, a
// thousand routes change at once, and one message tells of them.
const effectsAPass = 50

// addEffects puts what came with a change of a route, as far as it is measured,
// into the text and the evidence of its verdict.
func (p *pass) addEffects(sp *spec, v *measure.Verdict) error {
	if p.effects++; p.effects > effectsAPass {
		return nil
	}
	c, err := p.j.RouteChangeEffects(p.ctx, sp.ID, v.Since)
	if errors.Is(err, store.ErrNone) {
		return nil // the rows are gone already
	}
	if err != nil {
		return err
	}
	v.Text = route.WithEffects(v.Text, c)
	var effects, alerts []map[string]any
	for _, e := range c.Effects {
		if e.RunsBefore > 0 && e.RunsAfter > 0 && (e.Watched || route.Notable(e)) {
			effects = append(effects, map[string]any{"spec": e.ToolspecID, "tool": e.Tool, "label": e.Label, "metric": e.Metric, "unit": e.Unit,
				"before": e.Before, "after": e.After, "runs_before": e.RunsBefore, "runs_after": e.RunsAfter})
		}
	}
	for _, a := range c.Alerts {
		alerts = append(alerts, map[string]any{"alert": a.ID, "rule": a.Rule, "text": a.Text, "began_at": a.BeganAt})
	}
	over, changed := 0, []map[string]any{}
	for _, s := range c.Sharers {
		if s.Gone {
			over++
		}
		if !s.ChangedAt.IsZero() {
			changed = append(changed, map[string]any{"spec": s.ToolspecID, "node": s.Node, "monhost": s.Monhost, "hop": s.Address.String(), "changed_at": s.ChangedAt})
		}
	}
	v.Evidence["effects"], v.Evidence["alerts_begun"] = effects, alerts
	v.Evidence["pairs_over_the_old_hops"], v.Evidence["pairs_changed_too"] = over, changed
	return nil
}

// turns says which alert speaks for all routes that took one turn: the first,
// and when that has ended while others stand, after a while the next.
func (p *pass) turns(findings []alert.Finding) map[string]int64 {
	open := map[string][]alert.Finding{}
	for _, f := range findings {
		if f.Cause == alert.RouteLeft && f.Reason != "" {
			key := alert.TurnKey(f.Monhost, f.Reason)
			open[key] = append(open[key], f)
		}
	}
	st := &p.session.platform
	next := map[string]turn{}
	for key, list := range open {
		first, stands := int64(0), false
		planned := true
		t, known := st.Turns[key]
		for _, f := range list {
			stands = stands || f.ID == t.Alert
			sp := p.specs[f.Spec]
			quiet := p.planned(sp.Node, sp.Labels, p.now) != "" // an alert that may not speak is the last choice
			if first == 0 || planned && !quiet || planned == quiet && f.ID < first {
				first, planned = f.ID, quiet
			}
		}
		switch {
		case !known:
			t = turn{Alert: first}
		case stands:
			t.Ended = time.Time{}
		case t.Ended.IsZero() || len(list) < t.Members:
			t.Ended = p.now
		case p.now.Sub(t.Ended) >= turnLinger:
			t = turn{Alert: first}
		}
		t.Members = len(list)
		next[key] = t
	}
	if !maps.Equal(next, st.Turns) {
		st.Turns, st.dirty = next, true
	}
	out := map[string]int64{}
	for key, t := range next {
		out[key] = t.Alert
	}
	return out
}
