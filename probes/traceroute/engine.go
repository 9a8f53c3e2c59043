package traceroute

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"sonde/probes"
)

// engine holds the raw sockets that all runs share, and knows which run waits
// for the answer to which packet.
type engine struct {
	v4, v6 family
	names  *probes.Names
	mark   [markSize]byte // of this engine's packets, against another program's at the same flow

	mu      sync.Mutex
	seq     uint16
	waiting map[name]*probeSent

	readers sync.WaitGroup
	down    chan struct{}
	fall    sync.Once
}

// family is the sockets of one IP version: one that sends whole packets, and
// one that hears ICMP. err says why there are none.
type family struct {
	send, hear net.PacketConn
	err        error
}

// name tells one packet under way from all others of this engine.
type name struct {
	to   netip.Addr
	flow flow
	seq  uint16
}

func nameOf(to netip.Addr, f flow, seq uint16) name {
	f.label = 0
	if !f.udp {
		f.two = 0
	}
	return name{to.WithZone(""), f, seq}
}

// probeSent is a packet under way: slot of hop, for the run that listens at heard.
type probeSent struct {
	name      name
	hop, slot int
	at        time.Time
	heard     chan<- heard
	done      bool // the run knows what became of it
}

// heard is an answer to a packet.
type heard struct {
	*probeSent
	answer answer
	from   netip.Addr
	ttl    int // with which it arrived; 0 if the kernel did not tell
	rtt    time.Duration
}

const howToAllow = "traceroute needs raw sockets: run it as root, or grant CAP_NET_RAW " +
	"(setcap cap_net_raw+ep on the program, AmbientCapabilities=CAP_NET_RAW in its unit, cap_add: NET_RAW in compose)"

// open makes the sockets. One family is enough: a host may have no IPv6.
func open() (*engine, error) {
	e := &engine{names: probes.NewNames(), waiting: map[name]*probeSent{}, down: make(chan struct{})}
	rand.Read(e.mark[:])
	e.mark[0] |= 1 // never zero, which means: not quoted
	e.seq = uint16(e.mark[6])<<8 | uint16(e.mark[7])
	e.v4 = openFamily("ip4:255", "ip4:icmp", "0.0.0.0", func(c net.PacketConn) error {
		var f ipv4.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv4.ICMPTypeEchoReply)
		f.Accept(ipv4.ICMPTypeDestinationUnreachable)
		f.Accept(ipv4.ICMPTypeTimeExceeded)
		return ipv4.NewPacketConn(c).SetICMPFilter(&f)
	})
	e.v6 = openFamily("ip6:255", "ip6:ipv6-icmp", "::", func(c net.PacketConn) error {
		var f ipv6.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv6.ICMPTypeEchoReply)
		f.Accept(ipv6.ICMPTypeDestinationUnreachable)
		f.Accept(ipv6.ICMPTypePacketTooBig)
		f.Accept(ipv6.ICMPTypeTimeExceeded)
		return ipv6.NewPacketConn(c).SetICMPFilter(&f)
	})
	if e.v4.err != nil && e.v6.err != nil {
		return nil, e.v4.err
	}
	for _, f := range []*family{&e.v4, &e.v6} {
		if f.err == nil {
			e.readers.Add(1)
			go e.read(f, f == &e.v6)
		}
	}
	return e, nil
}

// openFamily asks for protocol 255 (IPPROTO_RAW) to send with headers of our own.
func openFamily(sends, hears, any string, filter func(net.PacketConn) error) (f family) {
	f.hear, f.err = net.ListenPacket(hears, any)
	if f.err == nil {
		f.err = filter(f.hear)
	}
	if f.err == nil {
		f.send, f.err = net.ListenPacket(sends, any)
	}
	if f.err == nil {
		if c, ok := f.hear.(*net.IPConn); ok {
			c.SetReadBuffer(1 << 20) // as much as the system lets us; too little only under load
		}
		return f
	}
	f.close()
	if errors.Is(f.err, fs.ErrPermission) {
		f.err = fmt.Errorf("%w: %s: %w", probes.ErrLocal, howToAllow, f.err)
	} else {
		f.err = fmt.Errorf("%w: traceroute: open sockets: %w", probes.ErrLocal, f.err)
	}
	return f
}

