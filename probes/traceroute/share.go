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
//   - this target met it there itself within the last minutes, or within the hour and
//     one more packet was not answered,
//   - several targets met it there within the option share, and
//   - what the run asked itself is as it was then: where any hop is not, all that was
//     told is asked after all.
//
// So a change of a shared router is seen within share, and one of this target's route
// at once where it shows further on, else within minutes.
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
	port       int // of udp and tcp: routers may spread by it
}

type meeting struct {
	who netip.Addr // the router that a target met, or the target that met a router
	at  time.Time
}

// spot is where a router stands.
type spot struct {
	source netip.Addr
	method method
	port   int
	ttl    int
	from   netip.Addr
}

// meetings are the last targets that met a router, different ones, newest last.
type meetings struct {
	last    []meeting
	allowed time.Time // when it may be asked again
}

const (
	mostShare = 10 * time.Minute // of the option

	enough = 3
	ownFor = time.Hour
	// recheck is how often a target asks a router itself, whoever else does.
	recheck = 5 * time.Minute
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
	own := s.own(w, ttl, now)
	m := s.met[spot{w.source, w.method, w.port, ttl, own.who}]
	// The target itself stands at every hop behind it, and tells nothing.
	if !own.who.IsValid() || own.who == w.to.WithZone("") || m == nil || len(m.last) < enough || now.Sub(m.last[0].at) > fresh {
		return netip.Addr{}, true
	}
	if now.Before(m.allowed) && now.Sub(own.at) < recheck {
		return own.who, false
	}
	m.allowed = now.Add(limitedEvery)
	return own.who, true
}

// own is whom a target met at a hop itself, not too long ago.
func (s *shared) own(w way, ttl int, now time.Time) meeting {
	hops := s.routes[w]
	if ttl >= len(hops) || now.Sub(hops[ttl].at) > ownFor {
		return meeting{}
	}
	return hops[ttl]
}

// knew is whom a target met at a hop itself; zero if it did not, or long ago.
func (s *shared) knew(w way, ttl int) netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own(w, ttl, time.Now()).who
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
	hops = hops[:first+len(found)] // what stood behind its end is gone
	s.routes[w] = hops
	for i, from := range found {
		if !from.IsValid() {
			continue
		}
		hops[first+i] = meeting{from, now}
		at := spot{w.source, w.method, w.port, first + i, from}
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
	if now.Sub(s.swept) < recheck {
		return
	}
	s.swept = now
	for w, hops := range s.routes {
		if !slices.ContainsFunc(hops, func(m meeting) bool { return now.Sub(m.at) < ownFor }) {
			delete(s.routes, w)
		}
	}
	for at, m := range s.met {
		if now.Sub(m.last[len(m.last)-1].at) > mostShare {
			delete(s.met, at)
		}
	}
}
