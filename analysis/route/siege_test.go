package route_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sonde/internal/measure"
)

// A hole is not presence.
func TestOutageIsNoStay(t *testing.T) {
	p := newPlay(t, `{}`)
	p.runs(200, viaGeant)
	p.runs(1, viaArelion)
	p.at = p.at.Add(25 * time.Hour) // host down a day
	got := p.runs(10, viaArelion)
	t.Logf("after outage: %q", got)
	if !strings.Contains(got, "bad") {
		t.Error("hijack silently adopted: one run before and one after an outage of a day")
	}
}

func TestDayOfUnreachedRunsIsNoStay(t *testing.T) {
	p := newPlay(t, `{}`)
	p.runs(200, viaGeant)
	p.runs(1, viaArelion)
	broken := func(r *measure.Route) { r.Hops = r.Hops[:2]; r.Reached = false }
	p.runs(6*25, viaGeant, broken)
	got := p.runs(10, viaArelion)
	t.Logf("%q", got)
	if !strings.Contains(got, "bad") {
		t.Error("adopted: one run of it, then a day of unreached runs over the OLD path")
	}
}

func TestOutageEndsNoAlarm(t *testing.T) {
	p := newPlay(t, `{}`)
	p.runs(200, viaGeant)
	t.Log(p.runs(3, viaArelion))
	p.at = p.at.Add(25 * time.Hour)
	got := p.runs(1, viaArelion)
	t.Logf("%q", got)
	if strings.Contains(got, "good") {
		t.Error("alarm closed by 3 runs + a hole")
	}
}

// 64 strangers push out all that is usual.
func TestStrangersDoNotPushTheHistoryOut(t *testing.T) {
	p := newPlay(t, `{}`)
	p.runs(200, viaGeant)
	var all []string
	for i := range 80 {
		r := fmt.Sprintf("10.0.0.1 188.1.1.1/680 62.115.%d.1/1299 62.116.%d.1/1299 192.65.184.1/513", i%8, i/8)
		if got := p.runs(1, r); strings.Contains(got, "good") || strings.Contains(got, "bad") {
			all = append(all, fmt.Sprintf("run %d: %s", i+1, got))
		}
	}
	t.Log(strings.Join(all, "\n"))
	if strings.Contains(strings.Join(all, "\n"), "good") {
		t.Error("history was pushed out; alarm closed while traffic still goes over the stranger")
	}
}
