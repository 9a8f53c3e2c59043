package web

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"sonde/analysis/route"
	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/web/chart"
)

const (
	routesShown = 100
	runsShown   = 60
	daysShown   = 31
)

// routeSpans are the spans that a page of routes offers.
var routeSpans = []string{"1d", "7d", "31d", "400d"}

const routeSpan = "31d"

// hopPair is one line of a comparison.
type hopPair struct {
	TTL            int
	A, B           string
	PlaceA, PlaceB place // what is known of them
	Different      bool
}

// comparison sets two routes side by side.
type comparison struct {
	A, B   store.PageRoute
	At     time.Time // when A became B; zero when they were asked for
	Pairs  []hopPair
	Differ int
	Words  []string // the same in words
}

// routeRow is one of the routes of a spec.
type routeRow struct {
	store.PageRoute
	Path  string                // AS path
	Share *store.PageRouteShare // of the span; nil when it was not seen in it
	Runs  float64               // percent of the span's runs that were measured
	Held  float64               // percent of the time that is known of
}

// change is a stretch of one route, and how the one before became it.
type change struct {
	store.PageRouteSpan
	Before  int // number of the route before, 0 for none
	Words   []string
	Compare string
	Came    *came // what came with it; nil when that was not looked for
}

// came is what came with a change: steps of other series of the pair, alerts, and other pairs at the same hop.
type came struct {
	Effects []effect
	Alerts  []leads
	Changed []beside
	Over    int // other pairs that ran over a hop that went
	Stayed  int // of them whose route stayed
}

// effect is one series before and after.
type effect struct {
	measure.Effect
	Notable bool
}

// Says writes it in words: ping rtt median 12.1 → 46 ms.
func (e effect) Says() string {
	metric := e.Metric
	for _, unit := range []string{"_ms", "_pct", "_mbps", "_bps"} {
		metric = strings.TrimSuffix(metric, unit)
	}
	return fmt.Sprintf("%s %s → %s %s", strings.Join(strings.Fields(e.Tool+" "+e.Label+" "+strings.ReplaceAll(metric, "_", " ")), " "), chart.Number(e.Before), chart.Number(e.After), e.Unit)
}

// beside is another pair whose route changed at the same hop at about the same time.
type beside struct {
	Pair leads
	Hop  place
	Gone bool // it ran over a hop that went; else it came to one that came
}

// hopRow is one hop of a route.
type hopRow struct {
	store.PageHop
	Places  []place
	Forward int
	Back    int // hops of the way back, by the TTL of the answers; 0 when not known
}

// Lost is the share of the probes without answer, in percent; "" where none is known to have been sent.
func (h hopRow) Lost() string {
	if h.Probes == 0 {
		return ""
	}
	return chart.Number(100 * float64(h.Probes-h.Answered) / float64(h.Probes))
}

// Unequal reports whether the way back has another length.
func (h hopRow) Unequal() bool { return h.Back > 0 && h.Back != h.Forward }

