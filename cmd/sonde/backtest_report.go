package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sonde/internal/measure"
	"sonde/internal/replay"
	"sonde/internal/store"
)

// trial is a back-test: what it was asked, and what came out.
type trial struct {
	flags     backtestFlags
	plan      store.ReplayPlan
	q         replay.Question
	incidents []store.Incident
	raised    []store.StoredTick // alerts of the rule that the analyst raised in the time

	results []replay.Result
	facts   replay.Facts
}

// read reads what belongs to the question beside the data.
func (t *trial) read(ctx context.Context, st *store.Store) error {
	var err error
	if t.incidents, err = st.Incidents(ctx, t.q.From, t.q.Until); err != nil || t.flags.rule == "" {
		return err
	}
	if t.raised, err = st.RaisedAlerts(ctx, t.flags.rule, t.q.From, t.q.Until); err != nil {
		return err
	}
	ticks, err := st.StoredTicks(ctx, t.flags.rule, t.q.Until)
	t.q.Ticks = map[int64][]time.Time{}
	for _, k := range ticks {
		t.q.Ticks[k.ToolspecID] = append(t.q.Ticks[k.ToolspecID], k.At)
	}
	return err
}

// replayed is how many of the alerts that the analyst raised the replay raises as well, at about the same time.
func (t *trial) replayed() (raised, same int) {
	spec := map[int64]time.Duration{}
	for _, w := range t.q.Specs {
		spec[w.ID] = max(5*time.Minute, 2*w.Usual)
	}
	for _, k := range t.raised {
		slack, ours := spec[k.ToolspecID]
		if !ours {
			continue
		}
		raised++
		if slices.ContainsFunc(t.results[0].Alerts, func(a *replay.Alert) bool {
			return a.ToolspecID == k.ToolspecID && a.Raised.Sub(k.At).Abs() <= slack
		}) {
			same++
		}
	}
	return raised, same
}

// doubts are honest words about what was not judged, and what a replay cannot know.
func (t *trial) doubts() []string {
	f, days := t.facts, t.q.Until.Sub(t.q.From).Hours()/24
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if n := len(f.NoData); n > 0 {
		say("%d of %d specs have no data in these %.0f days (spec %s): nothing is known of them.", n, f.Specs, days, someIDs(f.NoData))
	}
	if f.Younger > 0 {
		say("%d specs have data from a later day on: of the time before nothing is known.", f.Younger)
	}
	for _, d := range f.Declined {
		say("Of %d spec-days %d were not judged: %s.", f.Days, d.Days, strings.TrimRight(d.Why, "."))
	}
	if f.Missed > 0 {
		say("%d runs were missed, gaps included: only rules that look at outcomes judge them.", f.Missed)
	}
	if f.Failed > 0 {
		say("%d runs failed: only rules that look at outcomes judge them.", f.Failed)
	}
	if f.NoValue > 0 {
		say("%d results have no %s: they were not judged.", f.NoValue, t.q.Settings[0].Rule.Metric)
	}
	if f.Late > 0 {
		say("%d results came late; the replay judges them in their order, the analyst may have noted them only.", f.Late)
	}
	if t.flags.rule != "" && t.plan.Off[t.flags.rule] {
		say("The rule is switched off now.")
	}
	if t.flags.rule != "" && t.q.Settings[0].Rule.Shadow {
		say("The rule is in shadow now: its messages are those it would send out of it.")
	}
	if raised, same := t.replayed(); raised > 0 {
		say("The analyst itself raised %d alerts of this rule in the time, the replay %d of them at about the same instant: settings, specs and what was late may have differed.", raised, same)
	}
	if t.q.Method.Name == "no-data" {
		say("A spec that was switched off for a while looks as if it had no data then.")
	}
	say("Not replayed: what hides an alert behind another, second looks, and who took note of one or silenced it. So messages are the most there would have been.")
	return out
}

func someIDs(ids []int64) string {
	text := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(ids[:min(len(ids), 8)])), ", "), "[]")
	if len(ids) > 8 {
		text += ", …"
	}
	return text
}

// changes are the assignments that make a row of RULES what a setting is.
func changes(before, after store.Rule) ([]string, error) {
	was, is := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for _, o := range []struct {
		raw  json.RawMessage
		into *map[string]json.RawMessage
	}{{before.Options, &was}, {after.Options, &is}} {
		if len(o.raw) > 0 {
			if err := json.Unmarshal(o.raw, o.into); err != nil {
				return nil, err
			}
		}
	}
	maps.DeleteFunc(is, func(name string, v json.RawMessage) bool { return string(was[name]) == string(v) })
	var out []string
	if len(is) > 0 {
		raw, err := json.Marshal(is)
		if err != nil {
			return nil, err
		}
		out = append(out, "options = options || "+quotedSQL(string(raw)))
	}
	if before.Tolerance != after.Tolerance {
		out = append(out, "tolerance = "+intervalSQL(after.Tolerance))
	}
	if before.Repeat != after.Repeat {
		out = append(out, "repeat_limit = "+intervalSQL(after.Repeat))
	}
	if before.Severity != after.Severity {
		out = append(out, "severity = "+quotedSQL(after.Severity))
	}
	return out, nil
}

