package daygrid

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Hour is a column: as long as the wall clock shows this hour. Where clocks are
// set back an hour comes twice, where they are set forward one is not there.
type Hour struct {
	From, Until time.Time
	Label       string // "03"; "02 +01:00" where the day has that hour twice
}

// step divides every change of a wall clock there is.
const step = 15 * time.Minute

// Hours gives the hours of the local day in which the instant lies.
func Hours(day time.Time, zone *time.Location) []Hour {
	y, m, d := day.In(zone).Date()
	at := time.Date(y, m, d, 12, 0, 0, 0, zone)
	for sameDay(at.Add(-step), y, m, d, zone) {
		at = at.Add(-step)
	}
	var out []Hour
	for ; sameDay(at, y, m, d, zone); at = at.Add(step) {
		local := at.In(zone)
		if n := len(out); n > 0 {
			before := out[n-1].From.In(zone)
			_, a := before.Zone()
			_, b := local.Zone()
			out[n-1].Until = at
			if before.Hour() == local.Hour() && a == b {
				continue
			}
		}
		out = append(out, Hour{From: at, Label: local.Format("15")})
	}
	out[len(out)-1].Until = at
	for i := 1; i < len(out); i++ {
		if a, b := &out[i-1], &out[i]; strings.HasPrefix(a.Label, b.Label) {
			a.Label, b.Label = a.From.In(zone).Format("15 -07:00"), b.From.In(zone).Format("15 -07:00")
		}
	}
	return out
}

func sameDay(t time.Time, y int, m time.Month, d int, zone *time.Location) bool {
	a, b, c := t.In(zone).Date()
	return a == y && b == m && c == d
}

// Hole is a stretch of instants that never became runs.
type Hole struct {
	From, Until time.Time
	Runs        int
	Reason      string
}

// WithHoles adds one mark for each hour that a hole touches, in order of time.
// The instants of a hole are taken to lie evenly in it.
func WithHoles(marks []Mark, holes []Hole, hours []Hour, now time.Time) []Mark {
	out := slices.Clone(marks)
	for _, o := range holes {
		step := max(o.Until.Sub(o.From)/time.Duration(max(o.Runs-1, 1)), time.Microsecond)
		for _, h := range hours {
			end := h.Until
			if end.After(now) {
				end = now
			}
			before := instants(o, step, h.From)
			n := instants(o, step, end) - before
			if n <= 0 {
				continue
			}
			at := o.From.Add(time.Duration(before) * step)
			out = append(out, Mark{At: at, Kind: Gap, Text: "~", Runs: n, Says: fmt.Sprintf("%d of %d runs in a row that were never made: %s", n, o.Runs, o.Reason)})
		}
	}
	slices.SortStableFunc(out, func(a, b Mark) int { return a.At.Compare(b.At) })
	return out
}

// instants counts those of a hole before t.
func instants(o Hole, step time.Duration, t time.Time) int {
	if !t.After(o.From) {
		return 0
	}
	return min(o.Runs, int((t.Sub(o.From)-1)/step)+1)
}

// Group is one mark, or several like it that follow each other.
type Group struct {
	Mark      // the first of them
	Times int // how many
	Last  time.Time
	Signs string // what stands in the cell: "...", ".×58"
}

// roomy is how many signs a cell holds before marks that are no news are
// written once with their number. IEPM had six an hour.
const roomy = 8

// Cells gives the marks of each hour. Marks like the one before that are no news
// are put together; every mark that is news stands for itself.
func Cells(marks []Mark, hours []Hour) [][]Group {
	out := make([][]Group, len(hours))
	i := 0
	for n, h := range hours {
		signs := 0
		for ; i < len(marks) && marks[i].At.Before(h.Until); i++ {
			m := marks[i]
			if m.At.Before(h.From) {
				continue
			}
			signs++
			if g := len(out[n]); g > 0 && out[n][g-1].like(m) {
				out[n][g-1].Times++
				out[n][g-1].Last = m.At
				continue
			}
			out[n] = append(out[n], Group{Mark: m, Times: 1, Last: m.At})
		}
		for j := range out[n] {
			g := &out[n][j]
			switch {
			case g.Times == 1 && g.Runs > 1:
				g.Signs = fmt.Sprintf("%s×%d", g.Text, g.Runs)
			case signs <= roomy || g.Times <= 2:
				g.Signs = strings.Repeat(g.Text, g.Times)
			default:
				g.Signs = fmt.Sprintf("%s×%d", g.Text, g.Times)
			}
		}
	}
	return out
}

// like reports whether a mark may be put together with the group.
func (g Group) like(m Mark) bool {
	return !m.News && !g.News && m.Kind == g.Kind && m.Text == g.Text && m.Number == g.Number && m.Checksum == g.Checksum &&
		m.Kind != First && m.Kind != Gap && g.Beside == "" && m.Beside == ""
}

// Legend explains the marks in the order in which they are looked for.
func Legend() []Entry {
	news := func(k Kind, text string) Mark { return Mark{Kind: k, Text: text, News: true} }
	return []Entry{
		{news(Major, "7"), "number of the route, filled: more than one hop significantly different from the route before"},
		{news(Minor, "7"), "number in a frame: exactly one hop significantly different"},
		{Mark{Kind: First, Text: "7"}, "number alone: the first route of the day, not significantly different from the last one before"},
		{news(Major, "#"), "a number of three digits or more: it is in the tooltip and behind the link"},
		{news(Code, "H"), "an answer was an ICMP error; the sign is its code: H no way to the host, N to the network, X forbidden, P protocol refused, F packet too big, a number any other"},
		{news(Unreached, "|"), "the target did not answer"},
		{news(SameAS, "a"), "other addresses, of the same AS"},
		{news(SameBlock, ":"), "addresses that differ in the last octet only (IPv6: within the same /64)"},
		{news(Silent, "*"), "a hop that answered in the run before is silent"},
		{news(Stutter, "'"), "stutter: one router answered for more than one hop"},
		{Mark{Kind: Same, Text: "."}, "as the run before; hops that are silent as before count as the same"},
		{Mark{Kind: Same, Text: ".", Checksum: true}, "underlined, any sign: an answer had a wrong ICMP checksum"},
		{news(Unresolved, "?"), "the name did not resolve"},
		{news(TimedOut, "t"), "the run took longer than it may"},
		{news(Failed, "u"), "the run failed otherwise; the tooltip and the page behind the link say why"},
		{Mark{Kind: Missed, Text: "-"}, "missed: nobody has shown a result"},
		{Mark{Kind: Gap, Text: "~×6", Runs: 6}, "gap: so many runs were never made"},
	}
}

// Entry is a line of the legend.
type Entry struct {
	Mark Mark
	Text string
}
