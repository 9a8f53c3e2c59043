// Package analysis says what an analysis is: a series in, verdicts out. No
// clock, no database, no goroutine; the same samples and ticks give the same
// verdicts, which is why a stored series can be replayed.
//
//	samples, in order of due_at ─Feed─▶ ┌──────────┐
//	ticks (time has passed)     ─Tick─▶ │ Detector │ ─▶ measure.Verdict …
//	                       Save ◀─────▶ │          │
//	                                    └──────────┘
package analysis

import (
	"time"

	"sonde/internal/measure"
)

// Detector judges one series. It is not safe for use by several goroutines.
type Detector interface {
	// Feed judges the next sample; samples come in order of DueAt.
	Feed(s measure.Sample) []measure.Verdict

	// Tick says that it is now at: for what shows by nothing coming. A fresh
	// detector gets one before its first sample. After that a tick that gives no
	// verdict leaves no trace in the state: ticks come every few seconds, and only
	// those that said something are known when samples are fed again.
	Tick(at time.Time) []measure.Verdict

	// Save gives the whole state, as JSON or packed; Method.New takes it back.
	Save() ([]byte, error)
}

// Recorder is a Detector that puts its series on an even grid and foretells it.
type Recorder interface {
	Detector

	// Record gives what was read and foretold since the last call, in whole
	// stretches: rows of REGDATA and HWGRAPHS. A stretch that is still growing
	// stays in the state until it is whole.
	Record() []Stretch
}

// Scorer is a Detector that says after each sample how sure it is that something
// is wrong with it: 0 to 1, see measure.AlertScore.
type Scorer interface {
	Detector
	Score() float64
}

// Comparer is a Detector that can tell what is as usual from what is not found
// to be bad, or not yet.
type Comparer interface {
	Detector

	// Usual reports after each sample whether it was judged, and nothing is off,
	// not even by less than what alerts.
	Usual() bool
}

// Stretch is a piece of a regular series, one number a step.
type Stretch struct {
	From                time.Time // the first step
	Step                time.Duration
	Values              []float64 // what was measured; NaN is a hole
	Forecast, Low, High []float64 // as long as Values, or nil: what was expected, and its band
}

// Decliner is a Detector that may decline to judge: there is too little data yet,
// the series is flat, its unit has changed.
type Decliner interface {
	Detector

	// Judges reports after each sample whether it was judged.
	Judges() bool

	// Declines says why not, in a sentence; empty when it was.
	Declines() string
}

// Method is one kind of detector, by name.
type Method struct {
	Name    string           // rules.method
	Meaning string           // a sentence for people
	Options []measure.Option // its parameters, checked like tool options

	// Outcomes: it looks at how runs end, or at their routes, and not at a
	// number, so its rules name no metric.
	Outcomes bool

	// New builds a detector for one series from its parameters and its saved
	// state; no state means a fresh start.
	New func(params measure.Options, state []byte) (Detector, error)
}
