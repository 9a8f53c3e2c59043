package traceroute

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// slot is one packet's place in a hop: of flow n, the nth.
type slot struct {
	known bool
	kind  kind
	code  string     // "!X", "" for none
	from  netip.Addr // zero: no answer
	rtt   time.Duration

	ttl    int    // time to live with which the answer arrived; 0 if not known
	labels string // MPLS, see labelStack
}

// hop is all packets of one time to live.
type hop struct {
	slots         []slot
	askedOnceMore bool // flow 1
}

func (h *hop) known() bool {
	return !slices.ContainsFunc(h.slots, func(s slot) bool { return !s.known })
}

// answered reports whether any flow was answered at this hop.
func (h *hop) answered() bool {
	return slices.ContainsFunc(h.slots, func(s slot) bool { return s.from.IsValid() })
}

// path is a route as far as it is known: no socket and no clock.
type path struct {
	plan  plan
	to    netip.Addr
	hops  []hop // of all TTLs asked so far
	sure  int   // so many of them are known and judged; the route goes on behind them
	limit int   // behind so many the end is in sight, and nothing more is asked

	reached bool
	reason  string // why it ended
	errnos  map[string]int
}

func newPath(p plan, to netip.Addr) *path {
	return &path{plan: p, to: to.WithZone(""), limit: p.maxTTL - p.firstTTL + 1, errnos: map[string]int{}}
}

// question is a packet to be sent.
type question struct{ hop, slot int }

// ask gives the packets to be sent now.
func (p *path) ask() (out []question) {
	for len(p.hops) < min(p.limit, p.sure+p.plan.parallel) {
		h := hop{slots: make([]slot, p.plan.probes)}
		for i := range h.slots {
			out = append(out, question{len(p.hops), i})
		}
		p.hops = append(p.hops, h)
	}
	return out
}

// learn takes what became of a packet: an answer, a refusal or silence.
func (p *path) learn(q question, s slot) {
	s.known = true
	p.hops[q.hop].slots[q.slot] = s
	if q.slot == 0 && (p.isTarget(s) || s.kind == unreachable) {
		p.limit = min(p.limit, q.hop+1)
	}
}

// isTarget reports whether the target itself answered. A time exceeded in its
// name comes from a translator on the way.
func (p *path) isTarget(s slot) bool {
	return (s.kind == reply || s.kind == unreachable) && s.from == p.to
}

// judge looks at the hops that have become known. It may want more packets,
// and says when the route has ended; that is found in the order of the hops.
func (p *path) judge() (more []question, ended bool) {
	// As soon as it shows and not when a hop's turn comes: otherwise hops
	// asked together would be asked again one after the other.
	for i := p.sure; i < min(len(p.hops), p.limit); i++ {
		h := &p.hops[i]
		if h.known() && h.slots[0].kind == silence && !h.askedOnceMore && h.answered() {
			h.askedOnceMore = true
			h.slots[0].known = false
			more = append(more, question{i, 0})
		}
	}
	for p.sure < len(p.hops) && p.hops[p.sure].known() {
		p.sure++
		if p.end() {
			p.hops = p.hops[:p.sure]
			return nil, true
		}
	}
	return more, false
}

// end decides whether the last sure hop is the last of the route.
func (p *path) end() bool {
	h := p.hops[p.sure-1]
	first := h.slots[0]
	switch {
	case p.isTarget(first):
		p.reached, p.reason = true, "target"
		if first.code != "" {
			p.reason += " " + first.code
		}
	case first.kind == unreachable:
		p.reason = fmt.Sprintf("unreachable %s from %s", first.code, first.from)
	case first.kind == silence && slices.ContainsFunc(h.slots, p.isTarget):
		// Asked twice, flow 1 is silent where the target answers others: it
		// arrived, and its answers get lost.
		p.reached, p.reason = true, "target"
	case p.loops():
		p.reason = "loop"
	case p.silentFor() >= p.plan.maxSilent:
		p.reason = "silent"
	case p.sure == p.plan.maxTTL-p.plan.firstTTL+1:
		p.reason = "max_ttl"
	default:
		return false
	}
	if !slices.ContainsFunc(p.hops[:p.sure], func(h hop) bool {
		return slices.ContainsFunc(h.slots, func(s slot) bool { return s.kind != refused })
	}) {
		p.reason = "not sent"
	}
	return true
}

// loops reports whether the last sure hop's router stood earlier on the route.
// Twice in a row is no loop yet: a router that forwards with a time to live of
// zero makes the next one answer for it.
func (p *path) loops() bool {
	last := p.sure - 1
	at := p.hops[last].slots[0].from
	if !at.IsValid() {
		return false
	}
	run := true
	inRow := 1
	for i := last - 1; i >= 0; i-- {
		same := p.hops[i].slots[0].from == at
		switch {
		case same && run:
			inRow++
		case same:
			return true
		default:
			run = false
		}
	}
	return inRow >= 3
}

// silentFor counts the hops at the end of what is sure that gave no answer to any flow.
func (p *path) silentFor() (n int) {
	for i := p.sure - 1; i >= 0 && !p.hops[i].answered(); i-- {
		n++
	}
	return n
}

// address is who stands at a hop of the route, the zero Addr when silent.
func (p *path) address(i int) netip.Addr {
	if a := p.hops[i].slots[0].from; a.IsValid() || !p.reached || i < len(p.hops)-1 {
		return a
	}
	return p.to
}

// rtt is the median round trip to the target.
func (p *path) rtt() (time.Duration, bool) {
	if !p.reached {
		return 0, false
	}
	var rtts []time.Duration
	for _, s := range p.hops[len(p.hops)-1].slots {
		if p.isTarget(s) {
			rtts = append(rtts, s.rtt)
		}
	}
	slices.Sort(rtts)
	n := len(rtts)
	return (rtts[(n-1)/2] + rtts[n/2]) / 2, true
}

// mark gives the code as traceroute prints it.
func mark(a answer) string {
	switch {
	case a.kind != unreachable:
		return ""
	case a.v6:
		switch a.code {
		case 0:
			return "!N"
		case 1:
			return "!X"
		case 3:
			return "!H"
		case tooBig6:
			return "!F"
		}
	default:
		switch a.code {
		case 0:
			return "!N"
		case 1:
			return "!H"
		case 2:
			return "!P"
		case 4:
			return "!F"
		case 9, 10:
			return "!A"
		case 13:
			return "!X"
		}
	}
	return "!<" + strconv.Itoa(a.code) + ">"
}

// refusal is the errno behind a "destination unreachable" that our own kernel
// sent to itself, as it does when a neighbour does not answer.
func refusal(a answer) string {
	switch mark(a) {
	case "!N":
		return "ENETUNREACH"
	case "!X", "!A":
		return "EACCES"
	case "!F":
		return "EMSGSIZE"
	}
	return "EHOSTUNREACH"
}
