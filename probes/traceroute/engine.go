package traceroute

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"sonde/probes"
)

// engine holds the sockets that all runs share, and knows which run waits for the
// answer to which packet.
type engine struct {
	v4, v6 family
	names  *probes.Names
	shared *shared

	mu      sync.Mutex
	random  *mathrand.ChaCha8
	waiting map[uint16]*probeSent // by the number of each packet
	ids     map[uint16]*probeSent // and by the identification of its IPv4 header
	asked   map[asking]int        // packets under way to each target by each flow
	guessed time.Time             // when a message last told of a packet of such a flow that is none

	readers sync.WaitGroup
	down    chan struct{}
	fall    sync.Once
}

// family is the sockets of one IP version: one that sends whole packets, one that
// hears ICMP, and, from the first run that wants it, one that hears TCP. A process
// that may not have these sends echo requests by pings. err says why it has neither.
type family struct {
	v6         bool
	send, hear net.PacketConn
	pings      *pings
	err        error
	unread     atomic.Uint64 // messages that the kernel dropped because we did not come to read them

	tcpOnce sync.Once
	tcp     net.PacketConn
	tcpErr  error
}

// probeSent is a packet under way: slot of hop, for the run that listens at heard.
type probeSent struct {
	packet
	hop, slot int
	at        time.Time
	heard     chan<- heard
	done      bool // the run knows what became of it
}

// heard is an answer to a packet.
type heard struct {
	*probeSent
	answer    answer
	from      netip.Addr
	ttl       int // with which it arrived; 0 if the kernel did not tell
	rtt       time.Duration
	rewritten bool // the packet it quotes is not quite the one that was sent
}

const howToAllow = "traceroute needs raw sockets: run it as root, or grant CAP_NET_RAW " +
	"(setcap cap_net_raw+ep on the program, AmbientCapabilities=CAP_NET_RAW in its unit, cap_add: NET_RAW in compose)"

// open makes the sockets. One family is enough: a host may have no IPv6.
func open(log *slog.Logger) (*engine, error) {
	e := &engine{names: probes.NewNames(), shared: newShared(), waiting: map[uint16]*probeSent{}, ids: map[uint16]*probeSent{}, asked: map[asking]int{}, down: make(chan struct{})}
	var seed [32]byte
	rand.Read(seed[:])
	e.random = mathrand.NewChaCha8(seed)
	e.v6.v6 = true
	e.v4.open("ip4:255", "ip4:icmp", "0.0.0.0", func(c net.PacketConn) error {
		var f ipv4.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv4.ICMPTypeEchoReply)
		f.Accept(ipv4.ICMPTypeDestinationUnreachable)
		f.Accept(ipv4.ICMPTypeTimeExceeded)
		return ipv4.NewPacketConn(c).SetICMPFilter(&f)
	})
	e.v6.open("ip6:255", "ip6:ipv6-icmp", "::", func(c net.PacketConn) error {
		var f ipv6.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv6.ICMPTypeEchoReply)
		f.Accept(ipv6.ICMPTypeDestinationUnreachable)
		f.Accept(ipv6.ICMPTypePacketTooBig)
		f.Accept(ipv6.ICMPTypeTimeExceeded)
		return ipv6.NewPacketConn(c).SetICMPFilter(&f)
	})
	if errors.Is(e.v4.err, fs.ErrPermission) {
		if err := mayPing(); err != nil {
			return nil, fmt.Errorf("%w; method icmp makes do with net.ipv4.ping_group_range, which does not hold our group: %w", e.v4.err, err)
		}
		log.Warn("traceroute sends ICMP alone, by datagram sockets, and sees no MPLS labels; "+howToAllow, "error", e.v4.err)
		for _, f := range []*family{&e.v4, &e.v6} {
			f.pings = newPings(e, f.v6)
		}
		return e, nil
	}
	if e.v4.err != nil && e.v6.err != nil {
		return nil, e.v4.err
	}
	for _, f := range []*family{&e.v4, &e.v6} {
		if f.err == nil {
			e.readers.Add(1)
			go e.read(f.hear, f, parse)
		}
	}
	return e, nil
}

// open asks for protocol 255 (IPPROTO_RAW) to send with headers of our own.
func (f *family) open(sends, hears, any string, filter func(net.PacketConn) error) {
	f.hear, f.err = listen(hears, any)
	if f.err == nil {
		f.err = filter(f.hear)
	}
	if f.err == nil {
		f.send, f.err = net.ListenPacket(sends, any)
	}
	if f.err == nil {
		if f.err = ignorePathMTU(f.send, f.v6); f.err == nil {
			return
		}
	}
	f.close()
	if errors.Is(f.err, fs.ErrPermission) {
		f.err = fmt.Errorf("%w: %s: %w", probes.ErrLocal, howToAllow, f.err)
	} else {
		f.err = fmt.Errorf("%w: traceroute: open sockets: %w", probes.ErrLocal, f.err)
	}
}

