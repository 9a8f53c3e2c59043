package traceroute

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sonde/internal/lab"
	"sonde/internal/measure"
	"sonde/probes"
)

// runs makes one run to each target by one engine, so many at a time.
func runs(t *testing.T, e *engine, src *lab.Host, spec string, targets []string, together int) map[string]seen {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	found := map[string]seen{}
	places := make(chan struct{}, together)
	for _, to := range targets {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			s, err := runOn(t.Context(), t, e, src, spec, to)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			found[to] = s
		})
	}
	all.Wait()
	return found
}

// runOn makes one run by an engine.
func runOn(ctx context.Context, t *testing.T, e *engine, src *lab.Host, spec, to string) (s seen, err error) {
	t.Helper()
	p, err := Tool().New(json.RawMessage(spec), envOf(e))
	if err != nil {
		t.Fatal(err)
	}
	src.Do(func() {
		var r measure.Result
		if r, err = p.Run(ctx, measure.Target{Address: to, Log: discard}); err == nil {
			s = read(t, r)
		}
	})
	return s, err
}

func envOf(e *engine) probes.Env { return probes.Env{Log: discard, Engine: e} }

func engineOn(t *testing.T, src *lab.Host) (e *engine) {
	t.Helper()
	src.Do(func() {
		var err error
		if e, err = open(discard); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { e.Close() })
	return e
}

func manyTargets(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("198.18.%d.%d", i/250, i%250+1))
	}
	return out
}

// As a worker makes them: a hundred targets behind ten routers that keep Linux's
// limit, which their first round did not know.
func TestRunsShareRoutersThatAllOfThemCross(t *testing.T) {
	src, net := internet(t)
	var way []lab.Hop
	var routers []*lab.Router
	for i := range 10 {
		r := lab.At(fmt.Sprintf("10.1.%d.1", i+1))
		routers, way = append(routers, r), append(way, r)
	}
	net.Path("0.0.0.0/0", way...)
	e := engineOn(t, src)
	spec := `{"timeout":"1s"}`
	runs(t, e, src, spec, manyTargets(100), 8)
	net.Change(func() {
		for _, r := range routers {
			r.Limit = &lab.Limit{PerSecond: 1, Burst: 6}
		}
	})
	before := routers[0].Asked()
	hops := 0
	for to, s := range runs(t, e, src, spec, manyTargets(100), 8) {
		for i, h := range s.hops {
			want := to
			if i < 10 {
				want = fmt.Sprintf("10.1.%d.1", i+1)
			}
			if h == want {
				hops++
			} else if h != "*" {
				t.Errorf("hop %d of %s is %s", i+1, to, h)
			}
		}
		if !s.reached || len(s.hops) != 11 {
			t.Errorf("%s: %v", to, s.hops)
		}
	}
	if hops < 95*11 {
		t.Errorf("%d of 1100 hops", hops)
	}
	t.Logf("%d of 1100 hops; the first router was asked %d times for 100 targets", hops, routers[0].Asked()-before)
}

// Five targets say that all go by one router. One does not, and one is nearer.
func TestRunsFindTargetsThatAreElsewhere(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), lab.At("10.1.2.1"), lab.At("10.1.3.1"))
	net.Path("198.19.0.1")
	net.Path("198.19.0.2", lab.At("10.1.1.1"))
	net.Path("198.19.0.3", lab.At("10.9.1.1"), lab.At("10.9.2.1"), lab.At("10.9.3.1"))
	net.Path("198.19.0.4", lab.At("10.1.1.1"), lab.At("10.9.2.1"), lab.At("10.1.3.1"))
	net.Path("198.19.0.5", lab.At("10.9.1.1"), &lab.Router{}, lab.At("10.1.3.1"))
	e := engineOn(t, src)
	for range 3 {
		runs(t, e, src, `{"timeout":"1s"}`, manyTargets(20), 4)
		net.Path("198.19.0.6", lab.At("10.1.1.1"), lab.At("10.1.2.1"), lab.At("10.1.3.1"), lab.At("10.1.4.1"))
		if s := runs(t, e, src, `{"timeout":"1s"}`, []string{"198.19.0.6"}, 1)["198.19.0.6"]; len(s.hops) != 5 {
			t.Errorf("%v", s.hops)
		}
		net.Path("198.19.0.6") // it has moved next to us
		for to, want := range map[string]string{
			"198.19.0.1": "198.19.0.1",
			"198.19.0.2": "10.1.1.1 198.19.0.2",
			"198.19.0.3": "10.9.1.1 10.9.2.1 10.9.3.1 198.19.0.3",
			"198.19.0.5": "10.9.1.1 * 10.1.3.1 198.19.0.5",
			"198.19.0.6": "198.19.0.6",
		} {
			if s := runs(t, e, src, `{"timeout":"1s"}`, []string{to}, 1)[to]; strings.Join(s.hops, " ") != want || !s.reached {
				t.Errorf("%v, want %s", s.hops, want)
			}
		}
	}
}

