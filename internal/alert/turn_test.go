package alert_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"sonde/internal/alert"
	"sonde/internal/measure"
)

// left gives findings of routes from "pi" that took one turn.
func left(ids ...int64) []alert.Finding {
	var out []alert.Finding
	for _, id := range ids {
		out = append(out, alert.Finding{ID: id, Spec: id, Monhost: "pi", Node: fmt.Sprint("n", id), Rule: "route", Cause: alert.RouteLeft, Reason: "from AS 1 to AS 2"})
	}
	return out
}

// speakers gives the alerts that are not hidden.
func speakers(turns map[string]alert.Turn, findings []alert.Finding) []int64 {
	g := alert.Group(alert.World{At: start, Findings: findings, Turns: turns})
	var out []int64
	for _, f := range findings {
		if _, hidden := g.Hidden[f.ID]; !hidden {
			out = append(out, f.ID)
		}
	}
	return out
}

func TestOneAlertSpeaksForAllRoutesThatTookOneTurn(t *testing.T) {
	var turns map[string]alert.Turn
	for _, step := range []struct {
		minute int
		open   []int64
		want   []int64
	}{
		{0, []int64{7}, []int64{7}},
		{1, []int64{7, 8, 9}, []int64{7}},
		{20, []int64{8, 9}, nil}, // the one that spoke has ended: the others may follow
		{45, []int64{9}, nil},    // one did
		{70, []int64{9}, nil},
		{75, []int64{9}, []int64{9}}, // the last stays away
		{76, nil, nil},
		{77, []int64{10}, []int64{10}}, // another time
	} {
		findings := left(step.open...)
		turns = alert.NextTurns(turns, findings, nil, start.Add(time.Duration(step.minute)*time.Minute))
		if got := speakers(turns, findings); !slices.Equal(got, step.want) {
			t.Errorf("minute %d: %v speak of %v, want %v (%v)", step.minute, got, step.open, step.want, turns)
		}
	}
}

func TestAlertThatMayNotSpeakDoesNotSpeakForOthers(t *testing.T) {
	findings := left(7, 8, 9)
	turns := alert.NextTurns(nil, findings, map[int64]bool{7: true}, start)
	if got := speakers(turns, findings); !slices.Equal(got, []int64{8}) {
		t.Errorf("%v speak", got)
	}
}

func TestOtherTurnsAndOtherHostsSpeakForThemselves(t *testing.T) {
	findings := left(7, 8, 9)
	findings[1].Reason, findings[2].Monhost = "from AS 1 to AS 3", "pi2"
	turns := alert.NextTurns(nil, findings, nil, start)
	if got := speakers(turns, findings); len(got) != 3 {
		t.Errorf("%v speak of %v", got, slices.Collect(maps.Keys(turns)))
	}
}

func TestTurnIsToldThoughItsFirstAlertIsHidden(t *testing.T) {
	at := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	turn := "from AS 20965 to AS 1299 behind AS 680"
	f := []alert.Finding{
		{ID: 1, Spec: 1, Monhost: "pi", Node: "site-a-host", Cause: alert.RouteLeft, Reason: turn, Severity: measure.Warning, Since: at, Raised: at},
		{ID: 2, Spec: 2, Monhost: "pi", Node: "site-b", Cause: alert.RouteLeft, Reason: turn, Severity: measure.Warning, Since: at, Raised: at},
		{ID: 3, Spec: 3, Monhost: "pi", Node: "site-a-gw", Cause: alert.NoAnswer, Severity: measure.Critical, Since: at, Raised: at.Add(-time.Hour)},
	}
	w := alert.World{At: at, Findings: f, Wait: time.Minute, Parents: map[string]string{"site-a-host": "site-a-gw"},
		Specs: []alert.Spec{{ID: 1, Monhost: "pi", Node: "site-a-host", Well: at}, {ID: 2, Monhost: "pi", Node: "site-b", Well: at}, {ID: 3, Monhost: "pi", Node: "site-a-gw"}, {ID: 4, Monhost: "pi", Node: "x", Well: at.Add(time.Minute)}}}
	w.Turns = alert.NextTurns(nil, f, nil, at)
	g := alert.Group(w)
	if _, hidden := g.Hidden[2]; hidden {
		t.Error("nobody is told of the turn of site-b: its speaker is itself hidden by a gateway that is down")
	}
}

func TestGraverAlertOfATurnSpeaksToo(t *testing.T) {
	at := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	turn := "from AS 20965 to AS 1299 behind AS 680"
	f := []alert.Finding{
		{ID: 1, Spec: 1, Monhost: "pi", Node: "a", Cause: alert.RouteLeft, Reason: turn, Severity: measure.Info, Since: at, Raised: at},
		{ID: 2, Spec: 2, Monhost: "pi", Node: "b", Cause: alert.RouteLeft, Reason: turn, Severity: measure.Critical, Since: at, Raised: at},
	}
	w := alert.World{At: at, Findings: f, Wait: time.Minute}
	w.Turns = alert.NextTurns(nil, f, nil, at)
	if h, hidden := alert.Group(w).Hidden[2]; hidden {
		t.Errorf("critical is hidden by info: %+v", h)
	}
}
