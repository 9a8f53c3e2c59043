package daygrid

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sonde/analysis/route"
	"sonde/internal/measure"
)

// Run is one run of a traceroute.
type Run struct {
	DueAt   time.Time
	Outcome measure.Outcome
	Reason  string
	Route   measure.Route // Number is 0 when none was seen; the RTT of hops is not needed
	Codes   []string      // of the answers: "!H", "cksum", "!X,cksum"
}

// Kind says what a mark means.
type Kind string

// The marks of the legend.
const (
	Same       Kind = "same"       // . as before
	Silent     Kind = "silent"     // * a hop that answered before is silent
	SameBlock  Kind = "block"      // : only last octets differ
	SameAS     Kind = "as"         // a other addresses of the same AS
	Stutter    Kind = "stutter"    // ' one router answered for more than one hop
	Unreached  Kind = "unreached"  // | the target did not answer
	Code       Kind = "code"       // an answer was an error; the sign is its code
	Unresolved Kind = "unresolved" // ? the name did not resolve
	TimedOut   Kind = "timeout"    // t the run was ended because its time was over
	Failed     Kind = "failed"     // u any other failure
	Major      Kind = "major"      // number: more than one significant difference
	Minor      Kind = "minor"      // number: one significant difference
	First      Kind = "first"      // number: the first route of the day, nothing significant
	Missed     Kind = "missed"     // - nobody has shown a result
	Gap        Kind = "gap"        // ~ the run was never made
)

// Mark is what a run shows in the grid.
type Mark struct {
	At       time.Time
	Kind     Kind
	Text     string // ".", "7", "H"; "#" stands for a number of three digits or more
	Beside   string // next to a number: the code, or "|"
	News     bool   // it was not so in the run before
	Checksum bool   // an answer had a wrong ICMP checksum
	Number   int
	Runs     int    // 1; of a gap as many as were never made
	Says     string // all of it in words
}

// past is what a run is compared with.
type past struct {
	seen  bool
	known measure.Route // the last route, silent hops filled in with what they were
	run   Run           // the last run that was measured
	fails Kind          // how the last run that was not missed failed; "" when it did not
	code  string        // the last ! code since the target was reached: routers limit their errors, and a run without says nothing
}

// Marks marks the runs of a day, which are in order of DueAt. before is the last
// run before the day that saw a route, or nil.
func Marks(day []Run, before *Run) []Mark {
	var p past
	if before != nil {
		p.compare(before.Route)
		p.run = *before
		p.code, _ = codes(before.Codes)
	}
	numbered := false
	out := make([]Mark, 0, len(day))
	for _, r := range day {
		m := Mark{At: r.DueAt, Number: r.Route.Number, Runs: 1}
		switch r.Outcome {
		case measure.Missed:
			m.Kind, m.Text, m.Says = Missed, "-", "missed: "+r.Reason
		case measure.OK:
			m = p.mark(r, !numbered)
			numbered = numbered || r.Route.Number > 0
			p.fails = ""
		default:
			m.Kind, m.Text = failure(r.Reason)
			m.News, m.Says = p.fails != m.Kind, "failed: "+r.Reason
			p.fails = m.Kind
		}
		out = append(out, m)
	}
	return out
}

// failure tells IEPM's three kinds of failure apart by the words of the worker.
func failure(reason string) (Kind, string) {
	switch {
	case strings.Contains(reason, `resolve "`):
		return Unresolved, "?"
	case strings.Contains(reason, "time_to_run is over"):
		return TimedOut, "t"
	}
	return Failed, "u"
}