// ignorePathMTU has the kernel send what fits the link, whatever it has heard of the
// rest of the way: that is what we measure.
func ignorePathMTU(c net.PacketConn, v6 bool) error {
	rc, err := c.(*net.IPConn).SyscallConn()
	if err != nil {
		return err
	}
	if cerr := rc.Control(func(fd uintptr) { err = probeMTU(int(fd), v6) }); cerr != nil {
		return cerr
	}
	return err
}

func probeMTU(fd int, v6 bool) error {
	level, option, value := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE
	if v6 {
		level, option, value = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, option, value))
}

// hearTCP opens the socket for answers to a SYN with the first run that sends some:
// the kernel shows it every segment that comes to this host, though only the filter
// looks at most of them.
func (e *engine) hearTCP(f *family) error {
	f.tcpOnce.Do(func() {
		network, any := "ip4:tcp", "0.0.0.0"
		if f.v6 {
			network, any = "ip6:tcp", "::"
		}
		c, err := listen(network, any)
		if err == nil {
			err = filterSyn(c, f.v6)
		}
		if err != nil {
			f.tcpErr = fmt.Errorf("%w: traceroute: hear TCP: %w", probes.ErrLocal, err)
			return
		}
		f.tcp = c
		e.readers.Add(1)
		go e.read(c, f, parseTCP)
	})
	return f.tcpErr
}

// filterSyn lets those segments through that come to our ports with SYN or RST.
func filterSyn(c net.PacketConn, v6 bool) error {
	load := func(off uint32, size int) bpf.Instruction { return bpf.LoadIndirect{Off: off, Size: size} }
	head := bpf.Instruction(bpf.LoadMemShift{Off: 0}) // X: length of the IPv4 header, which IPv6 does not show
	if v6 {
		head = bpf.LoadConstant{Dst: bpf.RegX, Val: 0}
	}
	program, err := bpf.Assemble([]bpf.Instruction{
		head,
		load(2, 2), // destination port
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: firstSynPort, SkipTrue: 4},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: firstSynPort + synPorts, SkipTrue: 3},
		load(13, 1), // flags
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: tcpSYN | tcpRST, SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	if v6 {
		return ipv6.NewPacketConn(c).SetBPF(program)
	}
	return ipv4.NewPacketConn(c).SetBPF(program)
}

func (f *family) close() {
	for _, c := range []net.PacketConn{f.send, f.hear, f.tcp} {
		if c != nil {
			c.Close()
		}
	}
	if f.pings != nil {
		f.pings.close()
	}
}

// String says by what the engine works, for sonde check.
func (e *engine) String() string {
	if e.v4.pings != nil {
		return "ICMP by datagram sockets alone; methods udp and tcp need CAP_NET_RAW"
	}
	var text []string
	for _, f := range []*family{&e.v4, &e.v6} {
		name := "IPv4"
		if f.v6 {
			name = "IPv6"
		}
		if f.err != nil {
			text = append(text, name+": "+f.err.Error())
		} else {
			text = append(text, name+" by raw sockets")
		}
	}
	return strings.Join(text, ", ")
}

// Down is closed when a socket failed, or after Close.
func (e *engine) Down() <-chan struct{} { return e.down }

// Close ends the readers; runs still under way end with probes.ErrLocal.
func (e *engine) Close() error {
	e.fell()
	for _, f := range []*family{&e.v4, &e.v6} {
		f.tcpOnce.Do(func() { f.tcpErr = fmt.Errorf("%w: the sockets were closed", probes.ErrLocal) })
		f.close()
	}
	e.readers.Wait()
	e.names.Close()
	return nil
}

func (e *engine) fell() { e.fall.Do(func() { close(e.down) }) }

// deliver hands an answer to the run that waits for it. It does not keep oob, in
// which came when the kernel got the message.
func (e *engine) deliver(a answer, from netip.Addr, ttl int, oob []byte, now time.Time) {
	if a.kind == reply {
		a.to = from
	}
	e.mu.Lock()
	s, rewritten := e.find(&a, now)
	if s != nil {
		e.done(s)
	}
	e.mu.Unlock()
	if s != nil {
		// It has room for every packet of the run.
		s.heard <- heard{s, a, from, ttl, roundTrip(s.at, now, arrival(oob)), rewritten}
	}
}

