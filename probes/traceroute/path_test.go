package traceroute

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sonde/internal/measure"
)

// walk lets a path ask a world that answers by hop and slot, until it ends.
func walk(t *testing.T, p plan, world func(hop, slot, try int) slot) *path {
	t.Helper()
	found := newPath(p, far4)
	tries := map[question]int{}
	for range 1000 {
		more, ended := found.judge()
		if ended {
			return found
		}
		for _, q := range append(more, found.ask(askAll)...) {
			tries[q]++
			found.learn(q, world(q.hop, q.slot, tries[q]))
		}
	}
	t.Fatal("no end")
	return nil
}

func router(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}) }

// chain reads a world from words: "1" is router 1, "*" silence, "T" the
// target; of one slot for all flows.
func chain(words string) func(hop, slot, try int) slot {
	hops := strings.Fields(words)
	return func(i, _, _ int) slot {
		word := hops[min(i, len(hops)-1)]
		var n int
		switch {
		case word == "T":
			return slot{kind: reply, from: far4, rtt: time.Millisecond}
		case word == "*":
			return slot{}
		case strings.HasSuffix(word, "!"):
			fmt.Sscan(strings.TrimSuffix(word, "!"), &n)
			return slot{kind: unreachable, code: "!H", from: router(n)}
		}
		fmt.Sscan(word, &n)
		return slot{kind: exceeded, from: router(n), rtt: time.Millisecond}
	}
}

func TestWhereARouteEnds(t *testing.T) {
	p := plan{firstTTL: 1, maxTTL: 12, probes: 2, parallel: 4, maxSilent: 3}
	for words, want := range map[string]struct {
		hops int
		end  string
	}{
		"1 2 3 T":                    {4, "target"},
		"T":                          {1, "target"},
		"1 * * T":                    {4, "target"},
		"1 * * * T":                  {4, "silent"},
		"* * * T":                    {3, "silent"},
		"1 2 3!":                     {3, "unreachable !H from 192.0.2.3"},
		"1 2 1 2 1":                  {3, "loop"},
		"1 2 * 2":                    {4, "loop"},
		"1 2 2 3 T":                  {5, "target"}, // forwarded with a time to live of zero
		"1 2 2 2 2":                  {4, "loop"},
		"1 2 3 4 5 6 7 8 9 10 11 12": {12, "max_ttl"},
		"1 * 3 * 5 * 7 * 9 * 11 T":   {12, "target"},
	} {
		found := walk(t, p, chain(words))
		if len(found.hops) != want.hops || found.reason != want.end || found.reached != strings.HasPrefix(want.end, "target") {
			t.Errorf("%q: %d hops, %q, reached %v; want %v", words, len(found.hops), found.reason, found.reached, want)
		}
	}
}

func TestFirstFlowDecidesWhereTheRouteGoes(t *testing.T) {
	p := plan{firstTTL: 1, maxTTL: 12, probes: 2, parallel: 4, maxSilent: 3}
	// Flow 2 takes a shorter arm and is at the target one hop earlier.
	long, short := chain("1 2 3 T"), chain("1 4 T")
	found := walk(t, p, func(hop, slot, try int) slot {
		if slot == 0 {
			return long(hop, slot, try)
		}
		return short(hop, slot, try)
	})
	if len(found.hops) != 4 || found.address(2) != router(3) || !found.reached {
		t.Errorf("%+v", found)
	}
	// A target that never answers flow 1 is reached all the same.
	found = walk(t, p, func(hop, n, try int) slot {
		if s := chain("1 2 T")(hop, n, try); n == 1 || hop < 2 {
			return s
		}
		return slot{}
	})
	if len(found.hops) != 3 || !found.reached || found.address(2) != far4 {
		t.Errorf("%+v", found)
	}
}

func TestRoundTripIsTheMedianOfTheTargetsAnswers(t *testing.T) {
	for want, rtts := range map[time.Duration][]int{3: {3, 1, 9}, 2: {1, 3}, 7: {7}} {
		found := walk(t, plan{firstTTL: 1, maxTTL: 3, probes: len(rtts), parallel: 1, maxSilent: 3}, func(_, n, _ int) slot {
			return slot{kind: reply, from: far4, rtt: time.Duration(rtts[n])}
		})
		if got, ok := found.rtt(); !ok || got != want {
			t.Errorf("%v: median %d", rtts, got)
		}
	}
}

// TestLeastTimeCoversTheWorst plays the slowest world by a clock of its own:
// flow 1 never answers, flow 2 answers at the last moment at every hop.
func TestLeastTimeCoversTheWorst(t *testing.T) {
	tool := Tool()
	for _, spec := range []string{
		`{}`, `{"parallel":1}`, `{"parallel":64}`, `{"max_ttl":255,"parallel":7}`, `{"first_ttl":30,"timeout":"3s"}`,
		`{"max_ttl":6,"parallel":6,"timeout":"100ms"}`, `{"max_ttl":7,"parallel":6}`, `{"probes":1,"max_ttl":64,"max_silent":255}`,
	} {
		o, err := measure.ReadOptions(tool.Options, json.RawMessage(spec))
		if err != nil {
			t.Fatal(err)
		}
		least, err := measure.LeastTime(tool.LeastTime, tool.Options, o)
		if err != nil {
			t.Fatal(err)
		}
		probe, err := newProbe(json.RawMessage(spec), noEnv)
		if err != nil {
			t.Fatal(err)
		}
		p := probe.plan
		found := newPath(p, far4)
		var now time.Duration
		type outstanding struct {
			question
			until time.Duration
		}
		var out []outstanding
		for {
			more, ended := found.judge()
			if ended {
				break
			}
			for _, q := range append(more, found.ask(askAll)...) {
				out = append(out, outstanding{q, now + p.timeout})
			}
			now = out[0].until
			s := slot{}
			if out[0].slot > 0 {
				s = slot{kind: exceeded, from: router(out[0].hop)}
			}
			found.learn(out[0].question, s)
			out = out[1:]
		}
		if now > least {
			t.Errorf("%s: takes %v, least_time is %v", spec, now, least)
		}
		if spec == `{}` && least > tool.TimeToRun {
			t.Errorf("by default a run takes %v and gets %v", least, tool.TimeToRun)
		}
		t.Logf("%s: worst %v, least_time %v", spec, now, least)
	}
}
