package route_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sonde/analysis"
	"sonde/analysis/analysistest"
	"sonde/analysis/route"
	"sonde/internal/measure"
)

// Routes through the world: own network, own AS 680, a carrier, the target's AS 513.
const (
	viaGeant   = "10.0.0.1 188.1.1.1/680 62.40.98.1/20965 192.65.184.1/513"
	otherGeant = "10.0.0.1 188.1.1.1/680 62.40.99.9/20965 192.65.184.1/513"
	viaArelion = "10.0.0.1 188.1.1.1/680 62.115.1.1/1299 192.65.184.1/513"
	viaCogent  = "10.0.0.1 188.1.1.1/680 38.1.1.1/174 192.65.184.1/513"
)

// play feeds one detector, a run each ten minutes.
type play struct {
	*testing.T
	params measure.Options
	d      analysis.Detector
	at     time.Time
}

func newPlay(t *testing.T, params string) *play {
	return &play{t, analysistest.Params(t, route.Method(), params), analysistest.New(t, route.Method(), params), analysistest.Start}
}

// runs feeds a route n times and gives what was said, a line each: "bad warning …".
func (p *play) runs(n int, text string, change ...func(*measure.Route)) string {
	p.Helper()
	var out []string
	for range n {
		r := parse(p.T, text)
		for _, f := range change {
			f(r)
		}
		out = append(out, p.feed(measure.Sample{Outcome: measure.OK, Route: r})...)
	}
	return strings.Join(out, "\n")
}

