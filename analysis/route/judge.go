package route

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sonde/internal/measure"
)

// judge holds a route against the history: see the table in doc.go.
func (d *detector) judge(at time.Time, now measure.Route) []measure.Verdict {
	st := &d.state
	if again, _, _ := loop(now.Hops); again.IsValid() || !now.Reached && st.reaches() {
		st.tick(at, false)
		return nil // in the midst of something, and ping's business
	}
	clock := st.tick(at, true)
	if !st.forget(clock.Add(-d.forgetIn)) {
		st.Learn, st.Runs = clock, 0
	}
	learning := clock.Sub(st.Learn) < d.learn || st.Runs < leastRuns
	st.Runs = min(st.Runs+1, leastRuns)

	path := ASPathOf(now)
	k := st.memory.route(now.Hops, now.Reached)
	usual := learning || k != nil && k.Usual
	inPath := path.Known() && st.usualPath(path)
	withAS := slices.ContainsFunc(st.Paths, func(p seenPath) bool { return p.Usual })
	if k = st.see(now.Hops, now.Reached, clock); !k.holds(now.Hops) {
		return nil // an arm seen once: the next run tells whether it is one
	}
	was := measure.Route{}
	if st.Home != nil {
		was = d.route(*st.Home)
	}
	left := !usual && (!inPath || newcomer(was, now, st.usualASes()))
	p := st.seePath(path, clock, left)
	switch {
	case learning && st.Told != nil:
		return d.home(at, now, k, p, "nothing is left of the history; it is learnt anew")
	case usual:
		text := "the old route is back: "
		if class, _ := Compare(was, now); class.Significant() {
			text = "a usual route is back: "
		}
		return d.home(at, now, k, p, text+d.short(now))
	case k.Stayed >= d.adopt || p != nil && st.stayed(path) >= d.adopt:
		return d.home(at, now, k, p, fmt.Sprintf("the new route is usual now, it was there for %s: %s", measure.FormatDuration(d.adopt), d.short(now)))
	}
	if now.Reached && st.reaches() && !st.endsAt(now.Hops[len(now.Hops)-1].Address) {
		// The name leads elsewhere, or a person changed the node: that is another
		// target, whose routes nobody can know yet.
		if st.Told != nil {
			return nil
		}
		return d.home(at, now, k, p, "")
	}
	if st.Strange++; st.Strange == 1 {
		st.Since = at
	}
	class, changes := Compare(was, now)
	known := "the route is another one now, of a usual AS path: " + d.short(now)
	if !withAS {
		known = "the route is nearly the old one again: " + d.short(now)
	}
	switch {
	case d.alarm == "never":
		return d.home(at, now, k, p, known)
	case st.Strange < d.persist:
		return nil
	case withAS && path.Known() && left:
		return d.raise(at, was, now, class, changes, "")
	case d.alarm == "route" && class.Significant():
		return d.raise(at, was, now, class, changes, "")
	case withAS && d.unknown(now):
		return nil // what is not known does not count, nor is it history yet
	case !withAS && class.Significant():
		return d.raise(at, was, now, class, changes, measure.Info)
	}
	return d.home(at, now, k, p, known)
}

// home takes a route into the history, and ends the alarm that stands.
func (d *detector) home(at time.Time, now measure.Route, k *seenRoute, p *seenPath, text string) []measure.Verdict {
	st := &d.state
	k.Usual, k.Stayed = true, 0
	if p != nil {
		p.Usual = true
	}
	told := st.Told != nil
	here := snap(at, now)
	st.Home, st.Strange, st.Since, st.Told = &here, 0, time.Time{}, nil
	if !told {
		return nil
	}
	return []measure.Verdict{{Kind: measure.Good, At: at, Since: at, Text: text,
		Evidence: map[string]any{"route": printed(now.Hops), "as_path": ASPathOf(now).String(), "route_no": now.Number}}}
}

