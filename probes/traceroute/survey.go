package traceroute

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"sonde/probes"
)

// A survey finds the routes to many targets with few packets, and without asking
// a router more often than it answers:
//
//	target:  how far? ──▶ is it there? ──▶ who stands before it, and before that, …
//	                                        until a router that is known to stand there
//
// From the target back, as Doubletree does (Donnet et al., SIGMETRICS 2005): at
// the first router that another target's route has at the same hop the two share
// the rest, and what is shared is not asked again. Each hop has a window that grows
// while routers answer and becomes one packet a second when they fall silent, as
// the usual limits of ICMP make them: a target whose hop has no room is
// asked at a lower one.
//
// What a limited hop did not say of a target is taken from the others, if all
// that were answered there, a fair number, name the same router.
type survey struct {
	log     *slog.Logger
	refused int // targets that our own kernel sends nothing to
	engine  *engine
	plan    plan
	targets []surveyed
	levels  []level           // by hop
	known   map[place][]place // what stands below, as targets told that go through it
	rtts    map[place]time.Duration
	heard   chan heard
	flights []*probeSent // in order of sending
	under   int
	ready   []int32 // targets that have something to ask
	blocked []int32 // such that wait for room
	answers int
	slowest time.Duration // of them
	apart   time.Duration
	next    time.Time // the next packet may go
}

// place is a router at a hop.
type place struct {
	hop  int
	from netip.Addr
}

// sighting is an answer of a router to a packet for a target.
type sighting struct {
	place
	rtt time.Duration
}

// surveyed is one target.
type surveyed struct {
	to, source netip.Addr
	distance   int        // hops to the target; 0 as long as it is not known
	sure       bool       // the target answered at distance
	at         int        // hop to be asked next
	unheard    int        // packets to routers that were not answered
	tries      int        // packets lost in a row
	seen       []sighting // its own
	met        bool       // a place that another target's route goes through
	missed     []int      // hops that had no room or were silent, to be asked once more
	again      bool       // they are being asked
	done       bool
	lost       bool // it does not answer: its route is found hop by hop
}

// level is what is known of all routers at a hop.
type level struct {
	under    int // packets under way
	window   int
	answers  int
	silences int
	limited  bool
	allowed  time.Time  // when limited: the next packet
	only     netip.Addr // the one router that has answered
	several  bool
	rtt      time.Duration
}

const (
	surveyWindow = 300 // packets under way together
	firstWindow  = 5   // of a level; routers answer so many in a row by any limit we know of
	limitedEvery = 1050 * time.Millisecond
	fairNumber   = 5 // answers that speak for a target which got none
	surveyTries  = 2
	mostLost     = 10 // packets that limited routers may leave unanswered

	leastPatience = 250 * time.Millisecond
)

// lines finds the routes to all targets and writes "address ttl hop rtt_ns" for
// each hop that is known, target by target.
func lines(ctx context.Context, job probes.Lines) error {
	made, err := newProbe(job.Spec, probes.Env{Log: job.Log})
	if err != nil {
		return err
	}
	e, err := open(job.Log)
	if err != nil {
		return err
	}
	defer e.Close()
	s := &survey{log: job.Log, engine: e, plan: made.plan, known: map[place][]place{}, rtts: map[place]time.Duration{}, heard: make(chan heard, 2*surveyWindow),
		levels: make([]level, made.plan.maxTTL+2)}
	for i := range s.levels {
		s.levels[i].window = firstWindow
	}
	if job.Rate > 0 {
		s.apart = time.Duration(float64(time.Second) / job.Rate)
	}
	s.plan.probes, s.plan.all, s.plan.mtu, s.plan.share = 1, false, false, 0
	wrong := 0
	for _, target := range job.Targets {
		if ctx.Err() != nil {
			break
		}
		to, err := e.names.Resolve(ctx, target, made.family)
		if err == nil {
			err = probes.OneHost(to)
		}
		if err == nil {
			err = e.ready(to, s.plan.method)
		}
		var source netip.Addr
		if err == nil {
			source, err = sourceFor(ctx, to, s.plan.source)
		}
		if err != nil {
			job.Log.Error("not measured", "target", target, "error", err)
			wrong++
			continue
		}
		s.ready = append(s.ready, int32(len(s.targets)))
		s.targets = append(s.targets, surveyed{to: to, source: source, at: s.plan.maxTTL})
	}
	if err := s.run(ctx); err != nil {
		return err
	}
	alone, err := s.traceLost(ctx)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(job.Out)
	for i := range s.targets {
		s.print(out, int32(i), alone[int32(i)])
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the routes: %w", err)
	}
	if wrong += s.refused; wrong > 0 {
		return fmt.Errorf("%d of %d targets were not measured", wrong, len(job.Targets))
	}
	return nil
}