// hopTable are the hops of a route with what its runs tell of them.
type hopTable struct {
	Number int
	Runs   int // that it sums up
	Rows   []hopRow
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

func hopName(a *netip.Addr) string {
	if a == nil {
		return "*"
	}
	return a.String()
}

// compare sets hops side by side by their distance.
func compare(a, b store.PageRoute) *comparison {
	before, after := make([]string, len(a.Hops)), make([]string, len(b.Hops))
	for i, h := range a.Hops {
		before[i] = hopName(h)
	}
	for i, h := range b.Hops {
		after[i] = hopName(h)
	}
	return sideBySide(a, b, before, after)
}

// sideBySide marks the hops that differ. A silent hop differs from nothing, nor
// does what lies behind the last answer of a route that did not reach its target.
func sideBySide(a, b store.PageRoute, before, after []string) *comparison {
	c := &comparison{A: a, B: b}
	at := func(hops []string, reached bool, i int) (name string, known bool) {
		if i < len(hops) {
			return hops[i], hops[i] != "*"
		}
		return "–", reached
	}
	for i := range max(len(before), len(after)) {
		p := hopPair{TTL: i + 1}
		var knownA, knownB bool
		p.A, knownA = at(before, a.Reached, i)
		p.B, knownB = at(after, b.Reached, i)
		if p.Different = knownA && knownB && p.A != p.B; p.Different {
			c.Differ++
		}
		c.Pairs = append(c.Pairs, p)
	}
	return c
}

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
	if err := q.comparison(&v, list, full, spans, ask); err != nil {
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

// hopRuns is how many runs of a route its table of hops sums up at most.
const hopRuns = 200

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

const (
	changesShown = 40
	cameShown    = 10 // changes of which is said what came with them
)

// fullRoutes are routes by their numbers, with the round trips of the newest run that saw each.
func (q request) fullRoutes(id int64, k known, list []store.PageRoute, from time.Time) (map[int]measure.Route, error) {
	seen, err := q.r.Seen(q.ctx, []int64{id}, from, routesShown)
	if err != nil {
		return nil, err
	}
	full := map[int]measure.Route{}
	for _, r := range list {
		full[r.Number] = k.route(r.Number, r.Hops, r.Reached)
	}
	for _, s := range seen {
		full[s.Number] = k.seen(s)
	}
	return full, nil
}

// changes says in words how one route became another; spans are the newest first.
func (q request) changes(v *routesView, full map[int]measure.Route, spans []store.PageRouteSpan) (err error) {
	said := 0
	for i, s := range spans[:min(len(spans), changesShown)] {
		c := change{PageRouteSpan: s}
		for _, older := range spans[i+1:] {
			if older.Number > 0 {
				c.Before = older.Number
				break
			}
		}
		if s.Number > 0 && c.Before > 0 && s.Number != c.Before {
			c.Words = route.Sentences(full[c.Before], full[s.Number])
			c.Compare = v.L.Compare(v.Spec.ID, c.Before, s.Number)
			if said++; said <= cameShown {
				if c.Came, err = q.came(v.Spec.ID, s.From); err != nil {
					return err
				}
			}
		}
		v.Changes = append(v.Changes, c)
	}
	return nil
}

// came tells what came with the change of a route; nil when the runs before are gone.
func (q request) came(spec int64, at time.Time) (*came, error) {
	c, err := q.r.RouteChangeEffects(q.ctx, spec, at)
	if isNone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out came
	watched := map[int64]bool{}
	for _, e := range c.Effects {
		watched[e.ToolspecID] = watched[e.ToolspecID] || e.Watched
	}
	for _, e := range c.Effects {
		// Of a spec with rules the series that they watch are enough.
		if e.RunsBefore > 0 && e.RunsAfter > 0 && (e.Watched || !watched[e.ToolspecID] && route.Notable(e)) {
			out.Effects = append(out.Effects, effect{e, route.Notable(e)})
		}
	}
	for _, a := range c.Alerts {
		out.Alerts = append(out.Alerts, leads{q.L.Alert(a.ID), a.Tool + ": " + a.Text})
	}
	for _, s := range c.Sharers {
		if s.Gone {
			out.Over++
		}
		switch {
		case s.ChangedAt.IsZero() && s.Gone:
			out.Stayed++
		case !s.ChangedAt.IsZero():
			pair := strings.TrimSpace(s.Monhost + " → " + s.Node + " " + s.Label)
			out.Changed = append(out.Changed, beside{leads{q.L.Routes(s.ToolspecID), pair}, place{Address: s.Address, Href: q.L.Hop(s.Address, "")}, s.Gone})
		}
	}
	return &out, nil
}

// comparison sets the two routes of the last change side by side, or those that were asked for.
func (q request) comparison(v *routesView, list []store.PageRoute, full map[int]measure.Route, spans []store.PageRouteSpan, ask routesAsk) error {
	a, b, at := ask.a, ask.b, time.Time{}
	if a == 0 {
		a, b, at = lastChange(spans)
	}
	if a == 0 || b == 0 {
		return nil
	}
	both := make([]store.PageRoute, 2)
	for i, n := range []int{a, b} {
		at := slices.IndexFunc(list, func(r store.PageRoute) bool { return r.Number == n })
		if at >= 0 {
			both[i] = list[at]
			continue
		}
		r, err := q.r.Route(q.ctx, v.Spec.ID, n)
		if err != nil {
			return err
		}
		both[i] = r
	}
	v.Change = compare(both[0], both[1])
	v.Change.At = at
	if err := q.annotate(v.Change); err != nil {
		return err
	}
	if before, after := full[a], full[b]; before.Number > 0 && after.Number > 0 {
		v.Change.Words = route.Sentences(before, after)
	}
	return nil
}

// annotate adds to a comparison what is known of its hops, and says it in words.
func (q request) annotate(c *comparison) error {
	var all []*netip.Addr
	parse := func(name string) *netip.Addr {
		if a, err := netip.ParseAddr(name); err == nil {
			all = append(all, &a)
			return &a
		}
		return nil
	}
	type pair struct{ a, b *netip.Addr }
	pairs := make([]pair, len(c.Pairs))
	for i, p := range c.Pairs {
		pairs[i] = pair{parse(p.A), parse(p.B)}
	}
	k, err := q.known(all)
	if err != nil {
		return err
	}
	var before, after []*netip.Addr
	for i, p := range pairs {
		c.Pairs[i].PlaceA, c.Pairs[i].PlaceB = q.place(k, p.a), q.place(k, p.b)
		if c.Pairs[i].A != "–" {
			before = append(before, p.a)
		}
		if c.Pairs[i].B != "–" {
			after = append(after, p.b)
		}
	}
	c.Words = route.Sentences(k.route(c.A.Number, before, c.A.Reached), k.route(c.B.Number, after, c.B.Reached))
	return nil
}

// hopTable sums up the hops of a route.
func (q request) hopTable(k known, spec int64, number int, from, until time.Time, most int) (hopTable, error) {
	t := hopTable{Number: number}
	hops, runs, err := q.r.RouteHops(q.ctx, spec, number, from, until, most)
	if err != nil {
		return t, err
	}
	var arms []*netip.Addr
	for _, h := range hops {
		for _, a := range h.Addresses {
			if _, ok := k[*a]; !ok {
				arms = append(arms, a)
			}
		}
	}
	more, err := q.known(arms)
	if err != nil {
		return t, err
	}
	t.Runs = runs
	for _, h := range hops {
		row := hopRow{PageHop: h, Forward: h.TTL}
		for _, a := range h.Addresses {
			p := q.place(k, a)
			if _, ok := more[*a]; ok {
				p = q.place(more, a)
			}
			row.Places = append(row.Places, p)
		}
		if h.ReplyTTL != nil {
			row.Back = wayBack(*h.ReplyTTL)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

// wayBack tells how many hops an answer came by the time to live it has left:
// hosts and routers start at 64, 128 or 255, and each router between takes one.
func wayBack(ttl int) int {
	for _, start := range []int{64, 128, 255} {
		if ttl <= start {
			return start - ttl + 1
		}
	}
	return 0
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

// lastChange finds the newest two consecutive routes that differ, over runs that found none.
func lastChange(newestFirst []store.PageRouteSpan) (a, b int, at time.Time) {
	for _, s := range newestFirst {
		switch {
		case s.Number == 0:
		case b == 0 || s.Number == b:
			b, at = s.Number, s.From
		default:
			return s.Number, b, at
		}
	}
	return 0, 0, time.Time{}
}

// DayRoute is a route within a day.
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

// fact is one line of evidence.
type fact struct{ Name, Value string }

const factsShown = 200

// facts flattens evidence into lines, in the order of names.
func facts(raw []byte) []fact {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return nil
	}
	var out []fact
	var walk func(name string, v any)
	walk = func(name string, v any) {
		if len(out) >= factsShown {
			return
		}
		switch x := v.(type) {
		case map[string]any:
			names := make([]string, 0, len(x))
			for n := range x {
				names = append(names, n)
			}
			sort.Strings(names)
			for _, n := range names {
				full := n
				if name != "" {
					full = name + "." + n
				}
				walk(full, x[n])
			}
		case []any:
			words := make([]string, 0, len(x))
			for _, e := range x {
				switch e.(type) {
				case map[string]any, []any:
					raw, err := json.Marshal(e)
					if err != nil {
						continue
					}
					words = append(words, string(raw))
				default:
					words = append(words, scalar(e))
				}
			}
			out = append(out, fact{name, strings.Join(words, ", ")})
		default:
			out = append(out, fact{name, scalar(v)})
		}
	}
	walk("", v)
	return out
}

func scalar(v any) string {
	switch x := v.(type) {
	case nil:
		return "–"
	case float64:
		if x == float64(int64(x)) && x < 1e15 && x > -1e15 {
			return fmt.Sprint(int64(x))
		}
		return fmt.Sprintf("%.6g", x)
	case string:
		return x
	}
	return fmt.Sprint(v)
}
