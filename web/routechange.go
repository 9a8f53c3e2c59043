package web

import (
	"fmt"
	"strings"
	"time"

	"sonde/analysis/route"
	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/web/chart"
)

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