// mark marks a run that was measured.
func (p *past) mark(r Run, first bool) Mark {
	m := Mark{At: r.DueAt, Number: r.Route.Number, Runs: 1, Kind: Same, Text: "."}
	last, seenBefore := p.run, p.seen
	class, words := p.compare(r.Route)
	p.run = r
	code, checksum := codes(r.Codes)
	codeBefore := p.code
	if code != "" || r.Route.Reached {
		p.code = code
	}
	quiet, quietBefore := silent(r.Route), silent(last.Route)
	fits := []struct {
		kind     Kind
		text     string
		is, news bool
		says     string
	}{
		{Code, sign(code), code != "", code != codeBefore, "answered " + code},
		{Unreached, "|", !r.Route.Reached, last.DueAt.IsZero() || last.Route.Reached, "target not reached"},
		{SameAS, "a", class == route.MinorAS, true, "other addresses of the same AS"},
		{SameBlock, ":", class == route.MinorBlock, true, "only last octets differ"},
		{Silent, "*", len(quiet) > 0, seenBefore && !within(quiet, quietBefore), hops(quiet) + " silent"},
		{Stutter, "'", len(route.Stutters(r.Route.Hops)) > 0, len(route.Stutters(last.Route.Hops)) == 0, "one router answered for more than one hop"},
	}
	said := make([]string, 0, 4)
	for _, f := range fits {
		if f.is {
			said = append(said, f.says)
		}
	}
	m.Checksum = checksum
	if checksum {
		said = append(said, "ICMP checksum wrong")
	}
	switch {
	case r.Route.Number > 0 && (first || class == route.MajorSignificant || class == route.MinorSignificant):
		m.Kind = First
		switch class {
		case route.MajorSignificant:
			m.Kind, m.News = Major, true
		case route.MinorSignificant:
			m.Kind, m.News = Minor, true
		}
		m.Text = "#"
		if r.Route.Number < 100 {
			m.Text = strconv.Itoa(r.Route.Number)
		}
		if code != "" {
			m.Beside = sign(code)
		} else if !r.Route.Reached {
			m.Beside = "|"
		}
	default:
		for _, f := range fits {
			if f.is && f.news {
				m.Kind, m.Text, m.News = f.kind, f.text, true
				break
			}
		}
		for _, f := range fits {
			// Silence as before is no news, and a star all day would hide what is.
			if m.Kind == Same && f.is && f.kind != Silent {
				m.Kind, m.Text = f.kind, f.text
			}
		}
	}
	m.Says = say(r.Route, words, said)
	return m
}

// compare compares a route with what is known and remembers it. Its words are
// those of the analysis, "" where nothing is new.
func (p *past) compare(r measure.Route) (class route.Class, words []string) {
	now := r
	now.Hops = slices.Clone(route.Trim(r))
	if len(now.Hops) == 0 {
		return route.None, nil // nobody answered: no route was seen
	}
	before := p.known
	p.known = now
	if !p.seen {
		p.seen = true
		return route.None, nil
	}
	if _, changes := route.Compare(before, now); len(changes) > 0 {
		words = route.Sentences(before, now)
	}
	for i := range min(len(now.Hops), len(before.Hops)) {
		// Which of its equal paths a flow takes is no change of the route.
		if route.Rotated(before.Hops[i], now.Hops[i]) {
			now.Hops[i] = before.Hops[i]
		}
	}
	class, _ = route.Compare(before, now)
	if class == route.MajorSignificant || class == route.MinorSignificant {
		return class, words
	}
	for i, h := range now.Hops {
		if h.Silent() && i < len(before.Hops) {
			now.Hops[i] = before.Hops[i]
		}
	}
	if !now.Reached && len(before.Hops) > len(now.Hops) {
		now.Hops = append(now.Hops, before.Hops[len(now.Hops):]...)
	}
	p.known = now
	return class, words
}

// codes gives the first ! code of a run, and whether a checksum was wrong.
func codes(list []string) (code string, checksum bool) {
	for _, c := range list {
		for part := range strings.SplitSeq(c, ",") {
			switch {
			case part == "cksum":
				checksum = true
			case code == "" && part != "":
				code = part
			}
		}
	}
	return code, checksum
}

// sign is the character of a code: H of !H, 13 of !<13>, ! of ! alone.
func sign(code string) string {
	s := strings.Trim(strings.TrimPrefix(code, "!"), "<>")
	if s == "" {
		return "!"
	}
	if r := []rune(s); len(r) > 3 {
		s = string(r[:3])
	}
	return s
}

// silent gives the places of hops, counted from 1, that gave no answer though a later one did.
func silent(r measure.Route) []int {
	var out []int
	for i, h := range route.Trim(r) {
		if h.Silent() {
			out = append(out, i+1)
		}
	}
	return out
}

func within(a, b []int) bool {
	return !slices.ContainsFunc(a, func(n int) bool { return !slices.Contains(b, n) })
}

func hops(places []int) string {
	words := make([]string, 0, len(places))
	for _, n := range places[:min(len(places), 8)] {
		words = append(words, strconv.Itoa(n))
	}
	if len(places) > 8 {
		words = append(words, "…")
	}
	if len(places) == 1 {
		return "hop " + words[0]
	}
	return "hops " + strings.Join(words, ", ")
}

// mostWords bounds what is said of a change; the page behind the mark says all.
const mostWords = 4

func say(r measure.Route, change, said []string) string {
	text := "nobody answered"
	if r.Number > 0 {
		text = fmt.Sprintf("route %d, %d hops", r.Number, len(route.Trim(r)))
	}
	if r.RTT > 0 {
		text += fmt.Sprintf(", %.3g ms", float64(r.RTT)/float64(time.Millisecond))
	}
	if len(change) > mostWords {
		change = append(slices.Clone(change[:mostWords]), "and more")
	}
	words := append(slices.Clone(change), said...)
	if len(words) == 0 && r.Number > 0 {
		words = append(words, "as before")
	}
	return strings.Join(append([]string{text}, words...), "; ")
}
