package traceroute

import (
	"math"
	"net/netip"
	"slices"
	"time"
)

// An explorer finds the load-balanced paths to a target: it sends flows through each
// router that it knows until it is sure enough to have seen all who stand behind it
// (the Multipath Detection Algorithm: Augustin, Friedman and Teixeira, E2EMON 2007;
// how sure the whole is: Veitch, Augustin, Teixeira and Friedman, INFOCOM 2009).
//
//	          ┌ 192.0.2.1 ┐             behind r: two routers so far; when n flows found
//	r, flows ─┤           ├─ target     two, the chance that there is a third, as likely
//	1 to n    └ 192.0.2.5 ┘             as each of them, is missed(n, 3)
//
// What is stated holds for routers that choose by flow and favour no path. One that
// gives each packet another path is told apart by asking a flow again.
type explorer struct {
	path   *path
	risk   float64 // that something is missed anywhere
	levels []level // by hop: how fast its routers may be asked
	seen   []asked // by hop
}

// asked counts, for the pace of a hop, what has become known of its packets.
type asked struct{ out, answers, silences int }

const (
	exploring = 64  // packets under way together
	mostFlows = 600 // enough for a router with 64 paths and nobody before it
	repeats   = 7   // a router that gives each packet one of two paths looks steady once in 128
	flowTries = 3   // packets of a flow to one hop

	// pacing is how often a run looks whether a router may be asked again.
	pacing = 20 * time.Millisecond
)

func newExplorer(p *path, confidence float64) *explorer {
	return &explorer{path: p, risk: 1 - confidence}
}

// ask gives packets to be sent now; ended says that there is nothing left to find.
func (x *explorer) ask(now time.Time) (questions []question, ended bool) {
	x.look()
	budget := exploring
	for _, a := range x.seen {
		budget -= a.out
	}
	if x.crowded() {
		return nil, true
	}
	ended = budget == exploring
	least := flowsFor(x.allowed())
	for hop := 0; hop < x.last() && budget > 0; hop++ {
		for _, q := range x.wanted(hop, least) {
			ended = false
			l := &x.levels[q.hop]
			l.under = x.seen[q.hop].out
			if budget == 0 || !l.room(now) {
				continue
			}
			if l.limited {
				l.allowed = now.Add(limitedEvery)
			}
			x.path.asking(q)
			x.seen[q.hop].out++
			budget--
			questions = append(questions, q)
		}
	}
	return questions, ended
}

// mostRouters at a hop are no load balancing: somebody answers by another address each
// time.
const mostRouters = 128

func (x *explorer) crowded() bool {
	for hop := range x.path.hops {
		if len(x.path.hops[hop].slots) > mostRouters && len(x.vertices(hop)) > mostRouters {
			return true
		}
	}
	return false
}

// last is behind how many hops nothing is looked for.
func (x *explorer) last() int {
	if !x.path.reached {
		return x.path.sure
	}
	return x.path.plan.maxTTL - x.path.plan.firstTTL + 1
}

// look counts anew what is known of each hop, and learns from it how fast its
// routers may be asked: silence where others were answered is a limit.
func (x *explorer) look() {
	for len(x.levels) < len(x.path.hops)+1 {
		x.levels = append(x.levels, level{window: firstWindow})
		x.seen = append(x.seen, asked{})
	}
	for i := range x.path.hops {
		now := asked{}
		for _, s := range x.path.hops[i].slots {
			now.out += s.out
			now.answers += s.heard
			now.silences += s.tries - s.heard - s.out
		}
		l := &x.levels[i]
		if now.silences > 1 && now.answers > 0 && now.silences*4 > now.answers {
			l.limited = true
		}
		if more := now.answers - x.seen[i].answers; more > 0 && !l.limited {
			l.window = min(l.window+more, exploring)
		}
		x.seen[i] = now
	}
}

// vertex is a router at a hop with the flows that go through it. The zero address
// stands for those who are silent at a hop where nobody answers.
type vertex struct {
	from  netip.Addr
	flows []int
}

// vertices gives who stands at a hop, -1 being ourselves before the first. Flows that
// have ended there go nowhere from it.
func (x *explorer) vertices(hop int) (out []vertex) {
	if hop < 0 {
		return []vertex{{flows: everyFlow[:]}}
	}
	if hop >= len(x.path.hops) {
		return nil
	}
	h := &x.path.hops[hop]
	silent := !h.answered()
	for f, s := range h.slots {
		switch {
		case !s.known, s.kind == refused, s.kind == reply, s.kind == unreachable:
			continue
		case s.kind == silence && !silent:
			continue // one of the others, but which?
		}
		i := slices.IndexFunc(out, func(v vertex) bool { return v.from == s.from })
		if i < 0 {
			i = len(out)
			out = append(out, vertex{from: s.from})
		}
		out[i].flows = append(out[i].flows, f)
	}
	if len(out) == 1 && !slices.ContainsFunc(h.slots, func(s slot) bool { return s.kind == reply || s.kind == unreachable }) {
		out[0].flows = everyFlow[:] // all go through it, as far as anybody knows
	}
	return out
}

var everyFlow = func() (all [mostFlows]int) {
	for i := range all {
		all[i] = i
	}
	return all
}()

