package traceroute

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// slot is one packet's place in a hop: of flow n, the nth.
type slot struct {
	known bool
	kind  kind
	code  string     // "!X", "" for none
	from  netip.Addr // zero: no answer
	rtt   time.Duration

	ttl        int    // time to live with which the answer arrived; 0 if not known
	labels     string // MPLS, see labelStack
	interfaces string // see interfaces
	notes      string // see notes
	closed     bool   // the port is

	out, tries, heard int // packets under way, sent, and answered
}

// hop is all packets of one time to live.
type hop struct {
	slots         []slot
	askedOnceMore bool       // flow 1
	told          netip.Addr // who stands there by what other runs say
	perPacket     bool       // packets of one flow go to different routers
}

func (h *hop) known() bool {
	return h.told.IsValid() && len(h.slots) == 0 || !slices.ContainsFunc(h.slots, func(s slot) bool { return !s.known })
}

// answered reports whether any flow was answered at this hop, or would have been.
func (h *hop) answered() bool {
	return h.told.IsValid() || slices.ContainsFunc(h.slots, func(s slot) bool { return s.from.IsValid() })
}

// path is a route as far as it is known: no socket and no clock.
type path struct {
	plan  plan
	to    netip.Addr
	hops  []hop // of all TTLs asked so far
	sure  int   // so many of them are known and judged; the route goes on behind them
	limit int   // behind so many the end is in sight, and nothing more is asked

	hoping  bool // the target answers from however far, or may still do
	ended   bool
	reached bool
	reason  string // why it ended
	errnos  map[string]int

	confidence float64 // that no path was missed; 0 when they were not looked for
	mtu        int     // 0: not known
	mtuHop     int     // whose router lets nothing larger through; 0: not known, or nobody
}

func newPath(p plan, to netip.Addr) *path {
	return &path{plan: p, to: to.WithZone(""), limit: p.maxTTL - p.firstTTL + 1, errnos: map[string]int{}}
}

// question is a packet to be sent.
type question struct{ hop, slot int }

// ask gives the packets to be sent now. told says of a hop who stands there according
// to other runs, and whether it is to be asked, then by one packet.
func (p *path) ask(told func(hop int) (from netip.Addr, ask bool)) (out []question) {
	for len(p.hops) < min(p.limit, p.sure+p.plan.parallel) {
		n := len(p.hops)
		from, ask := told(n)
		p.hops = append(p.hops, hop{told: from})
		packets := p.plan.probes
		if !ask {
			packets = 0
		} else if from.IsValid() {
			packets = 1
		}
		for i := range packets {
			out = append(out, question{n, i})
			p.asking(out[len(out)-1])
		}
	}
	return out
}

// askAll is what path.ask is told when nobody tells anything.
func askAll(int) (netip.Addr, bool) { return netip.Addr{}, true }

// doubtful gives packets to ask hops after all that were told: all of them when the run
// met somebody else than the target did before (knew), at any hop; else the one before
// the target, which may have come nearer, and answers at each hop behind it.
// There are none when all is sure.
func (p *path) doubtful(knew func(hop int) netip.Addr) (questions []question) {
	changed := false
	for i := range p.sure {
		if was := knew(i); p.at(i, 0).from.IsValid() && was.IsValid() && p.at(i, 0).from != was {
			changed = true
		}
	}
	for i := range p.sure {
		h := &p.hops[i]
		last := i+1 == p.sure || p.at(i+1, 0).from == p.to
		switch {
		case !h.told.IsValid() || p.at(i, 0).from.IsValid():
			continue
		case changed:
			h.told = netip.Addr{}
		case !last:
			continue
		}
		if len(h.slots) == 0 {
			p.asking(question{i, 0})
			questions = append(questions, question{i, 0})
		}
	}
	if len(questions) > 0 {
		p.sure, p.ended, p.reached, p.reason = questions[0].hop, false, false, ""
	}
	return questions
}

// asking notes that a packet is sent, and makes its place.
func (p *path) asking(q question) {
	for len(p.hops) <= q.hop {
		p.hops = append(p.hops, hop{})
	}
	h := &p.hops[q.hop]
	for len(h.slots) <= q.slot {
		h.slots = append(h.slots, slot{})
	}
	h.slots[q.slot].out++
	h.slots[q.slot].tries++
}

