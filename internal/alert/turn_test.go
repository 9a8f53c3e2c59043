package alert_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"sonde/internal/alert"
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
