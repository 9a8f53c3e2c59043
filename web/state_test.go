package web

import (
	"testing"
	"time"

	"sonde/internal/store"
)

func TestStaleIsNeverGreen(t *testing.T) {
	loss0, loss100, delay := 0.0, 100.0, 12.5
	every := store.PageSpec{ID: 1, Tool: "ping", RunInterval: time.Minute, TimeToRun: 30 * time.Second, Enabled: true, Since: asOf.Add(-time.Hour)}
	daily := store.PageSpec{ID: 2, Tool: "ping", RunAt: "0 4 * * *", TimeZone: "UTC", TimeToRun: 30 * time.Second, Enabled: true, Since: asOf.AddDate(0, 0, -30)}
	off1 := every
	off1.Enabled = false
	fresh := every
	fresh.Since = asOf.Add(-2 * time.Minute)
	last := func(s store.PageSpec, age time.Duration, outcome string, loss *float64) store.PageSpec {
		s.Last = store.PageRun{DueAt: asOf.Add(-age), Outcome: outcome, Reason: "a reason", Loss: loss, Value: &delay}
		return s
	}
	for name, c := range map[string]struct {
		spec store.PageSpec
		want state
	}{
		"measured a minute ago":         {last(every, time.Minute, "ok", &loss0), fine},
		"three intervals and the run":   {last(every, 3*time.Minute+30*time.Second, "ok", &loss0), fine},
		"a second more":                 {last(every, 3*time.Minute+31*time.Second, "ok", &loss0), stale},
		"silent, and that is old":       {last(every, time.Hour, "ok", &loss100), stale},
		"failed, and that is old":       {last(every, time.Hour, "fail", nil), stale},
		"missed":                        {last(every, time.Minute, "missed", nil), stale},
		"failed":                        {last(every, time.Minute, "fail", nil), warning},
		"silent":                        {last(every, time.Minute, "ok", &loss100), critical},
		"never measured":                {every, stale},
		"new":                           {fresh, waiting},
		"switched off":                  {last(off1, time.Minute, "ok", &loss0), off},
		"daily, two days ago":           {last(daily, 56*time.Hour, "ok", &loss0), fine},
		"daily, four days ago":          {last(daily, 104*time.Hour, "ok", &loss0), stale},
		"a clock that was stepped back": {last(every, -time.Hour, "ok", &loss0), fine},
	} {
		if got, says := judge(c.spec, asOf); got != c.want || says == "" {
			t.Errorf("%s: %s (%s), want %s", name, got.Word(), says, c.want.Word())
		}
	}
}

func TestAnAlertIsWorseThanAGoodRun(t *testing.T) {
	loss := 0.0
	good := store.PageSpec{ID: 1, Node: "cern", Tool: "ping", RunInterval: time.Minute, Enabled: true, Last: store.PageRun{DueAt: asOf, Outcome: "ok", Loss: &loss}}
	closed := asOf
	for _, c := range []struct {
		alert store.PageAlert
		want  state
	}{
		{store.PageAlert{ToolspecID: 1, Node: "cern", Severity: "critical"}, critical},
		{store.PageAlert{ToolspecID: 1, Node: "cern", Severity: "warning"}, warning},
		{store.PageAlert{ToolspecID: 1, Node: "cern", Severity: "info"}, noted},
		{store.PageAlert{ToolspecID: 1, Node: "cern", Severity: "critical", Planned: true}, planned},
		{store.PageAlert{ToolspecID: 1, Node: "cern", Severity: "critical", ClosedAt: &closed}, fine},
		{store.PageAlert{ToolspecID: 0, Node: "cern", Severity: "warning"}, warning},
		{store.PageAlert{ToolspecID: 7, Node: "desy", Severity: "critical"}, fine},
	} {
		alerts := []store.PageAlert{c.alert}
		row := nodeRows([]store.PageNode{{Name: "cern", Enabled: true}}, specViews([]store.PageSpec{good}, alerts, asOf), alerts)[0]
		if row.State != c.want {
			t.Errorf("%+v: %s, want %s", c.alert, row.State.Word(), c.want.Word())
		}
	}
}

