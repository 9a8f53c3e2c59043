package alert

import (
	"fmt"
	"time"

	"sonde/internal/measure"
)

// turnLinger is how long after the last end of an alert of a turn another of
// them speaks: routes come back one after the other, each with its next run.
const turnLinger = 30 * time.Minute

// Turn is one place at which routes of a monitoring host left their history for
// the same AS. One alert speaks for all; it may have ended meanwhile.
type Turn struct {
	Alert   int64     `json:"alert"`
	Members int       `json:"members"`        // open alerts
	Ended   time.Time `json:"ended,omitzero"` // when the last of them ended, once Alert has
}

func turnKey(f Finding) string { return f.Monhost + "/" + f.Reason }

func tookTurn(f Finding) bool { return f.Cause == RouteLeft && f.Reason != "" }

// NextTurns says which alert speaks for each turn: the first, one that is not
// planned before others, and when that has ended while others stand, after a
// while the next. A turn of which no alert stands is forgotten.
func NextTurns(turns map[string]Turn, findings []Finding, planned map[int64]bool, at time.Time) map[string]Turn {
	open := map[string][]Finding{}
	for _, f := range findings {
		if tookTurn(f) {
			open[turnKey(f)] = append(open[turnKey(f)], f)
		}
	}
	next := map[string]Turn{}
	for key, list := range open {
		t, known := turns[key]
		first, stands := list[0].ID, false
		for _, f := range list {
			stands = stands || f.ID == t.Alert
			if planned[first] && !planned[f.ID] || planned[first] == planned[f.ID] && f.ID < first {
				first = f.ID
			}
		}
		switch {
		case !known:
			t = Turn{Alert: first}
		case stands:
			t.Ended = time.Time{}
		case t.Ended.IsZero() || len(list) < t.Members:
			t.Ended = at
		case at.Sub(t.Ended) >= turnLinger:
			t = Turn{Alert: first}
		}
		t.Members = len(list)
		next[key] = t
	}
	return next
}

// sameTurn hides who took a turn that another alert tells of. Where that one is itself
// hidden, by a router that is down, the first that is not speaks in its place; and who is
// graver than the one that speaks speaks too.
func (g *Grouping) sameTurn(w World, findings []Finding) {
	speaks := map[string]Finding{}
	for _, f := range findings { // in the order of ids
		key := turnKey(f)
		t, known := w.Turns[key]
		if _, hidden := g.Hidden[f.ID]; hidden || !tookTurn(f) || !known {
			continue
		}
		if _, some := speaks[key]; !some || f.ID == t.Alert {
			speaks[key] = f
		}
	}
	for _, f := range findings {
		t, known := w.Turns[turnKey(f)]
		if !tookTurn(f) || !known {
			continue
		}
		by := t.Alert
		if s, some := speaks[turnKey(f)]; some {
			if _, stands := g.Hidden[by]; stands {
				by = s.ID
			}
			if by == s.ID && gravity[f.Severity] > gravity[s.Severity] {
				continue
			}
		}
		if by != f.ID {
			g.hide(f, Hiding{By: by, Why: fmt.Sprintf("a%d tells of all routes from %s that turned %s", by, f.Monhost, f.Reason)})
		}
	}
}

var gravity = map[measure.Severity]int{measure.Info: 1, measure.Warning: 2, measure.Critical: 3}
