package lab

import (
	"encoding/binary"
	"net/netip"
)

// Extension is what a router says behind the quoted packet, which it fills up
// to 128 bytes (RFC 4884).
type Extension struct {
	Objects     []Object
	Length      int  // of the quoted packet, in words of 4 bytes by IPv4 and 8 by IPv6, as told; 0 is the truth, -1 is not told, as before the RFC
	BadChecksum bool // of the extension
}

// Object is one thing said in an extension.
type Object struct {
	Class, Type uint8
	Payload     []byte
	Length      int // as told, with its header of 4 bytes; 0 is the truth
}

// Label is an entry of an MPLS label stack.
type Label struct {
	Label uint32 // 20 bits
	TC    uint8  // 3 bits, once called experimental
	TTL   uint8
}

// MPLS is a label stack, top first (RFC 4950).
func MPLS(stack ...Label) Object {
	o := Object{Class: 1, Type: 1}
	for i, l := range stack {
		entry := l.Label<<12 | uint32(l.TC)<<9 | uint32(l.TTL)
		if i == len(stack)-1 {
			entry |= 1 << 8 // bottom of the stack
		}
		o.Payload = binary.BigEndian.AppendUint32(o.Payload, entry)
	}
	return o
}

// Interface is what RFC 5837 tells of one: what is zero is not told.
type Interface struct {
	Role  uint8 // 0 the packet came in by it, 1 by it as part of a bundle, 2 would have left by it, 3 next hop
	Index uint32
	Addr  string
	Name  string // up to 63 bytes
	MTU   uint32
}

// Object puts the interface into bytes.
func (i Interface) Object() Object {
	o := Object{Class: 2, Type: i.Role << 6}
	if i.Index != 0 {
		o.Type |= 8
		o.Payload = binary.BigEndian.AppendUint32(o.Payload, i.Index)
	}
	if i.Addr != "" {
		o.Type |= 4
		a := netip.MustParseAddr(i.Addr)
		afi := byte(1)
		if a.Is6() {
			afi = 2
		}
		o.Payload = append(append(o.Payload, 0, afi, 0, 0), a.AsSlice()...)
	}
	if i.Name != "" {
		o.Type |= 2
		name := append([]byte{0}, i.Name...)
		for len(name)%4 != 0 {
			name = append(name, 0)
		}
		name[0] = byte(len(name))
		o.Payload = append(o.Payload, name...)
	}
	if i.MTU != 0 {
		o.Type |= 1
		o.Payload = binary.BigEndian.AppendUint32(o.Payload, i.MTU)
	}
	return o
}

func (e *Extension) bytes() []byte {
	b := []byte{2 << 4, 0, 0, 0} // version 2
	for _, o := range e.Objects {
		length := o.Length
		if length == 0 {
			length = 4 + len(o.Payload)
		}
		b = binary.BigEndian.AppendUint16(b, uint16(length))
		b = append(append(b, o.Class, o.Type), o.Payload...)
	}
	c := fold(sum(0, b))
	if e.BadChecksum {
		c ^= 0x5555
	}
	put16(b[2:], int(c))
	return b
}
