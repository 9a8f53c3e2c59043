package lab

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Message is type and code of an ICMP error by IPv4 and by IPv6.
type Message struct{ Type4, Code4, Type6, Code6 uint8 }

// What routers and targets say, with traceroute's marks.
var (
	TimeExceeded = Message{11, 0, 3, 0}
	NoNetwork    = Message{3, 0, 1, 0}  // !N
	NoHost       = Message{3, 1, 1, 3}  // !H
	NoProtocol   = Message{3, 2, 4, 1}  // !P
	NoPort       = Message{3, 3, 1, 4}  //
	TooBig       = Message{3, 4, 2, 0}  // !F
	Prohibited   = Message{3, 13, 1, 1} // !X
)

// Unreachable is destination unreachable with any code.
func Unreachable(code4, code6 uint8) Message { return Message{3, code4, 1, code6} }

// speaks counts a packet that ends at r, and says whether and from where r answers.
func (r *Router) speaks(p *Packet) (from netip.Addr, ok bool) {
	r.asked.Add(1)
	from = r.v4
	if p.V6() {
		from = r.v6
	}
	if r.Silent != nil && r.Silent(p) || r.Limit != nil && !r.Limit.take(p.At) {
		return from, false
	}
	return from, true
}

// ttlHere is the TTL with which an answer gets to the host, after so many routers.
func (r *Router) ttlHere(initial, routers int) int {
	if r.TTL > 0 {
		initial = r.TTL
	}
	if r.Back > 0 {
		routers = r.Back
	}
	return initial - routers
}

// complain is a router's ICMP error about a packet.
func (n *Internet) complain(r *Router, p *Packet, m Message, mtu int) {
	if p.isError() || p.later {
		return
	}
	if from, ok := r.speaks(p); ok && from.IsValid() {
		n.sendError(r, p, from, r.ttlHere(255, p.hops-1), m, mtu)
	}
}

// sendError quotes the packet as it came.
func (n *Internet) sendError(r *Router, p *Packet, from netip.Addr, ttl int, m Message, mtu int) {
	msg := n.out[headroom : headroom+8]
	clear(msg)
	proto, word, lengthAt, room := uint8(icmp4), 4, 5, 576-20-8
	msg[0], msg[1] = m.Type4, m.Code4
	if p.V6() {
		proto, word, lengthAt, room = icmp6, 8, 4, 1280-40-8
		msg[0], msg[1] = m.Type6, m.Code6
	}
	switch {
	case m == TooBig && p.V6():
		binary.BigEndian.PutUint32(msg[4:], uint32(mtu))
	case m == TooBig:
		put16(msg[6:], mtu)
	case m == NoProtocol && p.V6():
		msg[7] = 6 // points to the next header
	}
	var extension []byte
	if r.Extension != nil && !(m == TooBig && p.V6()) {
		extension = r.Extension.bytes()
		room -= len(extension)
		room -= room % word
	}
	if r.Quote > 0 {
		room = min(room, r.Quote)
	}
	quote := msg[8:][:len(p.Bytes)]
	copy(quote, p.Bytes)
	seen := p.TTL
	if r.QuoteTTL > 0 {
		seen = r.QuoteTTL
	}
	if p.V6() {
		quote[7] = uint8(seen)
	} else {
		quote[8] = uint8(seen)
		put16(quote[10:], 0)
		put16(quote[10:], int(fold(sum(0, quote[:p.transport]))))
	}
	quote = quote[:min(room, len(quote))]
	if extension != nil {
		size := max(128, (len(quote)+word-1)/word*word)
		clear(quote[len(quote):size])
		quote = quote[:size]
		length := r.Extension.Length
		if length == 0 {
			length = size / word
		}
		if length > 0 {
			msg[lengthAt] = uint8(length)
		}
	}
	msg = append(msg[:8+len(quote)], extension...)
	if r.Forge != nil {
		msg = n.out[headroom:][:copy(n.out[headroom:], r.Forge(msg))]
	}
	n.send(r, p, from, proto, ttl, len(msg))
}

