package rib_test

import (
	"encoding/binary"
	"net/netip"
)

// What follows writes MRT, by RFC 6396 and RFC 8050.

func be16(n int) string    { return string(binary.BigEndian.AppendUint16(nil, uint16(n))) }
func be32(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

func mrt(kind, sub int, body string) string {
	return be32(1700000000) + be16(kind) + be16(sub) + be32(uint32(len(body))) + body
}

func peers(as ...uint32) string {
	body := be32(0) + be16(0) + be16(len(as))
	for _, n := range as {
		body += "\x02" + be32(7) + "\xc0\x00\x02\x01" + be32(n)
	}
	return mrt(13, 1, body)
}

// route is one of a peer, with the value of its AS_PATH.
type route struct {
	peer int
	path string
}

func segment(kind byte, as []uint32) string {
	s := string([]byte{kind, byte(len(as))})
	for _, n := range as {
		s += be32(n)
	}
	return s
}

func set(as ...uint32) string    { return segment(1, as) }
func seq(as ...uint32) string    { return segment(2, as) }
func confed(as ...uint32) string { return segment(3, as) }

func nlri(prefix string) string {
	p := netip.MustParsePrefix(prefix)
	return string([]byte{byte(p.Bits())}) + string(p.Addr().AsSlice()[:(p.Bits()+7)/8])
}

// attributes has ORIGIN before the path, and the path with an extended length.
func attributes(path string) string {
	return "\x40\x01\x01\x00" + "\x50\x02" + be16(len(path)) + path
}

func ribV2(sub int, prefix string, routes ...route) string {
	return ribOf(sub, prefix, "", routes)
}

func addPath(sub int, prefix string, routes ...route) string {
	return ribOf(sub, prefix, "\x00\x00\x00\x01", routes)
}

func ribOf(sub int, prefix, pathID string, routes []route) string {
	body := be32(1) + nlri(prefix) + be16(len(routes))
	for _, r := range routes {
		a := attributes(r.path)
		body += be16(r.peer) + be32(1600000000) + pathID + be16(len(a)) + a
	}
	return mrt(13, sub, body)
}

func ribRaw(sub int, prefix string, peer int, attributes string) string {
	return mrt(13, sub, be32(1)+nlri(prefix)+be16(1)+be16(peer)+be32(1600000000)+be16(len(attributes))+attributes)
}

func tableDump(prefix string, peerAS int, attributes string) string {
	p := netip.MustParsePrefix(prefix)
	sub := 1
	if p.Addr().Is6() {
		sub = 2
	}
	body := be16(0) + be16(1) + string(p.Addr().AsSlice()) + string([]byte{byte(p.Bits()), 1}) + be32(1600000000) + string(p.Addr().AsSlice()) + be16(peerAS) + be16(len(attributes)) + attributes
	return mrt(12, sub, body)
}
