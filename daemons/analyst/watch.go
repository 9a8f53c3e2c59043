package analyst

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"sonde/analysis"
	"sonde/internal/alert"
	"sonde/internal/judge"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// spec is one watched spec with the detectors of its rules.
type spec struct {
	store.Watched
	judgedTo time.Time
	well     time.Time // due_at of the last run that got an answer
	watches  []*watch
	dirty    bool
}

// watch is one rule on one series: a detector and the episode of its verdicts.
type watch struct {
	rule     *store.Rule // shared by all specs it covers
	print    string      // of method, metric and options: another detector has another
	column   int         // of the series; -1 for outcomes only
	detector analysis.Detector
	episode  alert.Episode
	alert    int64     // the open one, 0 for none
	opened   time.Time // when it was opened, by the database's clock; zero for one of an earlier session
	partOf   int64     // the alert that hides it
	reason   string    // of the last run behind the last bad verdict
}

// saved is detectors.state.
type saved struct {
	judgedTo time.Time
	Well     time.Time             `json:"well,omitzero"`
	Rules    map[string]savedWatch `json:"rules,omitempty"`
}

type savedWatch struct {
	Print    string          `json:"print"`
	Detector json.RawMessage `json:"detector"`
	Episode  alert.Episode   `json:"episode"`
	Alert    int64           `json:"alert,omitempty"`
	PartOf   int64           `json:"part_of,omitempty"`
	Reason   string          `json:"reason,omitempty"`
}

func (sp *spec) save() (store.DetectorState, error) {
	out := saved{Well: sp.well, Rules: map[string]savedWatch{}}
	for _, w := range sp.watches {
		d, err := w.detector.Save()
		if err != nil {
			return store.DetectorState{}, fmt.Errorf("state of rule %q on spec %d: %w", w.rule.Name, sp.ID, err)
		}
		out.Rules[w.rule.Name] = savedWatch{w.print, d, w.episode, w.alert, w.partOf, w.reason}
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return store.DetectorState{}, fmt.Errorf("state of spec %d: %w", sp.ID, err)
	}
	return store.DetectorState{ToolspecID: sp.ID, JudgedTo: sp.judgedTo, State: raw}, nil
}

// restore reads what was saved, at the beginning of a session.
func (s *session) restore(ctx context.Context, j store.Judging, mark store.Mark) error {
	rows, err := j.Detectors(ctx)
	if err != nil {
		return err
	}
	all := make(map[int64]saved, len(rows))
	for _, r := range rows {
		var sv saved
		if err := json.Unmarshal(r.State, &sv); err != nil {
			s.Log.Error("the saved state of a spec cannot be read; it is judged anew", "spec", r.ToolspecID, "error", err)
		}
		sv.judgedTo = r.JudgedTo
		all[r.ToolspecID] = sv
	}
	s.platform = platform{}
	if err := json.Unmarshal(mark.State, &s.platform); err != nil {
		s.Log.Error("the saved state of the platform's alerts cannot be read; they are judged anew", "error", err)
	}
	s.platform.prepare()
	s.saved = all
	s.began, s.slept = mark.Now, max(0, mark.Now.Sub(mark.Last))
	return nil
}

// configure reads the configuration and makes the watched specs fit it.
func (p *pass) configure() error {
	s := p.session
	c, err := p.j.Configuration(p.ctx)
	if err != nil {
		return err
	}
	if err := p.j.AlignShadow(p.ctx); err != nil {
		return err
	}
	s.config, s.loadedAt = c, time.Now()
	prints := make([]string, len(c.Rules))
	for i, r := range c.Rules {
		var compact bytes.Buffer
		if err := json.Compact(&compact, r.Options); err != nil {
			return fmt.Errorf("options of rule %q: %w", r.Name, err)
		}
		prints[i] = r.Method + " " + r.Metric + " " + compact.String()
	}
	next := make(map[int64]*spec, len(c.Specs))
	order := make([]int64, 0, len(c.Specs))
	for _, w := range c.Specs {
		if _, known := s.series[w.Tool]; !known {
			continue // a tool of another version
		}
		sp := s.specs[w.ID]
		old := map[string]savedWatch{}
		if sp == nil {
			sv := s.saved[w.ID]
			sp = &spec{Watched: w, judgedTo: sv.judgedTo, well: sv.Well}
			old = sv.Rules
			delete(s.saved, w.ID)
		}
		sp.Watched = w
		if err := p.fit(sp, old, prints); err != nil {
			return err
		}
		next[w.ID] = sp
		order = append(order, w.ID)
	}
	for id, sp := range s.specs {
		if next[id] == nil {
			for _, w := range sp.watches {
				p.drop(sp, w, "the spec, or its node, was switched off")
			}
			p.found.Forget = append(p.found.Forget, id)
		}
	}
	// What was saved of specs that are gone by now.
	for id, sv := range s.saved {
		sp := &spec{Watched: store.Watched{ID: id}}
		for name, sw := range sv.Rules {
			p.drop(sp, &watch{rule: &store.Rule{Name: name}, episode: sw.Episode, alert: sw.Alert}, "the spec, or its node, was switched off")
		}
		p.found.Forget = append(p.found.Forget, id)
		delete(s.saved, id)
	}
	slices.Sort(order)
	s.specs, s.order = next, order
	return nil
}