func TestOverviewBeginsWithTheWorst(t *testing.T) {
	pages, _ := seeded(t)
	if err := pages.Read(t.Context(), func(r *store.Reading) error {
		q := request{ctx: t.Context(), r: r, base: base{L: live{}, Now: r.Now, Zone: time.UTC}}
		v, err := q.overview(1, "", "")
		if err != nil {
			return err
		}
		states := map[string]state{}
		for i, row := range v.Rows {
			states[row.Name] = row.State
			if i > 0 && row.State < v.Rows[i-1].State {
				t.Errorf("%s (%s) comes after %s (%s)", row.Name, row.State.Word(), v.Rows[i-1].Name, v.Rows[i-1].State.Word())
			}
		}
		for name, want := range map[string]state{"desy": critical, "fermilab": warning, "slac": warning, "kek": stale, "in2p3": planned, hostile: noted, "nikhef": waiting, "cern": fine, "old-host": off} {
			if states[name] != want {
				t.Errorf("%s is %s, want %s", name, states[name].Word(), want.Word())
			}
		}
		if len(v.Platform) != 1 {
			t.Errorf("alerts of the platform: %+v", v.Platform)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestDaemonThatBrokeItsPromiseIsNotGreen(t *testing.T) {
	for _, c := range []struct {
		d    store.PageDaemon
		want state
	}{
		{store.PageDaemon{PromisedAt: asOf.Add(time.Second)}, fine},
		{store.PageDaemon{PromisedAt: asOf.Add(-6 * time.Second)}, stale},
		{store.PageDaemon{PromisedAt: asOf.Add(time.Second), Lag: 2 * time.Minute}, warning},
		{store.PageDaemon{PromisedAt: asOf.Add(time.Second), Facts: `{"works": true, "unraised_rules": 1}`}, warning},
		{store.PageDaemon{PromisedAt: asOf.Add(time.Second), Facts: `{"works": true, "unraised_rules": 0}`}, fine},
	} {
		if got, _ := judgeDaemon(c.d, asOf); got != c.want {
			t.Errorf("%+v: %s", c.d, got.Word())
		}
	}
	if _, says := judgeDaemon(store.PageDaemon{PromisedAt: asOf, Lag: 2 * time.Minute, Doing: "the pass fails: no room"}, asOf); says != "2m behind: the pass fails: no room" {
		t.Errorf("who is behind says %q", says)
	}
}

func TestMinuteOfDataIsNotDrawnInThirtyHours(t *testing.T) {
	whole, err := spanWindow(defaultSpan, asOf)
	if err != nil {
		t.Fatal(err)
	}
	for age, want := range map[time.Duration]string{time.Minute: "30m", time.Hour: "3h", 4 * time.Hour: "30h"} {
		w, err := youngWindow(whole, []store.PageSpec{{Since: asOf.Add(-time.Second)}, {Since: asOf.Add(-age)}}, asOf)
		if err != nil || w.Span != want {
			t.Errorf("after %v: %q, %v, want %q", age, w.Span, err, want)
		}
	}
	if w, err := youngWindow(whole, nil, asOf); err != nil || w.Span != defaultSpan {
		t.Errorf("without specs: %q, %v", w.Span, err)
	}
}

func TestRouteThatEndsOnTheWaySaysBehindWhom(t *testing.T) {
	number := func(n int) *int { return &n }
	yes, no := true, false
	for _, c := range []struct {
		run  store.PageRun
		want string
	}{
		{store.PageRun{Route: number(3), Hops: number(4), Reached: &yes}, "route 3, 4 hops"},
		{store.PageRun{Route: number(3), Hops: number(1), Reached: &no}, "route 3, target does not answer, nor anybody behind hop 1"},
		{store.PageRun{Hops: number(0), Reached: &no}, "nobody answers on the way"},
	} {
		if got := says(c.run, ""); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
