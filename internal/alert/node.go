package alert

import (
	"cmp"
	"fmt"
	"slices"
)

// causeRank orders what may be found at one node by how much it explains: what
// does not answer has loss, a route that changed brings delay with it.
var causeRank = map[Cause]int{NoAnswer: 0, CannotMeasure: 1, RouteLeft: 2, Loss: 3, Delay: 4, Other: 5, NoData: 6}

// causeFirst orders findings by what explains most, then by time.
func causeFirst(a, b Finding) int {
	return cmp.Or(cmp.Compare(causeRank[a.Cause], causeRank[b.Cause]), a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
}

// sameNode makes one alert of findings that began together at one node, from
// whichever hosts and with whichever tools they were seen. The cause speaks; but
// who was told already goes on speaking, and only who is graver or worse speaks beside it.
func (g *Grouping) sameNode(w World) {
	byNode := map[string][]Finding{}
	for _, f := range w.Findings {
		if _, hidden := g.Hidden[f.ID]; !hidden && f.Cause != NoData {
			byNode[f.Node] = append(byNode[f.Node], f)
		}
	}
	for _, node := range sortedKeys(byNode) {
		rest := byNode[node]
		slices.SortFunc(rest, func(a, b Finding) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
		for len(rest) > 1 {
			seed := rest[0]
			var group, others []Finding
			for _, f := range rest {
				if f.Since.Sub(seed.Since) <= together(seed.Interval, f.Interval) {
					group = append(group, f)
				} else {
					others = append(others, f)
				}
			}
			rest = others
			by := speakerOf(group)
			for _, f := range group {
				if f.ID != by.ID && rank(f.Severity) <= rank(by.Severity) && !worse(f, by) {
					g.hide(f, Hiding{By: by.ID, Member: true, Why: fmt.Sprintf("it began together with a%d, %s, which tells of %s", by.ID, by.Rule, node)})
				}
			}
		}
	}
}

// worse reports whether f is no part of what by told of: it explains more, and
// began later for certain, as no answer may after a route has changed.
func worse(f, by Finding) bool {
	return causeRank[f.Cause] < causeRank[by.Cause] && f.Since.Sub(by.Since)-f.Interval > togetherLeast
}

// speakerOf chooses who speaks for findings of one node.
func speakerOf(group []Finding) Finding {
	return slices.MinFunc(group, func(a, b Finding) int {
		switch {
		case a.Told && b.Told:
			return cmp.Or(-cmp.Compare(rank(a.Severity), rank(b.Severity)), causeFirst(a, b))
		case a.Told:
			return -1
		case b.Told:
			return 1
		}
		return causeFirst(a, b)
	})
}

// lingering keeps what was part of an alert hidden for a while after that one
// has ended: they recover one after the other. What stands then speaks for itself.
func (g *Grouping) lingering(w World) {
	for _, f := range w.Findings {
		ended, known := w.Ended[f.PartOf]
		if f.PartOf != 0 && known && w.At.Sub(ended) < w.Linger && !f.Told {
			g.hide(f, Hiding{By: f.PartOf, Why: fmt.Sprintf("a%d, of which it was part, has just ended; told when it still stands %s later", f.PartOf, short(w.Linger))})
		}
	}
}

// flatten lets everything that is hidden be part of what is not.
func (g *Grouping) flatten() {
	for id, h := range g.Hidden {
		for range 10 { // a circle cannot be, since who hides came first; be sure all the same
			next, hidden := g.Hidden[h.By]
			if h.By == 0 || !hidden || next.By == 0 && next.Rule == "" || next.By == id {
				break
			}
			h.By, h.Rule, h.Subject = next.By, next.Rule, next.Subject
		}
		g.Hidden[id] = h
	}
}

// Company says what an alert stands for beside itself, as its message names it:
// "; with it 3 more: loss, delay from b, no answer at n7".
func Company(by Finding, members []Finding) string {
	if len(members) == 0 {
		return ""
	}
	members = slices.Clone(members)
	slices.SortFunc(members, causeFirst)
	var names []string
	for _, f := range members {
		name := f.Rule
		if f.Node != by.Node {
			name += " at " + f.Node
		} else if f.Monhost != by.Monhost {
			name += " from " + f.Monhost
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return fmt.Sprintf("; with it %d more: %s", len(members), some(names, 4))
}
