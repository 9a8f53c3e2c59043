package analyst

import (
	"errors"
	"maps"

	"sonde/analysis/route"
	"sonde/internal/alert"
	"sonde/internal/measure"
	"sonde/internal/store"
)

const routeMethod = string(alert.RouteLeft)

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

// turns moves on which alert speaks for all routes that took one turn.
func (p *pass) turns(findings []alert.Finding) map[string]alert.Turn {
	planned := map[int64]bool{}
	for _, f := range findings {
		if sp := p.specs[f.Spec]; f.Cause == alert.RouteLeft {
			planned[f.ID] = p.planned(sp.Node, sp.Labels, p.now) != ""
		}
	}
	st := &p.session.platform
	next := alert.NextTurns(st.Turns, findings, planned, p.now)
	if !maps.Equal(next, st.Turns) {
		st.Turns, st.dirty = next, true
	}
	return next
}
