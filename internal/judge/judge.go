package judge

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"sonde/analysis"
	"sonde/internal/alert"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// dataWait is how long missing data are not spoken of: after a restart every
// spec has missed some runs and goes on, and nobody is woken for what is over
// when it is known.
const dataWait = time.Minute

// Covers reports whether a rule watches a spec.
func Covers(r *store.Rule, w *store.Watched) bool {
	return (r.Tool == "" || r.Tool == w.Tool) && (r.Node == "" || r.Node == w.Node) &&
		(r.Label == "" || slices.Contains(w.Labels, r.Label))
}

// Every is how often a spec runs, as the detector of a rule is told; 0 for unknown.
// What finds by the clock that nothing comes is told nothing of a crontab's times:
// a night or a weekend that they leave out is no silence.
func Every(r *store.Rule, w *store.Watched) time.Duration {
	if r.Method == "no-data" {
		return w.RunInterval
	}
	return w.Usual
}

// Detector builds the detector of a rule for a spec that runs so often, 0 for
// unknown; without state it starts anew. Where the method wants to know how often
// a run comes and the rule does not say, the spec does.
func Detector(m analysis.Method, r *store.Rule, every time.Duration, state []byte) (analysis.Detector, error) {
	o, err := measure.ReadOptions(m.Options, r.Options)
	if err != nil {
		return nil, err
	}
	return With(m, o, every, state)
}

// With is Detector with the options of the rule already read; o stays as it is.
func With(m analysis.Method, o measure.Options, every time.Duration, state []byte) (analysis.Detector, error) {
	o = maps.Clone(o)
	for _, known := range m.Options {
		if _, given := o[known.Name]; known.Name == "interval" && !given && every > 0 {
			o["interval"] = every
		}
	}
	return m.New(o, state)
}

// Sample is what a detector of one column gets of a run; -1 is for those that look at outcomes only.
func Sample(r *store.Run, column int) measure.Sample {
	s := r.Sample
	s.Value = math.NaN()
	if column >= 0 && column < len(r.Values) {
		s.Value = r.Values[column]
	}
	return s
}

// Policy is how the episodes of a rule are treated.
func Policy(r *store.Rule) alert.Policy {
	usual := alert.Usual()
	usual.Tolerance, usual.Grow = r.Tolerance, r.Grow
	if r.Repeat > 0 {
		usual.Repeat = r.Repeat
	}
	return usual
}

// Planned is the maintenance that covers a node at one of these instants, in
// words; "" for none.
func Planned(list []store.Maintenance, node string, labels []string, at ...time.Time) string {
	for _, m := range list {
		if !slices.ContainsFunc(at, func(at time.Time) bool { return m.Covers(node, labels, at) }) {
			continue
		}
		text := fmt.Sprintf("planned: maintenance %d until %s", m.ID, m.Until.UTC().Format("2006-01-02 15:04 UTC"))
		if m.Text != "" {
			text += ", " + m.Text
		}
		return text
	}
	return ""
}

// AwaitsData reports whether it is too soon to speak of missing data: an alert
// that is not open yet, or was opened a moment ago.
func AwaitsData(r *store.Rule, open bool, opened, now time.Time) bool {
	return r.Method == "no-data" && (!open || now.Sub(opened) < dataWait)
}

// Fold folds a verdict into an episode. A verdict without a severity has its rule's.
func Fold(r *store.Rule, e alert.Episode, f alert.Facts, v *measure.Verdict) (alert.Episode, measure.Decision) {
	if v.Severity == "" {
		v.Severity = measure.Severity(r.Severity)
	}
	return e.Verdict(Policy(r), f, *v)
}

// FindsRoutes reports whether a data table with these columns holds routes.
func FindsRoutes(columns []string) bool {
	for _, c := range []string{"hops", "reached", "first_ttl"} {
		if !slices.Contains(columns, c) {
			return false
		}
	}
	return true
}
