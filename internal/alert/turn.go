package alert

import (
	"fmt"
	"time"
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

func (g *Grouping) sameTurn(w World, findings []Finding) {
	for _, f := range findings {
		if t, known := w.Turns[turnKey(f)]; tookTurn(f) && known && t.Alert != f.ID {
			g.hide(f, Hiding{By: t.Alert, Why: fmt.Sprintf("a%d tells of all routes from %s that turned %s", t.Alert, f.Monhost, f.Reason)})
		}
	}
}