// run asks until nothing is left to ask; when ctx ends it only waits for what is under way.
func (s *survey) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	stopped := ctx.Done()
	for {
		if ctx.Err() == nil {
			s.askAll(time.Now())
		}
		if s.under == 0 && (ctx.Err() != nil || len(s.ready)+len(s.blocked) == 0) {
			return nil
		}
		timer.Reset(time.Until(s.wake()))
		select {
		case h := <-s.heard:
			s.take(h)
			for more := true; more; { // many at once
				select {
				case h := <-s.heard:
					s.take(h)
				default:
					more = false
				}
			}
		case <-timer.C:
			s.giveUp(time.Now())
		case <-stopped:
			stopped = nil
		case <-s.engine.Down():
			return fmt.Errorf("%w: the sockets were closed", probes.ErrLocal)
		}
	}
}

// wake is when something is to do without an answer.
func (s *survey) wake() time.Time {
	now := time.Now()
	next := now.Add(time.Second)
	if len(s.flights) > 0 {
		next = earlier(next, s.flights[0].at.Add(s.patience()))
	}
	if len(s.blocked) > 0 {
		for i := range s.levels {
			if l := &s.levels[i]; l.limited && l.allowed.After(now) {
				next = earlier(next, l.allowed)
			}
		}
	}
	if len(s.ready) > 0 {
		next = earlier(next, s.next)
	}
	return next
}

