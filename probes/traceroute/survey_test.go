package traceroute

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sonde/internal/lab"
	"sonde/probes"
)

// crowd is a chain of routers whose far end answers for 10.200.0.0/16.
func crowd(t *testing.T, routers int) (src *lab.Host, way []*lab.Host, dst *lab.Host) {
	src, way, dst = lab.New(t).Chain(routers)
	dst.Run("ip", "route", "add", "local", "10.200.0.0/16", "dev", "lo")
	hosts := append(append([]*lab.Host{src}, way...), dst)
	for i, h := range hosts[:len(hosts)-1] {
		h.Via(netip.MustParsePrefix("10.200.0.0/16"), lab.Uplink(hosts[i+1], false))
	}
	return src, way, dst
}

func crowdOf(n int) (targets []string) {
	for i := range n {
		targets = append(targets, fmt.Sprintf("10.200.%d.%d", i>>8, i&255))
	}
	return targets
}

// surveyFrom gives "hop address" of each target in order.
func surveyFrom(t *testing.T, h *lab.Host, targets []string, spec string) map[string][]string {
	t.Helper()
	var out bytes.Buffer
	h.Do(func() {
		if err := lines(t.Context(), probes.Lines{Spec: []byte(spec), Targets: targets, Out: &out, Log: slog.Default()}); err != nil {
			t.Fatal(err)
		}
	})
	routes := map[string][]string{}
	for line := range strings.Lines(out.String()) {
		var target, hop string
		var ttl, rtt int
		if n, err := fmt.Sscanf(line, "%s %d %s %d\n", &target, &ttl, &hop, &rtt); n != 4 || err != nil || rtt <= 0 {
			t.Fatalf("line %q", line)
		}
		routes[target] = append(routes[target], fmt.Sprint(ttl, " ", hop))
	}
	return routes
}

// wayTo is the route that the chain's own addresses say.
func wayTo(way []*lab.Host, target string) (route []string) {
	for i, r := range way {
		route = append(route, fmt.Sprint(i+1, " ", lab.Uplink(r, false)))
	}
	return append(route, fmt.Sprint(len(way)+1, " ", target))
}

func TestSurveyOfAThousandTargetsSharesWhatTheyShare(t *testing.T) {
	src, way, _ := crowd(t, 10)
	targets := crowdOf(1000)
	began := time.Now()
	routes := surveyFrom(t, src, targets, `{}`)
	t.Logf("%s", time.Since(began))
	for _, target := range targets {
		if want := wayTo(way, target); fmt.Sprint(routes[target]) != fmt.Sprint(want) {
			t.Fatalf("%s: %v, want %v", target, routes[target], want)
		}
	}
}

func TestSurveyOfRoutersThatLimitFindsTheirHopsAllTheSame(t *testing.T) {
	src, way, dst := crowd(t, 10)
	for _, r := range append(way, dst) {
		r.Sysctl("net/ipv4/icmp_ratelimit", "1000")
		r.Sysctl("net/ipv4/icmp_ratemask", "6168")
	}
	targets := crowdOf(100)
	began := time.Now()
	routes := surveyFrom(t, src, targets, `{"timeout": "1s"}`)
	took := time.Since(began)
	found, wrong := 0, 0
	for _, target := range targets {
		want := strings.Join(wayTo(way, target), ",") + ","
		for _, hop := range routes[target] {
			if strings.Contains(want, hop+",") {
				found++
			} else {
				wrong++
			}
		}
	}
	t.Logf("%d of %d hops in %s", found, 100*11, took)
	if found < 95*11 || wrong > 0 || took > 10*time.Second {
		t.Errorf("%d of %d hops, %d wrong ones, in %s", found, 100*11, wrong, took)
	}
}

