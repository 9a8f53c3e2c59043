package replay

import (
	"slices"
	"time"
)

// Pair is an alert that two settings raise.
type Pair struct {
	Now, Then *Alert
	Later     time.Duration // of the second; negative: it comes earlier
}

// Difference is what a change of a setting changes.
type Difference struct {
	Both              []Pair
	OnlyNow, OnlyThen []*Alert
}

// Compare finds the alerts that two settings share: of the same spec, standing at
// the same time. One long alert in place of two shorter ones is shared with the
// first of them.
func Compare(now, then []*Alert) Difference {
	var d Difference
	bySpec := map[int64][]*Alert{}
	for _, a := range then {
		bySpec[a.ToolspecID] = append(bySpec[a.ToolspecID], a)
	}
	taken := map[*Alert]bool{}
	for _, a := range now {
		list := bySpec[a.ToolspecID]
		i := slices.IndexFunc(list, func(b *Alert) bool { return !taken[b] && touch(a, b) })
		if i < 0 {
			d.OnlyNow = append(d.OnlyNow, a)
			continue
		}
		taken[list[i]] = true
		d.Both = append(d.Both, Pair{a, list[i], list[i].Raised.Sub(a.Raised)})
	}
	for _, b := range then {
		if !taken[b] {
			d.OnlyThen = append(d.OnlyThen, b)
		}
	}
	return d
}

// touch reports whether two alerts of a spec tell of the same time: from when it
// began, by the data, to its end.
func touch(a, b *Alert) bool { return beginsBeforeEnd(a, b) && beginsBeforeEnd(b, a) }

func beginsBeforeEnd(a, b *Alert) bool { return b.Ended == nil || !a.Began.After(*b.Ended) }
