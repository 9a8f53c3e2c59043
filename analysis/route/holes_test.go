package route_test

import (
	"strings"
	"testing"
	"time"

	"sonde/internal/measure"
)

// missed lets a spec miss its runs for so long, a row each ten minutes.
func (p *play) missed(d time.Duration) {
	p.Helper()
	for range d / (10 * time.Minute) {
		if said := p.feed(measure.Sample{Outcome: measure.Missed, Reason: "worker down"}); len(said) > 0 {
			p.Error(said)
		}
	}
}

func TestHolesArePresenceOfNoRoute(t *testing.T) {
	p := newPlay(t, `{}`)
	p.runs(200, viaGeant)
	p.want(p.runs(3, viaArelion), noteArelion, alarmArelion)
	// Fourteen runs in as many days: two hours of each hole would make it usual.
	for range 14 {
		p.missed(24 * time.Hour)
		p.want(p.runs(1, viaArelion))
	}
	p.want(p.runs(1, viaGeant), noteGeant, back)
}

func TestRunsThatMeetNoTargetArePresenceOfNoRoute(t *testing.T) {
	p := newPlay(t, `{}`)
	p.runs(200, viaGeant)
	p.want(p.runs(3, viaArelion), noteArelion, alarmArelion)
	var said []string
	for range 14 {
		said = append(said, p.runs(12, "10.0.0.1 188.1.1.1/680 * * …"), p.runs(1, viaArelion))
	}
	if all := strings.Join(said, "\n"); strings.Contains(all, "good") {
		t.Errorf("usual after 17 runs: %s", all)
	}
}

func TestHolesAreAbsenceOfNoRoute(t *testing.T) {
	p := newPlay(t, `{}`)
	p.runs(200, viaGeant)
	p.missed(31 * 24 * time.Hour) // longer than the history is kept
	p.want(p.runs(3, viaArelion), noteArelion, alarmArelion)
}

func TestHolesAreNoTimeToLearn(t *testing.T) {
	p := newPlay(t, `{}`)
	p.runs(1, viaGeant)
	p.missed(25 * time.Hour)
	p.runs(12, viaGeant)
	p.want(p.runs(9, viaArelion), noteArelion) // two hours are no day
}

// Who runs once a day sees no less of a route for it: only the time between is not known.
func TestSpecOfOneRunADayLearnsAndTells(t *testing.T) {
	p := newPlay(t, `{}`)
	daily := func(n int, route string) string {
		var all []string
		for range n {
			p.at = p.at.Add(24*time.Hour - 10*time.Minute)
			if said := p.runs(1, route); said != "" {
				all = append(all, said)
			}
		}
		return strings.Join(all, "\n")
	}
	daily(12, viaGeant)
	p.want(daily(5, viaArelion), noteArelion, alarmArelion)
	p.want(daily(1, viaGeant), noteGeant, back)
}
