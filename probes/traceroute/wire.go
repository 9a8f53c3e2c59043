package traceroute

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	protoICMP   = 1
	protoUDP    = 17
	protoICMPv6 = 58

	header4   = 20
	header6   = 40
	transport = 8 // an echo request and a UDP datagram begin with as much
	markAt    = transport + 2
	markSize  = 8

	leastSize = header6 + markAt + markSize + 2 // 60, of both families for simplicity
)

// flow is what all packets of one flow have in common beside the addresses.
type flow struct {
	udp      bool
	one, two uint16 // UDP: source and destination port; ICMP: identifier and checksum
	label    uint32 // IPv6 flow label
}

// flowOf gives the nth flow (from 0) to a target. It depends on nothing that
// changes between runs, or each run would take another arm of a balanced path.
func flowOf(to netip.Addr, udp bool, port, n int) flow {
	h := fnv.New64a()
	h.Write(to.WithZone("").AsSlice())
	s := h.Sum64()
	f := flow{udp: udp, label: uint32(s>>32+uint64(n)*0x9e37) & 0xfffff}
	if udp {
		f.one = uint16(33000 + s%32000 + uint64(n))
		f.two = uint16(port)
		return f
	}
	f.one = uint16(s>>16 + uint64(n))
	// 0 and 0xffff are the same number in this arithmetic, and some would
	// take the first for "no checksum".
	f.two = uint16(1 + (s+uint64(n))%0xfffe)
	return f
}

// packet is one probe.
type packet struct {
	from, to netip.Addr
	ttl      int
	size     int // with the IP header
	flow     flow
	seq      uint16 // not 0
	mark     [markSize]byte
}

// bytes gives the packet from its IP header on. Linux fills in the checksum
// and the identification of an IPv4 header.
func (p packet) bytes() []byte {
	b := make([]byte, max(p.size, leastSize))
	var body []byte
	var sum uint32
	proto := byte(protoUDP)
	if p.to.Is4() {
		if !p.flow.udp {
			proto = protoICMP
		}
		body = b[header4:]
		b[0] = 0x45
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		b[8], b[9] = byte(p.ttl), proto
		copy(b[12:16], p.from.AsSlice())
		copy(b[16:20], p.to.AsSlice())
		if p.flow.udp {
			sum = add(0, b[12:20]) + protoUDP + uint32(len(body))
		}
	} else {
		if !p.flow.udp {
			proto = protoICMPv6
		}
		body = b[header6:]
		binary.BigEndian.PutUint32(b, 6<<28|p.flow.label)
		binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
		b[6], b[7] = proto, byte(p.ttl)
		copy(b[8:24], p.from.AsSlice())
		copy(b[24:40], p.to.AsSlice())
		sum = add(0, b[8:40]) + uint32(proto) + uint32(len(body))
	}
	if p.flow.udp {
		binary.BigEndian.PutUint16(body, p.flow.one)
		binary.BigEndian.PutUint16(body[2:], p.flow.two)
		binary.BigEndian.PutUint16(body[4:], uint16(len(body)))
		binary.BigEndian.PutUint16(body[6:], p.seq)
	} else {
		body[0] = byte(ipv4.ICMPTypeEcho)
		if proto == protoICMPv6 {
			body[0] = byte(ipv6.ICMPTypeEchoRequest)
		}
		binary.BigEndian.PutUint16(body[2:], p.flow.two)
		binary.BigEndian.PutUint16(body[4:], p.flow.one)
		binary.BigEndian.PutUint16(body[6:], p.seq)
	}
	copy(body[markAt:], p.mark[:])
	// The checksum field holds what it is to hold; these two bytes make it true.
	binary.BigEndian.PutUint16(body[transport:], ^fold(add(sum, body)))
	return b
}

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

// kind says what sort of answer came.
type kind byte

const (
	silence kind = iota
	refused      // by our own kernel
	exceeded
	unreachable
	reply
)

// answer is what an ICMP message says of a packet that may be ours.
type answer struct {
	kind kind
	code int // of unreachable
	v6   bool

	labels string // the MPLS labels that the packet had when it ended; see labelStack

	// The packet as the message quotes it. A reply has no target in it: that is who sent it.
	to   netip.Addr
	flow flow // of ICMP without the checksum, which some on the way rewrite, and without label
	seq  uint16
	mark [markSize]byte // zero when the quotation ends before it
}

