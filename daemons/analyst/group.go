package analyst

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sonde/internal/alert"
	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/notify"
)

// GapRule raises alerts about time in which nothing was planned: the scheduler
// was down or the database away. It is over when it is known, so the specs'
// own findings are not told; but that nobody measured must not go unsaid.
const GapRule = "gap"

// gapTold is the least gap that people are told of: a restart is shorter.
const gapTold = 5 * time.Minute

// ClockRule raises alerts about steps of the database's clock.
const ClockRule = "clock"

// platform is the state that belongs to no single spec, kept with the mark.
type platform struct {
	Episodes  map[string]*standing  `json:"episodes,omitempty"` // by rule/subject
	Held      map[string]held       `json:"held,omitempty"`     // monitoring hosts whose data wait
	HeldOnce  map[string]bool       `json:"held_once,omitempty"`
	Turns     map[string]alert.Turn `json:"turns,omitempty"` // what routes took
	Leads     map[int64]time.Time   `json:"leads,omitempty"` // alerts that hide others, and when they ended; zero while they stand
	Looks     map[int64]*look       `json:"looks,omitempty"` // second looks, by alert
	Ordered   []time.Time           `json:"ordered,omitempty"`
	ClockStep int64                 `json:"clock_step"`        // the last one looked at
	Company   map[int64]string      `json:"company,omitempty"` // by alert: what it stands for, as it was written last
	dirty     bool
	roads     roads
}

// standing is an alert that is about no single spec.
type standing struct {
	Episode alert.Episode `json:"episode"`
	Alert   int64         `json:"alert,omitempty"`
	Monhost string        `json:"monhost,omitempty"`
	Members []int64       `json:"members,omitempty"` // of a shared hop or many nodes
	Mesh    bool          `json:"mesh,omitempty"`    // of a rule that looks at many series: see meshes
	Owed    []owed        `json:"owed,omitempty"`
}

// held is a monitoring host whose new data wait for its spools.
type held struct {
	Since time.Time `json:"since"`
	Read  string    `json:"read"` // the snapshot up to which its data are read
	Why   string    `json:"why"`
}

type release struct {
	monhost string
	read    store.Snapshot
}

// hiding says why an alert is not told for itself.
type hiding struct {
	by  int64
	why string
}

func (p *platform) prepare() {
	if p.Episodes == nil {
		p.Episodes = map[string]*standing{}
	}
	if p.Held == nil {
		p.Held = map[string]held{}
	}
	if p.HeldOnce == nil {
		p.HeldOnce = map[string]bool{}
	}
	if p.Leads == nil {
		p.Leads = map[int64]time.Time{}
	}
	if p.Looks == nil {
		p.Looks = map[int64]*look{}
	}
	if p.Company == nil {
		p.Company = map[int64]string{}
	}
}

func (s *session) held(monhost string) bool {
	_, yes := s.platform.Held[monhost]
	return yes
}

// hold leaves the data of hosts alone whose spools are not empty yet, five
// minutes at most, and once for each outage.
func (p *pass) hold(mark store.Mark, list []store.Spooling) error {
	st := &p.session.platform
	busy := map[string]bool{}
	for _, h := range list {
		busy[h.Monhost] = true
		if _, already := st.Held[h.Monhost]; !already && !st.HeldOnce[h.Monhost] {
			p.Log.Info("the data of a monitoring host wait for its spool", "monhost", h.Monhost, "why", h.Why)
			st.Held[h.Monhost] = held{Since: p.now, Read: mark.Read.String(), Why: h.Why}
			st.HeldOnce[h.Monhost], st.dirty = true, true
		}
	}
	for _, host := range slices.Sorted(maps.Keys(st.Held)) {
		h := st.Held[host]
		if busy[host] && p.now.Sub(h.Since) < holdAtMost && !p.now.Before(h.Since) {
			continue
		}
		read, err := store.ParseSnapshot(h.Read)
		if err != nil {
			return fmt.Errorf("data of %s that wait: %w", host, err)
		}
		p.releases = append(p.releases, release{host, read})
		delete(st.Held, host)
		st.dirty = true
	}
	for host := range st.HeldOnce {
		if !busy[host] {
			delete(st.HeldOnce, host)
			st.dirty = true
		}
	}
	return nil
}