// patience is how long an answer is waited for: as long as the options say until
// we have seen how long answers take here.
func (s *survey) patience() time.Duration {
	if s.answers < fairNumber {
		return s.plan.timeout
	}
	return min(s.plan.timeout, max(leastPatience, 4*s.slowest))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// askAll sends what may be sent now.
func (s *survey) askAll(now time.Time) {
	s.ready = append(s.ready, s.blocked...)
	s.blocked = s.blocked[:0]
	for len(s.ready) > 0 && s.under < surveyWindow {
		if s.apart > 0 {
			if s.next.After(now) {
				return
			}
			s.next = s.next.Add(s.apart)
			if s.next.Before(now.Add(-10 * time.Millisecond)) {
				s.next = now
			}
		}
		i := s.ready[0]
		s.ready = s.ready[1:]
		hop, room := s.choose(&s.targets[i], now)
		if !room {
			s.blocked = append(s.blocked, i)
			continue
		}
		if hop == 0 {
			s.finish(i)
		} else {
			s.send(i, hop)
		}
	}
}

// choose gives the hop at which a target is asked next, 0 when it need not be
// asked; room is false when each hop that would do is full.
func (s *survey) choose(t *surveyed, now time.Time) (hop int, room bool) {
	if t.done {
		return 0, true
	}
	if !t.sure {
		return t.at, true // it is the target itself that we ask
	}
	if t.again {
		return s.chooseMissed(t, now)
	}
	left := false
	for hop := t.at; hop >= s.plan.firstTTL; hop-- {
		l := &s.levels[hop]
		if _, told := s.told(t, hop); l.silent() || told && l.limited {
			continue // nobody stands there who speaks, or who need be asked
		}
		left = true
		if l.room(now) {
			for skipped := t.at; skipped > hop; skipped-- {
				t.missed = append(t.missed, skipped)
			}
			t.at = hop
			return hop, true
		}
	}
	return 0, !left
}

// chooseMissed is choose for hops that were left out on the way back, from the
// target on: where a router limits us the others speak for this target.
func (s *survey) chooseMissed(t *surveyed, now time.Time) (hop int, room bool) {
	for len(t.missed) > 0 {
		hop := t.missed[len(t.missed)-1]
		l := &s.levels[hop]
		_, known := s.hop(t, hop)
		ask := !known && !l.limited && !l.silent()
		if ask && !l.room(now) {
			return 0, false
		}
		t.missed = t.missed[:len(t.missed)-1]
		if ask {
			return hop, true
		}
	}
	return 0, true
}

// silent: enough have asked there, and none was answered.
func (l *level) silent() bool { return l.answers == 0 && l.silences >= firstWindow }

// room reports whether another packet may go to the routers of a hop.
func (l *level) room(now time.Time) bool {
	if l.limited {
		return l.under == 0 && !now.Before(l.allowed)
	}
	return l.under < l.window
}

func (s *survey) send(i int32, hop int) {
	t := &s.targets[i]
	p := &probeSent{hop: hop, slot: int(i), heard: s.heard, packet: packet{from: t.source, to: t.to, ttl: hop, size: s.plan.size,
		flow: flowOf(t.to, s.plan.method, s.plan.port, 0)}}
	err := s.engine.expect(p)
	if err == nil {
		if err = s.engine.write(p.packet); err != nil {
			s.engine.forget(p)
		}
	}
	if err != nil {
		t.done = true
		s.refused++
		s.log.Error("not measured: our own kernel refuses", "target", t.to, "error", err)
		return
	}
	s.flights = append(s.flights, p)
	s.under++
	if t.sure {
		l := &s.levels[hop]
		l.under++
		if l.limited {
			l.allowed = p.at.Add(limitedEvery)
		}
	}
}

// landed takes a packet out of those under way.
func (s *survey) landed(p *probeSent) {
	p.done = true
	s.under--
	if s.targets[p.slot].sure {
		s.levels[p.hop].under--
	}
	for len(s.flights) > 0 && s.flights[0].done {
		s.flights = s.flights[1:]
	}
}

// take learns from an answer.
func (s *survey) take(h heard) {
	i := int32(h.slot)
	t := &s.targets[i]
	s.landed(h.probeSent)
	t.tries = 0
	s.answers++
	s.slowest = max(s.slowest, h.rtt)
	self := h.from == t.to.WithZone("") && (h.answer.kind == reply || h.answer.kind == unreachable)
	switch {
	case self && !t.sure && h.hop == s.plan.maxTTL && t.distance == 0:
		t.distance = s.guess(h)
		t.at = t.distance
	case self:
		t.sure, t.distance = true, h.hop
		t.seen = append(t.seen, sighting{place{h.hop, h.from}, h.rtt})
		t.at = h.hop - 1
	case h.answer.kind == unreachable:
		t.lost = true // somebody on the way refuses
	case !t.sure && h.hop == s.plan.maxTTL:
		t.lost = true // further away than that, or its route is changing
	case !t.sure: // not the target yet
		s.router(i, h)
		t.at = min(h.hop+1, s.plan.maxTTL)
		t.distance = t.at
	default:
		s.router(i, h)
		if !t.again {
			t.at = h.hop - 1
		}
	}
	s.goOn(i)
}

// router notes who stands at a hop, and whether another target's route has been there.
func (s *survey) router(i int32, h heard) {
	t, l := &s.targets[i], &s.levels[h.hop]
	if l.answers++; l.only == h.from || !l.only.IsValid() {
		l.only, l.rtt = h.from, h.rtt
	} else {
		l.several = true
	}
	if !l.limited {
		l.window = min(l.window+1, surveyWindow) // which doubles it with each round trip
	}
	now := sighting{place{h.hop, h.from}, h.rtt}
	if _, before := s.known[now.place]; before && t.sure {
		t.met = true
	}
	s.learn(t, now)
}

// learn adds a sighting of a target to what is known of the places above and below it.
func (s *survey) learn(t *surveyed, now sighting) {
	below := s.known[now.place]
	for _, other := range t.seen {
		switch {
		case other.hop < now.hop:
			below = with(below, other.place)
		case other.hop > now.hop:
			s.known[other.place] = with(s.known[other.place], now.place)
		}
	}
	s.known[now.place] = below
	s.rtts[now.place] = now.rtt
	t.seen = append(t.seen, now)
}

// with adds a place to those below another one, unless one of that hop is known.
func with(below []place, p place) []place {
	if slices.ContainsFunc(below, func(b place) bool { return b.hop == p.hop }) {
		return below
	}
	return append(below, p)
}

// finish ends a target, or asks once more for what was left out.
func (s *survey) finish(i int32) {
	t := &s.targets[i]
	if t.again || len(t.missed) == 0 || t.lost {
		t.done = true
		return
	}
	t.again = true
	slices.Sort(t.missed)
	s.ready = append(s.ready, i)
}

// guess is how far a target is, if its reply took as many hops as our packet.
func (s *survey) guess(h heard) int {
	for _, initial := range []int{32, 64, 128, 255} {
		if h.ttl > 0 && h.ttl <= initial {
			return min(max(initial-h.ttl+1, s.plan.firstTTL), s.plan.maxTTL)
		}
	}
	return s.plan.firstTTL
}

func (s *survey) goOn(i int32) {
	t := &s.targets[i]
	if t.lost || t.sure && !t.again && (t.at < s.plan.firstTTL || t.met) {
		s.finish(i)
	} else {
		s.ready = append(s.ready, i)
	}
}

// giveUp learns from silence.
func (s *survey) giveUp(now time.Time) {
	for len(s.flights) > 0 && now.Sub(s.flights[0].at) >= s.patience() {
		p := s.flights[0]
		if !s.engine.forget(p) {
			return // its answer lies in the channel
		}
		i := int32(p.slot)
		t := &s.targets[i]
		sure := t.sure
		s.landed(p)
		if !sure {
			if t.tries++; t.tries >= surveyTries {
				t.lost = true
			}
			s.goOn(i)
			continue
		}
		l := &s.levels[p.hop]
		l.silences++
		if l.answers > 0 && !l.limited {
			l.limited, l.allowed = true, now
		}
		switch t.unheard++; {
		case t.again:
		case l.limited && t.unheard < mostLost:
			t.at = t.distance - 1 // whichever hop has room first
		default:
			t.missed = append(t.missed, p.hop)
			t.at = p.hop - 1
		}
		s.goOn(i)
	}
}

// hop is what is known of a target's route at a hop, or what all others have there
// when its router limits us.
func (s *survey) hop(t *surveyed, hop int) (sighting, bool) {
	if a, ok := s.told(t, hop); ok {
		return a, true
	}
	if l := &s.levels[hop]; l.limited && !l.several && l.answers >= fairNumber {
		return sighting{place{hop, l.only}, l.rtt}, true
	}
	return sighting{}, false
}

// told is what a target saw itself at a hop, or what stands there below a place
// that it saw.
func (s *survey) told(t *surveyed, hop int) (sighting, bool) {
	for _, seen := range t.seen {
		if seen.hop == hop {
			return seen, true
		}
	}
	for _, seen := range t.seen {
		if p, ok := s.below(seen.place, hop, map[place]bool{}); ok {
			return sighting{p, s.rtts[p]}, true
		}
	}
	return sighting{}, false
}

// below finds who stands at a hop below a place. Each step leads to a lower hop, and
// to a place once: many ways lead down.
func (s *survey) below(p place, hop int, been map[place]bool) (place, bool) {
	if p.hop <= hop {
		return p, p.hop == hop
	}
	if been[p] {
		return place{}, false
	}
	been[p] = true
	for _, lower := range s.known[p] {
		if lower.hop >= hop {
			if found, ok := s.below(lower, hop, been); ok {
				return found, true
			}
		}
	}
	return place{}, false
}

func (s *survey) print(out *bufio.Writer, i int32, alone *path) {
	t := &s.targets[i]
	line := func(a sighting) {
		if a.from.IsValid() {
			fmt.Fprintf(out, "%s %d %s %d\n", t.to, a.hop, a.from, a.rtt.Nanoseconds())
		}
	}
	if alone != nil {
		for h := range alone.sure {
			slot := alone.hops[h].slots[0]
			line(sighting{place{s.plan.firstTTL + h, slot.from}, slot.rtt})
		}
		return
	}
	if !t.sure {
		return
	}
	for hop := s.plan.firstTTL; hop <= t.distance; hop++ {
		if a, known := s.hop(t, hop); known {
			line(a)
		}
	}
}

// lostAtOnce is how many targets that do not answer are traced at the same time.
const lostAtOnce = 32

// traceLost finds, hop by hop as a run of the worker does, the routes to targets
// that do not answer.
func (s *survey) traceLost(ctx context.Context) (map[int32]*path, error) {
	found := map[int32]*path{}
	var mu sync.Mutex
	var all sync.WaitGroup
	var failed error
	places := make(chan struct{}, lostAtOnce)
	for i := range s.targets {
		if !s.targets[i].lost || ctx.Err() != nil {
			continue
		}
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			t := &s.targets[i]
			r := newRun(s.engine, s.plan, t.to)
			r.source = t.source
			err := r.trace(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && ctx.Err() == nil {
				failed = err
			}
			found[int32(i)] = r.path
		})
	}
	all.Wait()
	return found, failed
}
