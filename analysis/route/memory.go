package route

import (
	"net/netip"
	"slices"
	"time"

	"sonde/internal/measure"
)

// Bounds of what is remembered of one spec, so that a state stays some kilobytes.
const (
	mostRoutes = 64
	mostPaths  = 64
	mostArms   = 16 // addresses of one hop
)

// memory is what is known of the routes of one spec. A route is usual when it
// belongs to the history; the others are strangers, kept to see how long they stay.
type memory struct {
	Routes []seenRoute           `json:"routes,omitempty"`
	Paths  []seenPath            `json:"paths,omitempty"`
	AS     map[netip.Addr]uint32 `json:"as,omitempty"` // of addresses of Routes
	Names  map[uint32]string     `json:"as_names,omitempty"`
}

// seen is when and how often.
type seen struct {
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Times int       `json:"times"`
	Usual bool      `json:"usual,omitempty"`
}

func (s *seen) again(at time.Time) {
	if s.Times == 0 {
		s.First = at
	}
	s.Last = at
	s.Times++
}

// seenRoute is a pattern of routes: of each hop the addresses that stand for it.
type seenRoute struct {
	seen
	Hops    []seenHop     `json:"hops"`
	Reached bool          `json:"reached,omitempty"`
	Stayed  time.Duration `json:"stayed,omitempty"` // of a stranger: all its stays together
}

// seenHop holds the addresses of a hop; none is a hop that never answered. A
// second address counts when two runs have seen it beside the first: one run in
// the midst of a change sees the old router and the new one beside each other.
type seenHop struct {
	Is   []netip.Addr `json:"is,omitempty"`
	Once []netip.Addr `json:"once,omitempty"`
}

// fits reports whether a hop is this one: by its address, or because another
// flow met a known address there, unless the AS of the hop is none of theirs, as
// far as they are known.
func (k seenHop) fits(h measure.Hop, as map[netip.Addr]uint32) bool {
	if slices.Contains(k.Is, h.Address) {
		return true
	}
	theirs, known := false, false
	for _, a := range k.Is {
		theirs, known = theirs || as[a] == h.AS, known || as[a] != 0
	}
	beside := slices.ContainsFunc(h.Arms, func(a netip.Addr) bool { return slices.Contains(k.Is, a) })
	return beside && (h.AS == 0 || theirs || !known)
}

func (k *seenHop) learn(h measure.Hop) {
	if h.Silent() {
		return
	}
	add := func(list []netip.Addr, a netip.Addr) []netip.Addr {
		if slices.Contains(list, a) || len(list) >= mostArms {
			return list
		}
		return append(list, a)
	}
	if len(k.Is) == 0 {
		k.Is = add(k.Is, h.Address)
	}
	arms := h.Arms
	if !slices.Contains(arms, h.Address) {
		arms = append(slices.Clone(arms), h.Address)
	}
	for _, a := range arms {
		if slices.Contains(k.Once, a) {
			k.Is = add(k.Is, a)
		} else if !slices.Contains(k.Is, a) {
			k.Once = add(k.Once, a)
		}
	}
	k.Once = slices.DeleteFunc(k.Once, func(a netip.Addr) bool { return slices.Contains(k.Is, a) })
}

// fits reports whether a route is this one: of the same length and end, silent
// hops are wild cards, half of the hops at most. Of routes that break off only
// what both know is compared.
func (k seenRoute) fits(hops []measure.Hop, reached bool, as map[netip.Addr]uint32) bool {
	n := min(len(k.Hops), len(hops))
	if k.Reached != reached || n == 0 || reached && len(k.Hops) != len(hops) || n*2 < max(len(k.Hops), len(hops)) {
		return false
	}
	wild := 0
	for i := range n {
		known := len(k.Hops[i].Is) > 0
		switch {
		case known == hops[i].Silent(): // one of the two
			wild++
		case known && !k.Hops[i].fits(hops[i], as):
			return false
		}
	}
	return wild*2 <= n
}

