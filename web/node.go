package web

import (
	"bytes"
	"fmt"
	"html/template"
	"math"
	"sort"
	"time"

	"sonde/analysis"
	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/web/chart"
)

// Spans that pages offer, SmokePing's.
var spans = []string{"3h", "30h", "10d", "400d"}

const defaultSpan = "30h"

// longest is the longest time a chart may show.
const longest = 3660 * 24 * time.Hour

// chartsPerPage bounds how many charts one page draws.
const chartsPerPage = 12

// window is the time that charts of a page show.
type window struct {
	From, Until time.Time
	Default     bool   // nobody asked for it
	Span        string // what it is called: 30h, alert-7; "" when it was given by absolute times
	Alert       int64  // that it is around, 0 for none
}

func spanWindow(span string, now time.Time) (window, error) {
	d, err := measure.ParseDuration(span)
	if err != nil {
		return window{}, badRequest{"range: " + err.Error()}
	}
	if d < time.Minute || d > longest {
		return window{}, badRequest{fmt.Sprintf("range: %s is not between 1m and 3660d", span)}
	}
	until := now.Truncate(time.Second)
	return window{From: until.Add(-d), Until: until, Span: span}, nil
}

// youngWindow is shorter where nothing has been measured for long yet: a minute
// of data cannot be seen in a chart of thirty hours.
func youngWindow(w window, specs []store.PageSpec, now time.Time) (window, error) {
	age := time.Duration(0)
	for _, s := range specs {
		age = max(age, now.Sub(s.Since))
	}
	if len(specs) == 0 {
		return w, nil
	}
	return young(w, age, now)
}

// young narrows a window that nobody asked for to what has been measured for age.
func young(w window, age time.Duration, now time.Time) (window, error) {
	switch {
	case age > 3*time.Hour:
		return w, nil
	case age > 20*time.Minute:
		return spanWindow("3h", now)
	}
	return spanWindow("30m", now)
}

type spanLink struct {
	Span, Href string
	Here       bool
}

// chartView is a chart with what stands around it.
type chartView struct {
	Spec               specView
	C                  chart.Chart
	Sum                chart.Sum
	SVG                template.HTML
	SVGLink, CSV, JSON string
	Routes             string
	Window             window
}

// Loss of the packets in percent, or "".
func (c chartView) Loss() string {
	if l := c.Sum.Loss(); !math.IsNaN(l) {
		return chart.Number(l)
	}
	return ""
}

// Measured is how many of the runs that were due were measured, in percent.
func (c chartView) Measured() string {
	if due := c.Sum.Runs + c.Sum.GapRuns; due > 0 {
		return chart.Number(100 * float64(c.Sum.OK) / float64(due))
	}
	return "–"
}

type nodeView struct {
	base
	Node      store.PageNode
	State     state
	Says      string
	Specs     []specView
	Charts    []chartView
	More      int // charts that are not drawn
	Window    window
	Spans     []spanLink
	Alerts    []store.PageAlert
	Notes     []store.PageFinding
	Comments  []store.PageComment
	Troubles  []store.PageTrouble
	NotJudged []store.PageNotJudged
	Here      string // permanent link
}

// node makes the page of one node; only narrows its charts to one spec.
func (q request) node(name string, w window, only int64) (nodeView, error) {
	v := nodeView{base: q.titled(name, "node"), Window: w}
	var err error
	if v.Node, err = q.r.Node(q.ctx, name); err != nil {
		return v, err
	}
	specs, err := q.r.Specs(q.ctx, name)
	if err != nil {
		return v, err
	}
	if w.Default {
		if w, err = youngWindow(w, specs, q.Now); err != nil {
			return v, err
		}
		v.Window = w
	}
	if v.Alerts, err = q.r.NodeAlerts(q.ctx, name, 30); err != nil {
		return v, err
	}
	v.Specs = specViews(specs, v.Alerts, q.Now)
	row := nodeRows([]store.PageNode{v.Node}, v.Specs, v.Alerts)[0]
	v.State, v.Says = row.State, row.Says
	if v.Comments, err = q.r.Comments(q.ctx, name, w.From, w.Until, 100); err != nil {
		return v, err
	}
	if v.NotJudged, err = q.r.NotJudged(q.ctx, name); err != nil {
		return v, err
	}
	if v.Notes, err = q.r.NodeNotes(q.ctx, name, w.From, w.Until, 20); err != nil {
		return v, err
	}
	// Looking for a failure that is not there reads every run: ten days must do.
	lately := w.From
	if ten := w.Until.AddDate(0, 0, -10); lately.Before(ten) {
		lately = ten
	}
	if v.Troubles, err = q.r.Troubles(q.ctx, specs, lately, w.Until, 20); err != nil {
		return v, err
	}
	sort.SliceStable(v.Troubles, func(i, j int) bool { return v.Troubles[i].DueAt.After(v.Troubles[j].DueAt) })
	v.Troubles = v.Troubles[:min(len(v.Troubles), 20)]
	found := only == 0
	for _, s := range v.Specs {
		found = found || s.ID == only
		switch {
		case only != 0 && s.ID != only:
			continue
		case len(v.Charts) == chartsPerPage:
			v.More++
			continue
		}
		c, err := q.chartView(s, w, v.Comments)
		if err != nil {
			return v, err
		}
		v.Charts = append(v.Charts, c)
	}
	if !found {
		return v, fmt.Errorf("spec %d of node %q: %w", only, name, store.ErrNone)
	}
	for _, s := range spans {
		href := v.L.Node(name, s)
		if only != 0 {
			href = v.L.NodeSpec(name, only, s)
		}
		v.Spans = append(v.Spans, spanLink{s, href, s == w.Span})
	}
	v.Here = v.L.NodeAt(name, w.From, w.Until)
	return v, nil
}

