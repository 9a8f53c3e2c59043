package analyst

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"sonde/analysis"
	"sonde/internal/alert"
	"sonde/internal/judge"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// spec is one watched spec with the detectors of its rules. What each sample
// touches stands first and together: of ten thousands of specs nothing is in the
// caches any more when the next sample comes, and fetching it is most of its cost.
type spec struct {
	source   *source
	hands    []hand // of watches
	watches  []*watch
	judgedTo time.Time
	well     time.Time // due_at of the last run that got an answer
	fed      int       // samples since the whole state was written
	keptAt   time.Time // when that was
	dirty    bool      // its episodes are to be written in this pass
	keep     bool      // so is the whole state: stored rows could not bring it back
	store.Watched

	missed []missed // of the samples since the whole state was written, the missed runs

	// Rules of a restored state that nobody watches any more, until fit drops them.
	left map[string]savedEpisode
}

// bySpec is the order in which specs are judged.
func bySpec(a, b *spec) int { return cmp.Compare(a.ID, b.ID) }

// source is what is read of the runs of a tool.
type source struct {
	tool string
	store.Series
	loss int // which of Columns is loss_pct, -1 for none
}

// watch is one rule on one series: a detector and the episode of its verdicts.
type watch struct {
	*hand

	rule     *store.Rule   // shared by all specs it covers
	print    string        // of method, metric and options: another detector has another
	interval time.Duration // of the spec, as the detector was told
	episode  alert.Episode
	alert    int64     // the open one, 0 for none
	opened   time.Time // when it was opened, by the database's clock
	partOf   int64     // the alert that hides it
	reason   string    // of the last run behind the last bad verdict
	owed     []owed    // verdicts that are not folded yet

	comparer analysis.Comparer // the detector, if it is one
}

// hand is what each sample touches of a watch. Those of a spec lie one behind the other.
type hand struct {
	detector analysis.Detector
	recorder analysis.Recorder // the detector, if it is one
	decliner analysis.Decliner // the detector, if it is one
	column   int               // of the series; -1 for outcomes only
	declines bool              // it did not judge the last sample
}

// watch gives a spec its watches.
func (sp *spec) watch(all []*watch) {
	sp.watches, sp.hands = all, make([]hand, len(all))
	for i, w := range all {
		sp.hands[i] = *w.hand
		w.hand = &sp.hands[i]
	}
}

// use sets the detector.
func (w *watch) use(d analysis.Detector) {
	w.detector = d
	w.recorder, _ = d.(analysis.Recorder)
	w.decliner, _ = d.(analysis.Decliner)
	w.comparer, _ = d.(analysis.Comparer)
}

// atRest reports whether time alone changes nothing: neither an alert is open nor
// an episode under way.
func (w *watch) atRest() bool {
	return w.alert == 0 && w.episode.Phase == alert.Nothing && len(w.owed) == 0
}

// follow takes a configuration: its rules, and what they want to know of each run.
func (s *session) follow(c store.Configuration) (err error) {
	s.config = c
	for _, from := range s.sources {
		from.Unread = make([]bool, len(from.Columns))
		for i := range from.Columns {
			from.Unread[i] = i != from.loss && !slices.ContainsFunc(c.Rules, func(r store.Rule) bool { return s.column(from.tool, r.Metric) == i })
		}
	}
	s.prints, err = prints(c)
	return err
}

// prints tells detectors of rules apart.
func prints(c store.Configuration) ([]string, error) {
	out := make([]string, len(c.Rules))
	for i, r := range c.Rules {
		var compact bytes.Buffer
		if err := json.Compact(&compact, r.Options); err != nil {
			return nil, fmt.Errorf("options of rule %q: %w", r.Name, err)
		}
		out[i] = r.Method + " " + r.Metric + " " + compact.String()
	}
	return out, nil
}

// configure reads the configuration and makes the watched specs fit it.
func (p *pass) configure() error {
	s := p.session
	c, err := p.j.Configuration(p.ctx, s.config.Mark)
	if err != nil {
		return err
	}
	if err := p.j.AlignShadow(p.ctx); err != nil {
		return err
	}
	s.loadedAt = time.Now()
	if c.Same {
		c.Specs = s.config.Specs
		if reflect.DeepEqual(c.Rules, s.config.Rules) {
			c.Rules = s.config.Rules // watches point to them
			s.config = c
			return nil
		}
	}
	if err := s.follow(c); err != nil {
		return err
	}
	next := make(map[int64]*spec, len(c.Specs))
	order := make([]*spec, 0, len(c.Specs))
	s.hosts = map[string]bool{}
	for _, w := range c.Specs {
		source := s.sources[w.Tool]
		if source == nil {
			continue // a tool of another version
		}
		sp := s.specs[w.ID]
		if sp == nil {
			sp = &spec{left: s.gone[w.ID]}
			delete(s.gone, w.ID)
		}
		sp.Watched, sp.source = w, source
		if err := p.fit(sp); err != nil {
			return err
		}
		next[w.ID] = sp
		order = append(order, sp)
		s.hosts[w.Monhost] = true
	}
	for id, sp := range s.specs {
		if next[id] == nil {
			for _, w := range sp.watches {
				p.drop(sp, w, "the spec, or its node, was switched off")
			}
			p.dropLeft(sp, "the spec, or its node, was switched off")
			p.found.Forget = append(p.found.Forget, id)
		}
	}
	for id, left := range s.gone {
		p.dropLeft(&spec{Watched: store.Watched{ID: id}, left: left}, "the spec, or its node, was switched off")
		p.found.Forget = append(p.found.Forget, id)
		delete(s.gone, id)
	}
	slices.SortFunc(order, bySpec)
	s.specs, s.order = next, order
	return nil
}

