package web

import (
	"math"
	"slices"
	"time"

	"sonde/analysis"
	"sonde/internal/store"
	"sonde/web/chart"
)

// chartAround draws a spec in a window; around an alert it is the alert's metric,
// with what was expected and where it began.
func (q request) chartAround(s specView, w window, comments []store.PageComment) (chart.Chart, error) {
	if w.Alert == 0 {
		return q.chart(s, w.From, w.Until, comments)
	}
	a, evidence, err := q.r.Alert(q.ctx, w.Alert)
	if err != nil {
		return chart.Chart{}, err
	}
	if a.ToolspecID != s.ID {
		return chart.Chart{}, badRequest{"that alert is about another spec"}
	}
	if s.PageSpec, err = q.r.Drawn(q.ctx, s.PageSpec, a.Metric); err != nil {
		return chart.Chart{}, err
	}
	c, err := q.chart(s, w.From, w.Until, comments)
	if err != nil {
		return c, err
	}
	c.Began = a.BeganAt
	known, err := q.r.Expected(q.ctx, s.ID, a.Rule, w.From, w.Until, c.Width)
	if err != nil {
		return c, err
	}
	for _, e := range known {
		c.Expected = append(c.Expected, chart.Expected(e))
	}
	// The newest stretch is not written yet, and not every detector foretells a
	// whole series: the finding itself says what was expected then.
	n := analysis.NumbersOf(evidence)
	if math.IsNaN(n.Forecast) && !n.HasBand() {
		return c, nil
	}
	from, until := a.BeganAt, a.RaisedAt.Add(s.Interval)
	until = later(until, from.Add(w.Until.Sub(w.From)/50))
	if last := len(c.Expected) - 1; last >= 0 {
		from = later(from, c.Expected[last].Until)
	}
	if from.Before(until) {
		c.Expected = append(c.Expected, chart.Expected{From: from, Until: until, Forecast: n.Forecast, Low: n.Low, High: n.High})
	}
	slices.SortStableFunc(c.Expected, func(a, b chart.Expected) int { return a.From.Compare(b.From) })
	return c, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