// chartView draws the chart of a spec for a page.
func (q request) chartView(s specView, w window, comments []store.PageComment) (chartView, error) {
	v := chartView{Spec: s, Window: w,
		SVGLink: q.L.Chart(s.ID, w, "svg"), CSV: q.L.Chart(s.ID, w, "csv"), JSON: q.L.Chart(s.ID, w, "json")}
	if s.Table == routeTable {
		v.Routes = q.L.Routes(s.ID)
	}
	var err error
	if v.C, err = q.chartAround(s, w, comments); err != nil {
		return v, err
	}
	v.Sum = v.C.Sum()
	v.SVG = template.HTML(append(v.C.SVG(chart.Wide), v.C.SVG(chart.Narrow)...))
	return v, nil
}

// routeTable is where tools that find routes keep them.
const routeTable = "routedata"

// chart reads what is drawn of one spec.
func (q request) chart(s specView, from, until time.Time, comments []store.PageComment) (chart.Chart, error) {
	c := chart.Chart{ID: fmt.Sprintf("c%d", s.ID), Title: fmt.Sprintf("%s %s from %s", s.Name(), s.Node, s.Monhost), Unit: s.Unit, From: from, Until: until,
		Now: q.Now, Zone: q.Zone, HasLoss: s.Table == "pingdata" && s.Only == ""}
	if s.Only != "" {
		c.Title = fmt.Sprintf("%s of %s", analysis.MetricWords(s.Metric), c.Title)
	} else if s.Table == routeTable || c.HasLoss {
		c.Unit = "ms"
	}
	series, err := q.r.Series(q.ctx, s.PageSpec, s.Interval, from, until)
	if err != nil {
		return c, err
	}
	c.Width, c.Interval = series.Width, min(s.Interval, series.Width)
	for _, b := range series.Buckets {
		c.Buckets = append(c.Buckets, chart.Bucket(b))
	}
	if series.Sampled {
		c.Note = "Too many runs to read them all: of each stretch of time some were taken, evenly spread."
	}
	gaps, err := q.r.Gaps(q.ctx, s.ID, from, until)
	if err != nil {
		return c, err
	}
	for _, g := range gaps {
		c.Gaps = append(c.Gaps, chart.Span{From: g.From, Until: g.Until, Text: g.Reason, Runs: g.Runs})
	}
	alerts, err := q.r.SpecAlerts(q.ctx, s.ID, from, until)
	if err != nil {
		return c, err
	}
	for _, a := range alerts {
		span := chart.Span{From: a.BeganAt, Text: fmt.Sprintf("alert %d: %s", a.ID, a.Text), Class: a.Severity}
		if a.EndedAt != nil {
			span.Until = *a.EndedAt
		} else if a.ClosedAt != nil {
			span.Until = *a.ClosedAt
		}
		c.Alerts = append(c.Alerts, span)
	}
	for _, m := range comments {
		if m.Change && (m.ToolspecID == nil || *m.ToolspecID == s.ID) && !m.At.Before(from) && !m.At.After(until) {
			c.Marks = append(c.Marks, chart.Mark{At: m.At, Text: m.Text})
		}
	}
	if s.Table == routeTable && s.Only == "" {
		runs, err := q.r.RouteSpans(q.ctx, s.ID, from, until, 20_000)
		if err != nil {
			return c, err
		}
		for i, r := range runs {
			// A route is known until the last run that saw it, and its interval.
			end := r.Until.Add(s.Interval)
			if i+1 < len(runs) && runs[i+1].From.Before(end) {
				end = runs[i+1].From
			}
			c.Routes = append(c.Routes, chart.Route{From: r.From, Until: end, Number: r.Number})
		}
	}
	return c, nil
}

// chartFile writes a chart or its numbers as a file of its own.
func (q request) chartFile(w *bytes.Buffer, id int64, win window, kind string) error {
	spec, err := q.r.Spec(q.ctx, id)
	if err != nil {
		return err
	}
	comments, err := q.r.Comments(q.ctx, spec.Node, win.From, win.Until, 100)
	if err != nil {
		return err
	}
	c, err := q.chartAround(specViews([]store.PageSpec{spec}, nil, q.Now)[0], win, comments)
	if err != nil {
		return err
	}
	return writeChart(w, c, kind)
}

func writeChart(w *bytes.Buffer, c chart.Chart, kind string) error {
	switch kind {
	case "csv":
		return c.CSV(w)
	case "json":
		return c.JSON(w)
	}
	_, err := w.Write(c.Standalone())
	return err
}