// accept is what a target does with a packet: it sees it as it was sent, for
// a NAT that rewrote it puts the answer right.
func (n *Internet) accept(t *Router, p *Packet) {
	in := p.sent[p.transport:]
	if p.part || p.isError() || p.Proto == tcp && t.ignores(p, in) || t.Lose != nil && t.Lose(p) {
		return
	}
	p.delay += t.Delay
	from, ok := t.speaks(p)
	if !from.IsValid() {
		from = p.Dst
	}
	if !ok {
		return
	}
	ttl := t.ttlHere(64, p.hops)
	out := n.out[headroom:]
	switch {
	case t.Refuse != (Message{}) && (t.RefuseOnly == nil || t.RefuseOnly(p)):
		n.sendError(t, p, from, ttl, t.Refuse, 0)
	case p.Proto == icmp4 && in[0] == 8, p.Proto == icmp6 && in[0] == 128:
		copy(out, in)
		out[0] = 0
		if p.V6() {
			out[0] = 129
		}
		n.send(t, p, from, p.Proto, ttl, len(in))
	case p.Proto == udp && slices.Contains(t.OpenUDP, binary.BigEndian.Uint16(in[2:])):
		copy(out, in)
		copy(out, in[2:4])
		copy(out[2:], in[0:2])
		n.send(t, p, from, udp, ttl, len(in))
	case p.Proto == udp:
		n.sendError(t, p, from, ttl, NoPort, 0)
	case p.Proto == tcp:
		n.sendTCP(t, p, from, ttl, in)
	case !IsICMP(p):
		n.sendError(t, p, from, ttl, NoProtocol, 0)
	}
}

const (
	tcpFIN = 0x01
	tcpSYN = 0x02
	tcpRST = 0x04
	tcpACK = 0x10
)

// ignores is true of resets, and of what belongs to a connection but does not
// end it: whoever connects to an open port stays connected and hears nothing.
func (t *Router) ignores(p *Packet, in []byte) bool {
	flags := in[13]
	return flags&tcpRST != 0 || flags&(tcpACK|tcpSYN|tcpFIN) == tcpACK && t.opens(in) && binary.BigEndian.Uint32(in[8:]) == cookie(p)+1
}

func (t *Router) opens(in []byte) bool {
	return slices.Contains(t.OpenTCP, binary.BigEndian.Uint16(in[2:]))
}

// cookie is the sequence number of a target's SYN, which it remembers by computing it again.
func cookie(p *Packet) uint32 { return uint32(mix(PerFlow(p))) }

// sendTCP answers a segment for which there is no connection (RFC 9293, 3.10.7).
func (n *Internet) sendTCP(t *Router, p *Packet, from netip.Addr, ttl int, in []byte) {
	out := n.out[headroom:][:20]
	clear(out)
	copy(out, in[2:4])
	copy(out[2:], in[0:2])
	out[12] = 5 << 4
	flags := in[13]
	length := len(in) - int(in[12]>>4)*4 + int(flags&tcpSYN>>1) + int(flags&tcpFIN)
	switch {
	case flags&tcpACK != 0:
		copy(out[4:], in[8:12])
		out[13] = tcpRST
	case t.opens(in) && flags&tcpSYN != 0:
		binary.BigEndian.PutUint32(out[4:], cookie(p))
		binary.BigEndian.PutUint32(out[8:], binary.BigEndian.Uint32(in[4:])+1)
		out[13] = tcpSYN | tcpACK
		put16(out[14:], 0xffff)
	default:
		binary.BigEndian.PutUint32(out[8:], binary.BigEndian.Uint32(in[4:])+uint32(length))
		out[13] = tcpRST | tcpACK
	}
	n.send(t, p, from, tcp, ttl, 20)
}

// send answers a packet with the payload that stands in n.out.
func (n *Internet) send(r *Router, p *Packet, from netip.Addr, proto uint8, ttl, size int) {
	if ttl < 1 {
		return
	}
	payload := n.out[headroom : headroom+size]
	var packet []byte
	if p.V6() {
		packet = n.out[headroom-40 : headroom+size]
		clear(packet[:40])
		src, dst := from.As16(), p.Src.As16()
		packet[0], packet[6], packet[7] = 0x60, proto, uint8(ttl)
		put16(packet[4:], size)
		copy(packet[8:], src[:])
		copy(packet[24:], dst[:])
	} else {
		packet = n.out[headroom-20 : headroom+size]
		clear(packet[:20])
		src, dst := from.As4(), p.Src.As4()
		n.id++
		packet[0], packet[8], packet[9] = 0x45, uint8(ttl), proto
		put16(packet[2:], len(packet))
		put16(packet[4:], int(n.id))
		copy(packet[12:], src[:])
		copy(packet[16:], dst[:])
		put16(packet[10:], int(fold(sum(0, packet[:20]))))
	}
	setChecksum(packet, proto, payload)
	if r.BadChecksum {
		if at := checksumAt(proto); at >= 0 {
			payload[at] ^= 0x55
		}
	}
	r.answered.Add(1)
	if delay := p.delay + r.Slow; delay > 0 {
		n.late.come <- traveller{p.At.Add(delay), p.N, append([]byte(nil), packet...)}
		return
	}
	// An error is a device that is down: the answer is lost there.
	n.tun.Write(packet)
}