func (p *play) feed(s measure.Sample) []string {
	p.Helper()
	p.at = p.at.Add(10 * time.Minute)
	s.DueAt = p.at
	saved, err := p.d.Save()
	if err != nil {
		p.Fatal(err)
	}
	if p.d, err = route.Method().New(p.params, saved); err != nil {
		p.Fatalf("%v of %s", err, saved)
	}
	var out []string
	for _, v := range p.d.Feed(s) {
		out = append(out, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s", v.Kind, v.Severity, v.Text)), " "))
	}
	return out
}

func (p *play) want(got string, want ...string) {
	p.Helper()
	if got != strings.Join(want, "\n") {
		p.Errorf("got\n  %s\nwant\n  %s", strings.ReplaceAll(got, "\n", "\n  "), strings.Join(want, "\n  "))
	}
}

// withoutAS is a route as it is stored before its look-ups came.
func withoutAS(r *measure.Route) {
	for i := range r.Hops {
		r.Hops[i].AS = 0
	}
}

const (
	noteArelion  = "note info hop 3 moved from AS 20965 to AS 1299"
	noteGeant    = "note info hop 3 moved from AS 1299 to AS 20965"
	alarmArelion = "bad route left its history: hop 3 moved from AS 20965 to AS 1299; AS path 680 1299 513, before 680 20965 513"
	back         = "good the old route is back: AS path 680 20965 513"
)

func TestNewASPathIsAnAlarmWhenItPersistsAndEndsWhenTheOldOneIsBack(t *testing.T) {
	p := newPlay(t, `{}`)
	p.want(p.runs(150, viaGeant))
	p.want(p.runs(1, viaArelion), noteArelion)
	p.want(p.runs(1, viaArelion))
	p.want(p.runs(1, viaArelion), alarmArelion)
	p.want(p.runs(20, viaArelion)) // told once
	p.want(p.runs(1, viaGeant), noteGeant, back)
	p.want(p.runs(20, viaGeant))
}

func TestAlarmTellsOfItsBeginningAndItsEvidence(t *testing.T) {
	p := newPlay(t, `{"learn":"1h","persist":2}`)
	slow := func(ms int) func(*measure.Route) {
		return func(r *measure.Route) {
			r.Number, r.RTT = ms, time.Duration(ms)*time.Millisecond
			for i := range r.Hops {
				r.Hops[i].RTT = time.Duration(ms) * time.Millisecond
			}
		}
	}
	p.runs(12, viaGeant, slow(12))
	p.want(p.runs(1, viaArelion, slow(46)), noteArelion+", +34 ms")
	began := p.at
	p.at = p.at.Add(10 * time.Minute)
	r := parse(t, viaArelion)
	slow(46)(r)
	list := p.d.Feed(measure.Sample{RunKey: measure.RunKey{DueAt: p.at}, Outcome: measure.OK, Route: r})
	if len(list) != 1 || !list[0].Since.Equal(began) || list[0].Severity != "" {
		t.Fatalf("%+v", list)
	}
	e := list[0].Evidence
	for name, want := range map[string]any{"before_as_path": "680 20965 513", "after_as_path": "680 1299 513", "target_rtt_before_ms": 12.0, "target_rtt_after_ms": 46.0,
		"before_route_no": 12, "after_route_no": 46, "known_routes": 1, "known_as_paths": 1, "reason": "from AS 20965 to AS 1299 behind AS 680", "class": string(route.MinorSignificant), "runs": 2} {
		if e[name] != want {
			t.Errorf("%s is %v, want %v", name, e[name], want)
		}
	}
	changes, _ := json.Marshal(e["changes"])
	if want := `[{"class":"other AS","from":"62.40.98.1","from_as":20965,"hop":3,"rtt_after_ms":46,"rtt_before_ms":12,"to":"62.115.1.1","to_as":1299}]`; string(changes) != want {
		t.Errorf("changes %s\nwant    %s", changes, want)
	}
}

func TestNothingIsAnAlarmWhileTheHistoryIsLearnt(t *testing.T) {
	p := newPlay(t, `{}`)
	p.runs(10, viaGeant)
	p.want(p.runs(100, viaArelion), noteArelion)
	p.runs(40, viaGeant)
	p.want(p.runs(20, viaArelion), noteArelion) // seen while it learnt
	// A spec that runs once a day has seen too little after one.
	p = newPlay(t, `{"learn":"1h"}`)
	p.runs(7, viaGeant)
	p.want(p.runs(9, viaArelion), noteArelion)
}

func TestSameASPathWithNewHopsIsNoAlarm(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	p.runs(20, viaGeant)
	p.want(p.runs(20, otherGeant), "note info hop 3 moved from 62.40.98.1 to 62.40.99.9 within AS 20965")
}

func TestUsualASPathByOtherRoutersEndsTheAlarm(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	p.runs(20, viaGeant)
	p.runs(9, viaArelion)
	p.want(p.runs(3, otherGeant), "note info hop 3 moved from AS 1299 to AS 20965", "good the route is another one now, of a usual AS path: AS path 680 20965 513")
}

func TestFlappingBetweenKnownRoutesIsNoAlarm(t *testing.T) {
	p := newPlay(t, `{"learn":"2h"}`)
	p.runs(8, viaGeant)
	p.runs(8, viaArelion)
	for range 5 {
		p.want(p.runs(4, viaGeant), noteGeant)
		p.want(p.runs(4, viaArelion), noteArelion)
	}
}

func TestShortVisitsAreNoAlarm(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	p.runs(20, viaGeant)
	for range 6 {
		p.want(p.runs(2, viaArelion), noteArelion)
		p.want(p.runs(1, viaGeant), noteGeant)
	}
}

func TestNewRouteThatStaysBecomesUsual(t *testing.T) {
	p := newPlay(t, `{"learn":"1h","adopt":"2h"}`)
	p.runs(20, viaGeant)
	p.want(p.runs(12, viaArelion), noteArelion, alarmArelion)
	p.want(p.runs(1, viaArelion), "good the new route is usual now, it was there for 2h: AS path 680 1299 513")
	p.want(p.runs(3, viaGeant), noteGeant)
	p.want(p.runs(9, viaArelion), noteArelion)
	// What comes every night becomes usual after all its stays.
	p = newPlay(t, `{"learn":"1h","adopt":"2h"}`)
	p.runs(20, viaGeant)
	p.want(p.runs(7, viaArelion), noteArelion, alarmArelion)
	p.want(p.runs(9, viaGeant), noteGeant, back)
	p.want(p.runs(7, viaArelion), noteArelion, alarmArelion, "good the new route is usual now, it was there for 2h: AS path 680 1299 513")
}

func TestFromOneNewRouteToAnotherIsToldAgain(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	p.runs(20, viaGeant)
	p.want(p.runs(5, viaArelion), noteArelion, alarmArelion)
	p.want(p.runs(5, viaCogent), "note info hop 3 moved from AS 1299 to AS 174",
		"bad route left its history: hop 3 moved from AS 20965 to AS 174; AS path 680 174 513, before 680 20965 513")
	p.want(p.runs(1, viaGeant), "note info hop 3 moved from AS 174 to AS 20965", back)
}

func TestSilentHopsAreWildCards(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	p.runs(20, viaGeant)
	p.want(p.runs(5, "10.0.0.1 188.1.1.1/680 * 192.65.184.1/513"))
	p.want(p.runs(5, "* 188.1.1.1/680 62.40.98.1/20965 192.65.184.1/513"))
	// A hop that was never heard may be anybody, also of an AS nobody knew of.
	p = newPlay(t, `{"learn":"1h"}`)
	p.runs(20, "10.0.0.1 188.1.1.1/680 * 192.65.184.1/513")
	p.want(p.runs(5, viaArelion))
	// Once it is known it is held against others.
	p.want(p.runs(5, viaGeant), noteGeant, "bad route left its history: hop 3 moved from AS 1299 to AS 20965; AS path 680 20965 513, before 680 1299 513")
}

// The AS of a new router is known some runs after the router: the alarm is the same.
func TestASThatIsLookedUpLateGivesTheSameAlarm(t *testing.T) {
	for late := range 3 {
		p := newPlay(t, `{"learn":"1h"}`)
		p.runs(20, viaGeant)
		var got []string
		for i := range 6 {
			text := viaArelion
			if i < late {
				text = strings.Replace(text, "/1299", "", 1)
			}
			got = append(got, p.runs(1, text))
		}
		if got[2] != alarmArelion {
			t.Errorf("late by %d runs: %q", late, got)
		}
	}
	// Later than that the alarm is later, and still comes.
	p := newPlay(t, `{"learn":"1h"}`)
	p.runs(20, viaGeant)
	p.want(p.runs(10, strings.Replace(viaArelion, "/1299", "", 1)), "note info hop 3 moved from 62.40.98.1 (AS 20965) to 62.115.1.1")
	p.want(p.runs(2, viaArelion), alarmArelion)
}

// Whatever routes come and go, the same alarms are raised whether an AS is known
// at once, or two runs after an address was first seen. (When a new route becomes
// usual can differ: the AS of a router that was never seen again stays unknown.)
func TestAlarmsDoNotDependOnWhenLookUpsCome(t *testing.T) {
	alarms := func(seed uint64, late int) string {
		r := rand.New(rand.NewPCG(seed, 7))
		p := newPlay(t, `{"learn":"2h","adopt":"5h","history":"2d"}`)
		first, run := map[netip.Addr]int{}, 0
		var out []string
		stay := func(text string, n int) {
			for range n {
				run++
				said := p.runs(1, text, func(r *measure.Route) {
					for i := range r.Hops {
						h := &r.Hops[i]
						if _, seen := first[h.Address]; !seen {
							first[h.Address] = run
						}
						if run-first[h.Address] < late {
							h.AS = 0
						}
					}
				})
				for line := range strings.SplitSeq(said, "\n") {
					if strings.HasPrefix(line, "bad") {
						out = append(out, fmt.Sprintf("%d %s", run, line))
					}
				}
			}
		}
		stay(viaGeant, 14)
		for range 12 {
			// A carrier and a router of it, now and then one of the usual carrier.
			as := []int{1299, 174, 3356, 20965}[r.IntN(4)]
			stay(fmt.Sprintf("10.0.0.1 188.1.1.1/680 9.%d.%d.1/%d 192.65.184.1/513", as%250, r.IntN(3), as), 1+r.IntN(12))
			stay(viaGeant, 1+r.IntN(8))
		}
		return strings.Join(out, "\n")
	}
	raised := 0
	for seed := range uint64(30) {
		at, two := alarms(seed, 0), alarms(seed, 2)
		raised += strings.Count(at, "bad")
		if at != two {
			t.Fatalf("seed %d: known at once\n%s\nknown late\n%s", seed, at, two)
		}
	}
	if raised < 40 {
		t.Errorf("only %d alarms: too few to tell anything", raised)
	}
}

func TestLookUpThatArrivesIsNoAlarm(t *testing.T) {
	// All routes were learnt before any AS was known.
	p := newPlay(t, `{"learn":"3h"}`)
	p.runs(10, viaGeant, withoutAS)
	p.runs(10, viaArelion, withoutAS)
	p.want(p.runs(10, viaArelion))
	p.want(p.runs(10, viaGeant), noteGeant2)
	// The AS of an address changes in the registry: no packet goes elsewhere.
	p.want(p.runs(10, strings.Replace(viaGeant, "/20965", "/21320", 1)))
	// Rows of the table are gone again: what was known is remembered.
	p.want(p.runs(10, viaGeant, withoutAS))
	p.want(p.runs(3, viaCogent), "note info hop 3 moved from AS 21320 to AS 174",
		"bad route left its history: hop 3 moved from AS 21320 to AS 174; AS path 680 174 513, before 680 21320 513")
}

// The previous route was learnt without ASes; 1299 is known by now, 20965 as well.
const noteGeant2 = noteGeant

func TestPrivateNetworkWithoutASesRaisesTheLesserAlarm(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	p.runs(20, "10.0.0.1 10.0.1.1 10.0.2.1 10.0.3.1")
	p.want(p.runs(4, "10.0.0.1 10.0.9.1 10.0.2.1 10.0.3.1"), "note info hop 2 moved from 10.0.1.1 to 10.0.9.1",
		"bad info route left its history: hop 2 moved from 10.0.1.1 to 10.0.9.1")
	p.want(p.runs(4, "10.0.0.1 10.0.1.1 10.0.2.1 10.0.3.1"), "note info hop 2 moved from 10.0.9.1 to 10.0.1.1", "good the old route is back: 4 hops")
	// Another interface of the same network is no alarm.
	p.want(p.runs(9, "10.0.0.1 10.0.1.2 10.0.2.1 10.0.3.1"), "note info hop 2 moved from 10.0.1.1 to 10.0.1.2")
}

func TestWhatIsAnAlarmCanBeChosen(t *testing.T) {
	p := newPlay(t, `{"learn":"1h","alarm":"never"}`)
	p.runs(20, viaGeant)
	p.want(p.runs(20, viaArelion), noteArelion)
	p = newPlay(t, `{"learn":"1h","alarm":"route"}`)
	p.runs(20, viaGeant)
	p.want(p.runs(9, "10.0.0.1 188.1.1.1/680 192.168.7.1 192.65.184.1/513"), "note info hop 3 moved from 62.40.98.1 (AS 20965) to 192.168.7.1",
		"bad route left its history: hop 3 moved from 62.40.98.1 (AS 20965) to 192.168.7.1; AS path 680 ? 513, before 680 20965 513")
}

// Where nothing but one hop is known, gaps at both ends could hide everything.
func TestHopThatMovesToAnASNobodyKnewIsAnAlarmBesideGaps(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	p.runs(20, "9.1.1.1 188.1.1.1/680 9.1.1.2")
	p.want(p.runs(9, "9.1.1.1 62.115.1.1/1299 9.1.1.2"), "note info hop 2 moved from AS 680 to AS 1299",
		"bad route left its history: hop 2 moved from AS 680 to AS 1299; AS path 1299 ?, before 680 ?")
	p.want(p.runs(3, "9.1.1.1 188.1.1.1/680 9.1.1.2"), "note info hop 2 moved from AS 1299 to AS 680", "good the old route is back: AS path 680 ?")
	p = newPlay(t, `{"learn":"1h"}`)
	p.runs(20, "9.1.1.1 188.1.1.1/680 9.1.1.2 9.1.1.3")
	for range 2 {
		p.want(p.runs(9, "9.1.1.1 62.115.1.1/1299 9.1.1.9/513 9.1.1.3"), "note info hop 2 moved from AS 680 to AS 1299; hop 3 moved from 9.1.1.2 to 9.1.1.9 (AS 513)",
			"bad route left its history: hop 2 moved from AS 680 to AS 1299; hop 3 moved from 9.1.1.2 to 9.1.1.9 (AS 513); AS path 1299 513 ?, before 680 ?")
		p.runs(3, "9.1.1.1 188.1.1.1/680 9.1.1.2 9.1.1.3")
	}
}

// arms makes the addresses all answer at hop 3, whichever flow 1 took.
func arms(addresses ...string) func(*measure.Route) {
	return func(r *measure.Route) {
		for _, a := range addresses {
			r.Hops[2].Arms = append(r.Hops[2].Arms, netip.MustParseAddr(a))
		}
	}
}

func TestRotationAmongEqualPathsIsNothing(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	both := arms("62.40.98.1", "62.115.1.1")
	for range 30 {
		p.want(p.runs(1, viaGeant, both)+p.runs(1, viaArelion, both), "")
	}
	// The arms are known before flow 1 takes them, also when it then is the only one left.
	p = newPlay(t, `{"learn":"1h"}`)
	p.runs(20, viaGeant, both)
	p.want(p.runs(9, viaArelion, arms("62.115.1.1")))
	p.want(p.runs(9, viaCogent, arms("38.1.1.1")), "note info hop 3 moved from AS 20965 to AS 174",
		"bad route left its history: hop 3 moved from AS 1299 to AS 174; AS path 680 174 513, before 680 1299 513")
}

// An arm of a balanced hop is replaced by a router of a carrier nobody knew:
// that the other arm still stands beside it makes it no usual one.
func TestNewCarrierBesideAKnownArmIsAnAlarm(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	p.runs(20, viaGeant, arms("62.40.98.1", "62.40.99.9"))
	p.want(p.runs(9, viaArelion, arms("62.115.1.1", "62.40.99.9")), noteArelion, alarmArelion)
	// One of the same carrier is an arm more.
	p = newPlay(t, `{"learn":"1h"}`)
	p.runs(20, viaGeant, arms("62.40.98.1", "62.40.99.9"))
	p.want(p.runs(9, strings.Replace(viaGeant, "98.1", "97.1", 1), arms("62.40.97.1", "62.40.99.9")), "note info hop 3 moved from 62.40.98.1 to 62.40.97.1 within AS 20965")
}

// A run in the midst of a change sees the old router and the new one: that
// makes no equal paths of them, and the change is seen a run later.
func TestRunInTheMidstOfAChangeHidesNothing(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	p.runs(20, viaGeant, arms("62.40.98.1"))
	p.want(p.runs(1, viaArelion, arms("62.40.98.1", "62.115.1.1")))
	p.want(p.runs(3, viaArelion, arms("62.115.1.1")), noteArelion, alarmArelion)
}

func TestTargetThatIsLostAndFoundIsNoAlarm(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	p.runs(20, viaGeant)
	p.want(p.runs(9, "10.0.0.1 188.1.1.1/680 * * …"), "note info the route no longer reaches the target, the last answer came from 188.1.1.1 (AS 680) at hop 2")
	p.want(p.runs(9, "10.0.0.1 188.1.1.1/680 62.115.1.1/1299 …"), noteArelion)
	p.want(p.runs(9, "10.0.0.1 188.1.1.1/680 10.0.0.1 188.1.1.1/680 …"), "note info hop 3 moved from 62.115.1.1 (AS 1299) to 10.0.0.1; the route loops: 10.0.0.1 answers at hop 1 and again at hop 3")
	p.want(p.runs(9, viaGeant), "note info hop 4 moved from AS 680 to AS 513; hop 3 moved from 10.0.0.1 to 62.40.98.1 (AS 20965); the route reaches the target again")
	for range 9 {
		if said := p.feed(measure.Sample{Outcome: measure.Fail, Reason: "no socket"}); len(said) > 0 {
			t.Error(said)
		}
	}
	p.want(p.runs(9, viaGeant))
}

func TestAnotherAddressOfTheTargetIsNoAlarm(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	p.runs(20, viaGeant)
	elsewhere := "10.0.0.1 188.1.1.1/680 38.1.1.1/174 151.101.1.1/54113"
	p.want(p.runs(9, elsewhere), "note info hop 3 moved from AS 20965 to AS 174; hop 4 moved from AS 513 to AS 54113")
	p.want(p.runs(9, viaGeant), "note info hop 3 moved from AS 174 to AS 20965; hop 4 moved from AS 54113 to AS 513")
	p.want(p.runs(9, viaArelion), noteArelion, alarmArelion)
	p.want(p.runs(1, elsewhere), "note info hop 3 moved from AS 1299 to AS 174; hop 4 moved from AS 513 to AS 54113", "good a usual route is back: AS path 680 174 54113")
}

// Many targets let no traceroute in: their routes are watched as far as they go.
func TestRouteThatNeverReachesIsWatchedAsFarAsItGoes(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	p.runs(20, "10.0.0.1 188.1.1.1/680 62.40.98.1/20965 192.65.184.1/513 …")
	p.want(p.runs(9, "10.0.0.1 188.1.1.1/680 62.40.98.1/20965 …"))
	p.want(p.runs(9, "10.0.0.1 188.1.1.1/680 62.115.1.1/1299 192.65.184.1/513 …"), noteArelion,
		"bad route left its history: hop 3 moved from AS 20965 to AS 1299; AS path 680 1299 513 ?, before 680 20965 ?")
}

func TestHistoryExpires(t *testing.T) {
	p := newPlay(t, `{"learn":"1h","history":"12h"}`)
	p.runs(20, viaGeant)
	p.runs(10, viaGeant)
	p.want(p.runs(0, viaGeant))
	// Nothing was seen for longer than the history goes back: it is learnt anew.
	p.at = p.at.Add(24 * time.Hour)
	p.want(p.runs(20, viaArelion), noteArelion)
	// What is usual still, but was not seen for long, is news again.
	p.want(p.runs(9, viaGeant), noteGeant, "bad route left its history: hop 3 moved from AS 1299 to AS 20965; AS path 680 20965 513, before 680 1299 513")
}

func TestIPv6(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	p.runs(20, "fd00::1 2001:638::1/680 2001:798::1/20965 2001:1458::1/513")
	p.want(p.runs(9, "fd00::1 2001:638::1/680 2001:2034::1/1299 2001:1458::1/513"), noteArelion, alarmArelion)
}

// A path that takes a hundred ways is bounded in memory, and no alarm as long as the ASes are the same.
func TestManyRoutesAreBoundedAndTheASPathIsKept(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	p.runs(20, viaGeant)
	for i := range 200 {
		text := fmt.Sprintf("10.0.0.1 188.1.1.1/680 62.40.%d.1/20965 192.65.184.1/513", i)
		if said := p.runs(4, text); strings.Contains(said, "bad") {
			t.Fatal(said)
		}
	}
	saved, err := p.d.Save()
	if err != nil {
		t.Fatal(err)
	}
	var state struct{ Memory struct{ Routes, Paths []any } }
	if err := json.Unmarshal(saved, &state); err != nil || len(state.Memory.Routes) != 64 || len(state.Memory.Paths) != 1 || len(saved) > 40_000 {
		t.Errorf("%d routes and %d paths in %d bytes: %v", len(state.Memory.Routes), len(state.Memory.Paths), len(saved), err)
	}
	p.want(p.runs(9, viaGeant), "note info hop 3 moved from 62.40.199.1 to 62.40.98.1 within AS 20965") // forgotten as a route
}

// The state of versions without a memory goes on with its previous route and learns.
func TestStateOfEarlierVersionsLoads(t *testing.T) {
	p := newPlay(t, `{"learn":"1h"}`)
	var err error
	if p.d, err = route.Method().New(p.params, json.RawMessage(`{"at":"2026-03-01T00:00:00Z","hops":["10.0.0.1","188.1.1.1","62.40.98.1","192.65.184.1"],"reached":true,"number":1}`)); err != nil {
		t.Fatal(err)
	}
	p.want(p.runs(20, viaArelion), "note info hop 3 moved from 62.40.98.1 to 62.115.1.1 (AS 1299)")
	p.want(p.runs(9, viaGeant), noteGeant, "bad route left its history: hop 3 moved from AS 1299 to AS 20965; AS path 680 20965 513, before 680 1299 513")
}
