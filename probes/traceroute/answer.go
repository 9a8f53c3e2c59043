package traceroute

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// kind says what sort of answer came.
type kind byte

const (
	silence kind = iota
	refused      // by our own kernel
	exceeded
	unreachable
	reply
)

// answer is what a message says of a packet that may be ours.
type answer struct {
	kind    kind
	code    int // of unreachable
	v6      bool
	closed  bool // a TCP reset
	corrupt bool // the message's checksum is wrong
	mtu     int  // of the link that the packet was too big for; 0 if the router does not say

	labels     string // the MPLS labels that the packet had when it ended; see labelStack
	interfaces string // which the router says it came in by; see interfaces

	// The packet as the message quotes it. A reply has no target in it: that is who sent it.
	from, to netip.Addr
	ttl      int
	id       uint16 // IPv4
	sum      uint16 // the checksum of its transport header; not of TCP
	flow     flow   // without label; of ICMP without the checksum too
	seq      uint16
	secret   uint32         // of a SYN
	mark     [markSize]byte // zero when the quotation ends before it
}

// What can be wrong with a message. Most that arrive belong to somebody else.
var (
	errShort    = errors.New("message ends too soon")
	errType     = errors.New("message of a type that answers no probe")
	errQuote    = errors.New("quoted packet is not of this IP version")
	errHeader   = errors.New("quoted packet has an impossible header length")
	errFragment = errors.New("quoted packet is a later fragment")
	errProtocol = errors.New("quoted packet is none of those we send")
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
			a.mtu = int(min(binary.BigEndian.Uint32(b[4:]), mostMTU))
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
			if a.code == 4 {
				a.mtu = int(binary.BigEndian.Uint16(b[6:])) // RFC 1191; older routers leave it 0
			}
		default:
			return a, errType
		}
		// The kernel has not looked at it when a raw socket gets the message. It
		// has for IPv6, and drops those that are wrong.
		a.corrupt = fold(add(0, b)) != 0xffff
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
	a.labels, a.interfaces = labelStack(objects), interfaces(objects)
	return a, a.quote(quoted)
}

// tooBig6 stands for the ICMPv6 type "packet too big" among the codes of
// "destination unreachable", which has a byte for them.
const tooBig6 = 256

// mostMTU is what an IPv4 packet can have, and no link of IPv6 has more.
const mostMTU = 65535

// portUnreachable is how a target says that UDP arrived.
func (a answer) portUnreachable() bool {
	return a.kind == unreachable && (!a.v6 && a.code == 3 || a.v6 && a.code == 4)
}

// tooBig says that the packet did not fit the next link.
func (a answer) tooBig() bool {
	return a.kind == unreachable && (!a.v6 && a.code == 4 || a.v6 && a.code == tooBig6)
}

// echo reads the parts of an echo request or reply that name a probe.
func (a *answer) echo(b []byte) {
	a.sum = binary.BigEndian.Uint16(b[2:])
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
		proto, a.ttl = b[6], int(b[7]) // we send no extension headers
		a.from, a.to = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
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
		a.id = binary.BigEndian.Uint16(b[4:])
		a.ttl, proto = int(b[8]), b[9]
		a.from, a.to = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		b = b[n:]
	}
	if len(b) < transport {
		return errShort
	}
	switch {
	case proto == protoUDP:
		a.flow = flow{method: udp, one: binary.BigEndian.Uint16(b), two: binary.BigEndian.Uint16(b[2:])}
		a.sum = binary.BigEndian.Uint16(b[6:])
		a.seq = a.sum
		a.readMark(b)
	case proto == protoTCP:
		a.flow = flow{method: tcp, one: binary.BigEndian.Uint16(b), two: binary.BigEndian.Uint16(b[2:])}
		a.number(binary.BigEndian.Uint32(b[4:]))
	case a.v6 && proto == protoICMPv6 && b[0] == byte(ipv6.ICMPTypeEchoRequest),
		!a.v6 && proto == protoICMP && b[0] == byte(ipv4.ICMPTypeEcho):
		a.echo(b)
	default:
		return errProtocol
	}
	return nil
}

// number reads the sequence number of a SYN.
func (a *answer) number(n uint32) { a.seq, a.secret = uint16(n>>16), n&0xffff }

// Flags of a TCP header.
const (
	tcpSYN = 0x02
	tcpRST = 0x04
	tcpACK = 0x10
)

// parseTCP reads a segment that may answer a SYN: an acknowledgement of it with
// SYN where the port is open, with RST where it is closed.
func parseTCP(v6 bool, b []byte) (answer, error) {
	if len(b) < 20 {
		return answer{}, errShort
	}
	flags := b[13]
	if flags&tcpACK == 0 || flags&(tcpSYN|tcpRST) == 0 {
		return answer{}, errType
	}
	a := answer{kind: reply, v6: v6, closed: flags&tcpRST != 0,
		flow: flow{method: tcp, one: binary.BigEndian.Uint16(b[2:]), two: binary.BigEndian.Uint16(b)}}
	a.number(binary.BigEndian.Uint32(b[8:]) - 1)
	return a, nil
}