// group looks which open alerts are one trouble, and raises and closes the
// alerts that stand for many.
func (p *pass) group() error {
	if p.behind {
		p.withhold()
		return nil // half an outage has been read: it would be told in the wrong words
	}
	w, err := p.world()
	if err != nil {
		return err
	}
	g := alert.Group(w)
	if err := p.troubles(g); err != nil {
		return err
	}
	was := p.session.hidden
	p.session.hidden = map[int64]hiding{}
	members := map[int64][]alert.Finding{}
	findings := map[int64]alert.Finding{}
	for _, f := range w.Findings {
		findings[f.ID] = f
		h, hidden := g.Hidden[f.ID]
		if !hidden {
			continue
		}
		by := h.By
		if h.Rule != "" {
			if s := p.platform.Episodes[alert.StandingKey(h.Rule, h.Subject)]; s != nil {
				if len(s.Owed) > 0 {
					continue // it cannot be raised
				}
				by = s.Alert
			}
		} else if by != 0 {
			p.lead(by)
		}
		if p.contradicted(by) && p.specOf[by] != p.specOf[f.ID] {
			continue // it does not speak, so others do for themselves
		}
		if h.Member {
			members[by] = append(members[by], f)
		}
		p.session.hidden[f.ID] = hiding{by, h.Why}
	}
	if err := p.secondLooks(); err != nil {
		return err
	}
	for id, w := range p.byAlert {
		h := p.session.hidden[id]
		if h != was[id] {
			p.specOf[id].dirty = true
		}
		if by := h.by; by != w.partOf {
			w.partOf = by
			p.change(id, w.episode, w.episode).PartOf = &by
		}
	}
	p.company = map[int64]string{}
	for id, w := range p.byAlert {
		p.company[id] = alert.Company(findings[id], members[id])
		if p.company[id] != p.platform.Company[id] {
			p.change(id, w.episode, w.episode)
		}
	}
	p.withhold()
	return nil
}

// world is what there is to group.
func (p *pass) world() (alert.World, error) {
	w := alert.World{At: p.now, Parents: p.config.Parents, Standing: map[string]bool{}, Shared: map[string]alert.Shared{}, Wait: groupWait, Linger: groupLinger, Silent: map[string]time.Time{}}
	p.byAlert, p.specOf = map[int64]*watch{}, map[int64]*spec{}
	ofPath := false
	for host := range p.hosts {
		if seen, ok := p.config.HostsSeen[host]; ok && p.silent(seen) {
			w.Silent[host] = seen
		}
	}
	for _, sp := range p.restlessSpecs() {
		for _, one := range sp.watches {
			if one.rule.Shadow {
				one.partOf = 0 // see AlignShadow
			}
			if one.alert == 0 || !one.episode.IsOpen() || one.rule.Shadow {
				continue
			}
			p.byAlert[one.alert], p.specOf[one.alert] = one, sp
			if p.awaitsData(one) && !alert.Overloaded(one.reason) {
				continue
			}
			f := alert.Finding{ID: one.alert, Spec: sp.ID, Monhost: sp.Monhost, Node: sp.Node, Rule: one.rule.Name, Cause: p.cause(sp.Tool, one.rule),
				Reason: one.reason, Severity: one.episode.Severity, Since: one.episode.Since, Raised: one.episode.Raised,
				Interval: sp.Usual, Told: !one.episode.Told.IsZero(), PartOf: one.partOf}
			ofPath = ofPath || f.Cause.OfPath()
			w.Findings = append(w.Findings, f)
		}
	}
	if len(w.Findings)+len(w.Silent) > 0 { // else there is nothing to group
		w.Specs = make([]alert.Spec, len(p.session.order))
		for i, sp := range p.session.order {
			w.Specs[i] = alert.Spec{ID: sp.ID, Monhost: sp.Monhost, Node: sp.Node, Well: sp.well,
				Loss: p.judgedBy(sp, alert.Loss), Delay: p.judgedBy(sp, alert.Delay)}
		}
	}
	for key, s := range p.platform.Episodes {
		if !s.Episode.IsOpen() {
			continue
		}
		w.Standing[key] = true
		if rule, _, _ := strings.Cut(key, "/"); rule == alert.HopRule || rule == alert.ManyRule {
			w.Shared[key] = alert.Shared{Members: s.Members, Since: s.Episode.Since}
		}
	}
	if ofPath {
		r, err := p.seeRoads()
		if err != nil {
			return w, err
		}
		w.Paths, w.Names = r.paths, r.names
	}
	w.Turns = p.turns(w.Findings)
	w.Ended = p.ended()
	return w, nil
}

