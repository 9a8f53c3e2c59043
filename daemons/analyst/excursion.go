package analyst

import (
	"sonde/internal/measure"
	"sonde/internal/store"
)

// keepRecords keeps what a detector recorded: its grid and forecasts.
func (p *pass) keepRecords(sp *spec, one said) {
	rule := one.watch.rule
	for _, s := range one.records {
		p.found.Stretches = append(p.found.Stretches, store.Stretch{ToolspecID: sp.ID, Metric: rule.Metric, Rule: rule.Name,
			From: s.From, Step: s.Step, Values: s.Values, Forecast: s.Forecast, Low: s.Low, High: s.High})
	}
}

// noteJudging notes which detectors of a spec that has just been fed do not judge.
func (sp *spec) noteJudging() {
	for i := range sp.hands {
		w := &sp.hands[i]
		if w.decliner == nil {
			continue
		}
		// A sentence that only counts on is written when something else is.
		if declines := !w.decliner.Judges(); declines != w.declines {
			w.declines, sp.dirty = declines, true
		}
	}
}

// excursion writes a verdict of a detector that foretells into HWALERTS.
func (p *pass) excursion(sp *spec, w *watch, v measure.Verdict) {
	e := store.Excursion{ToolspecID: sp.ID, Rule: w.rule.Name, Metric: w.rule.Metric, Began: v.Since, AlertID: w.alert,
		Forecast: number(v.Evidence["forecast"]), Low: number(v.Evidence["low"]), High: number(v.Evidence["high"]),
		Value: number(v.Evidence["value"]), Score: number(v.Evidence["score"])}
	foretold := e.Forecast != nil && e.Low != nil && e.High != nil
	switch {
	case v.Kind == measure.Good: // with numbers or without: what began is over
		e.Ended = v.Since
	case v.Kind == measure.Note || !foretold:
		return
	}
	p.found.Excursions = append(p.found.Excursions, e)
}