// dropLeft ends the episodes of rules that were restored and are watched no
// more; why is the sentence, "" for that of a rule.
func (p *pass) dropLeft(sp *spec, why string) {
	for _, name := range slices.Sorted(maps.Keys(sp.left)) {
		text := why
		if text == "" {
			text = "rule " + name + " was switched off"
		}
		p.drop(sp, leftOver(&store.Rule{Name: name}, sp.left[name]), text)
	}
	sp.left = nil
}

// leftOver is a watch that was restored and whose detector is not.
func leftOver(r *store.Rule, saved savedEpisode) *watch {
	return &watch{hand: &hand{}, rule: r, episode: saved.Episode, alert: saved.Alert}
}

// method gives the method of a rule that watches a spec, and which column of its
// results; false for a rule that does not.
func (s *session) method(r *store.Rule, sp *spec) (m analysis.Method, column int, watches bool) {
	if !judge.Covers(r, &sp.Watched) {
		return m, 0, false
	}
	m, known := s.methods[r.Method]
	column = s.column(sp.Tool, r.Metric)
	return m, column, known && (r.Metric == "" || column >= 0)
}

// fit gives a spec the watches of the rules that cover it. A detector goes on
// when its rule's method, metric and options are what they were.
func (p *pass) fit(sp *spec) error {
	have := map[string]*watch{}
	for _, w := range sp.watches {
		have[w.rule.Name] = w
	}
	var watches []*watch
	for i := range p.config.Rules {
		r, print := &p.config.Rules[i], p.session.prints[i]
		m, column, ours := p.method(r, sp)
		if !ours {
			continue
		}
		w := have[r.Name]
		if w != nil && w.print == print {
			w.rule, w.print, w.column = r, print, column
			if every := judge.Every(r, &sp.Watched); w.interval != every {
				if err := p.renew(m, sp, w, every); err != nil {
					return err
				}
			}
			watches = append(watches, w)
			delete(have, r.Name)
			continue
		}
		if w != nil {
			p.drop(sp, w, "rule "+r.Name+" was changed")
			delete(have, r.Name)
		}
		if sw, was := sp.left[r.Name]; was {
			p.drop(sp, leftOver(r, sw), cmp.Or(sw.why, "rule "+r.Name+" was changed"))
			delete(sp.left, r.Name)
		}
		sp.keep = true
		fresh := &watch{hand: &hand{column: column}, rule: r, print: print, interval: judge.Every(r, &sp.Watched)}
		d, _, err := p.detector(m, r, fresh.interval, sp.ID, nil)
		if err != nil {
			p.Log.Error("a rule makes no detector", "rule", r.Name, "spec", sp.ID, "error", err)
			continue
		}
		fresh.use(d)
		d.Tick(p.now) // from now on silence counts
		p.found.Ticks = append(p.found.Ticks, store.NewTick{At: p.now, ToolspecID: sp.ID, Rule: r.Name})
		watches = append(watches, fresh)
	}
	for _, w := range have {
		p.drop(sp, w, "rule "+w.rule.Name+" was switched off")
		sp.keep = true
	}
	p.dropLeft(sp, "")
	sp.watch(watches)
	return nil
}

// renew tells a detector that its spec runs at another interval.
func (p *pass) renew(m analysis.Method, sp *spec, w *watch, every time.Duration) error {
	state, err := w.detector.Save()
	if err != nil {
		return fmt.Errorf("state of rule %q on spec %d: %w", w.rule.Name, sp.ID, err)
	}
	d, anew, err := p.detector(m, w.rule, every, sp.ID, state)
	if err != nil {
		return fmt.Errorf("rule %q on spec %d with another interval: %w", w.rule.Name, sp.ID, err)
	}
	if anew { // it knows nothing of the episode, and would never end it
		p.drop(sp, w, "it is judged anew: its interval was changed")
		w.episode, w.reason, w.owed = alert.Episode{}, "", nil
	}
	w.use(d)
	w.interval, sp.keep = every, true
	return nil
}

// detector builds the detector of a rule. A state that cannot be used is a fresh start: anew.
func (s *session) detector(m analysis.Method, r *store.Rule, interval time.Duration, spec int64, state []byte) (d analysis.Detector, anew bool, err error) {
	key := m.Name + " " + string(r.Options)
	options, known := s.options[key]
	if !known {
		if options, err = measure.ReadOptions(m.Options, r.Options); err != nil {
			return nil, false, err
		}
		s.options[key] = options
	}
	d, err = judge.With(m, options, interval, state)
	if anew = err != nil && state != nil; anew {
		s.Log.Error("the saved state of a detector cannot be used; it starts anew", "rule", r.Name, "spec", spec, "error", err)
		d, err = judge.With(m, options, interval, nil)
	}
	return d, anew, err
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
func (s *source) answered(r *store.Run) bool {
	if r.Outcome != measure.OK {
		return false
	}
	if r.Route != nil {
		return r.Route.Reached
	}
	if s.loss >= 0 && s.loss < len(r.Values) {
		return r.Values[s.loss] < 100 // NaN is not
	}
	return true
}
