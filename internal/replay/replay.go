package replay

import (
	"fmt"
	"time"

	"sonde/analysis"
	"sonde/internal/alert"
	"sonde/internal/judge"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// tickEvery is how often silence is told to detectors where no tick is stored.
const tickEvery = time.Minute

// Alert is one that would have been raised.
type Alert struct {
	ToolspecID int64            `json:"toolspec_id"`
	Monhost    string           `json:"monhost"`
	Node       string           `json:"node"`
	Tool       string           `json:"tool"`
	Label      string           `json:"label,omitempty"`
	Severity   measure.Severity `json:"severity"` // the gravest
	Text       string           `json:"text"`     // as it was raised
	Began      time.Time        `json:"began"`
	Raised     time.Time        `json:"raised"`
	Ended      *time.Time       `json:"ended,omitempty"`   // nil: it still stood
	Planned    bool             `json:"planned,omitempty"` // raised in planned maintenance: nobody is told
	Flapping   bool             `json:"flapping,omitempty"`
	Messages   []time.Time      `json:"messages"` // when people would have been told, its end included

	early bool // raised before the time that was asked for
}

// stands reports whether the alert stood at some instant of [from, until].
func (a *Alert) stands(from, until time.Time) bool {
	return !a.Raised.After(until) && (a.Ended == nil || !a.Ended.Before(from))
}

// series is one rule with one setting on one spec.
type series struct {
	spec     *store.Watched
	rule     *store.Rule
	planned  []store.Maintenance // that concerns the spec's node
	column   int
	detector analysis.Detector
	episode  alert.Episode
	open     *Alert
	alerts   []*Alert
	notes    int
}

func (s *series) facts(at time.Time, late bool) alert.Facts {
	f := alert.Facts{Late: late, Quiet: judge.Planned(s.planned, s.spec.Node, s.spec.Labels, at)}
	if opened := s.open; f.Quiet == "" && judge.AwaitsData(s.rule, opened != nil, raisedAt(opened), at) {
		f.Quiet = "told when data have not come again within a minute"
	}
	return f
}

func raisedAt(a *Alert) time.Time {
	if a == nil {
		return time.Time{}
	}
	return a.Raised
}

func (s *series) feed(r *store.StoredRun) {
	s.pass(r.DueAt)
	s.fold(s.detector.Feed(judge.Sample(&r.Run, s.column)), r.Late)
	s.tickEpisode(r.DueAt)
}

// tick says that it is now at.
func (s *series) tick(at time.Time) {
	s.pass(at)
	s.fold(s.detector.Tick(at), false)
	s.tickEpisode(at)
}

func (s *series) fold(verdicts []measure.Verdict, late bool) {
	for i := range verdicts {
		v := &verdicts[i]
		if v.Kind == measure.Note {
			s.notes++
			continue
		}
		before := s.episode
		next, d := judge.Fold(s.rule, before, s.facts(v.At, late), v)
		s.apply(before, next, d, v.Since)
	}
}

// pass lets the episode's own times come, up to an instant.
func (s *series) pass(to time.Time) {
	for {
		at := s.episode.Next(judge.Policy(s.rule))
		if at.IsZero() || !at.Before(to) || !s.tickEpisode(at) {
			return
		}
	}
}

func (s *series) tickEpisode(at time.Time) bool {
	if s.episode.Phase == alert.Nothing {
		return false
	}
	before := s.episode
	next, d, due := before.Tick(judge.Policy(s.rule), s.facts(at, false), at)
	if due {
		s.apply(before, next, d, before.Well)
	}
	return due
}

// apply makes what was decided so.
func (s *series) apply(before, next alert.Episode, d measure.Decision, since time.Time) {
	s.episode = next
	if d.Action == measure.Raise {
		s.open = &Alert{ToolspecID: s.spec.ID, Monhost: s.spec.Monhost, Node: s.spec.Node, Tool: s.spec.Tool, Label: s.spec.Label,
			Began: next.Since, Raised: d.At, Text: d.Text, Planned: judge.Planned(s.planned, s.spec.Node, s.spec.Labels, d.At) != "", Messages: []time.Time{}}
		s.alerts = append(s.alerts, s.open)
	}
	if s.open == nil {
		return
	}
	if d.Tell {
		s.open.Messages = append(s.open.Messages, d.At)
	}
	if next.IsOpen() {
		s.open.Severity, s.open.Flapping = next.Severity, s.open.Flapping || next.Flapping
	}
	if d.Action == measure.Clear {
		ended := since
		if ended.IsZero() {
			ended = d.At
		}
		s.open.Ended, s.open = &ended, nil
	}
}

// spec is one spec with all settings that are tried on it.
type spec struct {
	store.Watched
	series []*series
	ticks  []time.Time // stored ones of the rule as it is, for series[0]
	exact  bool        // those are all the ticks that series[0] gets
	last   time.Time   // due_at of the run before
}

func newSpec(q *Question, w store.Watched, column int) (*spec, error) {
	sp := &spec{Watched: w, ticks: q.Ticks[w.ID]}
	sp.exact = len(sp.ticks) > 0
	var planned []store.Maintenance
	for _, m := range q.Maintenance {
		if m.Covers(w.Node, w.Labels, m.From) {
			planned = append(planned, m)
		}
	}
	for i := range q.Settings {
		set := &q.Settings[i]
		d, err := judge.Detector(q.Method, &set.Rule, judge.Every(&set.Rule, &w), nil)
		if err != nil {
			return nil, fmt.Errorf("setting %q on spec %d: %w", set.Name, w.ID, err)
		}
		sp.series = append(sp.series, &series{spec: &sp.Watched, rule: &set.Rule, planned: planned, column: column, detector: d})
	}
	return sp, nil
}

// feed gives a run to all settings, after the ticks that came before it.
func (sp *spec) feed(r *store.StoredRun) {
	if sp.last.IsZero() {
		for _, s := range sp.series {
			s.detector.Tick(r.DueAt.Add(-time.Microsecond)) // a fresh detector is told the time first
		}
		sp.last = r.DueAt
	}
	sp.silence(r)
	for len(sp.ticks) > 0 && sp.ticks[0].Before(r.StoredAt) {
		// Others than the rule as it is find silence by the minute.
		sp.series[0].tick(sp.ticks[0])
		sp.ticks = sp.ticks[1:]
	}
	for _, s := range sp.series {
		s.feed(r)
	}
	sp.last = r.DueAt
}

// silence tells the time while nothing came that should have. What a gap is
// known of is told by its row: nobody may have worked then.
func (sp *spec) silence(r *store.StoredRun) {
	usual := max(sp.RunInterval, tickEvery)
	if sp.RunInterval == 0 || r.Gap || r.DueAt.Sub(sp.last) < 2*usual {
		return
	}
	for at := sp.last.Add(usual + tickEvery); at.Before(r.DueAt); at = at.Add(tickEvery) {
		for i, s := range sp.series {
			if i > 0 || !sp.exact {
				s.tick(at)
			}
		}
	}
}

// end is called when all is read.
func (sp *spec) end(until time.Time) {
	if !sp.exact && !sp.last.IsZero() {
		sp.silence(&store.StoredRun{Run: store.Run{Sample: measure.Sample{RunKey: measure.RunKey{DueAt: until}}}})
	}
	for _, at := range sp.ticks {
		if at.Before(until) {
			sp.series[0].tick(at)
		}
	}
	for _, s := range sp.series {
		s.pass(until)
	}
}
