package route_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"sonde/analysis/route"
	"sonde/internal/measure"
)

// stateOf feeds so many routes of 15 IPv6 hops, no address in two of them, each hop
// of so many arms, twice each, and gives the state.
func stateOf(t *testing.T, routes, arms int) (*play, []byte) {
	t.Helper()
	p := newPlay(t, `{}`)
	for n := range routes {
		r := measure.Route{Reached: true, Number: n + 1}
		for hop := range 15 {
			h := measure.Hop{AS: uint32(64500 + 15*n + hop), ASName: strings.Repeat("A NAME OF MANY WORDS ", 5)}
			for arm := range arms {
				h.Arms = append(h.Arms, netip.MustParseAddr(fmt.Sprintf("2001:db8:%x:%x:1234:5678:9abc:%x", n+1, hop+1, arm+1)))
			}
			h.Address = h.Arms[0]
			r.Hops = append(r.Hops, h)
		}
		for range 2 {
			p.feed(measure.Sample{Outcome: measure.OK, Route: &r})
		}
	}
	saved, err := p.d.Save()
	if err != nil {
		t.Fatal(err)
	}
	return p, saved
}

// docs/decisions/route-alarms.md gives these figures.
func TestStateOfASpecIsBounded(t *testing.T) {
	for _, c := range []struct{ routes, arms, most int }{{1, 1, 3_000}, {64, 1, 60_000}, {64, 16, 80_000}, {200, 16, 80_000}} {
		p, saved := stateOf(t, c.routes, c.arms)
		t.Logf("%d routes of 15 hops, %d arms each: %d bytes", c.routes, c.arms, len(saved))
		if len(saved) > c.most {
			t.Errorf("%d routes of 15 hops with %d arms: a state of %d bytes, the most are %d", c.routes, c.arms, len(saved), c.most)
		}
		// It still knows the newest route: nothing is said of it.
		var state struct{ Memory struct{ Routes []any } }
		if err := json.Unmarshal(saved, &state); err != nil || len(state.Memory.Routes) < min(c.routes, 4) {
			t.Errorf("%d routes remembered (%v)", len(state.Memory.Routes), err)
		}
		if _, err := route.Method().New(p.params, saved); err != nil {
			t.Error(err)
		}
	}
}

// A stranger of very many arms does not push out what is usual.
func TestRouteOfManyArmsLeavesTheHistoryAlone(t *testing.T) {
	p := newPlay(t, `{}`)
	p.runs(200, viaGeant)
	many := func(run int) func(*measure.Route) {
		return func(r *measure.Route) {
			for len(r.Hops) < 60 {
				r.Hops = append(r.Hops[:3:3], append([]measure.Hop{{Address: netip.AddrFrom4([4]byte{62, 115, byte(len(r.Hops)), 1}), AS: 1299}}, r.Hops[3:]...)...)
			}
			for i := range r.Hops[2 : len(r.Hops)-1] {
				for arm := range 100 {
					r.Hops[2+i].Arms = append(r.Hops[2+i].Arms, netip.AddrFrom4([4]byte{62, 115, byte(i), byte(arm)}))
				}
			}
		}
	}
	var said []string
	for run := range 20 {
		said = append(said, p.runs(1, viaArelion, many(run)))
	}
	all := strings.Join(said, "\n")
	if strings.Count(all, "bad") != 1 || strings.Contains(all, "good") {
		t.Errorf("%.2000s", all)
	}
	if got := p.runs(1, viaGeant); !strings.Contains(got, "good the old route is back") {
		t.Error(got)
	}
}

func TestDamagedStateIsAnError(t *testing.T) {
	p, saved := stateOf(t, 2, 2)
	for _, c := range []string{`{"addresses":"BAAA"}`, `{"addresses":"Aw=="}`, `{"addresses":"BAoAAAGA"}`, `{"routes":[{"hops":"AQA="}]}`, `{"routes":[{"hops":"AQAA"}]}`, `{"routes":[{"hops":"/////w8A"}]}`} {
		if _, err := route.Method().New(p.params, json.RawMessage(`{"memory":`+c+`}`)); err == nil || !strings.Contains(err.Error(), "saved state") {
			t.Errorf("%s: %v", c, err)
		}
	}
	if _, err := route.Method().New(p.params, saved); err != nil {
		t.Error(err)
	}
}
