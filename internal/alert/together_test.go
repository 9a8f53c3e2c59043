package alert_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sonde/internal/alert"
	"sonde/internal/measure"
)

// mesh has a host pi with six nodes: n1 to n3 are reached over hop "b", the rest
// over "c", all over "a". Findings of one cause are on the first bad nodes.
func mesh(bad int, cause alert.Cause, rule string) alert.World {
	w := alert.World{At: start.Add(10 * time.Minute), Wait: time.Minute, Linger: 5 * time.Minute, Paths: map[alert.Pair][]string{}, Names: map[string]string{"b": "AS 680 DFN"}}
	for i := 1; i <= 6; i++ {
		node, second := fmt.Sprintf("n%d", i), "b"
		if i > 3 {
			second = "c"
		}
		w.Paths[alert.Pair{Monhost: "pi", Node: node}] = []string{"a", second, "edge-" + node}
		s := alert.Spec{ID: int64(i), Monhost: "pi", Node: node, Well: start.Add(9 * time.Minute), Loss: alert.AsUsual, Delay: alert.AsUsual}
		if i <= bad {
			w.Findings = append(w.Findings, alert.Finding{ID: int64(100 + i), Spec: s.ID, Monhost: "pi", Node: node, Rule: rule, Cause: cause, Severity: measure.Warning,
				Since: start.Add(time.Duration(i) * 30 * time.Second), Raised: start.Add(5 * time.Minute), Interval: time.Minute})
		}
		w.Specs = append(w.Specs, s)
	}
	return w
}

func TestBadPairsThatShareAHopNoGoodOneCrossesAreOneTroubleThatNamesIt(t *testing.T) {
	g := alert.Group(mesh(3, alert.Delay, "delay"))
	if got := show(g); got != "shared hop pi 3; hidden 3" {
		t.Fatal(got)
	}
	if want := "n1, n2, n3: delay; all behind it (AS 680 DFN)"; g.Troubles[0].Text != want {
		t.Errorf("text %q", g.Troubles[0].Text)
	}
	if g.Troubles[0].Subject != "b" || !g.Troubles[0].Since.Equal(start.Add(30*time.Second)) {
		t.Errorf("%+v", g.Troubles[0])
	}
}

func TestAHopThatAGoodPairCrossesIsNotTheCause(t *testing.T) {
	if got := show(alert.Group(mesh(2, alert.Delay, "delay"))); got != "; hidden 0" {
		t.Error("n3 is well and runs over b:", got)
	}
	w := mesh(2, alert.Delay, "delay")
	w.Specs[2].Well = start.Add(-time.Minute) // nothing is known of n3
	if got := show(alert.Group(w)); got != "shared hop pi 2; hidden 2" {
		t.Error("nothing is known of n3:", got)
	}
}

func TestAHopThatWasCrossedWhenTheFirstWasBadIsNotTheCause(t *testing.T) {
	w := mesh(2, alert.Delay, "delay")
	w.Specs[2].Well = start.Add(45 * time.Second) // after n1 turned bad, before n2 did
	if got := show(alert.Group(w)); got != "; hidden 0" {
		t.Error(got)
	}
}

// An answer is no sign that the delay is as usual.
func TestAPairWhoseDelayIsOffOrUnknownClearsNoHopOfDelay(t *testing.T) {
	for _, judged := range []alert.Judged{alert.Off, alert.Unjudged} {
		w := mesh(2, alert.Delay, "delay")
		w.Specs[2].Delay = judged
		w.Specs = append(w.Specs, alert.Spec{ID: 7, Monhost: "pi", Node: "n3", Well: start.Add(9 * time.Minute)}) // a traceroute that reaches it
		if got := show(alert.Group(w)); got != "shared hop pi 2; hidden 2" {
			t.Errorf("%d: %s", judged, got)
		}
		w = mesh(2, alert.Loss, "loss")
		w.Specs[2].Delay = judged
		if got := show(alert.Group(w)); got != "; hidden 0" {
			t.Errorf("%d: its loss is as usual: %s", judged, got)
		}
		w = mesh(2, alert.NoAnswer, "no answer")
		w.Specs[2].Delay, w.Specs[2].Loss = judged, judged
		if got := show(alert.Group(w)); got != "; hidden 0" {
			t.Errorf("%d: it answers: %s", judged, got)
		}
	}
}

