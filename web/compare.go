package web

import (
	"fmt"
	"net/netip"
	"time"

	"sonde/analysis/route"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// hopPair is one line of a comparison: a hop of each route, or of one of them.
type hopPair struct {
	TTLA, TTLB     int // 0 where the route has none
	A, B           string
	PlaceA, PlaceB place // what is known of them
	Different      bool
}

// TTL writes 5, or 5 → 6 where the hop is another one now.
func (p hopPair) TTL() string {
	switch {
	case p.TTLA == p.TTLB || p.TTLB == 0:
		return fmt.Sprint(p.TTLA)
	case p.TTLA == 0:
		return fmt.Sprint(p.TTLB)
	}
	return fmt.Sprintf("%d → %d", p.TTLA, p.TTLB)
}

// comparison sets two routes side by side.
type comparison struct {
	A, B   measure.Route
	At     time.Time // when A became B; zero when they were asked for
	Pairs  []hopPair
	Differ int
	Words  []string // the same in words
}

// compare sets two routes side by side, as what is known of their hops lays them.
func (q request) compare(before, after measure.Route) (*comparison, error) {
	var all []*netip.Addr
	for _, r := range []measure.Route{before, after} {
		for i := range r.Hops {
			if !r.Hops[i].Silent() {
				all = append(all, &r.Hops[i].Address)
			}
		}
	}
	k, err := q.known(all)
	if err != nil {
		return nil, err
	}
	c := &comparison{A: k.named(before), B: k.named(after)}
	c.Words = route.Sentences(c.A, c.B)
	side := func(r measure.Route, i int) (ttl int, name string, p place) {
		if i < 0 {
			return 0, "–", place{}
		}
		if r.Hops[i].Silent() {
			return i + 1, "*", place{}
		}
		a := r.Hops[i].Address
		return i + 1, a.String(), q.place(k, &a)
	}
	for _, l := range route.SideBySide(c.A, c.B) {
		p := hopPair{Different: l.Changed}
		p.TTLA, p.A, p.PlaceA = side(c.A, l.From)
		p.TTLB, p.B, p.PlaceB = side(c.B, l.To)
		if p.Different {
			c.Differ++
		}
		c.Pairs = append(c.Pairs, p)
	}
	return c, nil
}

// comparison sets the two routes of the last change side by side, or those that were asked for.
func (q request) comparison(v *routesView, full map[int]measure.Route, spans []store.PageRouteSpan, ask routesAsk) error {
	a, b, at := ask.a, ask.b, time.Time{}
	if a == 0 {
		a, b, at = lastChange(spans)
	}
	if a == 0 || b == 0 {
		return nil
	}
	for _, n := range []int{a, b} {
		if full[n].Number == n {
			continue
		}
		r, err := q.r.Route(q.ctx, v.Spec.ID, n)
		if err != nil {
			return err
		}
		full[n] = known{}.route(r.Number, r.Hops, r.Reached)
	}
	var err error
	if v.Change, err = q.compare(full[a], full[b]); err != nil {
		return err
	}
	v.Change.At = at
	return nil
}
