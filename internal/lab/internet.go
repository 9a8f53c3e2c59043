package lab

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Internet is all that a host can reach by its default routes: this process
// plays it behind a TUN device, packet by packet, as paths describe it.
type Internet struct {
	V4, V6 netip.Addr // the host's own addresses on it

	t    testing.TB
	tun  *os.File
	late *transit // answers that are not due yet

	mu       sync.Mutex // over paths and everything they are made of
	paths    map[netip.Prefix]Path
	lengths  [2][]int // of prefixes of IPv4 and IPv6, longest first
	balances uint64
	watch    func(*Packet)
	packet   Packet
	seen     [1 << 16]byte // the packet as a router rewrote it
	out      [1 << 17]byte // the answer, with room for its IP header
	id       uint16

	received, malformed, stray atomic.Int64
}

// headroom is where an answer's payload starts in Internet.out.
const headroom = 40

// Internet gives a host a device with default routes of both families, behind
// which is what Path says. The host is 192.0.2.1 and 2001:db8::1 there. It
// answers tens of thousands of packets a second.
func (l *Lab) Internet(h *Host) *Internet {
	l.t.Helper()
	n := &Internet{
		V4: netip.AddrFrom4([4]byte{192, 0, 2, 1}), V6: netip.MustParseAddr("2001:db8::1"),
		t: l.t, paths: map[netip.Prefix]Path{},
	}
	const name = "internet"
	h.Do(func() {
		var err error
		if n.tun, err = openTUN(name); err != nil {
			l.t.Fatalf("lab: internet of %s: %v", h.Name, err)
		}
	})
	h.ip("address add "+n.V4.String()+"/32 dev "+name, "address add "+n.V6.String()+"/128 dev "+name+" nodad",
		// A burst waits for this process; the 500 packets of a TUN would lose what a fast prober sends in 10 ms.
		"link set "+name+" txqueuelen 20000 up",
		"route add default dev "+name, "route add ::/0 dev "+name,
		// The kernel lays this route too, but from a work queue that waits for namespaces
		// being taken down elsewhere; until then it would not take answers for its own.
		"route add local "+n.V6.String()+"/128 dev "+name+" table local")
	var all sync.WaitGroup
	n.late = newTransit(n.tun)
	all.Go(n.run)
	all.Go(n.late.run)
	l.t.Cleanup(func() {
		n.tun.Close()
		all.Wait()
	})
	return n
}

// Path says by which hops an address or every address of a prefix is reached;
// the longest prefix counts. Unless a Target ends the hops, an ordinary host
// does: it replies to echo requests, refuses UDP ports and resets TCP
// connections. A path laid again takes the place of the one before, at once.
func (n *Internet) Path(to string, hops ...Hop) {
	n.t.Helper()
	prefix, err := netip.ParsePrefix(to)
	if !strings.Contains(to, "/") {
		var a netip.Addr
		a, err = netip.ParseAddr(to)
		prefix = netip.PrefixFrom(a, a.BitLen())
	}
	if err != nil {
		n.t.Fatalf("lab: a path to %q: %v", to, err)
	}
	path := append(slices.Clip(Path(hops)), new(Target))
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := path.prepare(n); err != nil {
		n.t.Fatalf("lab: the path to %s: %v", to, err)
	}
	n.paths[prefix.Masked()] = path
	family := &n.lengths[0]
	if prefix.Addr().Is6() {
		family = &n.lengths[1]
	}
	if !slices.Contains(*family, prefix.Bits()) {
		*family = append(*family, prefix.Bits())
		slices.Sort(*family)
		slices.Reverse(*family)
	}
}

// Change calls f, which may change any router, target or balance, between two packets.
func (n *Internet) Change(f func()) {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	for to, path := range n.paths {
		if err := path.prepare(n); err != nil {
			n.t.Fatalf("lab: the path to %s, after a change: %v", to, err)
		}
	}
}

// Watch has f called with each packet the host sends, before it goes anywhere.
func (n *Internet) Watch(f func(*Packet)) { n.Change(func() { n.watch = f }) }

// Received counts packets that came from the host, all but multicast.
func (n *Internet) Received() int { return int(n.received.Load()) }

// Malformed counts those of them that no router would have forwarded or no
// target accepted: wrong lengths or checksums. They were dropped.
func (n *Internet) Malformed() int { return int(n.malformed.Load()) }

// Stray counts those of them to which there is no path.
func (n *Internet) Stray() int { return int(n.stray.Load()) }

// Inject lets the host receive an IP packet that nobody asked for.
func (n *Internet) Inject(packet []byte) error {
	_, err := n.tun.Write(packet)
	return err
}

func (n *Internet) run() {
	defer close(n.late.come)
	buf := make([]byte, 1<<16)
	for {
		size, err := n.tun.Read(buf)
		if err != nil {
			return
		}
		n.mu.Lock()
		n.take(buf[:size])
		n.mu.Unlock()
	}
}

// take is all that becomes of one packet.
func (n *Internet) take(b []byte) {
	p := &n.packet
	err := p.parse(b)
	if p.Dst.IsMulticast() {
		return
	}
	p.N = int(n.received.Add(1)) - 1
	if err != nil {
		if n.malformed.Add(1) == 1 {
			n.t.Logf("lab: the first malformed packet: %v\n% x", err, b)
		}
		return
	}
	p.At = time.Now()
	if n.watch != nil {
		n.watch(p)
	}
	path, found := n.find(p.Dst)
	if !found {
		n.stray.Add(1)
		return
	}
	n.walk(path, p)
}

func (n *Internet) find(to netip.Addr) (path Path, found bool) {
	lengths := n.lengths[0]
	if to.Is6() {
		lengths = n.lengths[1]
	}
	for _, bits := range lengths {
		prefix, err := to.Prefix(bits)
		if path, found = n.paths[prefix]; err == nil && found {
			return path, true
		}
	}
	return nil, false
}

// walk leads the packet from hop to hop until it ends somewhere.
func (n *Internet) walk(hop Hop, p *Packet) (ended bool) {
	switch hop := hop.(type) {
	case Path:
		for _, h := range hop {
			if n.walk(h, p) {
				return true
			}
		}
	case Loop:
		// The last turn ends it: routers count the TTL down.
		for !n.walk(Path(hop), p) {
		}
		return true
	case *Balance:
		return n.walk(hop.choose(p), p)
	case *Router:
		return n.forward(hop, p)
	case *Target:
		n.accept((*Router)(hop), p)
		return true
	}
	return false
}

// forward is what a router does with a packet; it may be the packet's end.
func (n *Internet) forward(r *Router, p *Packet) (ended bool) {
	p.hops++
	p.delay += r.Delay
	switch {
	case r.Lose != nil && r.Lose(p):
		return true
	case r.Refuse != (Message{}) && (r.RefuseOnly == nil || r.RefuseOnly(p)):
		n.complain(r, p, r.Refuse, 0)
		return true
	case p.TTL < 1 || p.TTL == 1 && !r.ZeroTTL:
		n.complain(r, p, TimeExceeded, 0)
		return true
	case r.MTU > 0 && len(p.Bytes) > r.MTU && p.dontFragment():
		if !r.BlackHole {
			n.complain(r, p, TooBig, r.MTU)
		}
		return true
	}
	p.TTL--
	if r.Rewrite != nil {
		if &p.Bytes[0] == &p.sent[0] {
			p.Bytes = n.seen[:copy(n.seen[:], p.sent)]
		}
		r.Rewrite(p.Bytes)
	}
	return false
}