// What can be wrong with a message. Most that arrive belong to somebody else.
var (
	errShort    = errors.New("message ends too soon")
	errType     = errors.New("message of a type that answers no probe")
	errQuote    = errors.New("quoted packet is not of this IP version")
	errHeader   = errors.New("quoted packet has an impossible header length")
	errFragment = errors.New("quoted packet is a later fragment")
	errProtocol = errors.New("quoted packet is neither echo request nor UDP")
)

// parse reads an ICMP message, from its type on.
func parse(v6 bool, b []byte) (answer, error) {
	a := answer{v6: v6}
	if len(b) < transport {
		return a, errShort
	}
	a.code = int(b[1])
	if v6 {
		switch ipv6.ICMPType(b[0]) {
		case ipv6.ICMPTypeEchoReply:
			a.kind = reply
		case ipv6.ICMPTypeTimeExceeded:
			a.kind = exceeded
		case ipv6.ICMPTypeDestinationUnreachable:
			a.kind = unreachable
		case ipv6.ICMPTypePacketTooBig:
			a.kind, a.code = unreachable, tooBig6
		default:
			return a, errType
		}
	} else {
		switch ipv4.ICMPType(b[0]) {
		case ipv4.ICMPTypeEchoReply:
			a.kind = reply
		case ipv4.ICMPTypeTimeExceeded:
			a.kind = exceeded
		case ipv4.ICMPTypeDestinationUnreachable:
			a.kind = unreachable
		default:
			return a, errType
		}
	}
	if a.kind == reply || a.kind == exceeded {
		if a.code != 0 { // a time exceeded of code 1 tells of reassembly
			return a, errType
		}
	}
	if a.kind == reply {
		a.echo(b)
		return a, nil
	}
	quoted, objects := split(v6, b)
	a.labels = labelStack(objects)
	return a, a.quote(quoted)
}

// echo reads the parts of an echo request or reply that name a probe.
func (a *answer) echo(b []byte) {
	a.flow.one = binary.BigEndian.Uint16(b[4:])
	a.seq = binary.BigEndian.Uint16(b[6:])
	a.readMark(b)
}

func (a *answer) readMark(b []byte) {
	if len(b) >= markAt+markSize {
		copy(a.mark[:], b[markAt:])
	}
}

// quote reads the packet that an error message is about.
func (a *answer) quote(b []byte) error {
	if len(b) < 1 {
		return errShort
	}
	var proto byte
	if a.v6 {
		switch {
		case b[0]>>4 != 6:
			return errQuote
		case len(b) < header6:
			return errShort
		}
		proto = b[6] // we send no extension headers
		a.to = netip.AddrFrom16([16]byte(b[24:40]))
		b = b[header6:]
	} else {
		n := int(b[0]&0xf) * 4
		switch {
		case b[0]>>4 != 4:
			return errQuote
		case n < header4:
			return errHeader
		case len(b) < n:
			return errShort
		case binary.BigEndian.Uint16(b[6:])&0x1fff != 0:
			return errFragment
		}
		proto = b[9]
		a.to = netip.AddrFrom4([4]byte(b[16:20]))
		b = b[n:]
	}
	if len(b) < transport {
		return errShort
	}
	switch {
	case proto == protoUDP:
		a.flow.udp = true
		a.flow.one = binary.BigEndian.Uint16(b)
		a.flow.two = binary.BigEndian.Uint16(b[2:])
		a.seq = binary.BigEndian.Uint16(b[6:])
		a.readMark(b)
	case a.v6 && proto == protoICMPv6 && b[0] == byte(ipv6.ICMPTypeEchoRequest),
		!a.v6 && proto == protoICMP && b[0] == byte(ipv4.ICMPTypeEcho):
		a.echo(b)
	default:
		return errProtocol
	}
	return nil
}

// tooBig6 stands for the ICMPv6 type "packet too big" among the codes of
// "destination unreachable", which has a byte for them.
const tooBig6 = 256

// portUnreachable is how a target says that UDP arrived.
func (a answer) portUnreachable() bool {
	return a.kind == unreachable && (!a.v6 && a.code == 3 || a.v6 && a.code == 4)
}
