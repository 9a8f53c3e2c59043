package route

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// packed is a memory as it is saved: each address once, with its AS, and routes
// that point to it. As text, 64 routes of 15 hops are 140 kB.
type packed struct {
	Addresses []byte            `json:"addresses,omitempty"` // of each its length, its bytes, its AS
	Routes    []packedRoute     `json:"routes,omitempty"`
	Paths     []seenPath        `json:"paths,omitempty"`
	Names     map[uint32]string `json:"as_names,omitempty"`
}

type packedRoute struct {
	seen
	Hops    []byte        `json:"hops"` // of each hop how many Is and Once are, then their places in Addresses
	Reached bool          `json:"reached,omitempty"`
	Stayed  time.Duration `json:"stayed,omitempty"`
}

// pack makes what is saved; others are addresses beside those of the routes.
func (m *memory) pack(others []netip.Addr) packed {
	p := packed{Paths: m.Paths, Names: m.Names}
	place := map[netip.Addr]int{}
	point := func(a netip.Addr) int {
		at, known := place[a]
		if !known {
			at = len(place)
			place[a] = at
			raw := a.AsSlice()
			p.Addresses = append(append(p.Addresses, byte(len(raw))), raw...)
			p.Addresses = binary.AppendUvarint(p.Addresses, uint64(m.AS[a]))
		}
		return at
	}
	for _, k := range m.Routes {
		r := packedRoute{seen: k.seen, Hops: []byte{}, Reached: k.Reached, Stayed: k.Stayed}
		for _, h := range k.Hops {
			r.Hops = binary.AppendUvarint(binary.AppendUvarint(r.Hops, uint64(len(h.Is))), uint64(len(h.Once)))
			for _, a := range slices.Concat(h.Is, h.Once) {
				r.Hops = binary.AppendUvarint(r.Hops, uint64(point(a)))
			}
		}
		p.Routes = append(p.Routes, r)
	}
	for _, a := range others {
		if m.AS[a] != 0 {
			point(a)
		}
	}
	return p
}

var errPacked = errors.New("the saved state of a detector is damaged: its packed routes")

// unpack reads what pack made.
func (p packed) unpack() (memory, error) {
	m := memory{Paths: p.Paths, Names: p.Names}
	var all []netip.Addr
	for raw := p.Addresses; len(raw) > 0; {
		n := int(raw[0])
		if n >= len(raw) {
			return m, errPacked
		}
		a, ok := netip.AddrFromSlice(raw[1 : 1+n])
		as, size := binary.Uvarint(raw[1+n:])
		if !ok || size <= 0 || as > 1<<32-1 {
			return m, errPacked
		}
		all = append(all, a)
		if as != 0 {
			if m.AS == nil {
				m.AS = map[netip.Addr]uint32{}
			}
			m.AS[a] = uint32(as)
		}
		raw = raw[1+n+size:]
	}
	for _, r := range p.Routes {
		k := seenRoute{seen: r.seen, Reached: r.Reached, Stayed: r.Stayed}
		from := bytes.NewReader(r.Hops)
		for from.Len() > 0 {
			is, err1 := binary.ReadUvarint(from)
			once, err2 := binary.ReadUvarint(from)
			if err1 != nil || err2 != nil || is > mostArms || once > mostArms {
				return m, errPacked
			}
			list := make([]netip.Addr, is+once)
			for i := range list {
				at, err := binary.ReadUvarint(from)
				if err != nil || at >= uint64(len(all)) {
					return m, errPacked
				}
				list[i] = all[at]
			}
			k.Hops = append(k.Hops, seenHop{Is: list[:is:is], Once: list[is:]})
		}
		m.Routes = append(m.Routes, k)
	}
	return m, nil
}
