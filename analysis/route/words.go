package route

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sonde/internal/measure"
)

// Sentences tells how one route became another, what changed the AS first, then
// in the order of the hops, without full stops: "hop 5 moved from AS 20965 (GEANT) to AS 1299
// (ARELION), +34 ms", "hop 7 is new: 192.0.2.7", "the path is one hop longer".
// Hops are counted in the route that is now, those that are gone in the one
// before. A hop that fell silent is no news, nor is a round-trip time that
// changed on the same hops: routes that differ in nothing else give none.
func Sentences(before, after measure.Route) []string {
	w := newWriter(before, after)
	w.blocks()
	w.rotations()
	w.stutters()
	w.tunnels()
	w.length()
	return append(w.grave, w.out...)
}

type writer struct {
	before, after measure.Route
	a, b          []measure.Hop
	steps         []step
	grave, out    []string
}

func newWriter(before, after measure.Route) *writer {
	return &writer{before: before, after: after, a: Trim(before), b: Trim(after), steps: align(before, after)}
}

func (w *writer) say(format string, args ...any) { w.out = append(w.out, fmt.Sprintf(format, args...)) }

func (w *writer) sayFirst(format string, args ...any) {
	w.grave = append(w.grave, fmt.Sprintf(format, args...))
}

// changed reports whether a step tells of a change: a hop that moved, came or went.
func (w *writer) changed(s step) bool {
	switch {
	case s.a < 0:
		// The same router for one more hop is a stutter.
		return !w.b[s.b].Silent() && !w.beyond(s.b, w.before, w.a) && !repeats(w.b, s.b)
	case s.b < 0:
		return !w.a[s.a].Silent() && !w.beyond(s.a, w.after, w.b) && !repeats(w.a, s.a)
	}
	return costOf(w.a[s.a], w.b[s.b]) >= costNear
}

// beyond reports whether hop i lies behind the last answer of the other route, which broke off.
func (w *writer) beyond(i int, other measure.Route, hops []measure.Hop) bool {
	return !other.Reached && i >= len(hops)
}

func repeats(hops []measure.Hop, i int) bool {
	same := func(j int) bool { return j >= 0 && j < len(hops) && hops[j].Address == hops[i].Address }
	return same(i-1) || same(i+1)
}

// blocks tells of hops that moved, came or went, neighbours together.
func (w *writer) blocks() {
	for i := 0; i < len(w.steps); {
		if !w.changed(w.steps[i]) {
			i++
			continue
		}
		j := i + 1
		for j < len(w.steps) && w.changed(w.steps[j]) {
			j++
		}
		w.block(w.steps[i:j])
		i = j
	}
}

// block tells of neighbours: as one where all of them went from one AS to
// another, else piece by piece.
func (w *writer) block(steps []step) {
	from, to := w.sides(steps)
	if x, y := oneAS(w.a, from), oneAS(w.b, to); len(from) > 0 && len(to) > 0 && x.AS != 0 && y.AS != 0 && len(to) > 1 {
		where := hops(to)
		if !slices.Equal(from, to) {
			where += " (before: " + hops(from) + ")"
		}
		if x.AS != y.AS {
			w.sayFirst("%s now run through %s instead of %s%s", where, asName(y), asName(x), w.slower(steps))
		} else {
			w.say("%s changed within %s%s", where, asName(x), w.slower(steps))
		}
		return
	}
	for i := 0; i < len(steps); {
		j := i + 1
		for j < len(steps) && w.alike(steps[i], steps[j]) {
			j++
		}
		w.piece(steps[i:j])
		i = j
	}
}

// alike reports whether two neighbours can be told in one sentence.
func (w *writer) alike(s, t step) bool {
	switch {
	case s.a < 0 || t.a < 0:
		return s.a < 0 && t.a < 0
	case s.b < 0 || t.b < 0:
		return s.b < 0 && t.b < 0
	}
	x, y := w.a[s.a].AS, w.b[s.b].AS
	return x != 0 && y != 0 && x == w.a[t.a].AS && y == w.b[t.b].AS
}