// holds reports whether the addresses of flow 1 all belong to the pattern.
func (k seenRoute) holds(hops []measure.Hop) bool {
	for i, h := range hops {
		if !h.Silent() && (i >= len(k.Hops) || !slices.Contains(k.Hops[i].Is, h.Address)) {
			return false
		}
	}
	return true
}

func (k *seenRoute) learn(hops []measure.Hop) {
	for len(k.Hops) < len(hops) {
		k.Hops = append(k.Hops, seenHop{})
	}
	for i, h := range hops {
		k.Hops[i].learn(h)
	}
}

// seenPath is an AS path.
type seenPath struct {
	seen
	AS ASPath `json:"as"`
}

// remember keeps the ASes that a run brought, and gives the run those that are
// remembered and it did not bring.
func (m *memory) remember(hops []measure.Hop) {
	for i := range hops {
		h := &hops[i]
		if h.Silent() {
			continue
		}
		if h.AS == 0 {
			h.AS = m.AS[h.Address]
		} else {
			if m.AS == nil {
				m.AS = map[netip.Addr]uint32{}
			}
			m.AS[h.Address] = h.AS
		}
		if h.AS == 0 {
			continue
		}
		if h.ASName == "" {
			h.ASName = m.Names[h.AS]
		} else {
			if m.Names == nil {
				m.Names = map[uint32]string{}
			}
			m.Names[h.AS] = h.ASName
		}
	}
}

// route gives the pattern a route fits, the usual before strangers, then the one seen last; nil for none.
func (m *memory) route(hops []measure.Hop, reached bool) *seenRoute {
	var best *seenRoute
	for i := range m.Routes {
		k := &m.Routes[i]
		if k.fits(hops, reached, m.AS) && (best == nil || better(k.seen, best.seen)) {
			best = k
		}
	}
	return best
}

func better(a, b seen) bool {
	if a.Usual != b.Usual {
		return a.Usual
	}
	return a.Last.After(b.Last)
}

// path gives the AS path that p can be, the equal one before others, the usual before strangers.
func (m *memory) path(p ASPath) *seenPath {
	var best *seenPath
	for i := range m.Paths {
		k := &m.Paths[i]
		if slices.Equal(k.AS, p) {
			return k
		}
		if k.AS.Same(p) && (best == nil || better(k.seen, best.seen)) {
			best = k
		}
	}
	return best
}

// usualPath reports whether the history knows a path that p can be.
func (m *memory) usualPath(p ASPath) bool {
	return slices.ContainsFunc(m.Paths, func(k seenPath) bool { return k.Usual && k.AS.Same(p) })
}

// mostStay is how long a route counts as there between two runs that saw it: a hole is
// no stay, or a stranger of two runs around an outage would be usual.
const mostStay = 2 * time.Hour

// see counts one run of a route and gives its pattern, made if there was none.
func (m *memory) see(hops []measure.Hop, reached bool, at, before time.Time) *seenRoute {
	k := m.route(hops, reached)
	if k == nil {
		if len(m.Routes) >= mostRoutes {
			m.Routes = dropOldest(m.Routes, func(k seenRoute) seen { return k.seen })
			m.prune()
		}
		m.Routes = append(m.Routes, seenRoute{Reached: reached})
		k = &m.Routes[len(m.Routes)-1]
	}
	if !k.Usual && k.Times > 0 && k.Last.Equal(before) {
		k.Stayed += min(at.Sub(k.Last), mostStay)
	}
	k.again(at)
	k.learn(hops)
	return k
}

