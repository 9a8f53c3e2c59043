package lab

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// Packet is a packet of the host's on its way. Functions that get one must not keep it.
type Packet struct {
	N        int       // it is the n-th of all, from 0
	At       time.Time // when it was read from the host
	TTL      int       // as it is where the packet has got to
	Src, Dst netip.Addr
	Proto    uint8
	Bytes    []byte // as routers rewrote it, but for the TTL

	sent      []byte // as the host sent it
	transport int    // where the transport's header starts in both
	part      bool   // a fragment, or behind extension headers: the transport is not looked at
	later     bool   // a fragment that is not the first
	delay     time.Duration
	hops      int
}

const (
	icmp4 = 1
	tcp   = 6
	udp   = 17
	icmp6 = 58
)

// V6 is of the version.
func (p *Packet) V6() bool { return p.Dst.Is6() }

// Transport is the packet without its IP header.
func (p *Packet) Transport() []byte { return p.Bytes[p.transport:] }

// SrcPort is 0 where there are no ports.
func (p *Packet) SrcPort() uint16 { return p.port(0) }

// DstPort is 0 where there are no ports.
func (p *Packet) DstPort() uint16 { return p.port(2) }

func (p *Packet) port(at int) uint16 {
	if p.part || p.Proto != udp && p.Proto != tcp {
		return 0
	}
	return binary.BigEndian.Uint16(p.Transport()[at:])
}

// Always is true of all packets.
func Always(*Packet) bool { return true }

// IsICMP is true of ICMP and ICMPv6.
func IsICMP(p *Packet) bool { return p.Proto == icmp4 || p.Proto == icmp6 }

// IsUDP is true of UDP.
func IsUDP(p *Packet) bool { return p.Proto == udp }

// IsTCP is true of TCP.
func IsTCP(p *Packet) bool { return p.Proto == tcp }

// Not is true where f is not.
func Not(f func(*Packet) bool) func(*Packet) bool { return func(p *Packet) bool { return !f(p) } }

// isError is true of ICMP errors, of which nobody may complain (RFC 1122, RFC 4443).
func (p *Packet) isError() bool {
	if p.part || !IsICMP(p) {
		return false
	}
	kind := p.sent[p.transport]
	if p.V6() {
		return kind < 128
	}
	return slices.Contains([]byte{3, 4, 5, 11, 12}, kind)
}

func (p *Packet) dontFragment() bool { return p.V6() || p.Bytes[6]&0x40 != 0 }

// parse reads a packet and checks all that a receiver would.
func (p *Packet) parse(b []byte) error {
	*p = Packet{Bytes: b, sent: b}
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		p.TTL, p.Proto, p.transport = int(b[8]), b[9], int(b[0]&0x0f)*4
		if p.transport < 20 || p.transport > len(b) || int(binary.BigEndian.Uint16(b[2:])) != len(b) {
			return errors.New("lengths in its IPv4 header are not its own")
		}
		if fold(sum(0, b[:p.transport])) != 0 {
			return errors.New("its IPv4 header has a wrong checksum")
		}
		fragment := binary.BigEndian.Uint16(b[6:])
		p.part, p.later = fragment&0x3fff != 0, fragment&0x1fff != 0
	case len(b) >= 40 && b[0]>>4 == 6:
		p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		p.TTL, p.Proto, p.transport = int(b[7]), b[6], 40
		if int(binary.BigEndian.Uint16(b[4:])) != len(b)-40 {
			return errors.New("its IPv6 header has a wrong length")
		}
		p.part = slices.Contains([]byte{0, 43, 44, 60}, p.Proto)
	default:
		return errors.New("it is no IP packet")
	}
	if p.TTL == 0 {
		return errors.New("it set out with TTL 0")
	}
	at := checksumAt(p.Proto)
	if p.part || at < 0 {
		return nil
	}
	t := b[p.transport:]
	switch {
	case len(t) < at+2 || p.Proto == tcp && (len(t) < 20 || int(t[12]>>4)*4 < 20 || int(t[12]>>4)*4 > len(t)) || p.Proto != tcp && len(t) < 8:
		return errors.New("its transport header is cut short")
	case p.Proto == udp && int(binary.BigEndian.Uint16(t[4:])) != len(t):
		return errors.New("its UDP header has a wrong length")
	case p.Proto == udp && t[6] == 0 && t[7] == 0:
		if p.V6() {
			return errors.New("UDP by IPv6 must have a checksum")
		}
	case fold(sum(pseudo(b, p.Proto, len(t)), t)) != 0:
		return errors.New("its ICMP, UDP or TCP checksum is wrong")
	}
	return nil
}

// checksumAt is where a protocol has its checksum, -1 where we know of none.
func checksumAt(proto uint8) int {
	switch proto {
	case icmp4, icmp6:
		return 2
	case udp:
		return 6
	case tcp:
		return 16
	}
	return -1
}

// setChecksum puts a packet's transport checksum right.
func setChecksum(packet []byte, proto uint8, transport []byte) {
	at := checksumAt(proto)
	if at < 0 || len(transport) < at+2 {
		return
	}
	put16(transport[at:], 0)
	c := fold(sum(pseudo(packet, proto, len(transport)), transport))
	if c == 0 && proto == udp {
		c = 0xffff
	}
	put16(transport[at:], int(c))
}

// pseudo is the sum of the pseudo-header (RFC 793, RFC 8200); ICMP of IPv4 has none.
func pseudo(packet []byte, proto uint8, size int) uint64 {
	if proto == icmp4 {
		return 0
	}
	acc := uint64(proto) + uint64(size)
	if packet[0]>>4 == 4 {
		return sum(acc, packet[12:20])
	}
	return sum(acc, packet[8:40])
}

// sum adds bytes to an Internet checksum (RFC 1071) that is not folded yet.
func sum(acc uint64, b []byte) uint64 {
	for ; len(b) >= 4; b = b[4:] {
		acc += uint64(binary.BigEndian.Uint32(b))
	}
	if len(b) >= 2 {
		acc += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		acc += uint64(b[0]) << 8
	}
	return acc
}

func fold(acc uint64) uint16 {
	for acc > 0xffff {
		acc = acc&0xffff + acc>>16
	}
	return ^uint16(acc)
}

func put16(b []byte, v int) { binary.BigEndian.PutUint16(b, uint16(v)) }

// Translated is a Rewrite that gives packets another source, as a NAT does.
// Restored is the common NAT, which puts the source right in packets that are quoted
// to it, but not their UDP or TCP checksum; that is what tells of it (Dublin traceroute).
func Translated(source string, restored bool) func(packet []byte) {
	to := netip.MustParseAddr(source).AsSlice()
	return func(packet []byte) {
		src, proto, transport := packet[8:24], packet[6], 40
		if packet[0]>>4 == 4 {
			src, proto, transport = packet[12:16], packet[9], int(packet[0]&0x0f)*4
		}
		if len(to) != len(src) {
			return
		}
		var was [16]byte
		copy(was[:], src)
		copy(src, to)
		setChecksum(packet, proto, packet[transport:])
		if restored {
			copy(src, was[:])
		}
	}
}