// find gives the packet that an answer is about, nil when there is none. rewritten
// says that somebody on the way changed it, and did not change it back in what is quoted.
func (e *engine) find(a *answer, now time.Time) (s *probeSent, rewritten bool) {
	if s := e.waiting[a.seq]; s != nil && s.to.WithZone("") == a.to && s.flow.asQuoted(a.flow) {
		switch {
		case a.kind != reply && a.flow.method == icmp:
			rewritten = a.sum != s.flow.two
		case a.kind != reply && a.flow.method == udp:
			rewritten = a.sum != s.seq
		}
		if a.kind != reply && a.from.IsValid() && a.from != s.from {
			rewritten = true
		}
		if known, same := e.evidence(a, s); known && same {
			return s, rewritten
		} else if !known && now.Sub(e.guessed) > careful {
			return s, true
		}
	}
	// A translator that changed the checksum took the name with it. The
	// identification of an IPv4 header is another.
	if !a.v6 && a.id != 0 && a.kind != reply {
		s := e.ids[a.id]
		if s != nil && s.to == a.to && s.flow.method == a.flow.method && a.mark == s.mark {
			return s, true
		}
	}
	if a.kind != reply && e.asked[askingOf(a.to, a.flow)] > 0 {
		e.guessed = now
	}
	return nil, false
}

// evidence reports whether an answer holds something that only those know who saw
// the packet, and whether it is right.
func (e *engine) evidence(a *answer, s *probeSent) (known, same bool) {
	switch {
	case a.flow.method == tcp:
		ahead := int(a.secret) - int(s.secret()) // a target acknowledges what came with the SYN too
		return true, ahead == 0 || a.kind == reply && ahead == s.payload()
	case a.mark != [markSize]byte{}:
		return true, a.mark == s.mark
	case a.kind == reply:
		return true, false // who echoes, echoes all
	case !a.v6 && (a.id == s.id || a.id == s.id<<8|s.id>>8): // some swap its bytes
		return true, true
	}
	return false, false
}

// asQuoted compares a flow with what an answer tells of it.
func (f flow) asQuoted(q flow) bool {
	return f.method == q.method && f.one == q.one && (f.method == icmp || f.two == q.two)
}

// careful is how long nothing is believed that proves nothing after somebody told of a
// packet that we did not send to a target of ours. It may be an answer that came too
// late, or a guess.
const careful = 10 * time.Second

// asking is a flow to a target, as far as an answer tells it.
type asking struct {
	to     netip.Addr
	method method
	one    uint16
}

func askingOf(to netip.Addr, f flow) asking { return asking{to.WithZone(""), f.method, f.one} }

// mostUnderWay keeps free numbers easy to find.
const mostUnderWay = 50_000

// expect gives the packet its name and its secrets, and waits for answers to it from
// now on. Numbers are random: who is asked by some packets learns nothing of those to
// others.
func (e *engine) expect(s *probeSent) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.waiting) >= mostUnderWay {
		return fmt.Errorf("%w: %d packets are under way at the same time", probes.ErrBusy, len(e.waiting))
	}
	for {
		r := e.random.Uint64()
		s.seq, s.id = uint16(r), uint16(r>>16)
		if e.waiting[s.seq] == nil && e.ids[s.id] == nil && s.seq != 0 && s.id != 0 {
			break
		}
	}
	for s.mark == [markSize]byte{} { // which means: not quoted
		binary.LittleEndian.PutUint64(s.mark[:], e.random.Uint64())
	}
	s.at = time.Now()
	e.waiting[s.seq], e.ids[s.id] = s, s
	e.asked[askingOf(s.to, s.flow)]++
	return nil
}

// done takes a packet out of those under way.
func (e *engine) done(s *probeSent) {
	delete(e.waiting, s.seq)
	delete(e.ids, s.id)
	flow := askingOf(s.to, s.flow)
	if e.asked[flow]--; e.asked[flow] == 0 {
		delete(e.asked, flow)
	}
}

// forget stops waiting; it reports whether the answer was still out.
func (e *engine) forget(s *probeSent) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waiting[s.seq] != s {
		return false
	}
	e.done(s)
	return true
}

func (e *engine) family(a netip.Addr) *family {
	if a.Is4() {
		return &e.v4
	}
	return &e.v6
}

// ready says whether packets of a method can be sent to an address, and makes what
// is needed to hear the answers.
func (e *engine) ready(to netip.Addr, m method) error {
	f := e.family(to)
	switch {
	case f.pings != nil && m != icmp:
		return f.err
	case f.pings != nil:
		return nil
	case f.err != nil:
		return f.err
	case m == tcp:
		return e.hearTCP(f)
	}
	return nil
}

// write hands a packet to the kernel.
func (e *engine) write(p packet) error {
	f := e.family(p.to)
	if f.pings != nil {
		return f.pings.write(p)
	}
	_, err := f.send.WriteTo(p.bytes(), &net.IPAddr{IP: p.to.AsSlice(), Zone: p.to.Zone()})
	return err
}

// sourceFor asks the kernel which address it would send from, without sending
// anything. The error is the kernel's refusal when there is no way.
func sourceFor(ctx context.Context, to, source netip.Addr) (netip.Addr, error) {
	var d net.Dialer
	if source.IsValid() {
		if source.IsLinkLocalUnicast() {
			source = source.WithZone(to.Zone())
		}
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	c, err := d.DialContext(ctx, "udp", netip.AddrPortFrom(to, 33434).String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone(""), nil
}