// judgedBy is what the detectors of a cause say of a spec now. Who cannot compare
// is believed while it finds nothing.
func (p *pass) judgedBy(sp *spec, c alert.Cause) alert.Judged {
	all := alert.Unjudged
	for _, w := range sp.watches {
		if w.rule.Shadow || p.cause(sp.Tool, w.rule) != c {
			continue
		}
		one := alert.AsUsual
		if w.comparer != nil && !w.comparer.Usual() {
			if one = alert.Off; w.declines {
				one = alert.Unjudged
			}
		}
		all = all.And(one)
	}
	return all
}

// lead notes that an alert hides others.
func (p *pass) lead(id int64) {
	if _, known := p.platform.Leads[id]; !known && p.byAlert[id] != nil {
		p.session.platform.Leads[id], p.session.platform.dirty = time.Time{}, true
	}
}

// ended gives the alerts that hid others and have ended lately.
func (p *pass) ended() map[int64]time.Time {
	st := &p.session.platform
	out := map[int64]time.Time{}
	for id, at := range st.Leads {
		switch {
		case p.byAlert[id] != nil:
			continue
		case at.IsZero():
			at = p.now
			st.Leads[id], st.dirty = at, true
		case p.now.Sub(at) >= groupLinger || at.After(p.now):
			delete(st.Leads, id)
			st.dirty = true
		}
		out[id] = at
	}
	return out
}