// raise tells of a route off the history, once, and again only of another such one.
func (d *detector) raise(at time.Time, was, now measure.Route, class Class, changes []Change, severity measure.Severity) []measure.Verdict {
	st := &d.state
	if st.Told != nil {
		told := d.route(*st.Told)
		other, _ := Compare(told, now)
		if p := ASPathOf(now); !other.Significant() || p.Known() && p.Same(ASPathOf(told)) {
			return nil
		}
	}
	seen := snap(at, now)
	st.Told = &seen
	words := Sentences(was, now)
	from, to := ASPathOf(was), ASPathOf(now)
	text := few(words, 1)
	if text == "" {
		text = d.short(now)
	}
	text = "route left its history: " + text
	if from.Known() && to.Known() {
		text += fmt.Sprintf(pathWords+"%s, before %s", to, from)
	}
	e := evidence(class, changes, was, now, since(st.Home))
	e["reason"] = Turn(was, now)
	e["runs"] = st.Strange
	e["known_routes"], e["known_as_paths"] = usualOnes(st.Routes, func(k seenRoute) bool { return k.Usual }), usualOnes(st.Paths, func(k seenPath) bool { return k.Usual })
	return []measure.Verdict{{Kind: measure.Bad, Severity: severity, At: at, Since: st.Since, Text: text, Evidence: e}}
}

func since(home *snapshot) time.Time {
	if home == nil {
		return time.Time{}
	}
	return home.At
}

func usualOnes[T any](list []T, usual func(T) bool) int {
	n := 0
	for _, k := range list {
		if usual(k) {
			n++
		}
	}
	return n
}

// newcomer reports whether a hop moved from one AS to another that no usual
// route runs through: gaps at both ends of a path can hide much, not that.
func newcomer(was, now measure.Route, usual map[uint32]bool) bool {
	return slices.ContainsFunc(align(was, now), func(s step) bool {
		return s.a >= 0 && s.b >= 0 && was.Hops[s.a].AS != 0 && now.Hops[s.b].AS != 0 && !usual[now.Hops[s.b].AS]
	})
}

// reaches reports whether the history knows routes that reach the target.
func (m *memory) reaches() bool {
	return slices.ContainsFunc(m.Routes, func(k seenRoute) bool { return k.Usual && k.Reached })
}

// endsAt reports whether a usual route reaches the target at this address.
func (m *memory) endsAt(a netip.Addr) bool {
	return slices.ContainsFunc(m.Routes, func(k seenRoute) bool {
		return k.Usual && k.Reached && len(k.Hops) > 0 && slices.Contains(k.Hops[len(k.Hops)-1].Is, a)
	})
}

// unknown reports whether a hop that no usual route has is of an AS that is not known.
func (d *detector) unknown(now measure.Route) bool {
	return slices.ContainsFunc(now.Hops, func(h measure.Hop) bool { return !h.Silent() && h.AS == 0 && !d.state.knows(h.Address) })
}

// Turn names where one route leaves the other, the same for all routes that
// take the same turn: "from AS 20965 to AS 1299 behind AS 680", or by addresses
// where no AS is known. Empty when nothing tells.
func Turn(was, now measure.Route) string {
	a, b := known(ASPathOf(was)), known(ASPathOf(now))
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			turn := fmt.Sprintf("from AS %d to AS %d", a[i], b[i])
			if i > 0 {
				turn += fmt.Sprintf(" behind AS %d", a[i-1])
			}
			return turn
		}
	}
	if len(a) > 0 && len(b) > 0 {
		return ""
	}
	for i := range min(len(was.Hops), len(now.Hops)) {
		if ClassOf(was.Hops[i], now.Hops[i]).changed() {
			return fmt.Sprintf("from %s to %s at hop %d", was.Hops[i].Address, now.Hops[i].Address, i+1)
		}
	}
	return ""
}

func known(p ASPath) ASPath {
	return slices.DeleteFunc(slices.Clone(p), func(as uint32) bool { return as == 0 })
}

// short says a route in few words: its AS path, or how long it is.
func (d *detector) short(r measure.Route) string {
	if p := ASPathOf(r); p.Known() {
		return "AS path " + p.String()
	}
	return fmt.Sprintf("%d hops", len(r.Hops))
}

// few joins sentences; of many the first few are told.
func few(words []string, most int) string {
	if more := len(words) - most; more > 1 {
		words = append(slices.Clone(words[:most]), fmt.Sprintf("and %d more changes", more))
	}
	return strings.Join(words, "; ")
}
