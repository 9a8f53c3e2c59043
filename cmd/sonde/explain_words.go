package main

import (
	"fmt"
	"strings"

	"sonde/analysis"
	"sonde/internal/store"
)

// inWords tells an alert as a person would: what was measured and what was
// expected, then what was decided, and why, up to its end. What only feeds it is left out.
func inWords(a store.AlertRow, findings []store.ToldFinding) []string {
	var out []string
	n := analysis.NumbersOf(a.Evidence)
	if words := n.Words(a.Metric, a.Unit); words != "" {
		if n.Rule != "" {
			words += fmt.Sprintf("; found by %q", n.Rule)
		}
		out = append(out, fmt.Sprintf("At %s the %s.", clock(a.RaisedAt), words))
	}
	for _, f := range findings {
		if f.AlertID != a.ID {
			continue
		}
		because, not, kept := strings.Cut(f.Reason, "; not told: ")
		switch f.Decision {
		case "raise":
			if out = append(out, fmt.Sprintf("It was raised at %s because %s.", clock(f.At), because)); kept {
				out = append(out, "It was not told then: "+not+".")
			}
		case "remind":
			verb := "It was told at %s because %s."
			if kept {
				verb = "At %s: %s; not told: " + strings.ReplaceAll(not, "%", "%%") + "."
			}
			out = append(out, fmt.Sprintf(verb, clock(f.At), because))
		case "look":
			out = append(out, fmt.Sprintf("At %s %s: %s.", clock(f.At), f.Text, f.Reason))
		case "clear":
			if out = append(out, fmt.Sprintf("It was over at %s: %s (%s).", clock(f.At), f.Text, because)); kept {
				out = append(out, "The end was not told: "+not+".")
			}
		}
	}
	return out
}
