package traceroute

import (
	"math"
	"net/netip"
	"testing"
	"time"
)

// The numbers of packets that the Multipath Detection Algorithm is known for (Augustin
// et al. 2007, table 1, and Veitch et al. 2009): to rule out one more router with 95 %.
func TestFlowsForARisk(t *testing.T) {
	least := flowsFor(0.05)
	for routers, want := range map[int]int{1: 6, 2: 11, 3: 16, 4: 21, 5: 27, 6: 33, 7: 38, 8: 44, 15: 90} {
		if got := least(routers); got != want {
			t.Errorf("%d routers: %d flows, want %d", routers, got, want)
		}
	}
	// Of two by n flows: all go one way.
	for n := 1; n < 20; n++ {
		if got, want := missed(n, 2), math.Pow(0.5, float64(n-1)); math.Abs(got-want) > 1e-12 {
			t.Errorf("%d flows over 2: %v, want %v", n, got, want)
		}
	}
}

func TestConfidenceIsNoneWhereNobodyLooked(t *testing.T) {
	p := plan{firstTTL: 1, maxTTL: 12, probes: 1, parallel: 4, maxSilent: 3, all: true, confidence: 0.95}
	world := func(hop, flow, _ int) slot {
		switch {
		case hop == 3:
			return slot{kind: reply, from: far4}
		case hop == 1 && flow >= 10:
			return slot{kind: exceeded, from: router(111)}
		}
		return slot{kind: exceeded, from: router(hop)}
	}
	found := walk(t, p, world)
	x := newExplorer(found, 0.95)
	for flow := 1; flow <= 10; flow++ { // the tenth shows an arm, and then the time is over
		for hop := range 4 {
			if q := (question{hop, flow}); flow < 10 || hop <= 1 {
				found.asking(q)
				found.learn(q, world(hop, flow, 0))
			}
		}
	}
	if got := x.confidence(); got != 0 {
		t.Errorf("%v, and nobody knows what is behind %v", got, router(111))
	}
}

func TestWhoAnswersByAnotherAddressEachTimeIsGivenUp(t *testing.T) {
	p := plan{firstTTL: 1, maxTTL: 30, probes: 1, parallel: 4, maxSilent: 3, all: true, confidence: 0.95}
	n := 0
	world := func(hop, _, _ int) slot {
		if hop == 15 {
			return slot{kind: reply, from: far4}
		}
		n++
		return slot{kind: exceeded, from: netip.AddrFrom4([4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)})}
	}
	found := walk(t, p, world)
	began := time.Now()
	if x := exploreIn(t, found, 0.95, world); x.confidence() != 0 {
		t.Errorf("confidence %v", x.confidence())
	}
	if n > 30*mostFlows/2 || time.Since(began) > 20*time.Second {
		t.Errorf("%d packets, %s", n, time.Since(began))
	}
	t.Logf("%d packets, %s", n, time.Since(began))
}