func TestRunsSeeThatASharedRouterChanged(t *testing.T) {
	src, net := internet(t)
	r := lab.At("10.1.2.1")
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), r, lab.At("10.1.3.1"))
	e := engineOn(t, src)
	runs(t, e, src, `{}`, manyTargets(20), 4)
	net.Change(func() { r.V4 = "10.7.7.7" })
	changed := time.Now()
	for n := 0; ; n++ {
		to := manyTargets(20)[n%20]
		s := runs(t, e, src, `{}`, []string{to}, 1)[to]
		if slices.Equal(s.hops, []string{"10.1.1.1", "10.7.7.7", "10.1.3.1", to}) {
			break
		}
		if time.Since(changed) > 10*time.Second {
			t.Fatalf("after %s the route is still %v", time.Since(changed), s.hops)
		}
	}
	t.Logf("seen after %s", time.Since(changed))
}

func TestRunThatSharesNothingAsksEveryHop(t *testing.T) {
	src, net := internet(t)
	first := lab.At("10.1.1.1")
	net.Path("0.0.0.0/0", first)
	e := engineOn(t, src)
	runs(t, e, src, `{"share":"0s"}`, manyTargets(20), 1)
	if n := first.Asked(); n != 60 {
		t.Errorf("the router was asked %d times by 20 runs of 3 packets", n)
	}
}

// asksOnly has every run take routers as told, but for one hop.
func asksOnly(e *engine, ttl int) {
	e.shared.mu.Lock()
	defer e.shared.mu.Unlock()
	for at, m := range e.shared.met {
		m.allowed = time.Now().Add(time.Hour)
		if at.ttl == ttl {
			m.allowed = time.Time{}
		}
	}
}

func TestRowIsOfOneRoute(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), lab.At("10.1.2.1"), lab.At("10.1.3.1"), lab.At("10.1.4.1"))
	e := engineOn(t, src)
	const b = "198.19.0.1"
	for hop := 1; hop <= 4; hop++ {
		net.Path(b, lab.At("10.1.1.1"), lab.At("10.1.2.1"), lab.At("10.1.3.1"), lab.At("10.1.4.1"))
		runs(t, e, src, `{"share":"0s"}`, []string{b}, 1)
		runs(t, e, src, `{}`, append(manyTargets(20), b), 8)
		net.Path(b, lab.At("10.9.1.1"), lab.At("10.9.2.1"), lab.At("10.9.3.1"), lab.At("10.9.4.1"))
		asksOnly(e, hop)
		s := runs(t, e, src, `{}`, []string{b}, 1)[b]
		if got := strings.Join(s.hops, " "); got != "10.9.1.1 10.9.2.1 10.9.3.1 10.9.4.1 "+b {
			t.Errorf("hop %d was asked: %s, asked %v", hop, got, fields(s.row)["hop_asked"])
		}
		e.shared = newShared()
	}
}

func TestRouteThatBecameShorterIsSeen(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), lab.At("10.1.2.1"), lab.At("10.1.3.1"), lab.At("10.1.4.1"))
	e := engineOn(t, src)
	const b = "198.19.0.1"
	runs(t, e, src, `{}`, append(manyTargets(20), b), 8)
	net.Path(b, lab.At("10.1.1.1"), lab.At("10.1.4.1"))
	asksOnly(e, 9)
	if s := runs(t, e, src, `{}`, []string{b}, 1)[b]; len(s.hops) != 3 {
		t.Errorf("%v, asked %v", s.hops, fields(s.row)["hop_asked"])
	}
}

