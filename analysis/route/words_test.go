package route_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sonde/analysis/route"
	"sonde/internal/measure"
)

// known reads a route as parse does and adds what else is known of hops:
// name GEANT of AS 20965, rtt of hop n.
func known(t *testing.T, text string, rtts ...int) measure.Route {
	t.Helper()
	r := parse(t, text)
	for i := range r.Hops {
		h := &r.Hops[i]
		h.ASName = map[uint32]string{20965: "GEANT", 1299: "ARELION", 174: "COGENT", 3356: "LEVEL3"}[h.AS]
		if i < len(rtts) {
			h.RTT = time.Duration(rtts[i]) * time.Millisecond
		}
	}
	return *r
}

func TestRoutesAreComparedInWords(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after measure.Route
		want          []string
	}{
		{"nothing", known(t, "192.0.2.1 192.0.3.1"), known(t, "192.0.2.1 192.0.3.1"), nil},
		{"only slower", known(t, "192.0.2.1 192.0.3.1", 1, 2), known(t, "192.0.2.1 192.0.3.1", 1, 80), nil},
		{"only silent", known(t, "192.0.2.1 192.0.3.1 192.0.4.1"), known(t, "192.0.2.1 * 192.0.4.1"), nil},
		{"another AS", known(t, "192.0.2.1 62.40.98.1/20965 192.0.4.1", 1, 10, 12), known(t, "192.0.2.1 62.115.1.1/1299 192.0.4.1", 1, 44, 46),
			[]string{"hop 2 moved from AS 20965 (GEANT) to AS 1299 (ARELION), +34 ms"}},
		{"within the AS", known(t, "192.0.2.1 62.40.98.1/20965 192.0.4.1", 1, 10), known(t, "192.0.2.1 62.40.99.1/20965 192.0.4.1", 1, 7),
			[]string{"hop 2 moved from 62.40.98.1 to 62.40.99.1 within AS 20965 (GEANT), -3.0 ms"}},
		{"AS known of one", known(t, "192.0.2.1 10.0.0.1 192.0.4.1"), known(t, "192.0.2.1 62.115.1.1/1299 192.0.4.1"),
			[]string{"hop 2 moved from 10.0.0.1 to 62.115.1.1 (AS 1299 ARELION)"}},
		{"a hop put in leaves the others be", known(t, "192.0.2.1 192.0.3.1 192.0.4.1 192.0.5.1"), known(t, "192.0.2.1 192.0.9.1 192.0.3.1 192.0.4.1 192.0.5.1"),
			[]string{"hop 2 is new: 192.0.9.1", "the path is one hop longer"}},
		{"two gone", known(t, "192.0.2.1 192.0.3.1 192.0.4.1 192.0.5.1"), known(t, "192.0.2.1 192.0.5.1"),
			[]string{"hops 2–3 are gone: 192.0.3.1, 192.0.4.1", "the path is 2 hops shorter"}},
		{"one put in, a later one moved", known(t, "192.0.2.1 192.0.3.1 192.0.4.1 192.0.5.1"), known(t, "192.0.2.1 192.0.9.1 192.0.3.1 198.51.100.1 192.0.5.1"),
			[]string{"hop 2 is new: 192.0.9.1", "hop 4 (before: hop 3) moved from 192.0.4.1 to 198.51.100.1", "the path is one hop longer"}},
		{"three hops through another AS", known(t, "192.0.2.1 4.1.1.1/3356 4.1.1.2/3356 4.1.1.3/3356 192.0.5.1", 1, 2, 3, 4), known(t, "192.0.2.1 38.1.1.1/174 38.1.1.2/174 38.1.1.3/174 192.0.5.1", 1, 2, 3, 24),
			[]string{"hops 2–4 now run through AS 174 (COGENT) instead of AS 3356 (LEVEL3), +20 ms"}},
		{"two hops for three", known(t, "192.0.2.1 4.1.1.1/3356 4.1.1.2/3356 4.1.1.3/3356 192.0.5.1"), known(t, "192.0.2.1 38.1.1.1/174 38.1.1.2/174 192.0.5.1"),
			[]string{"hops 2–3 (before: hops 2–4) now run through AS 174 (COGENT) instead of AS 3356 (LEVEL3)", "the path is one hop shorter"}},
		{"broken off", known(t, "192.0.2.1 192.0.3.1 192.0.4.1 192.0.5.1"), known(t, "192.0.2.1 192.0.3.1 …"),
			[]string{"the route no longer reaches the target, the last answer came from 192.0.3.1 at hop 2"}},
		{"broken off elsewhere", known(t, "192.0.2.1 192.0.3.1 192.0.4.1 192.0.5.1"), known(t, "192.0.2.1 198.51.100.1 …"),
			[]string{"hop 2 moved from 192.0.3.1 to 198.51.100.1", "the route no longer reaches the target, the last answer came from 198.51.100.1 at hop 2"}},
		{"whole again", known(t, "192.0.2.1 192.0.3.1 …"), known(t, "192.0.2.1 192.0.3.1 192.0.4.1 192.0.5.1"),
			[]string{"the route reaches the target again"}},
		{"nobody answers", known(t, "192.0.2.1 192.0.3.1"), known(t, "* * …"),
			[]string{"the route no longer reaches the target, nobody answers"}},
		{"stutter", known(t, "192.0.2.1 192.0.3.1 192.0.4.1"), known(t, "192.0.2.1 192.0.3.1 192.0.3.1 192.0.4.1"),
			[]string{"hop 2 now stutters: 192.0.3.1 answers for hop 3 as well", "the path is one hop longer"}},
		{"stutter over", known(t, "192.0.2.1 192.0.3.1 192.0.3.1 192.0.4.1"), known(t, "192.0.2.1 192.0.3.1 192.0.4.1"),
			[]string{"hop 2 no longer stutters", "the path is one hop shorter"}},
		{"loop", known(t, "192.0.2.1 192.0.3.1 192.0.4.1 192.0.5.1"), known(t, "192.0.2.1 192.0.3.1 192.0.2.1 …"),
			[]string{"hop 3 moved from 192.0.4.1 to 192.0.2.1", "the route loops: 192.0.2.1 answers at hop 1 and again at hop 3",
				"the route no longer reaches the target, the last answer came from 192.0.2.1 at hop 3"}},
		{"IPv6", known(t, "2001:db8:1::1 2001:db8:2::1/20965 2001:db8:3::1"), known(t, "2001:db8:1::1 2001:db8:9::1/1299 2001:db8:3::1"),
			[]string{"hop 2 moved from AS 20965 (GEANT) to AS 1299 (ARELION)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := route.Sentences(c.before, c.after)
			if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

func TestTunnelsAndEqualPathsInWords(t *testing.T) {
	plain, tunnel := known(t, "192.0.2.1 192.0.3.1 192.0.4.1 192.0.5.1"), known(t, "192.0.2.1 192.0.3.1 192.0.4.1 192.0.5.1")
	tunnel.Hops[1].Labels, tunnel.Hops[2].Labels = "L=16004,E=0,S=1,T=1", "L=16005,E=0,S=0,T=1/L=17,E=0,S=1,T=1"
	other := known(t, "192.0.2.1 192.0.3.1 192.0.4.1 192.0.5.1")
	other.Hops[1].Labels, other.Hops[2].Labels = "L=16004,E=0,S=1,T=9", "L=16006,E=0,S=0,T=1/L=17,E=0,S=1,T=1"
	armA, armB := known(t, "192.0.2.1 192.0.3.1 192.0.5.1"), known(t, "192.0.2.1 198.51.100.1 192.0.5.1")
	armA.Hops[1].Arms = []netip.Addr{armA.Hops[1].Address, armB.Hops[1].Address}
	for _, c := range []struct {
		name          string
		before, after measure.Route
		want          string
	}{
		{"appears", plain, tunnel, "an MPLS tunnel shows at hops 2–3: label 16004, 16005/17"},
		{"goes", tunnel, plain, "the MPLS tunnel at hops 2–3 is gone"},
		{"another label", tunnel, other, "the MPLS label at hop 3 is 16006/17, before 16005/17"},
		{"rotation", armA, armB, "hop 2 goes another of its equal paths: 198.51.100.1, before 192.0.3.1"},
	} {
		if got := strings.Join(route.Sentences(c.before, c.after), "; "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestASPathsTakeGapsForAnything(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1 1.1.1.1/680 1.1.1.2/680 2.2.2.2/20965 3.3.3.3/513": "680 20965 513",
		"1.1.1.1/680 * 1.1.1.2/680 192.0.2.9 2.2.2.2/20965 3.3.3.3":   "680 ? 20965 ?",
		"192.0.2.1 * 192.0.2.2":           "unknown",
		"1.1.1.1/680 2.2.2.2/20965 * * …": "680 20965 ?",
	} {
		if got := route.ASPathOf(*parse(t, text)).String(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, c := range []struct {
		a, b route.ASPath
		same bool
	}{
		{route.ASPath{680, 20965, 513}, route.ASPath{680, 20965, 513}, true},
		{route.ASPath{680, 20965, 513}, route.ASPath{680, 1299, 513}, false},
		{route.ASPath{680, 0, 513}, route.ASPath{680, 1299, 513}, true},
		{route.ASPath{680, 0, 513}, route.ASPath{680, 513}, true},
		{route.ASPath{680, 0, 1299, 513}, route.ASPath{680, 0, 3356, 513}, false},
		{route.ASPath{0, 680, 513}, route.ASPath{680, 513}, true},
		{route.ASPath{680, 513}, route.ASPath{680, 513, 64500}, false},
		{route.ASPath{680, 0}, route.ASPath{680, 513, 64500}, true},
		{route.ASPath{680, 1299, 0}, route.ASPath{680, 20965, 513}, false},
		{route.ASPath{0}, nil, true},
		{route.ASPath{0, 680, 20965, 0}, route.ASPath{0, 680, 1299, 513, 0}, false},
		{nil, nil, true},
		{nil, route.ASPath{680}, false},
	} {
		if c.a.Same(c.b) != c.same || c.b.Same(c.a) != c.same {
			t.Errorf("%v and %v: %v and %v, want %v", c.a, c.b, c.a.Same(c.b), c.b.Same(c.a), c.same)
		}
	}
}

// routeOf makes a route of bytes: each is a hop of one of a few networks.
func routeOf(data []byte, reached bool) measure.Route {
	r := measure.Route{Reached: reached}
	for i, b := range data[:min(len(data), 40)] {
		var h measure.Hop
		if b%8 != 0 {
			h.Address = netip.AddrFrom4([4]byte{9, b % 4, b / 64, b % 16})
			h.AS, h.RTT = uint32(b%5), time.Duration(b)*time.Millisecond
		}
		if b > 200 {
			h.Labels = "L=" + strings.Repeat("1", i%4+1) + ",E=0,S=1,T=1"
		}
		if b%8 == 1 {
			h.Arms = []netip.Addr{h.Address, netip.AddrFrom4([4]byte{9, 1, 0, 2})}
		}
		r.Hops = append(r.Hops, h)
	}
	return r
}

// A route is no other than itself; one that differs in an address that answered
// says so; and of no route more is said than that each hop changed in each way.
func FuzzWordsTellOfChangesOnly(f *testing.F) {
	f.Add([]byte{1, 2, 3}, []byte{1, 3, 3}, true, true)
	f.Add([]byte{1, 0, 3, 0}, []byte{0, 0}, true, false)
	f.Add([]byte{9, 9, 201, 250, 17}, []byte{9, 201, 17, 17, 9}, false, true)
	f.Add([]byte{}, []byte{7}, false, false)
	f.Fuzz(func(t *testing.T, a, b []byte, reachedA, reachedB bool) {
		x, y := routeOf(a, reachedA), routeOf(b, reachedB)
		if said := route.Sentences(x, x); len(said) > 0 {
			t.Fatalf("%v beside itself: %q", a, said)
		}
		said := route.Sentences(x, y)
		if most := 4 * (len(x.Hops) + len(y.Hops) + 1); len(said) > most {
			t.Fatalf("%v and %v: %d sentences", a, b, len(said))
		}
		for _, s := range said {
			if s == "" || strings.ContainsAny(s, "\n\t") || strings.HasSuffix(s, ".") {
				t.Fatalf("%q", s)
			}
		}
		if class, changes := route.Compare(x, y); reachedA && reachedB && len(x.Hops) == len(y.Hops) && len(changes) > 0 && len(said) == 0 {
			t.Fatalf("%v and %v: class %q, and nothing is said", a, b, class)
		}
		p, q := route.ASPathOf(x), route.ASPathOf(y)
		if !p.Same(p) || p.Same(q) != q.Same(p) {
			t.Fatalf("%v and %v: %v %v", p, q, p.Same(p), p.Same(q))
		}
	})
}

// What is marked beside two routes is what the words above them tell.
func TestRoutesAreLaidSideBySideAsTheWordsTell(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"the same", viaGeant, viaGeant, "1-1 2-2 3-3 4-4"},
		{"another router", viaGeant, viaArelion, "1-1 2-2 3-3! 4-4"},
		{"a silent one", viaGeant, "10.0.0.1 188.1.1.1/680 * 192.65.184.1/513", "1-1 2-2 3-3 4-4"},
		{"a longer one", viaGeant, "10.0.0.1 188.1.1.1/680 188.1.2.1/680 62.40.98.1/20965 192.65.184.1/513", "1-1 2-2 0-3! 3-4 4-5"},
		{"a shorter one", viaGeant, "10.0.0.1 62.40.98.1/20965 192.65.184.1/513", "1-1 2-0! 3-2 4-3"},
		{"not reached any more", viaGeant, "10.0.0.1 188.1.1.1/680 * …", "1-1 2-2 3-0 4-0"},
	} {
		var got []string
		for _, l := range route.SideBySide(*parse(t, c.from), *parse(t, c.to)) {
			line := fmt.Sprintf("%d-%d", l.From+1, l.To+1)
			if l.Changed {
				line += "!"
			}
			got = append(got, line)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
}