func TestSurveyFindsWhereRoutesPart(t *testing.T) {
	network := lab.New(t)
	src, first := network.Host("src"), network.Router("first")
	network.Connect(src, first)
	var arms [][]*lab.Host
	for i := range 3 {
		a, b, dst := network.Router(fmt.Sprint("a", i)), network.Router(fmt.Sprint("b", i)), network.Host(fmt.Sprint("dst", i))
		network.Connect(first, a)
		network.Connect(a, b)
		network.Connect(b, dst)
		arms = append(arms, []*lab.Host{first, a, b, dst})
	}
	network.Route()
	for _, spec := range []string{`{}`, `{"method": "udp"}`} {
		for _, v6 := range []bool{false, true} {
			var targets []string
			want := map[string]string{}
			for _, arm := range arms {
				var route []string
				for hop, h := range arm {
					route = append(route, fmt.Sprint(hop+1, " ", lab.Uplink(h, v6)))
				}
				target := lab.Uplink(arm[3], v6).String()
				targets = append(targets, target)
				want[target] = fmt.Sprint(route)
			}
			got := surveyFrom(t, src, targets, spec)
			for target := range want {
				if fmt.Sprint(got[target]) != want[target] {
					t.Errorf("%s with %s: %v, want %v", target, spec, got[target], want[target])
				}
			}
		}
	}
}

func TestSurveyLeavesASilentHopOut(t *testing.T) {
	src, way, _ := crowd(t, 4)
	way[1].Silence()
	targets := crowdOf(20)
	routes := surveyFrom(t, src, targets, `{"timeout": "300ms"}`)
	for _, target := range targets {
		want := wayTo(way, target)
		want = append(want[:1:1], want[2:]...)
		if fmt.Sprint(routes[target]) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", target, routes[target], want)
		}
	}
}

func TestSurveyTracesWhatDoesNotAnswer(t *testing.T) {
	src, way, dst := crowd(t, 3)
	dst.Silence()
	way[1].Silence()
	routes := surveyFrom(t, src, []string{"10.200.0.1"}, `{"timeout": "200ms", "max_silent": 3}`)
	if want := fmt.Sprintf("[1 %s 3 %s]", lab.Uplink(way[0], false), lab.Uplink(way[2], false)); fmt.Sprint(routes["10.200.0.1"]) != want {
		t.Errorf("got %v, want %s", routes, want)
	}
}

func TestSurveyThatIsStoppedSaysWhatItFound(t *testing.T) {
	src, _, _ := crowd(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	began := time.Now()
	src.Do(func() {
		err := lines(ctx, probes.Lines{Spec: []byte(`{}`), Targets: crowdOf(1000), Rate: 100, Out: &out, Log: slog.Default()})
		if took := time.Since(began); err != nil || took > 5*time.Second {
			t.Errorf("%v after %s", err, took)
		}
	})
}

func TestSurveyNamesATargetThatOurKernelRefuses(t *testing.T) {
	src, _, _ := crowd(t, 1)
	src.Forbid("icmp type echo-request ip daddr 10.200.0.1")
	var out, log bytes.Buffer
	src.Do(func() {
		err := lines(t.Context(), probes.Lines{Spec: []byte(`{}`), Targets: crowdOf(3), Out: &out, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err == nil || !strings.Contains(err.Error(), "1 of 3") || !strings.Contains(log.String(), "10.200.0.1") {
			t.Errorf("%v, %q", err, log.String())
		}
	})
	if got := strings.Count(out.String(), "\n"); got != 4 {
		t.Errorf("%d lines of two targets at two hops", got)
	}
}

// The target was there, and now a router answers at the last hop that is asked.
func TestSurveyDoesNotAskForEverWhereTheRouteChanges(t *testing.T) {
	p := &probeSent{hop: 30}
	s := &survey{plan: plan{firstTTL: 1, maxTTL: 30}, levels: make([]level, 32), known: map[place][]place{}, rtts: map[place]time.Duration{},
		targets: []surveyed{{to: netip.MustParseAddr("10.0.0.2"), distance: 30, at: 30}}, flights: []*probeSent{p}, under: 1}
	s.take(heard{p, answer{kind: exceeded}, netip.MustParseAddr("10.0.0.1"), 64, time.Millisecond, false})
	if t0 := s.targets[0]; !t0.lost || !t0.done || len(s.ready) != 0 {
		t.Errorf("%+v would be asked again", t0)
	}
}

func TestSurveyOfALongWayWithASilentHopEnds(t *testing.T) {
	src, net := internet(t)
	way := append(lab.Path{&lab.Router{}}, lab.Row(27, "10.1.2.1")...)
	net.Path("0.0.0.0/0", way)
	began := time.Now()
	routes := surveyFrom(t, src, manyTargets(3), `{"timeout":"500ms"}`)
	if took := time.Since(began); took > 10*time.Second || len(routes["198.18.0.1"]) != 28 {
		t.Errorf("%d hops in %s", len(routes["198.18.0.1"]), took)
	}
}
