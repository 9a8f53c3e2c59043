package route

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"sonde/analysis"
	"sonde/internal/measure"
)

// Effects tells what came with a change, a sentence each, without full stops:
// steps of the series that a rule watches ("ping rtt median from 12.1 to 46 ms,
// loss from 0 to 2 %"), and other pairs that changed at the same hop. What did
// not change is left out.
func Effects(c measure.RouteChange) []string {
	var out []string
	last := int64(0)
	for _, e := range c.Effects {
		if !e.Watched || !Notable(e) {
			continue
		}
		words := fmt.Sprintf("%s from %s to %s", analysis.MetricWords(e.Metric), analysis.Number(e.Before, ""), analysis.Number(e.After, e.Unit))
		if e.ToolspecID == last {
			out[len(out)-1] += ", " + words
			continue
		}
		last = e.ToolspecID
		out = append(out, strings.TrimSpace(e.Tool+" "+e.Label)+" "+words)
	}
	if words := sharing(c.Sharers); words != "" {
		out = append(out, words)
	}
	return out
}

// Notable reports whether a series is another one after a change: by a tenth
// and a millisecond, or by a point where it is in %.
func Notable(e measure.Effect) bool {
	d := math.Abs(e.After - e.Before)
	switch {
	case e.RunsBefore == 0 || e.RunsAfter == 0:
		return false
	case e.Unit == "%":
		return d >= 1
	case e.Unit == "ms" && d < 1:
		return false
	}
	return d > 0 && d >= math.Abs(e.Before)/10
}

// sharing tells of other pairs over a hop that is gone, or else that changed to one that came.
func sharing(list []measure.Sharer) string {
	over, changed, come := 0, 0, 0
	var hop, to netip.Addr
	for _, s := range list {
		switch {
		case s.Gone:
			if over++; !s.ChangedAt.IsZero() {
				changed++
			}
			if !hop.IsValid() {
				hop = s.Address
			}
		case !s.ChangedAt.IsZero():
			come++
			to = s.Address
		}
	}
	switch {
	case changed > 0:
		return fmt.Sprintf("%d of %s over %s changed too", changed, pairs(over), hop)
	case come > 0:
		return fmt.Sprintf("%s changed to %s too", pairs(come), to)
	}
	return ""
}

func pairs(n int) string {
	if n == 1 {
		return "1 other pair"
	}
	return fmt.Sprintf("%d other pairs", n)
}

// WithEffects puts what came with a change into the text of its alarm, before
// the AS path, which a short message can do without.
func WithEffects(text string, c measure.RouteChange) string {
	words := Effects(c)
	if len(words) == 0 {
		return text
	}
	head, path, has := strings.Cut(text, pathWords)
	text = head + "; " + strings.Join(words, "; ")
	if has {
		text += pathWords + path
	}
	return text
}

const pathWords = "; AS path "
