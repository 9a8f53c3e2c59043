package route

import (
	"net/netip"
	"slices"
	"time"

	"sonde/internal/measure"
)

// Bounds of what is remembered of one spec, so that a state stays some kilobytes.
const (
	mostRoutes    = 64
	mostPaths     = 64
	mostArms      = 16   // addresses of one hop
	mostAddresses = 2048 // of all routes together
	mostNames     = 256  // of ASes
)

// memory is what is known of the routes of one spec. A route is usual when it
// belongs to the history; the others are strangers, kept to see how long they stay.
type memory struct {
	Routes []seenRoute
	Paths  []seenPath
	AS     map[netip.Addr]uint32 // of addresses of Routes, and of the snapshots of the state
	Names  map[uint32]string     // of those ASes
}

// seen is when, by the clock of the history, and how often.
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
	Hops    []seenHop
	Reached bool
	Stayed  time.Duration // of a stranger: all its stays together
}

// seenHop holds the addresses of a hop; none is a hop that never answered. A
// second address counts when two runs have seen it beside the first: one run in
// the midst of a change sees the old router and the new one beside each other.
type seenHop struct {
	Is   []netip.Addr
	Once []netip.Addr
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

// learn adds the addresses of a run. One route alone does not fill the memory.
func (k *seenRoute) learn(hops []measure.Hop) {
	for len(k.Hops) < len(hops) {
		k.Hops = append(k.Hops, seenHop{})
	}
	full := k.addresses() >= mostAddresses/2
	for i, h := range hops {
		if full {
			h.Arms = nil
		}
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
			if _, known := m.Names[h.AS]; known || len(m.Names) < mostNames {
				m.Names[h.AS] = clipped(h.ASName)
			}
		}
	}
}

// route gives the pattern a route fits; nil for none.
func (m *memory) route(hops []measure.Hop, reached bool) *seenRoute {
	if i := m.find(hops, reached); i >= 0 {
		return &m.Routes[i]
	}
	return nil
}

// find gives the place of the pattern a route fits, the usual before strangers, then
// the one seen last; -1 for none.
func (m *memory) find(hops []measure.Hop, reached bool) int {
	best := -1
	for i, k := range m.Routes {
		if k.fits(hops, reached, m.AS) && (best < 0 || better(k.seen, m.Routes[best].seen)) {
			best = i
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

// mostStay is how long a route counts as there between two runs that saw it: a spec that
// runs once a day has not seen where the packets went meanwhile.
const mostStay = 2 * time.Hour

// see counts one run of a route and gives its pattern, made if there was none. It
// is the last of all then: one that is the last already has stayed since.
func (m *memory) see(hops []measure.Hop, reached bool, at time.Time) *seenRoute {
	k := seenRoute{Reached: reached}
	if i := m.find(hops, reached); i >= 0 {
		k = m.Routes[i]
		if !k.Usual && i == len(m.Routes)-1 {
			k.Stayed += min(max(at.Sub(k.Last), 0), mostStay)
		}
		m.Routes = slices.Delete(m.Routes, i, i+1)
	}
	k.again(at)
	k.learn(hops)
	for len(m.Routes) > 1 && (len(m.Routes) >= mostRoutes || m.addresses()+k.addresses() > mostAddresses) {
		m.Routes = dropOldest(m.Routes, func(k seenRoute) seen { return k.seen })
	}
	m.Routes = append(m.Routes, k)
	return &m.Routes[len(m.Routes)-1]
}

func (m *memory) addresses() int {
	n := 0
	for i := range m.Routes {
		n += m.Routes[i].addresses()
	}
	return n
}

func (k *seenRoute) addresses() int {
	n := 0
	for _, h := range k.Hops {
		n += len(h.Is) + len(h.Once)
	}
	return n
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
	m.Routes = slices.DeleteFunc(m.Routes, func(k seenRoute) bool { return k.Last.Before(since) })
	m.Paths = slices.DeleteFunc(m.Paths, func(k seenPath) bool { return k.Last.Before(since) })
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

// prune drops the ASes of addresses that no route has, and none of the others.
func (m *memory) prune(others []netip.Addr) {
	as, names := map[netip.Addr]uint32{}, map[uint32]string{}
	keep := func(a netip.Addr) {
		if n := m.AS[a]; n != 0 {
			as[a] = n
			if name := m.Names[n]; name != "" {
				names[n] = name
			}
		}
	}
	for _, k := range m.Routes {
		for _, h := range k.Hops {
			for _, a := range h.Is {
				keep(a)
			}
		}
	}
	for _, a := range others {
		keep(a)
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
