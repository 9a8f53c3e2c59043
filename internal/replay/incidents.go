package replay

import (
	"slices"
	"time"

	"sonde/internal/store"
)

// An alert belongs to an incident when it stands while the incident lasts, or is
// raised so soon after: people and data do not agree on the minute.
const leastSlack = 5 * time.Minute

// Told is an incident and the alert that told of it.
type Told struct {
	Incident store.Incident
	Alert    *Alert        // the first; nil: none did
	Delay    time.Duration // from the incident's beginning to the alert's raise, 0 if it stood already
	Alerts   int           // so many told of it
}

// Marks is how alerts fare against what people know.
type Marks struct {
	Right, Wrong, Planned []Told
	Elsewhere             int // incidents of nothing that was replayed
	Unmarked              int // alerts of which nobody has said anything
}

// Caught is how many of a list have an alert.
func Caught(list []Told) int {
	n := 0
	for _, t := range list {
		if t.Alert != nil {
			n++
		}
	}
	return n
}

// Against compares the alerts of a result with incidents. That there was trouble
// counts for every rule; that there was none is said of one metric, unless no
// alert is named.
func (r *Result) Against(incidents []store.Incident, specs []store.Watched) Marks {
	var m Marks
	bySpec := map[int64][]*Alert{}
	for _, a := range slices.Concat(r.early, r.Alerts) {
		bySpec[a.ToolspecID] = append(bySpec[a.ToolspecID], a)
	}
	marked := map[*Alert]bool{}
	for _, in := range incidents {
		if in.Verdict == "wrong" && in.AlertID != 0 && in.Metric != r.Setting.Rule.Metric {
			m.Elsewhere++
			continue
		}
		told, known := Told{Incident: in}, false
		for i := range specs {
			w := &specs[i]
			if !concerns(&in, w) {
				continue
			}
			known = true
			slack := max(leastSlack, 2*w.Usual)
			for _, a := range bySpec[w.ID] {
				if !a.stands(in.From.Add(-slack), untilOf(in).Add(slack)) {
					continue
				}
				marked[a] = true
				told.Alerts++
				if delay := max(0, a.Raised.Sub(in.From)); told.Alert == nil || delay < told.Delay {
					told.Alert, told.Delay = a, delay
				}
			}
		}
		switch {
		case !known:
			m.Elsewhere++
		case in.Verdict == "wrong":
			m.Wrong = append(m.Wrong, told)
		case in.Verdict == "planned":
			m.Planned = append(m.Planned, told)
		default:
			m.Right = append(m.Right, told)
		}
	}
	for _, a := range r.Alerts {
		if !marked[a] {
			m.Unmarked++
		}
	}
	return m
}

// forEver is longer than any data are kept.
const forEver = 200 * 365 * 24 * time.Hour

func untilOf(in store.Incident) time.Time {
	if in.Until == nil {
		return in.From.Add(forEver)
	}
	return *in.Until
}

// concerns reports whether an incident happened to what a spec measures.
func concerns(in *store.Incident, w *store.Watched) bool {
	switch {
	case in.ToolspecID != 0:
		return in.ToolspecID == w.ID
	case in.Tool != "" && in.Tool != w.Tool:
		return false
	case in.Label != "":
		return slices.Contains(w.Labels, in.Label)
	}
	return in.Node != "" && in.Node == w.Node
}
