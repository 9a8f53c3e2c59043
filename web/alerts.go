package web

import (
	"fmt"
	"time"

	"sonde/analysis"
	"sonde/internal/store"
)

const closedPerPage = 100

type alertsView struct {
	base
	Open   []store.PageAlert
	Closed []store.PageAlert
	Shadow []store.PageAlert // of rules on trial, open or not
	Older  string
	First  bool
}

// alerts lists the open ones, then those that ended, begun before a given one or not.
func (q request) alerts(before int64) (alertsView, error) {
	v := alertsView{base: q.titled("Alerts", "alerts"), First: before == 0}
	var err error
	if before == 0 {
		v.Refresh = 60
		if v.Open, err = q.r.OpenAlerts(q.ctx); err != nil {
			return v, err
		}
		if v.Shadow, err = q.r.ShadowAlerts(q.ctx, closedPerPage); err != nil {
			return v, err
		}
	}
	if v.Closed, err = q.r.ClosedAlerts(q.ctx, before, closedPerPage+1); err != nil {
		return v, err
	}
	if len(v.Closed) > closedPerPage {
		v.Closed = v.Closed[:closedPerPage]
		v.Older = q.L.Closed(v.Closed[closedPerPage-1].ID)
	}
	return v, nil
}

// About names what an alert is about.
func (b base) About(a store.PageAlert) string {
	switch {
	case a.Node != "" && a.Tool != "" && a.Label != "":
		return a.Node + " · " + a.Tool + " " + a.Label
	case a.Node != "" && a.Tool != "":
		return a.Node + " · " + a.Tool
	case a.Node != "":
		return a.Node
	case a.Subject != "":
		return a.Subject
	}
	return a.Monhost
}

type findingView struct {
	store.PageFinding
	Facts []fact
}

type alertView struct {
	base
	A        store.PageAlert
	Facts    []fact
	Words    string      // the numbers that raised it, in words
	Change   *comparison // of routes, when that is what it is about
	Charts   []chartView
	NoChart  string
	Findings []findingView
	All      int // findings there are
	Notices  []store.PageNotice
	Hidden   []store.PageAlert
	Comments []store.PageComment
	Mark     *store.Incident // what people think of it
	NodeLink string
	Window   window
}

const findingsShown = 60

// alert makes the page of one alert.
func (q request) alert(id int64) (alertView, error) {
	v := alertView{base: q.titled(fmt.Sprintf("Alert %d", id), "alerts")}
	a, evidence, err := q.r.Alert(q.ctx, id)
	if err != nil {
		return v, err
	}
	v.A, v.Facts = a, facts(evidence)
	if before, after, some := routesOf(evidence); some {
		if v.Change, err = q.compare(before, after); err != nil {
			return v, err
		}
	}
	if a.Node != "" {
		v.NodeLink = q.L.Node(a.Node, "")
	}
	findings, all, err := q.r.Findings(q.ctx, id, findingsShown)
	if err != nil {
		return v, err
	}
	v.All = all
	for _, f := range findings {
		v.Findings = append(v.Findings, findingView{f, facts(f.Evidence)})
	}
	if v.Notices, err = q.r.Notices(q.ctx, id); err != nil {
		return v, err
	}
	if v.Hidden, err = q.r.Hidden(q.ctx, id); err != nil {
		return v, err
	}
	if v.Comments, err = q.r.AlertComments(q.ctx, id); err != nil {
		return v, err
	}
	if v.Mark, err = q.r.Mark(q.ctx, id); err != nil {
		return v, err
	}
	if a.ToolspecID == 0 {
		return v, nil
	}
	spec, err := q.r.Spec(q.ctx, a.ToolspecID)
	if isNone(err) {
		v.NoChart = fmt.Sprintf("Spec %d is no longer there.", a.ToolspecID)
		return v, nil
	}
	if err != nil {
		return v, err
	}
	s := specViews([]store.PageSpec{spec}, []store.PageAlert{a}, q.Now)[0]
	v.Window = around(a, s.Interval, q.Now)
	v.Window.Span, v.Window.Alert = fmt.Sprintf("alert-%d", id), id
	comments, err := q.r.Comments(q.ctx, spec.Node, v.Window.From, v.Window.Until, 100)
	if err != nil {
		return v, err
	}
	c, err := q.chartView(s, v.Window, comments)
	v.Charts = []chartView{c}
	v.Words = analysis.NumbersOf(evidence).Words(a.Metric, c.C.Unit)
	return v, err
}

// around is the time in which an alert is seen with what was before and after.
func around(a store.PageAlert, interval time.Duration, now time.Time) window {
	end := now
	if a.ClosedAt != nil {
		end = *a.ClosedAt
		if a.EndedAt != nil && a.EndedAt.After(end) {
			end = *a.EndedAt
		}
	}
	if end.Before(a.RaisedAt) {
		end = a.RaisedAt
	}
	pad := max(30*time.Minute, 20*interval, end.Sub(a.BeganAt)/4)
	w := window{From: a.BeganAt.Add(-pad).Truncate(time.Second), Until: end.Add(pad).Truncate(time.Second)}
	// The future is no part of the picture.
	if w.Until.After(now) {
		w.Until = now.Truncate(time.Second)
	}
	if w.Until.Sub(w.From) > longest {
		w.From = w.Until.Add(-longest)
	}
	if !w.Until.After(w.From) {
		w.Until = w.From.Add(time.Hour)
	}
	return w
}
