package replay

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"sonde/analysis"
	"sonde/internal/judge"
	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/probes"
)

// specsAtOnce bounds what is held in memory: the detectors of so many specs.
const specsAtOnce = 1000

// Setting is one way a rule could be.
type Setting struct {
	Name string
	Rule store.Rule
}

// Question is what a back-test is asked.
type Question struct {
	Method      analysis.Method
	Settings    []Setting       // of one method, tool and metric; the first is the rule as it is
	Specs       []store.Watched // that the rule covers
	Tools       []probes.Tool
	Learn, From time.Time // data are read from Learn on, alerts counted from From on
	Until       time.Time
	Maintenance []store.Maintenance
	Ticks       map[int64][]time.Time // stored ticks of the rule as it is, by spec

	Progress func(at time.Time, done float64, rows int64) // nil for none
}

// Facts are what a replay read, and what it could not judge.
type Facts struct {
	Rows      int64         `json:"rows"`
	Took      time.Duration `json:"-"`
	Seconds   float64       `json:"seconds"`
	Specs     int           `json:"specs"`
	NoData    []int64       `json:"specs_without_data"` // in the time that is asked for
	Younger   int           `json:"specs_that_begin_later"`
	Failed    int64         `json:"runs_failed"`
	Missed    int64         `json:"runs_missed"` // instants of gaps included
	NoValue   int64         `json:"runs_without_the_metric"`
	Late      int64         `json:"results_that_came_late"`
	Days      int           `json:"spec_days"`
	Declined  []Declined    `json:"spec_days_not_judged"` // by the rule as it is
	SpecHours float64       `json:"-"`                    // of data that were there, for rates
}

// Declined is why detectors did not judge, as they say at the end of a day.
type Declined struct {
	Why  string `json:"why"` // of a sentence with numbers the first
	Days int    `json:"spec_days"`
}

// Result is what one setting would have raised, in order of time.
type Result struct {
	Setting Setting
	Alerts  []*Alert
	Notes   int
	early   []*Alert
}

// Run replays. Only the first error ends it; an end of ctx is one.
func Run(ctx context.Context, db *store.Store, q Question) ([]Result, Facts, error) {
	began := time.Now()
	results := make([]Result, len(q.Settings))
	for i := range results {
		results[i].Setting = q.Settings[i]
	}
	r := runner{q: &q, db: db, results: results}
	r.facts.NoData, r.facts.Declined = []int64{}, []Declined{}
	for _, t := range q.Tools {
		var covered []store.Watched
		for _, w := range q.Specs {
			if w.Tool == t.Name && judge.Covers(&q.Settings[0].Rule, &w) {
				covered = append(covered, w)
			}
		}
		column := slices.IndexFunc(t.Metrics, func(m measure.Metric) bool { return m.Name == q.Settings[0].Rule.Metric })
		if q.Settings[0].Rule.Metric != "" && column < 0 {
			continue
		}
		r.all += len(covered)
		series := store.Series{Table: t.Table, Routes: judge.FindsRoutes(t.Columns)}
		if column >= 0 {
			series.Columns = []string{t.Metrics[column].Column}
		}
		for chunk := range slices.Chunk(covered, specsAtOnce) {
			r.parts = append(r.parts, part{series, chunk})
		}
	}
	for _, p := range r.parts {
		if err := r.replay(ctx, p); err != nil {
			return nil, r.facts, err
		}
	}
	for i := range results {
		slices.SortFunc(results[i].Alerts, func(a, b *Alert) int {
			return cmp.Or(a.Raised.Compare(b.Raised), cmp.Compare(a.ToolspecID, b.ToolspecID))
		})
	}
	r.facts.Specs = r.all
	r.facts.Took = time.Since(began)
	r.facts.Seconds = r.facts.Took.Seconds()
	return results, r.facts, nil
}

// part is what is replayed at once: specs of one tool.
type part struct {
	series store.Series
	specs  []store.Watched
}

type runner struct {
	q         *Question
	db        *store.Store
	results   []Result
	facts     Facts
	parts     []part
	all, done int // specs
}

