package measure

import (
	"net/netip"
	"time"
)

// Route is what a traceroute saw, with what is known of its hops.
type Route struct {
	Number  int // routeno.route_no, 0 when not known
	Hops    []Hop
	Reached bool
	RTT     time.Duration // to the target, 0 when it was not reached
}

// Hop is one hop of a route; Hops[0] is TTL 1. Only Address comes with every
// route. The rest is zero when it is not known: an AS is looked up after the
// route was stored, and a hop before the first TTL was not asked at all.
type Hop struct {
	Address netip.Addr    // of the first flow; the zero Addr stayed silent
	Arms    []netip.Addr  // all addresses that answered any flow of this run, each once
	AS      uint32        // AS that announces Address
	ASName  string        // its name: GEANT
	Name    string        // host name of Address
	RTT     time.Duration // median of this run
	Labels  string        // MPLS labels as traceroute -e writes them: L=16004,E=0,S=1,T=1
}

// Silent reports whether nobody answered there.
func (h Hop) Silent() bool { return !h.Address.IsValid() }
