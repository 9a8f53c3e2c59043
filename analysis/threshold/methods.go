package threshold

import (
	"fmt"
	"strings"
	"time"

	"sonde/analysis"
	"sonde/internal/measure"
)

// grace is what may pass after the N-th missing run before silence is found:
// a run in progress, its storing, a spool being loaded.
const grace = time.Minute

// NoAnswer finds a target that was silent N measurements in a row. Its series
// is a loss in percent.
func NoAnswer() analysis.Method {
	return analysis.Method{
		Name:    "no-answer",
		Meaning: "N measurements in a row lost everything.",
		Options: append(streakOptions(3, 2, "lose everything"),
			measure.Option{Name: "full", Type: measure.FloatOption, Default: 100.0, Min: 1e-9, Max: 100.0, Meaning: "From what loss on, in %, a run counts as silent."}),
		New: func(p measure.Options, state []byte) (analysis.Detector, error) {
			return newStreak(p, state, &streak{kind: &silent, full: p.Float("full")})
		},
	}
}

var silent = streakKind{
	effect: func(d *streak, s measure.Sample) effect {
		switch v, ok := analysis.Value(s); {
		case !ok:
			return leaves
		case v >= d.full:
			return counts
		default:
			return ends
		}
	},
	bad:  func(st streakState) string { return fmt.Sprintf("no answer, %d runs in a row", st.Count) },
	good: "answers again",
}

// CannotMeasure finds a spec whose runs fail N times in a row.
func CannotMeasure() analysis.Method {
	return analysis.Method{
		Name:     "cannot-measure",
		Meaning:  "N runs in a row failed, so nothing is known of the target; says why.",
		Outcomes: true,
		Options:  streakOptions(3, 1, "fail"),
		New: func(p measure.Options, state []byte) (analysis.Detector, error) {
			return newStreak(p, state, &streak{kind: &failing})
		},
	}
}

var failing = streakKind{
	effect: func(_ *streak, s measure.Sample) effect {
		switch s.Outcome {
		case measure.Fail:
			return counts
		case measure.OK:
			return ends
		}
		return leaves
	},
	bad: func(st streakState) string {
		return because(fmt.Sprintf("cannot be measured, %d runs in a row", st.Count), st.Reason)
	},
	good: "can be measured again",
}

// NoData finds a spec of which nobody has shown a result N times in a row:
// missed runs, gaps, or nothing at all.
func NoData() analysis.Method {
	return analysis.Method{
		Name:     "no-data",
		Meaning:  "N runs in a row were missed, or nothing has come for as long as N runs take.",
		Outcomes: true,
		Options: append(streakOptions(3, 1, "are missed"),
			measure.Option{Name: "interval", Type: measure.DurationOption, Min: "10ms", Max: "400d", Meaning: "How far apart the runs are, to find by the clock that nothing comes; usually the spec's run_interval."}),
		New: func(p measure.Options, state []byte) (analysis.Detector, error) {
			d := &streak{kind: &absent}
			if every := p.Duration("interval"); every > 0 {
				d.silence = time.Duration(p.Int("runs"))*every + grace
			}
			return newStreak(p, state, d)
		},
	}
}

var absent = streakKind{
	effect: func(_ *streak, s measure.Sample) effect {
		switch {
		case s.Outcome == measure.Missed && strings.HasPrefix(s.Reason, measure.StillRunning):
			return leaves
		case s.Gap || s.Outcome == measure.Missed:
			return counts
		}
		return ends
	},
	bad: func(st streakState) string {
		return because(fmt.Sprintf("no data, %d runs in a row", st.Count), st.Reason)
	},
	good: "data come again",
}

func newStreak(p measure.Options, state []byte, d *streak) (analysis.Detector, error) {
	d.runs, d.clear = p.Int("runs"), p.Int("clear")
	if err := d.load(state); err != nil {
		return nil, err
	}
	return d, nil
}