func quotedSQL(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func intervalSQL(d time.Duration) string { return fmt.Sprintf("'%g seconds'", d.Seconds()) }

// applying is the statement that makes it so.
func (t *trial) applying(after store.Rule) string {
	if t.flags.rule == "" {
		r := after
		null := func(text string) string {
			if text == "" {
				return "NULL"
			}
			return quotedSQL(text)
		}
		return fmt.Sprintf("INSERT INTO rules (name, method, tool, metric, options, shadow) VALUES ('NAME', %s, %s, %s, %s, true);",
			quotedSQL(r.Method), null(r.Tool), null(r.Metric), quotedSQL(string(r.Options)))
	}
	list, err := changes(t.q.Settings[0].Rule, after)
	if err != nil || len(list) == 0 {
		return ""
	}
	return fmt.Sprintf("UPDATE rules SET %s WHERE name = %s;", strings.Join(list, ", "), quotedSQL(t.flags.rule))
}

// report is the back-test for programs.
type report struct {
	Rule       string          `json:"rule,omitempty"`
	Method     string          `json:"method"`
	Tool       string          `json:"tool,omitempty"`
	Metric     string          `json:"metric,omitempty"`
	From       time.Time       `json:"from"`
	Until      time.Time       `json:"until"`
	LearnFrom  time.Time       `json:"learn_from"`
	Zone       string          `json:"time_zone"`
	Facts      replay.Facts    `json:"facts"`
	Settings   []settingReport `json:"settings"`
	Difference *diffReport     `json:"difference,omitempty"`
	Proposed   string          `json:"proposed,omitempty"` // the name of a setting
	Apply      string          `json:"apply,omitempty"`    // SQL that makes it so
	Doubts     []string        `json:"doubts"`
}

type settingReport struct {
	Name      string          `json:"name"`
	Options   json.RawMessage `json:"options"`
	Tolerance string          `json:"tolerance"`
	Figures   replay.Figures  `json:"figures"`
	Incidents incidentsReport `json:"incidents"`
	Alerts    []*replay.Alert `json:"alerts,omitempty"` // not of settings that a proposal only tried
}

type incidentsReport struct {
	Right     []toldReport `json:"right"`
	Wrong     []toldReport `json:"wrong"`
	Planned   []toldReport `json:"planned"`
	Elsewhere int          `json:"elsewhere"`
	Unmarked  int          `json:"alerts_unmarked"`
}

type toldReport struct {
	Incident store.Incident `json:"incident"`
	Alert    *replay.Alert  `json:"alert"` // null: none told of it
	DelayS   *float64       `json:"delay_s,omitempty"`
	Alerts   int            `json:"alerts"`
}

type diffReport struct {
	Both     []pairReport    `json:"both"`
	OnlyNow  []*replay.Alert `json:"only_as_it_is"`
	OnlyThen []*replay.Alert `json:"only_then"`
}

type pairReport struct {
	Now    *replay.Alert `json:"as_it_is"`
	Then   *replay.Alert `json:"then"`
	LaterS float64       `json:"later_s"` // negative: earlier
}

func toldOf(list []replay.Told) []toldReport {
	out := []toldReport{}
	for _, t := range list {
		r := toldReport{Incident: t.Incident, Alert: t.Alert, Alerts: t.Alerts}
		if t.Alert != nil {
			s := t.Delay.Seconds()
			r.DelayS = &s
		}
		out = append(out, r)
	}
	return out
}

func (t *trial) report() report {
	first := t.q.Settings[0].Rule
	out := report{Rule: t.flags.rule, Method: first.Method, Tool: first.Tool, Metric: first.Metric, From: t.q.From, Until: t.q.Until, LearnFrom: t.q.Learn,
		Zone: t.plan.Zone.String(), Facts: t.facts, Doubts: t.doubts()}
	for i := range t.results {
		r := &t.results[i]
		m := r.Against(t.incidents, t.q.Specs)
		s := settingReport{Name: r.Setting.Name, Options: r.Setting.Rule.Options, Tolerance: measure.FormatDuration(r.Setting.Rule.Tolerance),
			Figures: r.Figures(&t.q, &t.facts, t.plan.Zone), Incidents: incidentsReport{toldOf(m.Right), toldOf(m.Wrong), toldOf(m.Planned), m.Elsewhere, m.Unmarked}}
		if t.flags.propose == "" {
			s.Alerts = r.Alerts
		}
		out.Settings = append(out.Settings, s)
	}
	switch {
	case t.flags.propose != "":
		if order, better, _ := t.proposal(); better {
			out.Proposed, out.Apply = order[0].Setting.Name, t.applying(order[0].Setting.Rule)
		}
	case len(t.results) == 2:
		d := replay.Compare(t.results[0].Alerts, t.results[1].Alerts)
		r := diffReport{Both: []pairReport{}, OnlyNow: d.OnlyNow, OnlyThen: d.OnlyThen}
		for _, p := range d.Both {
			r.Both = append(r.Both, pairReport{p.Now, p.Then, p.Later.Seconds()})
		}
		out.Difference, out.Apply = &r, t.applying(t.results[1].Setting.Rule)
	case t.flags.rule == "":
		out.Apply = t.applying(first)
	}
	return out
}

// proposal orders the settings that were tried. why says that there is nothing to go by; "" when there is.
func (t *trial) proposal() (order []replay.Tried, better bool, why string) {
	order, better = replay.Propose(t.results, t.incidents, t.q.Specs)
	m := order[0].Marks
	if len(m.Right)+len(m.Wrong) == 0 {
		return order, false, "Nobody has marked anything of what this rule watches in this time: sonde alert ID right|wrong, or rows of incidents."
	}
	if len(m.Right) == 0 {
		return order, false, "Nothing is marked right: any rule that says nothing would look good. Mark what it should find."
	}
	return order, better, ""
}