// seePath counts one run of an AS path, nil for one of which nothing is known.
// What is known better now takes the place of what was known with gaps: a gap
// that stays would hide every change within it. A path that left the history
// is kept apart from those that it could be for their gaps.
func (m *memory) seePath(p ASPath, at time.Time, left bool) *seenPath {
	if !p.Known() {
		return nil
	}
	k := m.path(p)
	if k != nil && left && !slices.Equal(k.AS, p) {
		k = nil
	}
	if k == nil {
		if len(m.Paths) >= mostPaths {
			m.Paths = dropOldest(m.Paths, func(k seenPath) seen { return k.seen })
		}
		m.Paths = append(m.Paths, seenPath{AS: p})
		k = &m.Paths[len(m.Paths)-1]
	}
	if left {
		k.again(at)
		return k
	}
	k.again(at)
	if gaps(p) < gaps(k.AS) {
		k.AS = p
	}
	merged := *k
	m.Paths = slices.DeleteFunc(m.Paths, func(o seenPath) bool {
		if slices.Equal(o.AS, merged.AS) {
			return true // itself, or its twin now that the gap is filled
		}
		if gaps(o.AS) == 0 || gaps(o.AS) <= gaps(merged.AS) || !o.AS.Same(merged.AS) {
			return false
		}
		merged.Usual = merged.Usual || o.Usual
		merged.Times += o.Times
		if o.First.Before(merged.First) {
			merged.First = o.First
		}
		return true
	})
	m.Paths = append(m.Paths, merged)
	return &m.Paths[len(m.Paths)-1]
}

func gaps(p ASPath) int {
	n := 0
	for _, as := range p {
		if as == 0 {
			n++
		}
	}
	return n
}

// stayed is how long the strangers of an AS path have been there, together. The
// paths of routes are those that are known by now.
func (m *memory) stayed(p ASPath) time.Duration {
	var sum time.Duration
	for _, k := range m.Routes {
		r := measure.Route{Reached: k.Reached, Hops: make([]measure.Hop, len(k.Hops))}
		for i, h := range k.Hops {
			if len(h.Is) > 0 {
				r.Hops[i].Address, r.Hops[i].AS = h.Is[0], m.AS[h.Is[0]]
			}
		}
		if !k.Usual && slices.Equal(ASPathOf(r), p) {
			sum += k.Stayed
		}
	}
	return sum
}

// forget drops what was not seen since. It gives false when nothing usual is
// left: then all begins anew.
func (m *memory) forget(since time.Time) (any bool) {
	before := len(m.Routes)
	m.Routes = slices.DeleteFunc(m.Routes, func(k seenRoute) bool { return k.Last.Before(since) })
	m.Paths = slices.DeleteFunc(m.Paths, func(k seenPath) bool { return k.Last.Before(since) })
	if len(m.Routes) < before {
		m.prune()
	}
	return slices.ContainsFunc(m.Routes, func(k seenRoute) bool { return k.Usual })
}

// dropOldest makes room for one more: a stranger goes before what is usual, and of
// those what was seen longest ago.
func dropOldest[T any](list []T, of func(T) seen) []T {
	oldest := 0
	for i := range list {
		if better(of(list[oldest]), of(list[i])) {
			oldest = i
		}
	}
	return slices.Delete(list, oldest, oldest+1)
}

// prune drops the ASes of addresses that no route has.
func (m *memory) prune() {
	as, names := map[netip.Addr]uint32{}, map[uint32]string{}
	for _, k := range m.Routes {
		for _, h := range k.Hops {
			for _, a := range h.Is {
				if n := m.AS[a]; n != 0 {
					as[a] = n
					if name := m.Names[n]; name != "" {
						names[n] = name
					}
				}
			}
		}
	}
	m.AS, m.Names = as, names
}

// knows reports whether a usual route has the address at any hop.
func (m *memory) knows(a netip.Addr) bool {
	return slices.ContainsFunc(m.Routes, func(k seenRoute) bool {
		return k.Usual && slices.ContainsFunc(k.Hops, func(h seenHop) bool { return slices.Contains(h.Is, a) })
	})
}

// usualASes are those that usual routes and paths run through.
func (m *memory) usualASes() map[uint32]bool {
	out := map[uint32]bool{}
	for _, k := range m.Routes {
		if !k.Usual {
			continue
		}
		for _, h := range k.Hops {
			for _, a := range h.Is {
				out[m.AS[a]] = true
			}
		}
	}
	for _, p := range m.Paths {
		if p.Usual {
			for _, as := range p.AS {
				out[as] = true
			}
		}
	}
	return out
}
