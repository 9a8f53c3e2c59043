package analyst

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"sonde/analysis/joint"
	"sonde/internal/alert"
	"sonde/internal/judge"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// Of rules that look at many series at once.
const (
	meshFit   = time.Hour   // between looks at the past
	meshWait  = time.Minute // for the results of an instant
	meshNamed = 3           // series that stand out are named
)

// mesh is what a rule of the method joint knows of its series. Nothing of it is saved:
// the past is in the database, and after a restart it is looked at anew.
type mesh struct {
	print    string
	specs    []int64
	model    *joint.Model // nil: see unfit
	unfit    string
	why      string // it is not judged
	fittedAt time.Time
	judgedTo time.Time
	bad      int // instants in a row
	since    time.Time
}

// meshes judges the instants that are whole by now, for each rule that looks at many series.
func (p *pass) meshes() error {
	rules := map[string]bool{}
	for i := range p.config.Rules {
		r := &p.config.Rules[i]
		if r.Method != joint.Name || r.Metric == "" {
			continue
		}
		rules[r.Name] = true
		m := p.meshOf(r)
		var v *measure.Verdict
		failed, err := p.try(func() (err error) { v, err = p.mesh(r, m); return err })
		if err != nil {
			return fmt.Errorf("rule %q: %w", r.Name, err)
		}
		if failed != nil {
			p.unjudged(r, m, failed.Error()) // once more at the next instant
			continue
		}
		if v == nil {
			continue
		}
		if err := p.meshVerdict(r, r.Tool+"."+r.Metric, v); err != nil {
			return fmt.Errorf("rule %q: %w", r.Name, err)
		}
	}
	for key, st := range p.platform.Episodes {
		name, subject, _ := strings.Cut(key, "/")
		if !st.Mesh || rules[name] {
			continue
		}
		delete(p.session.mesh, name)
		v := &measure.Verdict{Kind: measure.Good, Severity: measure.Info, At: p.now, Since: p.now, Text: "rule " + name + " was switched off"}
		if err := p.meshVerdict(&store.Rule{Name: name}, subject, v); err != nil {
			return err
		}
	}
	return nil
}

// meshOf gives what a rule knows of its series, nothing when the rule has changed.
func (p *pass) meshOf(r *store.Rule) *mesh {
	m := p.session.mesh[r.Name]
	if print := r.Tool + " " + r.Metric + " " + string(r.Options); m == nil || m.print != print {
		m = &mesh{print: print}
		p.session.mesh[r.Name] = m
	}
	return m
}

// try does f within a savepoint: what fails in it is no reason to give the pass up.
func (p *pass) try(f func() error) (failed, err error) {
	whole := p.j
	defer func() { p.j = whole }()
	return whole.Try(p.ctx, func(j store.Judging) error {
		p.j = j
		return f()
	})
}

// unjudged notes why the series of a rule are not judged, and gives what ends their alert.
func (p *pass) unjudged(r *store.Rule, m *mesh, why string) *measure.Verdict {
	if why != m.why {
		m.why = why
		p.Log.Info("the series of a rule are not judged together", "rule", r.Name, "why", why)
	}
	m.bad = 0
	return &measure.Verdict{Kind: measure.Good, Severity: measure.Info, At: p.now, Since: p.now, Text: "no longer judged: " + why}
}