func TestTheNameOfAnASIsCutSoThatAShortMessageNamesTheNodes(t *testing.T) {
	w := mesh(3, alert.Delay, "delay")
	w.Names["b"] = "AS 680 " + strings.Repeat("Verein ", 20)
	if got, want := alert.Group(w).Troubles[0].Text, "n1, n2, n3: delay; all behind it (AS 680 Verein Verein Ver)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTroublesThatBeganHoursApartHaveNoHopInCommon(t *testing.T) {
	w := mesh(3, alert.Delay, "delay")
	for i := range w.Findings {
		w.Findings[i].Since = start.Add(-time.Duration(i) * 2 * time.Hour)
	}
	if got := show(alert.Group(w)); got != "; hidden 0" {
		t.Error(got)
	}
}

func TestWhoComesLaterJoinsAHopThatStands(t *testing.T) {
	w := mesh(3, alert.NoAnswer, "no answer")
	w.Findings[2].Since = start.Add(40 * time.Minute)
	w.At = start.Add(50 * time.Minute)
	if got := show(alert.Group(w)); got != "shared hop pi 2; hidden 2" {
		t.Error("as long as none stands, n3 did not begin with the others:", got)
	}
	w.Shared = map[string]alert.Shared{alert.StandingKey(alert.HopRule, "b"): {Members: []int64{101, 102}, Since: start}}
	if got := show(alert.Group(w)); got != "shared hop pi 3; hidden 3" {
		t.Error(got)
	}
}

func TestASumThatIsNotSoFallsApartWhenItsAlertIsClosed(t *testing.T) {
	w := mesh(2, alert.Delay, "delay") // n3 is well again
	w.Shared = map[string]alert.Shared{alert.StandingKey(alert.HopRule, "b"): {Members: []int64{101, 102, 103}, Since: start}}
	g := alert.Group(w)
	if got := show(g); got != "; hidden 2" {
		t.Error("while it is closing:", got)
	}
	if h := g.Hidden[101]; h.Rule != alert.HopRule || h.Subject != "b" {
		t.Errorf("%+v", h)
	}
	w.Shared = nil
	if got := show(alert.Group(w)); got != "; hidden 0" {
		t.Error("when it is closed:", got)
	}
}

func TestMostNodesOfAHostAtOnceAreOneTroubleWithoutAHop(t *testing.T) {
	w := mesh(4, alert.Loss, "loss")
	w.Paths = nil
	g := alert.Group(w)
	if got := show(g); got != "many nodes pi 4; hidden 4" {
		t.Fatal(got)
	}
	if want := "n1, n2, n3 and 1 more: loss; 4 of the 6 nodes that it measures, together: its own line or load may be the cause"; g.Troubles[0].Text != want {
		t.Errorf("text %q", g.Troubles[0].Text)
	}
	w = mesh(3, alert.Loss, "loss")
	w.Paths = nil
	if got := show(alert.Group(w)); got != "; hidden 0" {
		t.Error("half of them is not most:", got)
	}
}

func TestWhereNothingIsWellTheHostIsNamedAndNotItsFirstHop(t *testing.T) {
	if got := show(alert.Group(mesh(6, alert.Delay, "delay"))); got != "many nodes pi 6; hidden 6" {
		t.Error(got)
	}
}

func TestAFindingWaitsForOthersBehindItsHopNoLongerThanAMinute(t *testing.T) {
	w := mesh(1, alert.NoAnswer, "no answer")
	w.Specs[1].Well, w.Specs[2].Well = start, start
	w.At = w.Findings[0].Raised.Add(20 * time.Second)
	if h := alert.Group(w).Hidden[101]; !strings.HasPrefix(h.Why, "waits up to 1m") {
		t.Errorf("nothing is known of n2 and n3: %+v", h)
	}
	two := mesh(2, alert.NoAnswer, "no answer")
	two.Specs[2].Well, two.At = start, two.Findings[0].Raised.Add(20*time.Second)
	if g := alert.Group(two); show(g) != "; hidden 2" || !strings.HasPrefix(g.Hidden[101].Why, "waits up to 1m") {
		t.Errorf("nothing is known of n3: %+v", g)
	}
	w.At = w.Findings[0].Raised.Add(time.Minute)
	if got := show(alert.Group(w)); got != "; hidden 0" {
		t.Error("after a minute:", got)
	}
	w.At = w.Findings[0].Raised.Add(20 * time.Second)
	w.Specs[1].Well = start.Add(4 * time.Minute)
	if got := show(alert.Group(w)); got != "; hidden 0" {
		t.Error("n2 is well:", got)
	}
}

