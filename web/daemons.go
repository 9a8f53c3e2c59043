package web

import (
	"encoding/json"
	"strings"
	"time"

	"sonde/internal/store"
)

type daemonRow struct {
	store.PageDaemon
	State state
	Says  string
}

// Counts writes the counters of a daemon as words.
func (d daemonRow) Counts() string {
	words := []string{}
	for _, f := range facts([]byte(d.Facts)) {
		words = append(words, strings.ReplaceAll(f.Name, "_", " ")+" "+f.Value)
	}
	return strings.Join(words, ", ")
}

type hostRow struct {
	store.PageHost
	State state
}

type daemonsView struct {
	base
	Daemons  []daemonRow
	Hosts    []hostRow
	Plan     store.PagePlan
	PlanSays string
	PlanOK   state
	Gaps     []store.PageGaps
	Steps    []store.PageStep
}

// grace is how late a report may be: it is a copy that travels through the database.
const grace = 5 * time.Second

// quiet is how long a monitoring host may be silent.
const quiet = time.Minute

// behind is how much lag is worth a warning.
const behind = time.Minute

// judgeDaemon says whether a daemon keeps its promise.
func judgeDaemon(d store.PageDaemon, now time.Time) (state, string) {
	late := now.Sub(d.PromisedAt)
	switch {
	case late > grace:
		return stale, "its report is " + ago(late) + " late"
	case d.Lag > behind:
		return warning, ago(d.Lag) + " behind: " + d.Doing
	case unraised(d):
		return warning, d.Doing
	}
	return fine, d.Doing
}

// unraised reports whether it is an analyst that cannot raise alerts.
func unraised(d store.PageDaemon) bool {
	var f struct {
		Rules int64 `json:"unraised_rules"`
	}
	return json.Unmarshal([]byte(d.Facts), &f) == nil && f.Rules > 0
}

// daemons makes the page of daemons and lag.
func (q request) daemons() (daemonsView, error) {
	v := daemonsView{base: q.titled("Daemons", "daemons")}
	v.Refresh = 30
	list, err := q.r.Daemons(q.ctx)
	if err != nil {
		return v, err
	}
	for _, d := range list {
		row := daemonRow{PageDaemon: d}
		row.State, row.Says = judgeDaemon(d, q.Now)
		v.Daemons = append(v.Daemons, row)
	}
	hosts, err := q.r.Hosts(q.ctx)
	if err != nil {
		return v, err
	}
	for _, h := range hosts {
		row := hostRow{h, fine}
		switch {
		case h.LastSeen == nil && h.Specs == 0:
			row.State = waiting
		case h.LastSeen == nil || q.Now.Sub(*h.LastSeen) > quiet:
			row.State = stale
		}
		v.Hosts = append(v.Hosts, row)
	}
	if v.Plan, err = q.r.Plan(q.ctx); err != nil {
		return v, err
	}
	v.PlanOK, v.PlanSays = judgePlan(v.Plan, q.Now)
	if v.Gaps, err = q.r.NewestGaps(q.ctx, 20); err != nil {
		return v, err
	}
	v.Steps, err = q.r.ClockSteps(q.ctx, 10)
	return v, err
}

func judgePlan(p store.PagePlan, now time.Time) (state, string) {
	switch {
	case p.PlannedTo == nil:
		return waiting, "nothing has been planned yet"
	case now.Sub(*p.PlannedTo) > grace:
		return stale, "planning is " + ago(now.Sub(*p.PlannedTo)) + " behind"
	case p.Overdue > 0:
		return warning, "runs wait past the time by which they had to start or end"
	}
	return fine, "planned ahead"
}

type mediumRow struct {
	store.PageMedium
	State state
	Says  string
}

type mediumsView struct {
	base
	Mediums    []mediumRow
	Deliveries []store.PageNotice
}

// mediums makes the page of the ways to reach people.
func (q request) mediums() (mediumsView, error) {
	v := mediumsView{base: q.titled("Mediums", "mediums")}
	list, err := q.r.Mediums(q.ctx)
	if err != nil {
		return v, err
	}
	for _, m := range list {
		row := mediumRow{PageMedium: m, State: fine, Says: "the last message was delivered"}
		switch {
		case !m.Enabled:
			row.State, row.Says = off, "switched off"
		case m.LastOK == nil && m.LastBad == nil:
			row.State, row.Says = waiting, "nothing was sent yet"
		case m.LastOK == nil || m.LastBad != nil && m.LastBad.After(*m.LastOK):
			row.State, row.Says = critical, "the last message was not delivered, or nobody knows"
		}
		v.Mediums = append(v.Mediums, row)
	}
	v.Deliveries, err = q.r.Deliveries(q.ctx, 100)
	return v, err
}
