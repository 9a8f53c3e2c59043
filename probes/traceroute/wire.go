package traceroute

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58

	header4   = 20
	header6   = 40
	transport = 8 // an echo request and a UDP datagram begin with as much
	markAt    = transport + 2
	markSize  = 8
	synSize   = 24 // a TCP header with one option

	leastSize = header6 + markAt + markSize + 2 // 60, of both families for simplicity
)

// method is what is sent.
type method byte

const (
	icmp method = iota
	udp
	tcp
)

var methods = []string{"icmp", "udp", "tcp"}

func (m method) String() string { return methods[m] }

// protocol is the method's number in an IP header.
func (m method) protocol(v6 bool) byte {
	switch {
	case m == udp:
		return protoUDP
	case m == tcp:
		return protoTCP
	case v6:
		return protoICMPv6
	}
	return protoICMP
}

// flow is what all packets of one flow have in common beside the addresses.
type flow struct {
	method   method
	one, two uint16 // UDP, TCP: source and destination port; ICMP: identifier and checksum
	label    uint32 // IPv6 flow label
}

// TCP is sent from ports above those that Linux gives to connections, or a SYN
// could meet one.
const (
	firstSynPort = 61000
	synPorts     = 4000
)

// flowOf gives the nth flow (from 0) to a target. It depends on nothing that
// changes between runs, or each run would take another arm of a balanced path.
func flowOf(to netip.Addr, m method, port, n int) flow {
	h := fnv.New64a()
	h.Write(to.WithZone("").AsSlice())
	s := h.Sum64()
	s ^= s >> 33 // neighbours differ in few bits of it otherwise (MurmurHash3's finalizer)
	s *= 0xff51afd7ed558ccd
	s ^= s >> 33
	f := flow{method: m, label: uint32(s>>32+uint64(n)*0x9e37) & 0xfffff, two: uint16(port)}
	switch m {
	case udp:
		f.one = uint16(33000 + (s+uint64(n))%32000)
	case tcp:
		f.one = uint16(firstSynPort + (s+uint64(n))%synPorts)
	case icmp:
		f.one = uint16(s>>16 + uint64(n))
		// 0 and 0xffff are the same number in this arithmetic, and some would
		// take the first for "no checksum".
		f.two = uint16(1 + (s+uint64(n))%0xfffe)
	}
	return f
}

// packet is one probe.
type packet struct {
	from, to netip.Addr
	ttl      int
	size     int // with the IP header; a SYN that need not be larger is as small as it can be
	flow     flow
	seq      uint16 // not 0
	id       uint16 // identification of an IPv4 header, not 0
	whole    bool   // not to be cut into fragments (IPv4; nobody cuts IPv6)
	mark     [markSize]byte
}

// bytes gives the packet from its IP header on. Linux fills in the checksum of
// an IPv4 header.
func (p packet) bytes() []byte {
	size := max(p.size, leastSize)
	header := header6
	if p.to.Is4() {
		header = header4
	}
	if p.flow.method == tcp {
		size = header + synSize + p.payload()
	}
	b := make([]byte, size)
	body := b[header:]
	var sum uint32 // of the pseudo-header
	if proto := p.flow.method.protocol(p.to.Is6()); p.to.Is4() {
		b[0] = 0x45
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[4:], p.id)
		if p.whole {
			b[6] = 0x40
		}
		b[8], b[9] = byte(p.ttl), proto
		copy(b[12:16], p.from.AsSlice())
		copy(b[16:20], p.to.AsSlice())
		if p.flow.method != icmp {
			sum = add(0, b[12:20]) + uint32(proto) + uint32(len(body))
		}
	} else {
		binary.BigEndian.PutUint32(b, 6<<28|p.flow.label)
		binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
		b[6], b[7] = proto, byte(p.ttl)
		copy(b[8:24], p.from.AsSlice())
		copy(b[24:40], p.to.AsSlice())
		sum = add(0, b[8:40]) + uint32(proto) + uint32(len(body))
	}
	p.fill(body, sum)
	return b
}

// fill writes what follows the IP header, given the sum of the pseudo-header.
func (p packet) fill(body []byte, sum uint32) {
	switch p.flow.method {
	case tcp:
		binary.BigEndian.PutUint16(body, p.flow.one)
		binary.BigEndian.PutUint16(body[2:], p.flow.two)
		binary.BigEndian.PutUint32(body[4:], p.synNumber())
		body[12], body[13] = synSize/4<<4, tcpSYN
		binary.BigEndian.PutUint16(body[14:], 64240)
		copy(body[20:], []byte{2, 4, 5, 0xb4}) // maximum segment size 1460; some firewalls drop a SYN without
		binary.BigEndian.PutUint16(body[16:], ^fold(add(sum, body)))
		return
	case udp:
		binary.BigEndian.PutUint16(body, p.flow.one)
		binary.BigEndian.PutUint16(body[2:], p.flow.two)
		binary.BigEndian.PutUint16(body[4:], uint16(len(body)))
		binary.BigEndian.PutUint16(body[6:], p.seq)
	case icmp:
		body[0] = byte(ipv4.ICMPTypeEcho)
		if p.to.Is6() {
			body[0] = byte(ipv6.ICMPTypeEchoRequest)
		}
		binary.BigEndian.PutUint16(body[2:], p.flow.two)
		binary.BigEndian.PutUint16(body[4:], p.flow.one)
		binary.BigEndian.PutUint16(body[6:], p.seq)
	}
	copy(body[markAt:], p.mark[:])
	// The checksum field holds what it is to hold; these two bytes make it true.
	binary.BigEndian.PutUint16(body[transport:], ^fold(add(sum, body)))
}

// payload is how many bytes follow a SYN.
func (p packet) payload() int {
	header := header6
	if p.to.Is4() {
		header = header4
	}
	if p.size <= leastSize {
		return 0
	}
	return p.size - header - synSize
}

// synNumber is the sequence number of a SYN: half of it is the packet's name, the
// other half a secret.
func (p packet) synNumber() uint32 { return uint32(p.seq)<<16 | p.secret() }

// secret leaves room for a payload if there is one: answers add its length.
func (p packet) secret() uint32 {
	s := uint32(p.mark[0])<<8 | uint32(p.mark[1])
	if p.payload() > 0 {
		s &= 0x7fff
	}
	return s
}

const mostPayload = 1<<15 - 1

func add(sum uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