// mesh judges the last instant of a rule that looks at many series, nil when there is nothing to say.
func (p *pass) mesh(r *store.Rule, m *mesh) (*measure.Verdict, error) {
	o, err := measure.ReadOptions(p.methods[joint.Name].Options, r.Options)
	if err != nil {
		return p.unjudged(r, m, err.Error()), nil
	}
	step, past := o.Duration("step"), o.Duration("past")
	until := p.now.Add(-meshWait).Truncate(step)
	if !m.judgedTo.Before(until) {
		return nil, nil
	}
	m.judgedTo = until
	if past/step > joint.MostInstants {
		return p.unjudged(r, m, fmt.Sprintf("\"past\" (%s) is more than %d times \"step\" (%s): shorten it or lengthen the step",
			measure.FormatDuration(past), joint.MostInstants, measure.FormatDuration(step))), nil
	}
	var specs []int64
	for _, sp := range p.session.order {
		if r.Tool == sp.Tool && judge.Covers(r, &sp.Watched) && !p.held(sp.Monhost) && len(specs) < o.Int("most") {
			specs = append(specs, sp.ID)
		}
	}
	series := p.sources[r.Tool]
	column := p.column(r.Tool, r.Metric)
	if column < 0 {
		return p.unjudged(r, m, fmt.Sprintf("tool %q has no metric %q", r.Tool, r.Metric)), nil
	}
	if len(specs) < 3 {
		return p.unjudged(r, m, fmt.Sprintf("the rule covers %d series whose data are there; three are needed", len(specs))), nil
	}
	if m.fittedAt.IsZero() || p.now.Sub(m.fittedAt) >= meshFit || !slices.Equal(m.specs, specs) {
		rows, err := p.j.Mesh(p.ctx, series.Table, series.Columns[column], specs, until.Add(-step-past.Truncate(step)), until.Add(-step), step)
		if err != nil {
			return nil, err
		}
		m.specs, m.fittedAt, m.unfit = specs, p.now, ""
		if m.model, err = joint.Fit(rows, joint.Setting{Share: o.Float("share"), FalseAlarm: o.Float("false_alarm")}); err != nil {
			m.unfit = err.Error() // it is judged when more is known
		}
	}
	if m.model == nil {
		return p.unjudged(r, m, m.unfit), nil
	}
	rows, err := p.j.Mesh(p.ctx, series.Table, series.Columns[column], specs, until.Add(-step), until, step)
	if err != nil {
		return nil, err
	}
	m.why = ""
	f, judged := m.model.Judge(rows[0])
	if !judged {
		return nil, nil // most of the series are missing, and that is told by others
	}
	if !f.Bad {
		m.bad = 0
		return &measure.Verdict{Kind: measure.Good, Severity: measure.Info, At: p.now, Since: until,
			Text: fmt.Sprintf("%d series move together as usual again", len(specs))}, nil
	}
	if m.bad++; m.bad == 1 {
		m.since = until.Add(-step)
	}
	if m.bad < o.Int("instants") {
		return nil, nil
	}
	return p.together(r, m, f), nil
}

// together says what many series did.
func (p *pass) together(r *store.Rule, m *mesh, f joint.Finding) *measure.Verdict {
	order := make([]int, len(m.specs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(f.Shares[b], f.Shares[a]) })
	var named []string
	for _, i := range order[:min(meshNamed, len(order))] {
		sp := p.specs[m.specs[i]]
		named = append(named, fmt.Sprintf("%s from %s (%.0f %%)", sp.Node, sp.Monhost, 100*f.Shares[i]))
	}
	return &measure.Verdict{Kind: measure.Bad, Severity: measure.Severity(r.Severity), At: p.now, Since: m.since,
		Text: fmt.Sprintf("%d series of %s.%s do not move together as usual; most of it: %s", len(m.specs), r.Tool, r.Metric, strings.Join(named, ", ")),
		Evidence: map[string]any{"q": f.Q, "limit_q": f.Limit, "score": measure.ScoreOf(math.Sqrt(f.Q / f.Limit)), "series": len(m.specs), "missing": f.Missing,
			"stand_out": named}}
}

// meshVerdict folds a verdict about many series into their episode.
func (p *pass) meshVerdict(r *store.Rule, subject string, v *measure.Verdict) error {
	key := alert.StandingKey(r.Name, subject)
	if st := p.platform.Episodes[key]; v.Kind == measure.Good && (st == nil || st.Episode.Phase == alert.Nothing && len(st.Owed) == 0) {
		return nil
	}
	if err := p.standingVerdict(store.Alert{Subject: subject, Rule: r.Name, Shadow: r.Shadow}, muteOf(r), judge.Policy(r), v); err != nil {
		return err
	}
	if st := p.platform.Episodes[key]; st != nil {
		st.Mesh = true
	}
	return nil
}