func (w *writer) piece(steps []step) {
	from, to := w.sides(steps)
	switch {
	case len(from) == 0:
		w.say("%s %s new: %s", hops(to), isAre(to), names(w.b, to))
	case len(to) == 0:
		w.say("%s %s gone: %s", hops(from), isAre(from), names(w.a, from))
	case len(to) > 1:
		w.block(steps) // all of one AS: alike says so
	default:
		x, y := w.a[from[0]], w.b[to[0]]
		where := hops(to)
		if from[0] != to[0] {
			where += " (before: " + hops(from) + ")"
		}
		switch {
		case x.AS != 0 && y.AS != 0 && x.AS != y.AS:
			w.sayFirst("%s moved from %s to %s%s", where, asName(x), asName(y), w.slower(steps))
		case x.AS != 0 && x.AS == y.AS:
			w.say("%s moved from %s to %s within %s%s", where, x.Address, y.Address, asName(x), w.slower(steps))
		default:
			w.say("%s moved from %s to %s%s", where, hopName(x), hopName(y), w.slower(steps))
		}
	}
}

func (w *writer) sides(steps []step) (from, to []int) {
	for _, s := range steps {
		if s.a >= 0 {
			from = append(from, s.a)
		}
		if s.b >= 0 {
			to = append(to, s.b)
		}
	}
	return from, to
}

// slower gives ", +34 ms" of the last hop of a block that has a round trip on both sides.
func (w *writer) slower(steps []step) string {
	for _, s := range slices.Backward(steps) {
		if s.a >= 0 && s.b >= 0 && w.a[s.a].RTT > 0 && w.b[s.b].RTT > 0 {
			return Slower(w.a[s.a].RTT, w.b[s.b].RTT)
		}
	}
	return ""
}

// Slower gives ", +34 ms", ", -2.5 ms", or nothing below half a millisecond.
func Slower(before, after time.Duration) string {
	d := after - before
	ms := float64(d) / float64(time.Millisecond)
	switch abs := d.Abs(); {
	case abs < 500*time.Microsecond:
		return ""
	case abs < 10*time.Millisecond:
		return fmt.Sprintf(", %+.1f ms", ms)
	}
	return fmt.Sprintf(", %+.0f ms", ms)
}

func (w *writer) rotations() {
	for _, s := range w.steps {
		if s.a < 0 || s.b < 0 {
			continue
		}
		if x, y := w.a[s.a], w.b[s.b]; Rotated(x, y) {
			w.say("hop %d goes another of its equal paths: %s, before %s", s.b+1, y.Address, x.Address)
		}
	}
}

func (w *writer) stutters() {
	was, is := Stutters(w.a), Stutters(w.b)
	for i, h := range w.b {
		if is[h.Address] == i+1 && was[h.Address] == 0 {
			w.say("hop %d now stutters: %s answers for hop %d as well", i+1, h.Address, i+2)
		}
	}
	for i, h := range w.a {
		if was[h.Address] == i+1 && is[h.Address] == 0 && slices.ContainsFunc(w.b, func(x measure.Hop) bool { return x.Address == h.Address }) {
			w.say("hop %d no longer stutters", i+1)
		}
	}
	if addr, first, again := loop(w.b); addr.IsValid() {
		if old, _, _ := loop(w.a); old != addr {
			w.say("the route loops: %s answers at hop %d and again at hop %d", addr, first+1, again+1)
		}
	}
}

// Stutters gives the first hop, from 1, of each router that answers for two in a row.
func Stutters(hops []measure.Hop) map[netip.Addr]int {
	out := map[netip.Addr]int{}
	for i := 1; i < len(hops); i++ {
		if a := hops[i].Address; a.IsValid() && a == hops[i-1].Address && out[a] == 0 {
			out[a] = i
		}
	}
	return out
}

// loop finds a router that comes back after others.
func loop(hops []measure.Hop) (addr netip.Addr, first, again int) {
	seen := map[netip.Addr]int{}
	for i, h := range hops {
		if h.Silent() {
			continue
		}
		if j, ok := seen[h.Address]; ok && slices.ContainsFunc(hops[j:i], func(x measure.Hop) bool { return !x.Silent() && x.Address != h.Address }) {
			return h.Address, j, i
		}
		seen[h.Address] = i
	}
	return netip.Addr{}, 0, 0
}

