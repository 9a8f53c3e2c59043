package web

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"sort"
	"strings"
	"time"

	"sonde/internal/store"
)

const (
	routesShown = 100
	runsShown   = 60
	daysShown   = 31
)

// hopPair is one line of a comparison.
type hopPair struct {
	TTL       int
	A, B      string
	Different bool
}

// comparison sets two routes side by side.
type comparison struct {
	A, B   store.PageRoute
	At     time.Time // when A became B; zero when they were asked for
	Pairs  []hopPair
	Differ int
}

type routesView struct {
	base
	Spec    specView
	Routes  []store.PageRoute
	All     int
	Runs    []store.PageRouteRun
	Days    []store.PageRouteDay
	Change  *comparison
	Spans   []store.PageRouteSpan // newest first
	Further bool                  // Change was not the last two
}

// Hops writes a route in one line.
func (v routesView) Hops(hops []*netip.Addr) string {
	words := make([]string, len(hops))
	for i, h := range hops {
		words[i] = hopName(h)
	}
	return strings.Join(words, " → ")
}

func hopName(a *netip.Addr) string {
	if a == nil {
		return "*"
	}
	return a.String()
}

// CompareLink leads to the comparison with the stretch before.
func (v routesView) CompareLink(i int) string {
	if i+1 >= len(v.Spans) || v.Spans[i].Number == 0 || v.Spans[i+1].Number == 0 {
		return ""
	}
	return v.L.Compare(v.Spec.ID, v.Spans[i+1].Number, v.Spans[i].Number)
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

// routes makes the page of the routes of one spec; a and b ask for two of them, 0 for the last change.
func (q request) routes(id int64, a, b int) (routesView, error) {
	v := routesView{base: q.titled("Routes", "node"), Further: a > 0}
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
	if v.Routes, v.All, err = q.r.Routes(q.ctx, id, routesShown); err != nil {
		return v, err
	}
	from := q.Now.AddDate(0, 0, -daysShown)
	if v.Runs, err = q.r.RouteRuns(q.ctx, id, from, q.Now, runsShown); err != nil {
		return v, err
	}
	if v.Days, err = q.r.RouteDays(q.ctx, id, from, q.Now, q.Zone.String()); err != nil {
		return v, err
	}
	if v.Spans, err = q.r.RouteSpans(q.ctx, id, from, q.Now, 20_000); err != nil {
		return v, err
	}
	sort.SliceStable(v.Spans, func(i, j int) bool { return v.Spans[i].From.After(v.Spans[j].From) })
	v.Spans = v.Spans[:min(len(v.Spans), 40)]
	at := time.Time{}
	if a == 0 {
		a, b, at = lastChange(v.Spans)
	}
	if a > 0 && b > 0 {
		first, err := q.r.Route(q.ctx, id, a)
		if err != nil {
			return v, err
		}
		second, err := q.r.Route(q.ctx, id, b)
		if err != nil {
			return v, err
		}
		v.Change = compare(first, second)
		v.Change.At = at
	}
	return v, nil
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
