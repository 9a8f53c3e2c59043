package lab

import (
	"fmt"
	"net/netip"
)

// Route gives every host routes to every link by the shortest way; where
// several ways are equally short the kernel spreads flows over all of them.
func (l *Lab) Route() {
	l.t.Helper()
	for _, h := range l.hosts {
		h.ip(l.routesOf(h)...)
	}
}

func (l *Lab) routesOf(h *Host) []string {
	var lines []string
	for _, k := range l.links {
		if k.A.Host == h || k.B.Host == h {
			continue
		}
		dist := l.distances(k)
		if _, reachable := dist[h]; !reachable {
			continue
		}
		v4 := "route replace " + k.A.net4.String()
		v6 := "route replace " + k.A.net6.String()
		for _, e := range h.ends {
			next := e.peer.Host
			if d, ok := dist[next]; ok && d == dist[h]-1 && next.router {
				v4 += fmt.Sprintf(" nexthop via %s dev %s", e.peer.V4, e.Name)
				v6 += fmt.Sprintf(" nexthop via %s dev %s", e.peer.V6, e.Name)
			}
		}
		lines = append(lines, v4, v6)
	}
	return lines
}

// distances counts hops to a link; only routers are passed through.
func (l *Lab) distances(k *Link) map[*Host]int {
	dist := map[*Host]int{k.A.Host: 0, k.B.Host: 0}
	queue := []*Host{k.A.Host, k.B.Host}
	for len(queue) > 0 {
		h := queue[0]
		queue = queue[1:]
		if !h.router {
			continue
		}
		for _, e := range h.ends {
			if _, seen := dist[e.peer.Host]; !seen {
				dist[e.peer.Host] = dist[h] + 1
				queue = append(queue, e.peer.Host)
			}
		}
	}
	return dist
}

// Via lays a route by hand, in place of what was there. With several gateways
// flows are spread over them.
func (h *Host) Via(to netip.Prefix, gateways ...netip.Addr) {
	h.lab.t.Helper()
	line := "route replace " + to.String()
	for _, g := range gateways {
		line += " nexthop via " + g.String()
	}
	h.extra = append(h.extra, line)
	h.ip(line)
}

// Refuse lays a route that refuses: kind is "unreachable" (!H), "prohibit"
// (!X), "blackhole" (silence) or "throw" (as if there were no route, !N); by IPv6
// Linux says !N for unreachable too. IPv4 routers tell one source of it five
// times and then once a second, a limit no namespace can lift (net/ipv4/route/error_burst).
func (h *Host) Refuse(kind string, to netip.Prefix) {
	h.lab.t.Helper()
	line := "route replace " + kind + " " + to.String()
	h.extra = append(h.extra, line)
	h.ip(line)
}

// One is the network that holds this address alone.
func One(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// Addr gives the host one more address, on its loopback interface. Routes to
// it are laid with Via.
func (h *Host) Addr(a netip.Addr) {
	h.lab.t.Helper()
	line := "address replace " + One(a).String() + " dev lo"
	if a.Is6() {
		line += " nodad"
	}
	h.ip(line)
}

// Chain joins a source and a destination by n routers in a row.
func (l *Lab) Chain(n int) (src *Host, routers []*Host, dst *Host) {
	l.t.Helper()
	src = l.Host("src")
	last := src
	for i := range n {
		r := l.Router(fmt.Sprintf("r%d", i+1))
		l.Connect(last, r)
		routers = append(routers, r)
		last = r
	}
	dst = l.Host("dst")
	l.Connect(last, dst)
	l.Route()
	return src, routers, dst
}

// Diamond joins a source and a destination by a router, arms of one router
// each over which flows are spread, and a router that brings them together:
// routers[0] balances, routers[1:1+arms] are the arms, the last one ends them.
func (l *Lab) Diamond(arms int) (src *Host, routers []*Host, dst *Host) {
	l.t.Helper()
	src, dst = l.Host("src"), l.Host("dst")
	first, last := l.Router("first"), l.Router("last")
	l.Connect(src, first)
	routers = append(routers, first)
	for i := range arms {
		arm := l.Router(fmt.Sprintf("arm%d", i+1))
		l.Connect(first, arm)
		l.Connect(arm, last)
		routers = append(routers, arm)
	}
	l.Connect(last, dst)
	l.Route()
	return src, append(routers, last), dst
}

// Uplink is the address a traceroute sees of a router: the end of its first link.
func Uplink(h *Host, v6 bool) netip.Addr {
	if v6 {
		return h.V6()
	}
	return h.V4()
}