// tunnels tells of MPLS labels that appear, go or change. What lasts only as
// long as a packet, the label's TTL, is left out.
func (w *writer) tunnels() {
	var appear, gone []int
	for _, s := range w.steps {
		switch {
		case s.b < 0:
			continue
		case s.a < 0:
			if w.b[s.b].Labels != "" && !w.beyond(s.b, w.before, w.a) {
				appear = append(appear, s.b)
			}
			continue
		}
		x, y := w.a[s.a], w.b[s.b]
		was, is := labels(x.Labels), labels(y.Labels)
		switch {
		case x.Silent() || y.Silent() || was == is:
		case was == "":
			appear = append(appear, s.b)
		case is == "":
			gone = append(gone, s.b)
		default:
			w.say("the MPLS label at hop %d is %s, before %s", s.b+1, is, was)
		}
	}
	for _, r := range inARow(appear) {
		var list []string
		for _, i := range r {
			list = append(list, labels(w.b[i].Labels))
		}
		w.say("an MPLS tunnel shows at %s: label %s", hops(r), strings.Join(list, ", "))
	}
	for _, r := range inARow(gone) {
		w.say("the MPLS tunnel at %s is gone", hops(r))
	}
}

// labels keeps the labels of a stack: "L=16004,E=0,S=1,T=1/L=17,…" is 16004/17.
func labels(stack string) string {
	var out []string
	for entry := range strings.SplitSeq(stack, "/") {
		label, _, _ := strings.Cut(strings.TrimPrefix(entry, "L="), ",")
		if label != "" {
			out = append(out, label)
		}
	}
	return strings.Join(out, "/")
}

func inARow(list []int) [][]int {
	var out [][]int
	for i, v := range list {
		if i == 0 || v != list[i-1]+1 {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], v)
	}
	return out
}

func (w *writer) length() {
	d := len(w.b) - len(w.a)
	switch {
	case w.before.Reached && !w.after.Reached && len(w.b) == 0:
		w.say("the route no longer reaches the target, nobody answers")
	case w.before.Reached && !w.after.Reached:
		w.say("the route no longer reaches the target, the last answer came from %s at hop %d", hopName(w.b[len(w.b)-1]), len(w.b))
	case !w.before.Reached && w.after.Reached:
		w.say("the route reaches the target again")
	case !w.after.Reached || d == 0:
	case d > 0:
		w.say("the path is %s longer", hopCount(d))
	default:
		w.say("the path is %s shorter", hopCount(-d))
	}
}

func hopCount(n int) string {
	if n == 1 {
		return "one hop"
	}
	return strconv.Itoa(n) + " hops"
}

// hops writes hop 5, or hops 4–6.
func hops(list []int) string {
	if len(list) == 1 {
		return fmt.Sprintf("hop %d", list[0]+1)
	}
	return fmt.Sprintf("hops %d–%d", list[0]+1, list[len(list)-1]+1)
}

func isAre(list []int) string {
	if len(list) == 1 {
		return "is"
	}
	return "are"
}

// oneAS gives a hop of the only AS of these, or the zero Hop.
func oneAS(all []measure.Hop, list []int) measure.Hop {
	for _, i := range list {
		if all[i].AS == 0 || all[i].AS != all[list[0]].AS {
			return measure.Hop{}
		}
	}
	if len(list) == 0 {
		return measure.Hop{}
	}
	return all[list[0]]
}

func asName(h measure.Hop) string {
	if h.ASName == "" {
		return fmt.Sprintf("AS %d", h.AS)
	}
	return fmt.Sprintf("AS %d (%s)", h.AS, clipped(h.ASName))
}

// clipped shortens the name of an AS at a word's end: a message has 160 characters, and
// some registries give 200 to a name.
func clipped(name string) string {
	if len(name) <= mostName {
		return name
	}
	cut := strings.LastIndexByte(name[:mostName+1], ' ')
	if cut <= 0 {
		cut = mostName
		for cut > 0 && !utf8.RuneStart(name[cut]) {
			cut--
		}
	}
	return strings.TrimRight(name[:cut], " ,;")
}

const mostName = 16

func hopName(h measure.Hop) string {
	switch {
	case h.Silent():
		return "*"
	case h.AS == 0:
		return h.Address.String()
	case h.ASName == "":
		return fmt.Sprintf("%s (AS %d)", h.Address, h.AS)
	}
	return fmt.Sprintf("%s (AS %d %s)", h.Address, h.AS, clipped(h.ASName))
}

func names(all []measure.Hop, list []int) string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = hopName(all[n])
	}
	return strings.Join(out, ", ")
}
