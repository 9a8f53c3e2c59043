package ping

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
)

// An echo request of ours, from its ICMP header on:
//
//	 0  type, code, checksum            RFC 792, RFC 4443
//	 4  identifier, sequence number     the lower 16 bits of k
//	 8  slot, run, k                    which packet of which run, 4 bytes each
//	20  size of the payload
//	24  mac over 8 to 24, 8 bytes       nobody else can make one
//	32  pattern
//
// A reply brings all of it back. An error of a router quotes the packet's
// beginning, most often beyond the mac, at least up to the sequence number.
const (
	headSize  = 32
	leastSize = headSize - 8 // of a payload

	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
)

// pattern fills payloads behind the head; a reply that brings something else back is damaged.
var pattern = func() []byte {
	b := make([]byte, mostSize-leastSize)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}()

// token names one packet of this engine.
type token struct {
	slot uint32 // of the engine's table
	run  uint32 // of all runs of the engine, because slots are used again
	k    uint32 // packet of the run, from 0
	size uint32 // of the payload
}

// key makes and knows the engine's own tokens. maphash is no cryptographic MAC,
// but its seed never leaves the process: who does not see our packets cannot
// forge a reply to them, and who does could have answered them anyway.
type key maphash.Seed

// put writes the head of an echo request. sum is that of the pattern behind
// it; the checksum is left to the kernel where it makes it itself.
func (k key) put(b *[headSize]byte, v6 bool, id uint16, t token, sum uint32) {
	b[0], b[1], b[2], b[3] = echoRequest4, 0, 0, 0
	if v6 {
		b[0] = echoRequest6
	}
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], uint16(t.k))
	binary.BigEndian.PutUint32(b[8:], t.slot)
	binary.BigEndian.PutUint32(b[12:], t.run)
	binary.BigEndian.PutUint32(b[16:], t.k)
	binary.BigEndian.PutUint32(b[20:], t.size)
	binary.BigEndian.PutUint64(b[24:], maphash.Bytes(maphash.Seed(k), b[8:24]))
	if !v6 {
		binary.BigEndian.PutUint16(b[2:], ^fold(sum+sumOf(b[:])))
	}
}

// read gives the token of a packet from its ICMP header on; ok says that it is
// one of ours, undamaged.
func (k key) read(icmp []byte) (t token, ok bool) {
	if len(icmp) < headSize {
		return token{}, false
	}
	t = token{
		slot: binary.BigEndian.Uint32(icmp[8:]), run: binary.BigEndian.Uint32(icmp[12:]),
		k: binary.BigEndian.Uint32(icmp[16:]), size: binary.BigEndian.Uint32(icmp[20:]),
	}
	return t, binary.BigEndian.Uint64(icmp[24:]) == maphash.Bytes(maphash.Seed(k), icmp[8:24]) && sequence(icmp) == uint16(t.k)
}

func sequence(icmp []byte) uint16 { return binary.BigEndian.Uint16(icmp[6:]) }

// sumOf is the sum of 16-bit words of RFC 1071, not folded; an odd last byte
// counts as the upper half of a word.
func sumOf(b []byte) uint32 {
	sum := uint32(0)
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

func fold(sum uint32) uint16 {
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// intact reports whether the checksum of an ICMP message of IPv4 is right.
func intact(icmp []byte) bool { return fold(sumOf(icmp)) == 0xffff }

// refusal is an ICMP error about a packet of ours.
type refusal struct {
	about netip.Addr // to whom the packet went
	seq   uint16
	name  string
	quote []byte // the packet from its ICMP header on, as far as it is quoted
}

// parseRefusal4 reads an ICMP error from its ICMP header on (RFC 792); ok says
// that it quotes an echo request with that identifier.
func parseRefusal4(icmp []byte, id uint16) (r refusal, ok bool) {
	if len(icmp) < 8+20 {
		return r, false
	}
	name := errorName4(icmp[0], icmp[1])
	ip := icmp[8:]
	head := int(ip[0]&0xf) * 4
	if name == "" || ip[0]>>4 != 4 || head < 20 || len(ip) < head+8 || ip[9] != 1 {
		return r, false
	}
	to, _ := netip.AddrFromSlice(ip[16:20])
	return quoted(to, ip[head:], name, echoRequest4, id)
}

// parseRefusal6 is parseRefusal4 for RFC 4443. Extension headers are none of
// ours, so that a packet that has some was not ours either.
func parseRefusal6(icmp []byte, id uint16) (r refusal, ok bool) {
	if len(icmp) < 8+40+8 {
		return r, false
	}
	name := errorName6(icmp[0], icmp[1])
	ip := icmp[8:]
	if name == "" || ip[0]>>4 != 6 || ip[6] != 58 {
		return r, false
	}
	to, _ := netip.AddrFromSlice(ip[24:40])
	return quoted(to, ip[40:], name, echoRequest6, id)
}

func quoted(to netip.Addr, icmp []byte, name string, kind byte, id uint16) (refusal, bool) {
	if icmp[0] != kind || binary.BigEndian.Uint16(icmp[4:]) != id {
		return refusal{}, false
	}
	return refusal{about: to, seq: sequence(icmp), name: name, quote: icmp}, true
}

// errorName4 names an ICMP error; empty for what is none.
func errorName4(kind, code byte) string {
	switch kind {
	case 3:
		if int(code) < len(unreachable4) {
			return unreachable4[code]
		}
		return "unreachable"
	case 4:
		return "source_quench"
	case 5:
		return "redirect"
	case 11:
		if code == 1 {
			return "reassembly_time_exceeded"
		}
		return "ttl_exceeded"
	case 12:
		return "parameter_problem"
	}
	return ""
}

// unreachable4 are the codes of RFC 792, RFC 1122 and RFC 1812.
var unreachable4 = [...]string{
	"net_unreachable", "host_unreachable", "protocol_unreachable", "port_unreachable", "fragmentation_needed", "source_route_failed",
	"net_unknown", "host_unknown", "source_isolated", "net_prohibited", "host_prohibited", "net_unreachable_for_tos", "host_unreachable_for_tos",
	"admin_prohibited", "precedence_violation", "precedence_cutoff",
}

func errorName6(kind, code byte) string {
	switch kind {
	case 1:
		if int(code) < len(unreachable6) {
			return unreachable6[code]
		}
		return "unreachable"
	case 2:
		return "packet_too_big"
	case 3:
		if code == 1 {
			return "reassembly_time_exceeded"
		}
		return "ttl_exceeded"
	case 4:
		return "parameter_problem"
	}
	return ""
}

// unreachable6 are the codes of RFC 4443, section 3.1.
var unreachable6 = [...]string{
	"no_route", "admin_prohibited", "beyond_scope", "address_unreachable", "port_unreachable", "policy_failed", "route_rejected",
}

// sentPacket finds our ICMP message in a packet that the kernel gives back with
// its time of sending: it begins with the header of whatever link it went over.
func sentPacket(b []byte, v6 bool) []byte {
	for _, link := range [...]int{14, 0, 18, 22} { // Ethernet, none (TUN, PPP), one VLAN tag, two
		if len(b) < link+20+8 {
			continue
		}
		switch ip := b[link:]; {
		case !v6 && ip[0]>>4 == 4 && ip[9] == 1:
			if head := int(ip[0]&0xf) * 4; head >= 20 && len(ip) >= head+headSize && ip[head] == echoRequest4 {
				return ip[head:]
			}
		case v6 && ip[0]>>4 == 6 && len(ip) >= 40+headSize && ip[6] == 58 && ip[40] == echoRequest6:
			return ip[40:]
		}
	}
	return nil
}
