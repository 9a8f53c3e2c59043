package rib

import (
	"cmp"
	"iter"
	"math"
	"net/netip"
	"slices"
)

// Table collects which AS originate which prefixes. The zero value is empty.
type Table struct {
	votes []vote
	tidy  int // so many came from the last merge
}

// vote is small because there are millions.
type vote struct {
	addr   [16]byte
	origin uint32
	count  uint16
	bits   uint8
	six    bool
}

// Entry is a prefix and the AS that originate it, the most seen first.
type Entry struct {
	Prefix  netip.Prefix
	Origins []uint32
}

// mergeAt is how many votes more than after the last merge are taken before the next.
const mergeAt = 1 << 20

// lookBack is how many votes the place of one more is looked for in; merging finds the rest.
const lookBack = 32

// Add counts votes for an origin of a prefix. AS 0 and AS_TRANS (RFC 6793) are
// nobody, and a default route is no announcement.
func (t *Table) Add(p netip.Prefix, origin uint32, votes int) {
	if !p.IsValid() || p.Bits() == 0 || p.Addr().Is4In6() || origin == 0 || origin == asTrans || votes <= 0 {
		return
	}
	v := vote{origin: origin, bits: uint8(p.Bits()), six: p.Addr().Is6(), count: uint16(min(votes, math.MaxUint16))}
	v.addr = p.Masked().Addr().As16()
	// Views of one prefix come one after the other, of few origins.
	for i := len(t.votes) - 1; i >= max(t.tidy, len(t.votes)-lookBack) && t.votes[i].samePrefix(v); i-- {
		if t.votes[i].origin == origin {
			t.votes[i].add(v.count)
			return
		}
	}
	t.votes = append(t.votes, v)
	if len(t.votes) > 2*t.tidy+mergeAt {
		t.merge()
	}
}

func (v *vote) add(n uint16) { v.count = uint16(min(int(v.count)+int(n), math.MaxUint16)) }

func (v vote) samePrefix(o vote) bool { return v.addr == o.addr && v.bits == o.bits && v.six == o.six }

func (v vote) prefix() netip.Prefix {
	a := netip.AddrFrom16(v.addr)
	if !v.six {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, int(v.bits))
}

// merge sorts by prefix and adds up the votes for the same.
func (t *Table) merge() {
	slices.SortFunc(t.votes, func(a, b vote) int {
		if a.six != b.six {
			if a.six {
				return 1
			}
			return -1
		}
		return cmp.Or(slices.Compare(a.addr[:], b.addr[:]), cmp.Compare(a.bits, b.bits), cmp.Compare(a.origin, b.origin))
	})
	kept := t.votes[:0]
	for _, v := range t.votes {
		if n := len(kept); n > 0 && kept[n-1].samePrefix(v) && kept[n-1].origin == v.origin {
			kept[n-1].add(v.count)
			continue
		}
		kept = append(kept, v)
	}
	t.votes = kept
	t.tidy = len(kept)
}

// All gives the prefixes in order, IPv4 first. An entry's Origins are only good
// until the next one.
func (t *Table) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		t.merge()
		var origins []uint32
		for i := 0; i < len(t.votes); {
			end := i + 1
			for end < len(t.votes) && t.votes[end].samePrefix(t.votes[i]) {
				end++
			}
			same := t.votes[i:end]
			origins = origins[:0]
			if len(same) > 1 {
				slices.SortStableFunc(same, func(a, b vote) int { return cmp.Compare(b.count, a.count) })
			}
			for _, v := range same {
				origins = append(origins, v.origin)
			}
			if !yield(Entry{same[0].prefix(), origins}) {
				return
			}
			i = end
		}
	}
}

// Empty reports whether nothing was collected.
func (t *Table) Empty() bool { return len(t.votes) == 0 }
