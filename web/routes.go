package web

import (
	"fmt"
	"html/template"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sonde/internal/store"
)

const (
	routesShown = 100
	runsShown   = 60
	daysShown   = 31
)

// routeSpans are the spans that a page of routes offers.
var routeSpans = []string{"1d", "7d", "31d", "400d"}

const routeSpan = "31d"

// routeRow is one of the routes of a spec.
type routeRow struct {
	store.PageRoute
	Path  string                // AS path
	Share *store.PageRouteShare // of the span; nil when it was not seen in it
	Runs  float64               // percent of the span's runs that were measured
	Held  float64               // percent of the time that is known of
}

// oneRun is a run that was asked for.
type oneRun struct {
	store.PageRouteRun
	Hops hopTable
}

type routesView struct {
	base
	Spec    specView
	Routes  []routeRow
	All     int
	Runs    []store.PageRouteRun
	Days    []store.PageRouteDay
	Change  *comparison
	Changes []change // newest first
	Further bool     // Change was not the last two
	Latest  hopTable
	Run     *oneRun
	Window  window
	Spans   []spanLink
	None    *store.PageRouteShare // runs of the span that found no route
	Missing float64               // percent of the span of which nothing is known
	known   known
}

// Hops writes a route in one line.
func (v routesView) Hops(hops []*netip.Addr) template.HTML {
	var b strings.Builder
	for i, h := range hops {
		if i > 0 {
			b.WriteString(" → ")
		}
		switch {
		case h == nil:
			b.WriteString("*")
		default:
			b.WriteString(string(link(v.L.Hop(*h, ""), h.String())))
		}
	}
	return template.HTML(b.String())
}

// Grid leads to the grid of a day.
func (v routesView) Grid(day string) string { return v.L.Grid(day, pick{Node: v.Spec.Node}, 1) }

// routesAsk is what may be asked of a page of routes.
type routesAsk struct {
	a, b int       // two routes to compare, 0 for the last change
	run  time.Time // one run; zero for none
	span string
}

// routes makes the page of the routes of one spec.
func (q request) routes(id int64, ask routesAsk) (routesView, error) {
	v := routesView{base: q.titled("Routes", "routes"), Further: ask.a > 0}
	spec, err := q.r.Spec(q.ctx, id)
	if err != nil {
		return v, err
	}
	if spec.Table != routeTable {
		return v, fmt.Errorf("spec %d is a %s, which finds no routes: %w", id, spec.Tool, store.ErrNone)
	}
	alerts, err := q.r.SpecAlerts(q.ctx, id, q.Now, q.Now)
	if err != nil {
		return v, err
	}
	v.Spec = specViews([]store.PageSpec{spec}, alerts, q.Now)[0]
	v.Title = "Routes to " + spec.Node
	if v.Window, err = spanWindow(ask.span, q.Now); err != nil {
		return v, err
	}
	for _, s := range routeSpans {
		v.Spans = append(v.Spans, spanLink{s, v.L.RoutesSpan(id, s), s == ask.span})
	}
	list, all, err := q.r.Routes(q.ctx, id, routesShown)
	if err != nil {
		return v, err
	}
	v.All = all
	hops := make([][]*netip.Addr, len(list))
	for i, r := range list {
		hops[i] = r.Hops
	}
	if v.known, err = q.known(hops...); err != nil {
		return v, err
	}
	if err := q.shares(&v, list); err != nil {
		return v, err
	}
	from := q.Now.AddDate(0, 0, -daysShown)
	if v.Runs, err = q.r.RouteRuns(q.ctx, id, from, q.Now, runsShown); err != nil {
		return v, err
	}
	if v.Days, err = q.r.RouteDays(q.ctx, id, from, q.Now, q.Zone.String()); err != nil {
		return v, err
	}
	spans, err := q.r.RouteSpans(q.ctx, id, v.Window.From, q.Now, 20_000)
	if err != nil {
		return v, err
	}
	slices.Reverse(spans)
	full, err := q.fullRoutes(id, v.known, list, v.Window.From)
	if err != nil {
		return v, err
	}
	if err := q.changes(&v, full, spans); err != nil {
		return v, err
	}
	if err := q.comparison(&v, full, spans, ask); err != nil {
		return v, err
	}
	if len(list) > 0 {
		if v.Latest, err = q.hopTable(v.known, id, list[0].Number, v.Window.From, q.Now, hopRuns); err != nil {
			return v, err
		}
	}
	if !ask.run.IsZero() {
		return v, q.oneRun(&v, ask.run)
	}
	return v, nil
}

// shares says how much of the span each route was seen.
func (q request) shares(v *routesView, list []store.PageRoute) error {
	shares, err := q.r.RouteShares(q.ctx, v.Spec.ID, v.Window.From, q.Now, v.Spec.Interval)
	if err != nil {
		return err
	}
	runs, held := 0, time.Duration(0)
	by := map[int]store.PageRouteShare{}
	for _, s := range shares {
		by[s.Number] = s
		runs += s.Runs
		held += s.Held
	}
	for _, r := range list {
		row := routeRow{PageRoute: r, Path: v.known.asPath(v.known.route(r.Number, r.Hops, r.Reached))}
		if s, ok := by[r.Number]; ok {
			row.Share = &s
			row.Runs = 100 * float64(s.Runs) / float64(max(runs, 1))
			row.Held = 100 * float64(s.Held) / float64(max(held, 1))
		}
		v.Routes = append(v.Routes, row)
	}
	if s, ok := by[0]; ok {
		v.None = &s
	}
	from := v.Window.From
	if v.Spec.Since.After(from) {
		from = v.Spec.Since
	}
	if whole := q.Now.Sub(from); whole > 0 {
		v.Missing = max(0, 100-100*float64(held)/float64(whole))
	}
	return nil
}

// oneRun adds a run that was asked for.
func (q request) oneRun(v *routesView, at time.Time) error {
	runs, err := q.r.RouteRuns(q.ctx, v.Spec.ID, at, at, 1)
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		return fmt.Errorf("run of spec %d due at %s: %w", v.Spec.ID, at.Format(time.RFC3339Nano), store.ErrNone)
	}
	v.Run = &oneRun{PageRouteRun: runs[0]}
	if n := runs[0].Number; n != nil {
		v.Run.Hops, err = q.hopTable(v.known, v.Spec.ID, *n, at, at, 1)
	}
	return err
}

// dayRoute is a route within a day.
type dayRoute struct {
	Number, Times int
	Share         float64
}

// OfDay lists the routes of a day.
func (v routesView) OfDay(d store.PageRouteDay) []dayRoute {
	out := make([]dayRoute, 0, len(d.Numbers))
	for i := range min(len(d.Numbers), len(d.Counts)) {
		out = append(out, dayRoute{d.Numbers[i], d.Counts[i], 100 * float64(d.Counts[i]) / float64(max(d.OK, 1))})
	}
	return out
}