// oneNode has delay, loss and a route that left, begun about together at n1.
func oneNode() alert.World {
	w := alert.World{At: start.Add(20 * time.Minute), Wait: time.Minute, Linger: 5 * time.Minute}
	for i, f := range []alert.Finding{
		{Rule: "delay", Cause: alert.Delay, Monhost: "pi", Since: start}, {Rule: "loss", Cause: alert.Loss, Monhost: "b", Since: start.Add(time.Minute)},
		{Rule: "route", Cause: alert.RouteLeft, Monhost: "pi", Since: start.Add(8 * time.Minute), Interval: 10 * time.Minute}} {
		f.ID, f.Spec, f.Node, f.Severity, f.Raised = int64(100+i), int64(i+1), "n1", measure.Warning, start.Add(10*time.Minute)
		w.Findings = append(w.Findings, f)
		w.Specs = append(w.Specs, alert.Spec{ID: f.Spec, Monhost: f.Monhost, Node: "n1", Well: start.Add(10 * time.Minute)})
	}
	w.Specs = append(w.Specs, alert.Spec{ID: 9, Monhost: "pi", Node: "n2", Well: start.Add(19 * time.Minute)}, alert.Spec{ID: 10, Monhost: "b", Node: "n2", Well: start.Add(19 * time.Minute)})
	return w
}

func TestWhatBeganTogetherAtOneNodeIsToldByItsCause(t *testing.T) {
	w := oneNode()
	g := alert.Group(w)
	if g.Hidden[100].By != 102 || g.Hidden[101].By != 102 || len(g.Hidden) != 2 {
		t.Fatalf("%+v", g.Hidden)
	}
	if got, want := alert.Company(w.Findings[2], w.Findings[:2]), "; with it 2 more: loss from b, delay"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if why := g.Hidden[100].Why; why != "it began together with a102, route, which tells of n1" {
		t.Error(why)
	}
}

func TestWhoWasToldGoesOnSpeakingUnlessAnotherIsGraver(t *testing.T) {
	w := oneNode()
	w.Findings[0].Told = true
	if g := alert.Group(w); g.Hidden[101].By != 100 || g.Hidden[102].By != 100 || len(g.Hidden) != 2 {
		t.Errorf("the delay was told: %+v", g.Hidden)
	}
	w.Findings[1].Severity = measure.Critical
	if g := alert.Group(w); g.Hidden[102].By != 100 || len(g.Hidden) != 1 {
		t.Errorf("the loss is graver and speaks too: %+v", g.Hidden)
	}
	w.Findings[1].Told = true
	if g := alert.Group(w); g.Hidden[102].By != 101 || g.Hidden[100].By != 101 {
		t.Errorf("now the loss speaks for all: %+v", g.Hidden)
	}
}

func TestNoAnswerAfterARouteThatWasToldSpeaksForItself(t *testing.T) {
	w := oneNode()
	w.Findings = []alert.Finding{w.Findings[2], w.Findings[0]}
	w.Findings[0].Since, w.Findings[0].Interval, w.Findings[0].Told = start, 30*time.Minute, true
	f := &w.Findings[1]
	f.Cause, f.Rule, f.Since, f.Interval = alert.NoAnswer, "no answer", start.Add(50*time.Minute), time.Minute
	w.At = start.Add(55 * time.Minute)
	if g := alert.Group(w); g.Hidden[f.ID].By != 0 {
		t.Errorf("%+v", g.Hidden)
	}
	f.Since = start.Add(3 * time.Minute)
	if g := alert.Group(w); g.Hidden[f.ID].By != w.Findings[0].ID {
		t.Errorf("they began together: %+v", g.Hidden)
	}
}

func TestWhatBeganHoursLaterAtANodeIsToldForItself(t *testing.T) {
	w := oneNode()
	w.Findings[0].Since = start.Add(-3 * time.Hour)
	if g := alert.Group(w); len(g.Hidden) != 1 || g.Hidden[101].By != 102 {
		t.Errorf("%+v", g.Hidden)
	}
}

func TestMembersAreToldAWhileAfterTheirCauseIsOver(t *testing.T) {
	w := oneNode()
	w.Findings = w.Findings[:1]
	w.Findings[0].PartOf, w.Ended = 102, map[int64]time.Time{102: w.At.Add(-time.Minute)}
	if h := alert.Group(w).Hidden[100]; h.By != 102 || !strings.Contains(h.Why, "has just ended") {
		t.Errorf("%+v", h)
	}
	w.Ended[102] = w.At.Add(-5 * time.Minute)
	if got := show(alert.Group(w)); got != "; hidden 0" {
		t.Error(got)
	}
}

func TestWhatAHiddenOneHidesIsPartOfTheOneThatSpeaks(t *testing.T) {
	w := mesh(3, alert.NoAnswer, "no answer")
	w.Findings = append(w.Findings, alert.Finding{ID: 200, Spec: 1, Monhost: "pi", Node: "n1", Rule: "rate", Severity: measure.Warning, Since: start, Raised: start.Add(5 * time.Minute)})
	if h := alert.Group(w).Hidden[200]; h.Rule != alert.HopRule || h.Subject != "b" {
		t.Errorf("%+v", h)
	}
}
