package alert_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sonde/internal/alert"
	"sonde/internal/measure"
)

// world has a host with specs 1…n to nodes n1…nn; findings are on the first bad ones.
func world(n, bad int, cause alert.Cause, reason string) alert.World {
	w := alert.World{At: start.Add(10 * time.Minute), Wait: time.Minute, Parents: map[string]string{}, Standing: map[string]bool{}}
	for i := 1; i <= n; i++ {
		s := alert.Spec{ID: int64(i), Monhost: "pi", Node: fmt.Sprintf("n%d", i), Well: start.Add(9 * time.Minute)}
		if i <= bad {
			s.Well = start.Add(-time.Minute)
			w.Findings = append(w.Findings, alert.Finding{ID: int64(100 + i), Spec: s.ID, Monhost: "pi", Node: s.Node, Rule: "no answer",
				Cause: cause, Reason: reason, Severity: measure.Critical, Since: start, Raised: start.Add(3 * time.Minute)})
		}
		w.Specs = append(w.Specs, s)
	}
	return w
}

func show(g alert.Grouping) string {
	var out []string
	for _, t := range g.Troubles {
		out = append(out, fmt.Sprintf("%s %s %d", t.Rule, t.Monhost, len(t.Members)))
	}
	return fmt.Sprintf("%s; hidden %d", strings.Join(out, ", "), len(g.Hidden))
}

func TestAllSpecsOfAHostAreOneTroubleThatNamesIt(t *testing.T) {
	w := world(5, 5, alert.NoAnswer, "")
	g := alert.Group(w)
	if got := show(g); got != "monitoring host pi 5; hidden 5" {
		t.Fatal(got)
	}
	if want := "nothing can be measured from monitoring host pi: 5 specs to 5 nodes, the first: n1 no answer"; g.Troubles[0].Text != want {
		t.Errorf("text %q", g.Troubles[0].Text)
	}
	if g.Troubles[0].Severity != measure.Critical || !g.Troubles[0].Since.Equal(start) {
		t.Errorf("trouble %+v", g.Troubles[0])
	}
}

func TestOneNodeDownIsNotTheHost(t *testing.T) {
	if got := show(alert.Group(world(5, 1, alert.NoAnswer, ""))); got != "; hidden 0" {
		t.Error("one of five:", got)
	}
	if got := show(alert.Group(world(5, 4, alert.NoAnswer, ""))); got != "many nodes pi 4; hidden 4" {
		t.Error("four of five, one well:", got)
	}
	// Two specs to the only node: the node is down, or the host: the node's name says more.
	w := world(2, 2, alert.NoAnswer, "")
	w.Specs[1].Node, w.Findings[1].Node = "n1", "n1"
	if got := show(alert.Group(w)); got != "; hidden 1" {
		t.Error("two specs to one node:", got)
	}
}

func TestASpecThatCannotTurnBadNeedOnlyHaveShownNothingGood(t *testing.T) {
	w := world(4, 2, alert.NoAnswer, "")
	for i := range w.Specs {
		w.Specs[i].Well = start.Add(-time.Minute) // the traceroutes reach nobody
	}
	if got := show(alert.Group(w)); got != "monitoring host pi 2; hidden 2" {
		t.Error(got)
	}
}

func TestAFindingWaitsForItsHostNoLongerThanAMinute(t *testing.T) {
	w := world(3, 1, alert.NoAnswer, "")
	w.Specs[1].Well, w.Specs[2].Well = start.Add(-time.Minute), start.Add(-time.Minute)
	w.At = start.Add(3*time.Minute + 30*time.Second)
	g := alert.Group(w)
	if !strings.HasPrefix(g.Hidden[101].Why, "waits up to 1m") {
		t.Errorf("others unknown: %+v", g)
	}
	w.Specs[2].Well = start.Add(time.Minute)
	if got := show(alert.Group(w)); got != "; hidden 0" {
		t.Error("another spec is well, and it waits:", got)
	}
	w.Specs[2].Well = start.Add(-time.Minute)
	w.At = start.Add(4 * time.Minute)
	if got := show(alert.Group(w)); got != "; hidden 0" {
		t.Error("after a minute it still waits:", got)
	}
}

func TestAHostThatComesBackDoesNotTellItsSpecsOneByOne(t *testing.T) {
	w := world(5, 5, alert.NoAnswer, "")
	w.Findings = w.Findings[2:]
	w.Specs[0].Well, w.Specs[1].Well = w.At, w.At
	w.Standing[alert.StandingKey(alert.HostRule, "pi")] = true
	g := alert.Group(w)
	if len(g.Troubles) != 0 || len(g.Hidden) != 3 {
		t.Errorf("two are back, three still bad: %s", show(g))
	}
}

func TestOverloadIsOneTroubleAndNotOnePerSpec(t *testing.T) {
	w := world(5, 3, alert.NoData, "overload: 32 run already")
	g := alert.Group(w)
	if got := show(g); got != "overload pi 3; hidden 3" {
		t.Fatal(got)
	}
	if want := "monitoring host pi is overloaded: 3 specs are not measured, overload: 32 run already"; g.Troubles[0].Text != want {
		t.Errorf("text %q", g.Troubles[0].Text)
	}
	if got := show(alert.Group(world(5, 3, alert.NoData, "worker down"))); got != "; hidden 0" {
		t.Error("a worker that is down is no overload:", got)
	}
}

func TestWhatLiesBehindARouterThatIsDownIsHiddenByIt(t *testing.T) {
	w := world(6, 3, alert.NoAnswer, "")
	w.Parents = map[string]string{"n2": "n1", "n3": "n2", "n4": "n1"}
	g := alert.Group(w)
	if g.Hidden[102].By != 101 || g.Hidden[103].By == 0 || len(g.Hidden) != 2 {
		t.Errorf("hidden %+v", g.Hidden)
	}
	w.Parents = map[string]string{"n1": "n2", "n2": "n1"}
	alert.Group(w) // a circle ends
}

func TestLossIsNotToldBesideNoAnswerOfTheSameSpec(t *testing.T) {
	w := world(3, 1, alert.NoAnswer, "")
	loss := w.Findings[0]
	loss.ID, loss.Cause, loss.Rule = 200, alert.Other, "loss"
	w.Findings = append(w.Findings, loss)
	g := alert.Group(w)
	if g.Hidden[200].By != 101 || len(g.Hidden) != 1 {
		t.Errorf("hidden %+v", g.Hidden)
	}
}

func TestAHostThatReportsNothingIsOneTroubleWhateverItsSpecs(t *testing.T) {
	w := world(3, 0, alert.NoAnswer, "")
	w.Silent = map[string]time.Time{"pi": start}
	g := alert.Group(w)
	if got := show(g); got != "monitoring host pi 0; hidden 0" {
		t.Fatal(got)
	}
	if want := "monitoring host pi has not reported since 02:00 UTC"; g.Troubles[0].Text != want {
		t.Errorf("text %q", g.Troubles[0].Text)
	}
	w = world(3, 1, alert.NoData, "no worker")
	w.Silent = map[string]time.Time{"pi": start}
	if got := show(alert.Group(w)); got != "monitoring host pi 1; hidden 1" {
		t.Error(got)
	}
}
