package route

import (
	"slices"

	"sonde/internal/measure"
)

// step is one line of two routes laid side by side; -1 on one side means that
// the hop is only on the other.
type step struct{ a, b int }

// Line is one line of two routes laid side by side.
type Line struct {
	From, To int  // places among the hops, -1 where the route has none
	Changed  bool // the hop moved, came or went, as Sentences tells
}

// SideBySide lays two routes side by side as Sentences does. Silent hops at their ends are left out.
func SideBySide(from, to measure.Route) []Line {
	w := newWriter(from, to)
	lines := make([]Line, len(w.steps))
	for i, s := range w.steps {
		lines[i] = Line{s.a, s.b, w.changed(s)}
	}
	return lines
}

// What it costs to take two hops for one, or to say that one came or went. A
// hop that moved costs less than one gone and another new; one that stays
// silent can be anybody, yet is rather the one it stood for.
const (
	costSilent  = 1 // one of the two is
	costRotated = 1 // they are arms of one load-balanced hop
	costGone    = 4
	costGap     = 2 // a silent hop came or went
	costNear    = 6 // the same AS or block
	costMoved   = 7
	costNever   = 1 << 20
)

// align lays two routes side by side at the least cost (Needleman and Wunsch,
// J. Mol. Biol. 48, 1970). What lies behind the last answer of a route that
// broke off costs nothing: it is not known.
func align(from, to measure.Route) []step {
	a, b := Trim(from), Trim(to)
	n, m := len(a), len(b)
	gone := func(h measure.Hop, i, other int, reached bool) int {
		switch {
		case !reached && i >= other:
			return 0
		case h.Silent():
			return costGap
		}
		return costGone
	}
	cost := make([][]int, n+1) // of a[i:] and b[j:]
	for i := range cost {
		cost[i] = make([]int, m+1)
	}
	choices := func(i, j int) (pair, onlyA, onlyB int) {
		pair, onlyA, onlyB = costNever, costNever, costNever
		if i < n && j < m {
			pair = costOf(a[i], b[j]) + cost[i+1][j+1]
		}
		if i < n {
			onlyA = gone(a[i], i, m, j < m || to.Reached) + cost[i+1][j]
		}
		if j < m {
			onlyB = gone(b[j], j, n, i < n || from.Reached) + cost[i][j+1]
		}
		return pair, onlyA, onlyB
	}
	for i := n; i >= 0; i-- {
		for j := m; j >= 0; j-- {
			if i < n || j < m {
				cost[i][j] = min3(choices(i, j))
			}
		}
	}
	var steps []step
	for i, j := 0, 0; i < n || j < m; {
		pair, onlyA, _ := choices(i, j)
		switch cost[i][j] {
		case pair:
			steps = append(steps, step{i, j})
			i, j = i+1, j+1
		case onlyA:
			steps = append(steps, step{i, -1})
			i++
		default:
			steps = append(steps, step{-1, j})
			j++
		}
	}
	return steps
}

func min3(a, b, c int) int { return min(a, b, c) }

func costOf(x, y measure.Hop) int {
	switch c := ClassOf(x, y); {
	case c == Same || x.Silent() && y.Silent():
		return 0
	case c == Unknown:
		return costSilent
	case Rotated(x, y):
		return costRotated
	case c == SameBlock || c == SameAS:
		return costNear
	}
	return costMoved
}

// Rotated reports whether two hops are different arms of one load-balanced hop.
func Rotated(x, y measure.Hop) bool {
	return x.Address != y.Address && !x.Silent() && !y.Silent() &&
		(slices.Contains(x.Arms, y.Address) || slices.Contains(y.Arms, x.Address))
}
