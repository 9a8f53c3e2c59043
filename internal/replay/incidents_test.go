package replay

import (
	"testing"
	"time"

	"sonde/internal/store"
)

func minute(n int) time.Time { return time.Unix(int64(n)*60, 0).UTC() }

func incident(from, until int, change func(*store.Incident)) store.Incident {
	in := store.Incident{From: minute(from), Verdict: "right"}
	if until > 0 {
		end := minute(until)
		in.Until = &end
	}
	change(&in)
	return in
}

var watchedHere = []store.Watched{
	{ID: 1, Node: "near", Tool: "ping", Labels: []string{"core"}, Usual: time.Minute},
	{ID: 2, Node: "far", Tool: "ping", Usual: time.Minute},
}

func TestAnIncidentIsCaughtByWhatStandsInItOrIsRaisedSoonAfter(t *testing.T) {
	r := Result{Alerts: []*Alert{alertOf(1, 100, 103, 130), alertOf(2, 300, 303, 320)}, early: []*Alert{alertOf(2, 1, 5, 60)}}
	r.Setting.Rule.Metric = "loss_pct"
	for name, c := range map[string]struct {
		in     store.Incident
		caught bool
		delay  time.Duration
	}{
		"by its spec":                         {incident(100, 120, func(i *store.Incident) { i.ToolspecID = 1 }), true, 3 * time.Minute},
		"of another spec":                     {incident(100, 120, func(i *store.Incident) { i.ToolspecID = 2 }), false, 0},
		"by its node":                         {incident(290, 310, func(i *store.Incident) { i.Node = "far" }), true, 13 * time.Minute},
		"by a label":                          {incident(100, 120, func(i *store.Incident) { i.Label = "core" }), true, 3 * time.Minute},
		"over when it was raised":             {incident(95, 99, func(i *store.Incident) { i.Node = "near" }), true, 8 * time.Minute},
		"over long before":                    {incident(60, 97, func(i *store.Incident) { i.Node = "near" }), false, 0},
		"lasts":                               {incident(50, 0, func(i *store.Incident) { i.Node = "near" }), true, 53 * time.Minute},
		"an alert from before stands already": {incident(50, 55, func(i *store.Incident) { i.Node = "far" }), true, 0},
		"seen by another rule's alert":        {incident(100, 120, func(i *store.Incident) { i.ToolspecID, i.AlertID, i.Metric = 1, 9, "rtt_median_ms" }), true, 3 * time.Minute},
	} {
		m := r.Against([]store.Incident{c.in}, watchedHere)
		if len(m.Right) != 1 || (m.Right[0].Alert != nil) != c.caught || m.Right[0].Delay != c.delay || m.Elsewhere != 0 {
			t.Errorf("%s: %+v", name, m)
		}
	}
	for name, in := range map[string]store.Incident{
		"another tool":                incident(100, 120, func(i *store.Incident) { i.Node, i.Tool = "near", "traceroute" }),
		"another node":                incident(100, 120, func(i *store.Incident) { i.Node = "elsewhere" }),
		"an alert about no node":      incident(100, 120, func(i *store.Incident) { i.AlertID = 3 }),
		"wrong, said of other series": incident(100, 120, func(i *store.Incident) { i.ToolspecID, i.AlertID, i.Metric, i.Verdict = 1, 9, "rtt_median_ms", "wrong" }),
	} {
		if m := r.Against([]store.Incident{in}, watchedHere); m.Elsewhere != 1 || len(m.Right)+len(m.Wrong) != 0 || m.Unmarked != 2 {
			t.Errorf("%s: %+v", name, m)
		}
	}
	m := r.Against([]store.Incident{incident(100, 120, func(i *store.Incident) { i.ToolspecID, i.AlertID, i.Metric, i.Verdict = 1, 9, "loss_pct", "wrong" })}, watchedHere)
	if Caught(m.Wrong) != 1 || m.Unmarked != 1 {
		t.Errorf("wrong, said of this series: %+v", m)
	}
}

// Silence repeats no wrong alert: it is not what is looked for.
func TestAProposalKeepsEveryRightOneThatTheRuleCatches(t *testing.T) {
	incidents := []store.Incident{
		incident(100, 120, func(i *store.Incident) { i.ToolspecID = 1 }),
		incident(300, 320, func(i *store.Incident) { i.ToolspecID = 2 }),
		incident(500, 520, func(i *store.Incident) { i.ToolspecID, i.Verdict = 2, "wrong" }),
	}
	asItIs := Result{Setting: Setting{Name: "as it is"}, Alerts: []*Alert{alertOf(1, 100, 103, 120), alertOf(2, 500, 503, 520)}}
	silent := Result{Setting: Setting{Name: "silent"}}
	swaps := Result{Setting: Setting{Name: "swaps"}, Alerts: []*Alert{alertOf(2, 300, 303, 320)}}
	fewer := Result{Setting: Setting{Name: "fewer"}, Alerts: []*Alert{alertOf(1, 100, 110, 120)}}
	order, better := Propose([]Result{asItIs, silent, swaps, fewer}, incidents, watchedHere)
	if !better || order[0].Setting.Name != "fewer" || order[1].Setting.Name != "as it is" || order[0].Delay != 10*time.Minute {
		t.Errorf("%v %+v", better, order)
	}
	if order, better = Propose([]Result{asItIs, silent, swaps}, incidents, watchedHere); better || order[0].Setting.Name != "as it is" {
		t.Errorf("%v %+v", better, order)
	}
}