func TestEachTargetAsksForItselfNowAndThen(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), lab.At("10.1.2.1"), lab.At("10.1.3.1"), lab.At("10.1.4.1"))
	e := engineOn(t, src)
	const b = "198.19.0.1"
	runs(t, e, src, `{}`, append(manyTargets(20), b), 8)
	net.Path(b, lab.At("10.1.1.1"), lab.At("10.9.2.1"), lab.At("10.9.3.1"), lab.At("10.1.4.1"))
	asksOnly(e, 9)
	e.shared.mu.Lock()
	for w, hops := range e.shared.routes {
		for i := range hops {
			if w.to == ip(b) {
				hops[i].at = hops[i].at.Add(-recheck)
			}
		}
	}
	e.shared.mu.Unlock()
	if s := runs(t, e, src, `{}`, []string{b}, 1)[b]; strings.Join(s.hops, " ") != "10.1.1.1 10.9.2.1 10.9.3.1 10.1.4.1 "+b {
		t.Errorf("%v, asked %v", s.hops, fields(s.row)["hop_asked"])
	}
}

func TestSpecsOfDifferentPortsShareNothing(t *testing.T) {
	src, net := internet(t)
	by := func(p *lab.Packet) uint64 { return uint64(p.DstPort()) % 2 }
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), lab.Spread(by, lab.At("10.1.2.1"), lab.At("10.1.2.5")), lab.At("10.1.3.1"))
	e := engineOn(t, src)
	const to = "198.19.0.1"
	at := map[string]string{}
	for range 3 {
		for _, port := range []string{"443", "80"} {
			spec := `{"method":"tcp","port":` + port + `}`
			runs(t, e, src, spec, manyTargets(10), 4)
			s := runs(t, e, src, spec, []string{to}, 1)[to]
			if at[port] == "" {
				at[port] = s.hops[1]
			}
			if s.hops[1] != at[port] {
				t.Errorf("port %s: %v, it was %s; asked %v", port, s.hops, at[port], fields(s.row)["hop_asked"])
			}
		}
	}
	if at["80"] == at["443"] {
		t.Errorf("both by %s", at["80"])
	}
}

func TestTargetThatIsARouterOfOthersIsFoundWhereItIs(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), lab.At("10.1.2.1"), lab.At("10.1.3.1"), lab.At("10.1.4.1"))
	lose := false
	net.Path("10.1.3.1", lab.At("10.1.1.1"), lab.At("10.1.2.1"), &lab.Target{Silent: func(p *lab.Packet) bool { return lose && p.TTL <= 1 }})
	e := engineOn(t, src)
	runs(t, e, src, `{}`, append(manyTargets(20), "10.1.3.1"), 8)
	for i := range 3 {
		net.Change(func() { lose = i == 0 }) // for one run
		s := runs(t, e, src, `{"timeout":"500ms","share":"10m"}`, []string{"10.1.3.1"}, 1)["10.1.3.1"]
		if i > 0 && len(s.hops) != 3 {
			t.Errorf("%v, asked %v", s.hops, fields(s.row)["hop_asked"])
		}
	}
}

func TestSpecsOfOneTargetThatDifferFindTheSameRoute(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), lab.At("10.1.2.1"), lab.At("10.1.3.1"), lab.At("10.1.4.1"))
	e := engineOn(t, src)
	for range 3 {
		for _, spec := range []string{`{}`, `{"first_ttl":3}`, `{"max_ttl":2}`, `{"probes":1}`} {
			for to, s := range runs(t, e, src, spec, manyTargets(12), 4) {
				want := []string{"10.1.1.1", "10.1.2.1", "10.1.3.1", "10.1.4.1", to}
				switch spec {
				case `{"first_ttl":3}`:
					want = want[2:]
				case `{"max_ttl":2}`:
					want = want[:2]
				}
				if !slices.Equal(s.hops, want) {
					t.Errorf("%s: %v", spec, s.hops)
				}
			}
		}
	}
}