// behind counts those who stand at a hop behind a vertex of the one before, and the
// flows that showed them.
func (x *explorer) behind(v vertex, hop int) (routers, flows int) {
	if hop >= len(x.path.hops) {
		return 0, 0
	}
	h := &x.path.hops[hop]
	var found []netip.Addr
	silent := !h.answered()
	for _, f := range v.flows {
		if f >= len(h.slots) {
			break
		}
		s := h.slots[f]
		if !s.known || s.kind == refused || s.kind == silence && !silent {
			continue
		}
		flows++
		if !slices.Contains(found, s.from) {
			found = append(found, s.from)
		}
	}
	return len(found), flows
}

// wanted gives the packets that are missing to know who stands at a hop: those of
// flows through each vertex before it and, where one has too few, packets of new
// flows to the hop before.
func (x *explorer) wanted(hop int, least func(routers int) int) (out []question) {
	short := 0
	for _, v := range x.vertices(hop - 1) {
		if hop >= x.path.sure && !v.from.IsValid() {
			continue // silence behind the target is no arm that is longer
		}
		routers, flows := x.behind(v, hop)
		need := least(max(routers, 1))
		spent := 0
		for _, f := range v.flows {
			if s := x.path.at(hop, f); s.known && s.kind == silence && s.out == 0 && s.tries >= flowTries {
				spent++
			}
		}
		if routers == 0 && spent >= flowTries || hop < len(x.path.hops) && !x.path.hops[hop].answered() {
			need = min(need, flowTries) // more silence says nothing more
		}
		flows += spent
		for _, f := range v.flows {
			if flows >= need {
				break
			}
			switch s := x.path.at(hop, f); {
			case s.out > 0:
				flows++
			case !s.known, s.kind == silence && s.tries < flowTries && x.path.hops[hop].answered():
				out = append(out, question{hop, f})
				flows++
			}
		}
		if v.from.IsValid() {
			short = max(short, need-flows)
		}
	}
	if hop > 0 && short > 0 {
		first := x.path.flows()
		for f := first; f < min(first+short-x.seen[hop-1].out, mostFlows); f++ {
			out = append(out, question{hop - 1, f})
		}
	}
	if first := x.path.at(hop, 0); x.balanced(hop) && !x.path.hops[hop].perPacket && first.out == 0 && first.heard <= repeats && first.tries < 2*repeats {
		out = append(out, question{hop, 0})
	}
	return out
}

// tried counts flows through a vertex that were asked at a hop.
func (x *explorer) tried(v vertex, hop int) (n int) {
	for _, f := range v.flows {
		if x.path.at(hop, f).tries > 0 {
			n++
		}
	}
	return n
}

// balanced reports whether several routers stand at a hop behind one and the same.
func (x *explorer) balanced(hop int) bool {
	return slices.ContainsFunc(x.vertices(hop-1), func(v vertex) bool {
		routers, _ := x.behind(v, hop)
		return routers > 1
	})
}

// allowed is the risk that each vertex may take for all together to keep to theirs.
func (x *explorer) allowed() float64 {
	n := 1
	for hop := range x.path.hops {
		n += len(x.vertices(hop))
	}
	return 1 - math.Pow(1-x.risk, 1/float64(n))
}

// flowsFor gives, for a risk, how many flows must have found only so many routers.
func flowsFor(risk float64) func(routers int) int {
	known := map[int]int{}
	return func(routers int) int {
		if _, ok := known[routers]; !ok {
			seen := newCoverage(routers + 1)
			for seen.flows < mostFlows && seen.missed() > risk {
				seen.another()
			}
			known[routers] = seen.flows
		}
		return known[routers]
	}
}

// coverage is how many of equally likely routers some flows have found, as
// probabilities: found[j] that it was j of them.
type coverage struct {
	flows int
	found []float64
}

func newCoverage(routers int) *coverage {
	c := &coverage{found: make([]float64, routers+1)}
	c.found[0] = 1
	return c
}

func (c *coverage) another() {
	all := len(c.found) - 1
	for j := all; j > 0; j-- {
		c.found[j] = c.found[j]*float64(j)/float64(all) + c.found[j-1]*float64(all-j+1)/float64(all)
	}
	c.found[0] = 0
	c.flows++
}

// missed is the probability that at least one was left out.
func (c *coverage) missed() float64 { return max(0, 1-c.found[len(c.found)-1]) }

// missed is the probability that n flows leave out at least one of so many equally
// likely routers.
func missed(n, routers int) float64 {
	c := newCoverage(routers)
	for range n {
		c.another()
	}
	return c.missed()
}

// confidence is how sure it is that no router was missed at any answered hop, given
// how many flows were really sent; 0 to 1, and 0 when nobody answered.
func (x *explorer) confidence() float64 {
	sure, judged := 1.0, false
	for hop := 0; hop <= len(x.path.hops); hop++ {
		for _, v := range x.vertices(hop - 1) {
			routers, flows := x.behind(v, hop)
			switch {
			case hop >= x.last() || !v.from.IsValid() && hop >= x.path.sure:
			case routers > 0 && x.path.hops[hop].answered():
				sure *= 1 - missed(flows, routers+1)
				judged = true
			case routers == 0 && x.tried(v, hop) < flowTries && v.from.IsValid():
				return 0 // nobody has looked behind this one
			}
		}
	}
	if !judged || x.crowded() {
		return 0
	}
	return sure
}
