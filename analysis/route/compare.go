package route

import (
	"net/netip"

	"sonde/internal/measure"
)

// HopClass says how one hop of two routes compares.
type HopClass string

// The classes of a hop.
const (
	Unknown   HopClass = "unknown"
	Same      HopClass = "same"
	SameBlock HopClass = "same block"
	SameAS    HopClass = "same AS"
	ASUnknown HopClass = "AS unknown"
	OtherAS   HopClass = "other AS"
)

// Significant reports whether a hop of this class makes a change significant.
func (c HopClass) Significant() bool { return c == ASUnknown || c == OtherAS }

// Class says how two routes compare.
type Class string

// The classes of a route.
const (
	None             Class = "none"
	MinorBlock       Class = "minor, same block"
	MinorAS          Class = "minor, same AS"
	MinorSignificant Class = "minor, significant"
	MajorSignificant Class = "major, significant"
)

// ASOf gives the AS number of an address, false when it is not known.
type ASOf func(netip.Addr) (uint32, bool)

// Change is one hop that is not the same. A zero Addr on one side means that
// the route has no such hop.
type Change struct {
	Hop      int // counted from 1
	From, To netip.Addr
	Class    HopClass
}

// Hop compares one hop of two routes. as may be nil.
func Hop(from, to netip.Addr, as ASOf) HopClass {
	from, to = from.Unmap(), to.Unmap()
	switch {
	case !from.IsValid() || !to.IsValid():
		return Unknown
	case from == to:
		return Same
	case sameBlock(from, to):
		return SameBlock
	case as == nil:
		return ASUnknown
	}
	a, knownA := as(from)
	b, knownB := as(to)
	switch {
	case !knownA || !knownB:
		return ASUnknown
	case a == b:
		return SameAS
	default:
		return OtherAS
	}
}

func sameBlock(a, b netip.Addr) bool {
	if a.BitLen() != b.BitLen() {
		return false
	}
	bits := 24
	if a.Is6() {
		bits = 64
	}
	p, err := a.WithZone("").Prefix(bits)
	return err == nil && p.Contains(b.WithZone(""))
}

// Compare compares two routes and names the hops that changed.
func Compare(from, to measure.Route, as ASOf) (Class, []Change) {
	a, b := trim(from), trim(to)
	var changes []Change
	worst, significant := None, 0
	for i := range max(len(a), len(b)) {
		c := Change{Hop: i + 1, From: at(a, i), To: at(b, i)}
		switch {
		case i >= len(a) && from.Reached && c.To.IsValid(), i >= len(b) && to.Reached && c.From.IsValid():
			// One route ends before, at the target: this hop came or went.
			c.Class = ASUnknown
		default:
			c.Class = Hop(c.From, c.To, as)
		}
		switch {
		case c.Class == Same || c.Class == Unknown:
			continue
		case c.Class.Significant():
			significant++
		case c.Class == SameAS:
			worst = MinorAS
		case worst == None:
			worst = MinorBlock
		}
		changes = append(changes, c)
	}
	switch {
	case significant > 1:
		worst = MajorSignificant
	case significant == 1:
		worst = MinorSignificant
	}
	return worst, changes
}

// trim leaves out silent hops at the end.
func trim(r measure.Route) []netip.Addr {
	n := len(r.Hops)
	for n > 0 && !r.Hops[n-1].IsValid() {
		n--
	}
	return r.Hops[:n]
}

func at(hops []netip.Addr, i int) netip.Addr {
	if i < len(hops) {
		return hops[i]
	}
	return netip.Addr{}
}
