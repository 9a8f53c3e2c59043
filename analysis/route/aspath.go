package route

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sonde/internal/measure"
)

// ASPath is the ASes a route runs through, in order, each once where it is
// entered. 0 is a gap: hops that stayed silent, or whose AS is not known.
type ASPath []uint32

// shared are the addresses of RFC 6598, private to a provider and its customers.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// ASPathOf gives the AS path of a route. Private addresses at its beginning are
// one's own network, no gap. Hops without AS between two of one AS belong to
// it. A route that breaks off ends in a gap: nobody knows what follows.
func ASPathOf(r measure.Route) ASPath {
	var p ASPath
	for _, h := range Trim(r) {
		switch n := len(p); {
		case n == 0 && h.AS == 0 && !h.Silent() && (h.Address.IsPrivate() || shared.Contains(h.Address)):
		case n > 0 && p[n-1] == h.AS:
		case n > 1 && p[n-1] == 0 && p[n-2] == h.AS:
			p = p[:n-1]
		default:
			p = append(p, h.AS)
		}
	}
	if n := len(p); !r.Reached && n > 0 && p[n-1] != 0 {
		p = append(p, 0)
	}
	return p
}

// Known reports whether any AS of the path is.
func (p ASPath) Known() bool { return slices.ContainsFunc(p, func(as uint32) bool { return as != 0 }) }

// Same reports whether two paths can be one: a gap stands for any ASes, or none,
// but for none that its own path has elsewhere (RFC 4271, 9.1.2: no path has an
// AS twice), or paths with gaps at both ends would be the same as any.
func (p ASPath) Same(q ASPath) bool {
	fills := func(path ASPath, as uint32) bool { return as == 0 || !slices.Contains(path, as) }
	// can[j] says whether the rest of p and q[j:] can be one.
	can := make([]bool, len(q)+1)
	for i := len(p); i >= 0; i-- {
		next := slices.Clone(can)
		for j := len(q); j >= 0; j-- {
			switch {
			case i == len(p) && j == len(q):
				can[j] = true
			case i < len(p) && p[i] == 0:
				can[j] = next[j] || j < len(q) && fills(p, q[j]) && can[j+1]
			case j < len(q) && q[j] == 0:
				can[j] = can[j+1] || i < len(p) && fills(q, p[i]) && next[j]
			default:
				can[j] = i < len(p) && j < len(q) && p[i] == q[j] && next[j+1]
			}
		}
	}
	return can[0]
}

// String writes the path as 680 20965 ? 513. The gap before the first AS, one's
// own network, is left out; nothing but gaps is "unknown".
func (p ASPath) String() string {
	if !p.Known() {
		return "unknown"
	}
	words := make([]string, 0, len(p))
	for i, as := range p {
		switch {
		case as != 0:
			words = append(words, strconv.FormatUint(uint64(as), 10))
		case i > 0:
			words = append(words, "?")
		}
	}
	return strings.Join(words, " ")
}
