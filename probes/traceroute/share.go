package traceroute

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// shared is what the runs of an engine tell each other, so that a router which many of
// them cross is not asked by each. Routers answer about once a second: a hundred
// targets behind one, asked every minute by three packets, would find it silent four
// times in five.
//
// A run takes a hop's router as told, and asks it once a second at most, when
//
//   - this target met it there itself within the last hour,
//   - several targets met it there within the option share, and
//   - the next hop is the one that it was then; where it is not, the router is asked
//     after all.
//
// So a change is seen at once where it shows further on, and within share where not.
type shared struct {
	mu     sync.Mutex
	routes map[way][]meeting // whom each target met itself, by TTL
	met    map[spot]*meetings
	swept  time.Time
}

// way is a target as seen from one of our addresses by one method.
type way struct {
	source, to netip.Addr
	method     method
}

type meeting struct {
	who netip.Addr // the router that a target met, or the target that met a router
	at  time.Time
}

// spot is where a router stands.
type spot struct {
	source netip.Addr
	method method
	ttl    int
	from   netip.Addr
}

// meetings are the last targets that met a router, different ones, newest last.
type meetings struct {
	last    []meeting
	allowed time.Time // when it may be asked again
}

const (
	enough = 3
	ownFor = time.Hour
)

func newShared() *shared {
	return &shared{routes: map[way][]meeting{}, met: map[spot]*meetings{}}
}

// ask says how a target's hop is to be asked: told is the router that stands there as
// far as others know, zero if they do not, and ask whether this run looks for itself.
func (s *shared) ask(w way, ttl int, fresh time.Duration) (told netip.Addr, ask bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.own(w, ttl, now)
	m := s.met[spot{w.source, w.method, ttl, from}]
	if !from.IsValid() || m == nil || len(m.last) < enough || now.Sub(m.last[0].at) > fresh {
		return netip.Addr{}, true
	}
	if now.Before(m.allowed) {
		return from, false
	}
	m.allowed = now.Add(limitedEvery)
	return from, true
}

// own is whom a target met at a hop itself, not too long ago.
func (s *shared) own(w way, ttl int, now time.Time) netip.Addr {
	hops := s.routes[w]
	if ttl >= len(hops) || now.Sub(hops[ttl].at) > ownFor {
		return netip.Addr{}
	}
	return hops[ttl].who
}

// vouches reports whether the router at a hop is the one that this target met there
// when it last asked.
func (s *shared) vouches(w way, ttl int, from netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return from.IsValid() && s.own(w, ttl, time.Now()) == from
}

// tell notes whom a run met: by TTL from first on, zero where it did not ask or nobody
// answered.
func (s *shared) tell(w way, first int, found []netip.Addr) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	hops := s.routes[w]
	for len(hops) < first+len(found) {
		hops = append(hops, meeting{})
	}
	s.routes[w] = hops
	for i, from := range found {
		if !from.IsValid() {
			continue
		}
		hops[first+i] = meeting{from, now}
		at := spot{w.source, w.method, first + i, from}
		m := s.met[at]
		if m == nil {
			m = &meetings{}
			s.met[at] = m
		}
		m.last = slices.DeleteFunc(m.last, func(x meeting) bool { return x.who == w.to })
		m.last = append(m.last, meeting{w.to, now})
		m.last = m.last[max(0, len(m.last)-enough):]
	}
}

// sweep forgets what is of no use any more.
func (s *shared) sweep(now time.Time) {
	if now.Sub(s.swept) < ownFor/4 {
		return
	}
	s.swept = now
	old := func(m meeting) bool { return now.Sub(m.at) > ownFor }
	for w, hops := range s.routes {
		if !slices.ContainsFunc(hops, func(m meeting) bool { return !old(m) }) {
			delete(s.routes, w)
		}
	}
	for at, m := range s.met {
		if old(m.last[len(m.last)-1]) {
			delete(s.met, at)
		}
	}
}