func (r *runner) replay(ctx context.Context, p part) error {
	q := r.q
	column := len(p.series.Columns) - 1
	specs := make(map[int64]*spec, len(p.specs))
	ids := make([]int64, 0, len(p.specs))
	for _, w := range p.specs {
		sp, err := newSpec(q, w, column)
		if err != nil {
			return err
		}
		specs[w.ID] = sp
		ids = append(ids, w.ID)
	}
	counted := map[int64]span{}
	days := q.Until.Sub(q.Learn)
	for from := q.Learn; from.Before(q.Until); {
		until := from.Truncate(24 * time.Hour).Add(24 * time.Hour)
		if until.After(q.Until) {
			until = q.Until
		}
		err := r.db.StoredRuns(ctx, p.series, ids, from, until, func(runs []store.StoredRun) error {
			for i := range runs {
				run := &runs[i]
				specs[run.ToolspecID].feed(run)
				if !run.DueAt.Before(q.From) {
					r.count(run, column)
					counted[run.ToolspecID] = counted[run.ToolspecID].with(run.DueAt)
				}
			}
			r.facts.Rows += int64(len(runs))
			return nil
		})
		if err != nil {
			return err
		}
		for _, sp := range specs {
			r.dayEnds(sp, until.After(q.From))
		}
		if q.Progress != nil {
			share := float64(until.Sub(q.Learn)) / float64(days) * float64(len(p.specs))
			q.Progress(until, (float64(r.done)+share)/float64(max(r.all, 1)), r.facts.Rows)
		}
		from = until
	}
	r.done += len(p.specs)
	for _, id := range ids {
		sp := specs[id]
		sp.end(q.Until)
		c, some := counted[id]
		if !some {
			r.facts.NoData = append(r.facts.NoData, id)
		}
		if some && c.first.Sub(q.From) > max(24*time.Hour, 2*sp.Usual) {
			r.facts.Younger++
		}
		r.facts.SpecHours += c.last.Sub(c.first).Hours()
		for i, s := range sp.series {
			r.results[i].Notes += s.notes
			for _, a := range s.alerts {
				if a.early = a.Raised.Before(q.From); a.early {
					r.results[i].early = append(r.results[i].early, a)
				} else {
					r.results[i].Alerts = append(r.results[i].Alerts, a)
				}
			}
		}
	}
	return nil
}

// dayEnds drops what a detector hands out for keeping, and asks why it does not judge.
func (r *runner) dayEnds(sp *spec, counts bool) {
	for i, s := range sp.series {
		if recorder, ok := s.detector.(analysis.Recorder); ok {
			recorder.Record()
		}
		if i > 0 || !counts || sp.last.IsZero() {
			continue
		}
		r.facts.Days++
		decliner, ok := s.detector.(analysis.Decliner)
		if !ok {
			continue
		}
		why := decliner.Declines()
		if why == "" {
			continue
		}
		kind := func(text string) string { return digits.ReplaceAllString(text, "0") }
		at := slices.IndexFunc(r.facts.Declined, func(d Declined) bool { return kind(d.Why) == kind(why) })
		if at < 0 {
			at = len(r.facts.Declined)
			r.facts.Declined = append(r.facts.Declined, Declined{Why: why})
		}
		r.facts.Declined[at].Days++
	}
}

// digits, with the units of durations, make two sentences of one kind differ.
var digits = regexp.MustCompile(`[0-9][0-9a-z.,:]*`)

// span is from when to when there are data.
type span struct{ first, last time.Time }

func (s span) with(at time.Time) span {
	if s.first.IsZero() {
		s.first = at
	}
	s.last = at
	return s
}

func (r *runner) count(run *store.StoredRun, column int) {
	switch {
	case run.Gap:
		r.facts.Missed += int64(run.Runs)
	case run.Outcome == measure.Missed:
		r.facts.Missed++
	case run.Outcome == measure.Fail:
		r.facts.Failed++
	case column >= 0 && !judge.Sample(&run.Run, column).HasValue():
		r.facts.NoValue++
	}
	if run.Late && !run.Gap {
		r.facts.Late++
	}
}

// Fits checks that a setting makes a detector, with a sentence where it does not.
func Fits(m analysis.Method, r *store.Rule) error {
	if _, err := judge.Detector(m, r, time.Minute, nil); err != nil {
		return fmt.Errorf("method %s: %w", m.Name, err)
	}
	return nil
}