// at gives what is known of a flow at a hop, which need not have been asked.
func (p *path) at(hop, flow int) slot {
	if hop < 0 || hop >= len(p.hops) || flow >= len(p.hops[hop].slots) {
		return slot{}
	}
	return p.hops[hop].slots[flow]
}

// flows is how many have been used.
func (p *path) flows() (n int) {
	for i := range p.hops {
		n = max(n, len(p.hops[i].slots))
	}
	return n
}

// asked is by how many flows each hop was.
func (p *path) asked() []int32 {
	flows := make([]int32, len(p.hops))
	for i := range p.hops {
		for _, s := range p.hops[i].slots {
			if s.tries > 0 {
				flows[i]++
			}
		}
	}
	return flows
}

// learn takes what became of a packet: an answer, a refusal or silence.
func (p *path) learn(q question, s slot) {
	h := &p.hops[q.hop]
	old := &h.slots[q.slot]
	s.out, s.tries, s.heard = old.out-1, old.tries, old.heard
	if s.from.IsValid() {
		s.heard++
	}
	if old.known && old.from.IsValid() {
		if s.from.IsValid() && s.from != old.from {
			h.perPacket = true
		}
		old.out, old.heard = s.out, s.heard
		return
	}
	s.known = true
	*old = s
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
		if len(h.slots) > 0 && h.known() && h.slots[0].kind == silence && !h.askedOnceMore && h.answered() && !h.told.IsValid() {
			h.askedOnceMore = true
			h.slots[0].known = false
			p.asking(question{i, 0})
			more = append(more, question{i, 0})
		}
	}
	ended = p.sure > 0 && p.end() // there may be no hope any more
	for !ended && p.sure < len(p.hops) && p.hops[p.sure].known() {
		p.sure++
		ended = p.end()
	}
	if ended {
		p.hops, p.ended = p.hops[:p.sure], true
		return nil, true
	}
	return more, false
}

// end decides whether the last sure hop is the last of the route.
func (p *path) end() bool {
	h := p.hops[p.sure-1]
	first := p.at(p.sure-1, 0)
	switch {
	case p.isTarget(first):
		p.reached, p.reason = true, "target"
		if first.kind == unreachable {
			p.reason += " " + first.code
		} else if first.closed {
			p.reason += ", port closed"
		}
	case first.kind == unreachable:
		p.reason = fmt.Sprintf("unreachable %s from %s", first.code, first.from)
	case first.kind == silence && slices.ContainsFunc(h.slots, p.isTarget):
		// Asked twice, flow 1 is silent where the target answers others: it
		// arrived, and its answers get lost.
		p.reached, p.reason = true, "target"
	case p.loops():
		p.reason = "loop"
	case p.silentFor() >= p.plan.maxSilent && !p.hoping:
		p.sure -= p.silentFor() - p.plan.maxSilent // it went on while the target might answer
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
	at := p.address(last)
	if !at.IsValid() {
		return false
	}
	run := true
	inRow := 1
	for i := last - 1; i >= 0; i-- {
		same := p.address(i) == at
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
	a := p.at(i, 0).from
	switch {
	case a.IsValid():
		return a
	case p.reached && i == p.sure-1:
		return p.to
	}
	return p.hops[i].told
}

// rtt is the median round trip to the target.
func (p *path) rtt() (time.Duration, bool) {
	if !p.reached {
		return 0, false
	}
	var rtts []time.Duration
	for _, s := range p.hops[p.sure-1].slots {
		if p.isTarget(s) {
			rtts = append(rtts, s.rtt)
		}
	}
	slices.Sort(rtts)
	n := len(rtts)
	return (rtts[(n-1)/2] + rtts[n/2]) / 2, true
}

// notes says what is odd about an answer, in words with commas between:
//
//	nat      the packet that it quotes is not quite the one sent: somebody on the way
//	         translates addresses, and does not translate back what is quoted (as
//	         Dublin traceroute sees it)
//	qttl=0   the packet ended with a time to live of 0: the router before forwards
//	         what it should not, and this one answers for two hops
//	qttl=3   it ended with some left: a tunnel that counts no hops, or hides its own
//	rst      the target's port is closed
func notes(h heard) string {
	var out []string
	if h.rewritten {
		out = append(out, "nat")
	}
	if h.answer.kind != reply && h.answer.ttl != 1 && h.from != h.to.WithZone("") {
		out = append(out, fmt.Sprintf("qttl=%d", h.answer.ttl))
	}
	if h.answer.closed {
		out = append(out, "rst")
	}
	return strings.Join(out, ",")
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
