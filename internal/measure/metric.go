package measure

import (
	"math"
	"time"
)

// Metric is one number of a tool that analyses and charts may watch.
type Metric struct {
	Name    string // without the tool: "rtt_median_ms"
	Column  string // column of the tool's table it is read from
	Unit    string // "ms", "%", "1"
	Meaning string // a sentence for people
}

// Sample is one run as an analysis sees it: one metric of one spec.
type Sample struct {
	RunKey
	Outcome Outcome
	Reason  string  // in words, for Fail and Missed
	Value   float64 // NaN when the run gave no such number
	Gap     bool    // stands for instants that never became a run
	Runs    int     // of a Gap: how many instants it stands for

	// Route is set for samples of a tool that finds routes.
	Route *Route
}

// HasValue reports whether the run gave the number of this series.
func (s Sample) HasValue() bool { return s.Outcome == OK && !math.IsNaN(s.Value) }

// VerdictKind says what a verdict does to an episode.
type VerdictKind string

// A Bad verdict opens or feeds an episode, a Good one lets it close, a Note is
// written down and shown but opens nothing.
const (
	Bad  VerdictKind = "bad"
	Good VerdictKind = "good"
	Note VerdictKind = "note"
)

// Severity of a verdict or an alert, least first.
type Severity string

// The severities, as they stand in the column severity.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Verdict is what a detector says after a sample or a tick. The same samples
// and ticks give the same verdicts.
type Verdict struct {
	Kind     VerdictKind
	Severity Severity       // empty: as the rule says
	At       time.Time      // due_at of the sample, or the tick, that decided
	Since    time.Time      // when what it tells of began
	Text     string         // one sentence, no full stop: "no answer, 3 runs in a row"
	Evidence map[string]any // numbers that led to it; becomes jsonb
}