func (f *family) close() {
	for _, c := range []net.PacketConn{f.send, f.hear} {
		if c != nil {
			c.Close()
		}
	}
}

// Down is closed when a socket failed, or after Close.
func (e *engine) Down() <-chan struct{} { return e.down }

// Close ends the readers; runs still under way end with probes.ErrLocal.
func (e *engine) Close() error {
	e.fall.Do(func() { close(e.down) })
	e.v4.close()
	e.v6.close()
	e.readers.Wait()
	e.names.Close()
	return nil
}

// read takes what arrives until the socket is closed or fails.
func (e *engine) read(f *family, v6 bool) {
	defer e.readers.Done()
	receive := receiver(f.hear, v6)
	buf := make([]byte, 2048) // what we look at is in the first hundred bytes
	for {
		n, ttl, addr, err := receive(buf)
		at := time.Now()
		if err != nil {
			e.fall.Do(func() { close(e.down) })
			return
		}
		from, ok := addr.(*net.IPAddr)
		if !ok {
			continue
		}
		a, err := parse(v6, buf[:n])
		if err != nil {
			continue // somebody else's
		}
		if ip, ok := netip.AddrFromSlice(from.IP); ok {
			e.deliver(a, ip.Unmap(), ttl, at)
		}
	}
}

// receiver reads messages with the time to live they arrived with.
func receiver(c net.PacketConn, v6 bool) func(b []byte) (n, ttl int, from net.Addr, err error) {
	if v6 {
		p := ipv6.NewPacketConn(c)
		_ = p.SetControlMessage(ipv6.FlagHopLimit, true) // without it the distance of a target is found step by step
		return func(b []byte) (n, ttl int, from net.Addr, err error) {
			n, cm, from, err := p.ReadFrom(b)
			if cm != nil {
				ttl = cm.HopLimit
			}
			return n, ttl, from, err
		}
	}
	p := ipv4.NewPacketConn(c)
	_ = p.SetControlMessage(ipv4.FlagTTL, true)
	return func(b []byte) (n, ttl int, from net.Addr, err error) {
		n, cm, from, err := p.ReadFrom(b)
		if cm != nil {
			ttl = cm.TTL
		}
		return n, ttl, from, err
	}
}

func (e *engine) deliver(a answer, from netip.Addr, ttl int, at time.Time) {
	if a.mark != e.mark && a.mark != [markSize]byte{} {
		return
	}
	if a.kind == reply {
		a.to = from
	}
	n := nameOf(a.to, a.flow, a.seq)
	e.mu.Lock()
	s := e.waiting[n]
	delete(e.waiting, n)
	e.mu.Unlock()
	if s != nil {
		s.heard <- heard{s, a, from, ttl, at.Sub(s.at)} // has room for every packet of the run
	}
}

// expect makes the packet's name and waits for answers to it from now on.
func (e *engine) expect(s *probeSent, to netip.Addr, f flow) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		e.seq++
		s.name = nameOf(to, f, e.seq)
		// The runs at once and their packets under way are far fewer than
		// the numbers, so a free one is near.
		if _, taken := e.waiting[s.name]; !taken && e.seq != 0 {
			break
		}
	}
	s.at = time.Now()
	e.waiting[s.name] = s
}

// forget stops waiting; it reports whether the answer was still out.
func (e *engine) forget(s *probeSent) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waiting[s.name] != s {
		return false
	}
	delete(e.waiting, s.name)
	return true
}

func (e *engine) family(a netip.Addr) *family {
	if a.Is4() {
		return &e.v4
	}
	return &e.v6
}

// write hands a packet to the kernel.
func (e *engine) write(p packet) error {
	_, err := e.family(p.to).send.WriteTo(p.bytes(), &net.IPAddr{IP: p.to.AsSlice(), Zone: p.to.Zone()})
	return err
}

// sourceFor asks the kernel which address it would send from, without sending
// anything. The error is the kernel's refusal when there is no way.
func sourceFor(ctx context.Context, to, source netip.Addr) (netip.Addr, error) {
	var d net.Dialer
	if source.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	c, err := d.DialContext(ctx, "udp", netip.AddrPortFrom(to, 33434).String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone(""), nil
}
