package route

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"sonde/analysis"
	"sonde/internal/measure"
)

// Method finds changes of a route.
func Method() analysis.Method {
	return analysis.Method{
		Name:    "route",
		Meaning: "The route is another one than before, hop by hop; noted and shown, never sent.",
		Options: []measure.Option{
			{Name: "least", Type: measure.EnumOption, Default: "minor", Values: []string{"minor", "significant", "major"},
				Meaning: "The least change that is noted: minor (any other address), significant (one hop to another network), major (more than one)."},
		},
		New: func(p measure.Options, saved json.RawMessage) (analysis.Detector, error) {
			d := &detector{least: p.Text("least")}
			if err := analysis.Load(saved, &d.state); err != nil {
				return nil, err
			}
			if len(d.state.Hops) > 0 && d.state.At.IsZero() {
				return nil, fmt.Errorf("saved state of a detector: a route seen never")
			}
			return d, nil
		},
	}
}

type detector struct {
	least string
	state state
}

// state is the previous known route.
type state struct {
	At      time.Time    `json:"at,omitzero"` // when it was seen first in a row
	Hops    []netip.Addr `json:"hops,omitempty"`
	Reached bool         `json:"reached,omitempty"`
	Number  int          `json:"number,omitempty"`
}

func (d *detector) Save() (json.RawMessage, error) { return json.Marshal(d.state) }

func (d *detector) Tick(time.Time) []measure.Verdict { return nil }

func (d *detector) Feed(s measure.Sample) []measure.Verdict {
	if s.Outcome != measure.OK || s.Route == nil || len(trim(*s.Route)) == 0 {
		return nil // nobody answered at all: no route was seen
	}
	at := s.DueAt.UTC()
	now := state{At: at, Hops: addresses(trim(*s.Route)), Reached: s.Route.Reached, Number: s.Route.Number}
	before := d.state
	if len(before.Hops) == 0 {
		d.state = now
		return nil
	}
	class, changes := Compare(before.route(), now.route())
	if class == MinorSignificant || class == MajorSignificant {
		d.state = now
	} else {
		d.state = now.remembering(before)
		if len(changes) == 0 {
			d.state.At = before.At
		}
	}
	var out []measure.Verdict
	if d.notes(class) {
		out = append(out, note(at, before, now, class, words(before, now, changes), changes))
	}
	if before.Reached != now.Reached {
		text := "the route reaches the target again"
		if !now.Reached {
			last := len(now.Hops)
			text = fmt.Sprintf("the route no longer reaches the target, the last answer came from %s at hop %d", now.Hops[last-1], last)
		}
		out = append(out, note(at, before, now, class, text, changes))
	}
	return out
}

func (d *detector) notes(c Class) bool {
	switch d.least {
	case "major":
		return c == MajorSignificant
	case "significant":
		return c == MajorSignificant || c == MinorSignificant
	}
	return c != None
}

func (s state) route() measure.Route {
	r := measure.Route{Reached: s.Reached, Hops: make([]measure.Hop, len(s.Hops))}
	for i, a := range s.Hops {
		r.Hops[i].Address = a
	}
	return r
}

func addresses(hops []measure.Hop) []netip.Addr {
	out := make([]netip.Addr, len(hops))
	for i, h := range hops {
		out[i] = h.Address
	}
	return out
}

// remembering fills hops that are silent now with what they were.
func (s state) remembering(before state) state {
	s.Hops = append([]netip.Addr(nil), s.Hops...)
	for i, h := range s.Hops {
		if !h.IsValid() && i < len(before.Hops) {
			s.Hops[i] = before.Hops[i]
		}
	}
	// A route that broke off keeps what was known beyond.
	if !s.Reached && len(before.Hops) > len(s.Hops) {
		s.Hops = append(s.Hops, before.Hops[len(s.Hops):]...)
	}
	return s
}

// words say which hop changed, the first of the gravest by name.
func words(before, now state, changes []Change) string {
	first := changes[0]
	for _, c := range changes {
		if c.Class.Significant() {
			first = c
			break
		}
	}
	hop := "hop " + strconv.Itoa(first.Hop)
	var text string
	switch {
	case first.From.Silent():
		text = fmt.Sprintf("%s is new: %s", hop, first.To.Address)
	case first.To.Silent():
		text = fmt.Sprintf("%s is gone: it was %s", hop, first.From.Address)
	default:
		text = fmt.Sprintf("%s moved from %s to %s", hop, first.From.Address, first.To.Address)
	}
	switch more := len(changes) - 1; more {
	case 0:
	case 1:
		text += ", and one more hop"
	default:
		text += fmt.Sprintf(", and %d more hops", more)
	}
	if before.Reached && now.Reached && len(before.Hops) != len(now.Hops) {
		text += fmt.Sprintf("; %d hops, before %d", len(now.Hops), len(before.Hops))
	}
	return text
}

func note(at time.Time, before, now state, class Class, text string, changes []Change) measure.Verdict {
	list := make([]map[string]any, len(changes))
	for i, c := range changes {
		list[i] = map[string]any{"hop": c.Hop, "from": name(c.From.Address), "to": name(c.To.Address), "class": string(c.Class)}
	}
	return measure.Verdict{
		Kind: measure.Note, Severity: measure.Info, At: at, Since: at, Text: text,
		Evidence: map[string]any{
			"class": string(class), "changes": list,
			"before": printed(before.Hops), "after": printed(now.Hops),
			"before_reached": before.Reached, "after_reached": now.Reached,
			"before_route_no": before.Number, "after_route_no": now.Number,
			"before_since": before.At,
		},
	}
}

func name(a netip.Addr) string {
	if !a.IsValid() {
		return "*"
	}
	return a.String()
}

func printed(hops []netip.Addr) []string {
	out := make([]string, len(hops))
	for i, h := range hops {
		out[i] = name(h)
	}
	return out
}