// troubles raises, feeds and closes the alerts that stand for many.
func (p *pass) troubles(g alert.Grouping) error {
	now := map[string]alert.Trouble{}
	for _, t := range g.Troubles {
		now[alert.StandingKey(t.Rule, t.Subject)] = t
	}
	hides := map[string][]int64{}
	for id, h := range g.Hidden {
		if h.Rule != "" {
			key := alert.StandingKey(h.Rule, h.Subject)
			hides[key] = append(hides[key], id)
		}
	}
	keys := map[string]bool{}
	for key := range now {
		keys[key] = true
	}
	for key, st := range p.platform.Episodes {
		if !st.Mesh && !strings.HasPrefix(key, ClockRule+"/") && !strings.HasPrefix(key, GapRule+"/") {
			keys[key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		rule, subject, _ := strings.Cut(key, "/")
		shared := rule == alert.HopRule || rule == alert.ManyRule
		policy := alert.Usual()
		if len(hides[key]) > 0 {
			policy.Recovery = groupLinger // its specs come back one after the other
		}
		t, bad := now[key]
		monhost := t.Monhost
		var v *measure.Verdict
		switch {
		case bad:
			v = &measure.Verdict{Kind: measure.Bad, Severity: t.Severity, At: p.now, Since: earlier(t.Since, p.now), Text: t.Text,
				Evidence: map[string]any{"alerts": t.Members, "nodes": t.Nodes}}
		case shared:
			monhost = p.platform.Episodes[key].Monhost
			v = &measure.Verdict{Kind: measure.Good, Severity: measure.Info, At: p.now, Since: p.now, Text: "over: its nodes are no longer bad together"}
		default:
			monhost = subject
			v = &measure.Verdict{Kind: measure.Good, Severity: measure.Info, At: p.now, Since: p.now, Text: "over: " + subject + " measures again"}
		}
		if err := p.platformVerdict(rule, subject, monhost, policy, v); err != nil {
			return err
		}
		st := p.platform.Episodes[key]
		if !shared || st == nil {
			continue
		}
		members := hides[key]
		slices.Sort(members)
		if !st.Episode.IsOpen() {
			members = nil
		}
		if !slices.Equal(members, st.Members) {
			st.Members, p.session.platform.dirty = members, true
		}
		// How many it stands for changes while it stands.
		if bad && st.Episode.Phase == alert.Open && st.Episode.Text != t.Text {
			st.Episode.Text, p.session.platform.dirty = t.Text, true
			p.change(st.Alert, st.Episode, st.Episode)
		}
	}
	return nil
}

// silent reports whether a host that reported last at seen is silent. After an
// outage of the database, or a step of its clock, hosts get time to report anew.
func (p *pass) silent(seen time.Time) bool {
	if p.slept > time.Minute && p.began.After(seen) {
		seen = p.began
	}
	return !p.ahead && p.now.Sub(seen) > hostSilent+reload
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || a.After(b) {
		return b
	}
	return a
}

// cause is what a rule's findings are about: its method says it, or what its series counts.
func (p *pass) cause(tool string, r *store.Rule) alert.Cause {
	switch c := alert.Cause(r.Method); c {
	case alert.NoAnswer, alert.CannotMeasure, alert.NoData, alert.RouteLeft:
		return c
	}
	if i := p.column(tool, r.Metric); i >= 0 {
		for _, t := range p.Tools {
			switch {
			case t.Name != tool:
			case strings.Contains(r.Metric, "loss"):
				return alert.Loss
			case t.Metrics[i].Unit == "ms":
				return alert.Delay
			}
		}
	}
	return alert.Other
}

// platformVerdict folds what is known of the platform now into its episode. It
// is called each pass, so only what changes something is written down.
func (p *pass) platformVerdict(rule, subject, monhost string, policy alert.Policy, v *measure.Verdict) error {
	return p.standingVerdict(store.Alert{Subject: subject, Monhost: monhost, Rule: rule}, "", policy, v)
}

// standingVerdict does that for the alert of a row; mute says why nobody hears of it.
func (p *pass) standingVerdict(row store.Alert, mute string, policy alert.Policy, v *measure.Verdict) error {
	key := alert.StandingKey(row.Rule, row.Subject)
	st := p.platform.Episodes[key]
	if st == nil {
		st = &standing{}
	}
	if n := len(st.Owed); n > 0 { // what is said of it each pass is kept once
		if st.Owed[n-1].Verdict.Kind != v.Kind {
			st.Owed, p.session.platform.dirty = owe(st.Owed, *v, false), true
		}
		return nil
	}
	before := st.Episode
	f := alert.Facts{Mute: mute, Quiet: p.planned(row.Monhost, nil, p.now)}
	p.heed(&f, st.Alert)
	var next alert.Episode
	var d measure.Decision
	due, said := true, *v
	switch {
	case v.Kind == measure.Bad && (before.Phase != alert.Open || alert.Graver(before.Severity, v.Severity) != before.Severity),
		v.Kind == measure.Good && (before.Phase == alert.Open || before.Phase == alert.Waiting):
		next, d = before.Verdict(policy, f, *v)
	default:
		next, d, due = before.Tick(policy, f, p.now)
		v = nil
	}
	if !due {
		return nil
	}
	about := notify.Alert{Rule: row.Rule, Subject: row.Subject, Monhost: row.Monhost}
	row.Planned = f.Quiet != ""
	t, err := p.record(about, row, &st.Alert, before, next, d, v, false)
	if errors.Is(err, errOwed) {
		st.Owed, st.Monhost = owe(nil, said, false), row.Monhost
		p.platform.Episodes[key], p.session.platform.dirty = st, true
		return nil
	}
	if err != nil {
		return err
	}
	if t != nil {
		p.told = append(p.told, *t)
	}
	st.Episode, st.Monhost = next, row.Monhost
	p.platform.Episodes[key] = st
	if next.Phase == alert.Nothing {
		st.Alert = 0
		if len(next.Starts) == 0 {
			delete(p.platform.Episodes, key)
		}
	}
	p.session.platform.dirty = true
	return nil
}

// clockSteps raises an alert for a step of the database's clock, over when there
// was none for ten minutes.
func (p *pass) clockSteps(steps []store.ClockStep) error {
	const subject = "the database's clock"
	key := ClockRule + "/" + subject
	for _, s := range steps {
		if s.Seconds < 0 {
			p.judgeAgainFrom(s.From)
			if s.Until.After(p.config.TakenBack) {
				p.config.TakenBack = s.Until
			}
		}
		// Each step is told: another one is no more of the same.
		if st := p.platform.Episodes[key]; st != nil && st.Episode.Phase == alert.Open {
			if err := p.platformVerdict(ClockRule, subject, "", alert.Usual(),
				&measure.Verdict{Kind: measure.Good, Severity: measure.Info, At: p.now, Since: p.now, Text: "it stepped again"}); err != nil {
				return err
			}
		}
		way := "forward"
		if s.Seconds < 0 {
			way = "back"
		}
		size := time.Duration(max(s.Seconds, -s.Seconds) * float64(time.Second))
		v := &measure.Verdict{Kind: measure.Bad, Severity: measure.Warning, At: p.now, Since: earlier(s.At, p.now),
			Text:     fmt.Sprintf("the clock stepped %s by %s", way, size.Round(time.Millisecond)),
			Evidence: map[string]any{"seconds": s.Seconds, "clock_step": s.ID}}
		if err := p.platformVerdict(ClockRule, subject, "", alert.Usual(), v); err != nil {
			return err
		}
		p.session.platform.ClockStep, p.session.platform.dirty = s.ID, true
	}
	st := p.platform.Episodes[key]
	if len(steps) > 0 || st == nil || st.Episode.Phase == alert.Nothing {
		return nil
	}
	steady := p.now.Sub(st.Episode.Raised)
	if st.Episode.Phase == alert.Open && (steady >= clockSteady || steady < 0) {
		return p.platformVerdict(ClockRule, subject, "", alert.Usual(),
			&measure.Verdict{Kind: measure.Good, Severity: measure.Info, At: p.now, Since: p.now, Text: "no step for 10 minutes"})
	}
	return nil
}

// outage is what new gaps say of one monitoring host.
type outage struct {
	from, until time.Time
	runs, specs int
	reason      string
}

func (p *pass) noteGap(monhost string, g store.Run) {
	if p.outages == nil {
		p.outages = map[string]outage{}
	}
	o, known := p.outages[monhost]
	if !known || g.From.Before(o.from) {
		o.from = g.From
	}
	if g.DueAt.After(o.until) {
		o.until = g.DueAt
	}
	o.runs, o.specs, o.reason = o.runs+g.Runs, o.specs+1, g.Reason
	p.outages[monhost] = o
}

// gaps raises one alert per monitoring host for a long gap, over when there was
// none for ten minutes.
func (p *pass) gaps() error {
	for _, host := range slices.Sorted(maps.Keys(p.outages)) {
		o := p.outages[host]
		if o.until.Sub(o.from) < gapTold {
			continue
		}
		v := &measure.Verdict{Kind: measure.Bad, Severity: measure.Warning, At: p.now, Since: earlier(o.from, p.now),
			Text: fmt.Sprintf("nothing was measured from %s for %s until %s UTC (runs not made: %d): %s", host,
				measure.FormatDuration(o.until.Sub(o.from).Round(time.Second)), o.until.UTC().Format("15:04"), o.runs, o.reason),
			Evidence: map[string]any{"from": o.from.UTC(), "until": o.until.UTC(), "runs": o.runs, "specs": o.specs, "reason": o.reason}}
		if err := p.platformVerdict(GapRule, host, host, alert.Usual(), v); err != nil {
			return err
		}
	}
	for key, st := range p.platform.Episodes {
		rule, host, _ := strings.Cut(key, "/")
		if _, fresh := p.outages[host]; rule != GapRule || fresh || st.Episode.Phase != alert.Open {
			continue
		}
		if steady := p.now.Sub(st.Episode.Raised); steady >= clockSteady || steady < 0 {
			if err := p.platformVerdict(GapRule, host, host, alert.Usual(),
				&measure.Verdict{Kind: measure.Good, Severity: measure.Info, At: p.now, Since: p.now, Text: "no gap for 10 minutes"}); err != nil {
				return err
			}
		}
	}
	return nil
}

// judgeAgainFrom lets results be judged of a time that comes again: they are not late.
func (p *pass) judgeAgainFrom(from time.Time) {
	for _, sp := range p.session.order {
		if !sp.judgedTo.Before(from) {
			sp.judgedTo, sp.keep = from.Add(-time.Microsecond), true
		}
	}
}
