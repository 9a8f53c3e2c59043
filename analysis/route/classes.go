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

// changed reports whether the address is another one.
func (c HopClass) changed() bool { return c != Same && c != Unknown }

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

// Significant reports whether at least one hop of the route changed significantly.
func (c Class) Significant() bool { return c == MinorSignificant || c == MajorSignificant }

// Change is one hop that is not the same. A silent Hop on one side means that
// the route has no such hop.
type Change struct {
	Hop      int // counted from 1
	From, To measure.Hop
	Class    HopClass
}

// ClassOf compares one hop of two routes.
func ClassOf(from, to measure.Hop) HopClass {
	a, b := from.Address.Unmap(), to.Address.Unmap()
	switch {
	case !a.IsValid() || !b.IsValid():
		return Unknown
	case a == b:
		return Same
	case sameBlock(a, b):
		return SameBlock
	case from.AS == 0 || to.AS == 0:
		return ASUnknown
	case from.AS == to.AS:
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

// Compare compares two routes hop by hop, as IEPM did, and names the hops that
// changed. Sentences says it in words and sees a hop that was put in as one.
func Compare(from, to measure.Route) (Class, []Change) {
	a, b := Trim(from), Trim(to)
	var changes []Change
	worst, significant := None, 0
	for i := range max(len(a), len(b)) {
		c := Change{Hop: i + 1, From: at(a, i), To: at(b, i)}
		switch {
		case i >= len(a) && from.Reached && !c.To.Silent(), i >= len(b) && to.Reached && !c.From.Silent():
			// One route ends before, at the target: this hop came or went.
			c.Class = ASUnknown
		default:
			c.Class = ClassOf(c.From, c.To)
		}
		switch {
		case !c.Class.changed():
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

// Trim leaves out silent hops at the end.
func Trim(r measure.Route) []measure.Hop {
	n := len(r.Hops)
	for n > 0 && r.Hops[n-1].Silent() {
		n--
	}
	return r.Hops[:n]
}

func at(hops []measure.Hop, i int) measure.Hop {
	if i < len(hops) {
		return hops[i]
	}
	return measure.Hop{}
}