// fit gives a spec the watches of the rules that cover it. A detector goes on
// when its rule's method, metric and options are what they were.
func (p *pass) fit(sp *spec, old map[string]savedWatch, prints []string) error {
	have := map[string]*watch{}
	for _, w := range sp.watches {
		have[w.rule.Name] = w
	}
	var watches []*watch
	for i := range p.config.Rules {
		r, print := &p.config.Rules[i], prints[i]
		if !judge.Covers(r, &sp.Watched) {
			continue
		}
		m, known := p.methods[r.Method]
		if !known {
			continue
		}
		column := p.column(sp.Tool, r.Metric)
		if r.Metric != "" && column < 0 {
			continue
		}
		w := have[r.Name]
		if w != nil && w.print == print && w.rule.Method == r.Method {
			w.rule, w.print = r, print
			watches = append(watches, w)
			delete(have, r.Name)
			continue
		}
		sw, was := old[r.Name]
		delete(old, r.Name)
		fresh := &watch{rule: r, print: print, column: column}
		var state json.RawMessage
		if was && sw.Print == print {
			state = sw.Detector
			fresh.episode, fresh.alert, fresh.partOf, fresh.reason = sw.Episode, sw.Alert, sw.PartOf, sw.Reason
		} else if was {
			p.drop(sp, &watch{rule: r, episode: sw.Episode, alert: sw.Alert}, "rule "+r.Name+" was changed")
		}
		if w != nil {
			p.drop(sp, w, "rule "+r.Name+" was changed")
			delete(have, r.Name)
		}
		var err error
		if fresh.detector, err = p.detector(m, r, sp, state); err != nil {
			p.Log.Error("a rule makes no detector", "rule", r.Name, "spec", sp.ID, "error", err)
			continue
		}
		if state == nil {
			fresh.detector.Tick(p.now) // from now on silence counts
			p.found.Ticks = append(p.found.Ticks, store.NewTick{At: p.now, ToolspecID: sp.ID, Rule: r.Name})
			sp.dirty = true
		}
		watches = append(watches, fresh)
	}
	for _, w := range have {
		p.drop(sp, w, "rule "+w.rule.Name+" was switched off")
		sp.dirty = true
	}
	for name, sw := range old {
		p.drop(sp, &watch{rule: &store.Rule{Name: name}, episode: sw.Episode, alert: sw.Alert}, "rule "+name+" was switched off")
		sp.dirty = true
	}
	sp.watches = watches
	return nil
}

// detector builds the detector of a rule. A state that cannot be read is a fresh start.
func (p *pass) detector(m analysis.Method, r *store.Rule, sp *spec, state json.RawMessage) (analysis.Detector, error) {
	o, err := measure.ReadOptions(m.Options, r.Options)
	if err != nil {
		return nil, err
	}
	for _, known := range m.Options {
		if _, given := o[known.Name]; known.Name == "interval" && !given && sp.RunInterval > 0 {
			o["interval"] = sp.RunInterval
		}
	}
	d, err := m.New(o, state)
	if err != nil && state != nil {
		p.Log.Error("the saved state of a detector cannot be used; it starts anew", "rule", r.Name, "spec", sp.ID, "error", err)
		d, err = m.New(o, nil)
	}
	return d, err
}

func (s *session) column(tool, metric string) int {
	for _, t := range s.Tools {
		if t.Name == tool {
			return slices.IndexFunc(t.Metrics, func(m measure.Metric) bool { return m.Name == metric })
		}
	}
	return -1
}

// answered reports whether a run shows that the target was reached. Loss is what
// a tool calls loss_pct; a tool without it answers by having a result.
func (s *session) answered(tool string, r store.Run) bool {
	if r.Outcome != measure.OK {
		return false
	}
	if r.Route != nil {
		return r.Route.Reached
	}
	if i := s.column(tool, "loss_pct"); i >= 0 && i < len(r.Values) {
		return !math.IsNaN(r.Values[i]) && r.Values[i] < 100
	}
	return true
}
