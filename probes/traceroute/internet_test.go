package traceroute

import (
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sonde/internal/lab"
	"sonde/internal/measure"
)

var testStart = time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)

var discard = slog.New(slog.DiscardHandler)

// internet is a host on an Internet of its own.
func internet(t *testing.T) (*lab.Host, *lab.Internet) {
	t.Helper()
	l := lab.New(t)
	src := l.Host("src")
	net := l.Internet(src)
	t.Cleanup(func() {
		if n := net.Malformed() + net.Stray(); n != 0 {
			t.Errorf("%d of our packets were malformed or went nowhere", n)
		}
	})
	return src, net
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// everyMethod calls f with the options of each method and family, and a target.
func everyMethod(f func(spec, target string)) {
	for _, to := range []string{"198.18.7.7", "2001:db8:7::7"} {
		for _, m := range methods {
			f(`"method":"`+m+`","timeout":"1s"`, to)
		}
	}
}

func TestEachMethodFindsTheWay(t *testing.T) {
	src, net := internet(t)
	way := []lab.Hop{lab.At("10.1.1.1", "2001:db8:1::1"), &lab.Router{}, lab.At("10.1.3.1", "2001:db8:3::1")}
	net.Path("0.0.0.0/0", way...)
	net.Path("::/0", way...)
	everyMethod(func(spec, to string) {
		s := trace(t, src, `{`+spec+`}`, ip(to))
		want := "10.1.1.1 * 10.1.3.1 " + to
		if strings.Contains(to, ":") {
			want = "2001:db8:1::1 * 2001:db8:3::1 " + to
		}
		if strings.Join(s.hops, " ") != want || !s.reached || !strings.HasPrefix(s.end, "target") {
			t.Errorf("%s: %v %s, want %s", spec, s.hops, s.end, want)
		}
	})
}

func TestSynReachesAServiceThatAnswersNothingElse(t *testing.T) {
	src, net := internet(t)
	for _, p := range []string{"198.18.0.0/16", "2001:db8:7::/48"} {
		net.Path(p, lab.At("10.1.1.1", "2001:db8:1::1"), &lab.Target{OpenTCP: []uint16{443}, Silent: func(p *lab.Packet) bool { return p.Proto != 6 || p.DstPort() == 25 }})
	}
	for _, to := range []string{"198.18.7.7", "2001:db8:7::7"} {
		for spec, want := range map[string]string{
			`{"method":"tcp","timeout":"1s"}`:             "target",
			`{"method":"tcp","timeout":"1s","port":80}`:   "target, port closed",
			`{"method":"tcp","timeout":"1s","port":25}`:   "silent",
			`{"method":"icmp","timeout":"1s"}`:            "silent",
			`{"method":"tcp","timeout":"1s","size":1200}`: "target",
		} {
			if s := trace(t, src, spec, ip(to)); s.end != want || s.reached != (want != "silent") {
				t.Errorf("%s to %s: %v, ended %q, want %q", spec, to, s.hops, s.end, want)
			}
		}
	}
}

// paths of a row: "a>b" for each link that some flow showed.
func links(s seen) (out []string) {
	for i := 0; i+1 < len(s.flows); i++ {
		for j := range s.flows[i] {
			a, b := s.flows[i][j], s.flows[i+1][j]
			if a == nil {
				a = only(s.flows[i])
			}
			if a == nil || b == nil || *a == *b {
				continue
			}
			if l := a.String() + ">" + b.String(); !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	slices.Sort(out)
	return out
}

// only is who stands alone at a hop, so that all flows go there.
func only(flows []*netip.Addr) (one *netip.Addr) {
	for _, a := range flows {
		switch {
		case a == nil:
		case one == nil:
			one = a
		case *one != *a:
			return nil
		}
	}
	return one
}

func addressesOf(s seen) (out []string) {
	for _, h := range s.flows {
		for _, a := range h {
			if a != nil && !slices.Contains(out, a.String()) {
				out = append(out, a.String())
			}
		}
	}
	slices.Sort(out)
	return out
}

func arms(n int) (out []lab.Hop) {
	for i := range n {
		out = append(out, lab.At(fmt.Sprintf("10.2.0.%d", i+1), fmt.Sprintf("2001:db8:2::%x", i+1)))
	}
	return out
}

func TestAllPathsAreFound(t *testing.T) {
	for _, width := range []int{1, 2, 5, 16} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			src, net := internet(t)
			first, last := lab.At("10.1.1.1", "2001:db8:1::1"), lab.At("10.1.3.1", "2001:db8:3::1")
			var there []lab.Hop
			there = append(there, first, lab.Spread(lab.PerFlow, arms(width)...), last)
			net.Path("0.0.0.0/0", there...)
			net.Path("::/0", there...)
			everyMethod(func(spec, to string) {
				before := net.Received()
				s := trace(t, src, `{"paths":"all","confidence":0.999,`+spec+`}`, ip(to))
				f := fields(s.row)
				if got := len(addressesOf(s)); got != width+3 || f["confidence"].(float64) < 0.999 || !s.reached {
					t.Errorf("%s: %d routers of %d, confidence %v: %v", spec, got, width+3, f["confidence"], addressesOf(s))
				}
				if got, want := len(links(s)), 2*width+1; got != want {
					t.Errorf("%s: %d links of %d: %v", spec, got, want, links(s))
				}
				t.Logf("%s: %d packets", spec, net.Received()-before)
			})
		})
	}
}

// What the algorithm promises: that it misses something in so many runs at most.
func TestConfidenceIsTrue(t *testing.T) {
	const runs, width = 300, 3
	missed := 0
	for n := range runs {
		p := plan{firstTTL: 1, maxTTL: 12, probes: 1, parallel: 4, maxSilent: 3, all: true, confidence: 0.9}
		world := func(hop, flow, _ int) slot {
			switch hop {
			case 1:
				return slot{kind: exceeded, from: router(100 + int(mix(uint64(n)<<32|uint64(flow))%width))}
			case 3:
				return slot{kind: reply, from: far4}
			}
			return slot{kind: exceeded, from: router(hop)}
		}
		found := walk(t, p, world)
		exploreIn(t, found, 0.9, world)
		all := map[netip.Addr]bool{}
		for _, s := range found.hops[1].slots {
			if s.known {
				all[s.from] = true
			}
		}
		if len(all) < width {
			missed++
		}
	}
	// Two of three standard deviations above what is allowed.
	if allowed := 0.1*runs + 3*5.2; float64(missed) > allowed {
		t.Errorf("%d of %d runs missed an arm, with a confidence of 90 %%", missed, runs)
	}
	t.Logf("%d of %d", missed, runs)
}

func mix(x uint64) uint64 {
	x ^= x >> 31
	x *= 0x7fb5d329728ea185
	x ^= x >> 27
	x *= 0x81dadef4bc2dd44d
	return x ^ x>>33
}

// exploreIn lets an explorer ask a world until it has ended.
func exploreIn(t *testing.T, p *path, confidence float64, world func(hop, flow, try int) slot) *explorer {
	t.Helper()
	x := newExplorer(p, confidence)
	now := testStart
	for range 100_000 {
		questions, ended := x.ask(now)
		if ended {
			return x
		}
		for _, q := range questions {
			p.learn(q, world(q.hop, q.slot, p.at(q.hop, q.slot).tries))
		}
		now = now.Add(pacing)
	}
	t.Fatal("no end")
	return nil
}

func TestManyRunsByOneFlowAreOneRoute(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), lab.Spread(lab.PerFlow, arms(2)...), lab.At("10.1.3.1"))
	for _, m := range methods {
		routes, addrs := map[string]bool{}, map[string]bool{}
		for range 20 {
			s := trace(t, src, `{"method":"`+m+`","probes":10}`, ip("198.18.7.7"))
			routes[strings.Join(s.hops, " ")] = true
			for _, a := range addressesOf(s) {
				addrs[a] = true
			}
		}
		if len(routes) != 1 || len(addrs) != 5 {
			t.Errorf("%s: routes %v over %v", m, routes, addrs)
		}
	}
}

func TestUnprivilegedFindsTheSameRoute(t *testing.T) {
	src, net := internet(t)
	first, last := lab.At("10.1.1.1", "2001:db8:1::1"), lab.At("10.1.3.1", "2001:db8:3::1")
	net.Path("0.0.0.0/0", first, &lab.Router{}, lab.Spread(lab.PerFlow, arms(2)...), last)
	net.Path("::/0", first, &lab.Router{}, last) // the kernel gives the flow label, so that other arms would show
	for _, to := range []string{"198.18.7.7", "2001:db8:7::7"} {
		want := trace(t, src, `{"timeout":"1s"}`, ip(to))
		var got seen
		var udpErr error
		unprivileged(t, src, func() {
			r, err := try(t.Context(), `{"timeout":"1s"}`, to)
			if err != nil {
				t.Error(err)
				return
			}
			got = read(t, r)
			_, udpErr = try(t.Context(), `{"method":"udp"}`, to)
		})
		if !slices.Equal(got.hops, want.hops) || got.reached != want.reached || fmt.Sprint(addressesOf(got)) != fmt.Sprint(addressesOf(want)) {
			t.Errorf("%v over %v, with raw sockets %v over %v", got.hops, addressesOf(got), want.hops, addressesOf(want))
		}
		if udpErr == nil || !strings.Contains(udpErr.Error(), "CAP_NET_RAW") {
			t.Errorf("udp without privilege: %v", udpErr)
		}
	}
}

func TestPathMTU(t *testing.T) {
	src, net := internet(t)
	narrow := &lab.Router{V4: "10.1.2.1", V6: "2001:db8:2::1", MTU: 1412}
	way := []lab.Hop{lab.At("10.1.1.1", "2001:db8:1::1"), narrow, lab.At("10.1.3.1", "2001:db8:3::1")}
	net.Path("0.0.0.0/0", way...)
	net.Path("::/0", way...)
	find := func(spec, to string, mtu, hop any) {
		t.Helper()
		f := fields(trace(t, src, `{"mtu":true,`+spec+`}`, ip(to)).row)
		if f["mtu"] != mtu || f["mtu_hop"] != hop {
			t.Errorf("%s to %s: MTU %v behind hop %v, want %v behind %v", spec, to, f["mtu"], f["mtu_hop"], mtu, hop)
		}
	}
	everyMethod(func(spec, to string) { find(spec, to, int64(1412), int64(2)) })
	// A router that says nothing of what does not fit; an MTU that is none of the usual.
	net.Change(func() { narrow.BlackHole, narrow.MTU = true, 1333 })
	find(`"timeout":"500ms"`, "198.18.7.7", int64(1333), int64(2))
	find(`"timeout":"500ms","method":"udp"`, "2001:db8:7::7", int64(1333), int64(2))
	net.Path("198.18.9.9", lab.At("10.1.1.1"))
	find(`"timeout":"500ms"`, "198.18.9.9", int64(1500), nil)
	unprivileged(t, src, func() {
		r, err := try(t.Context(), `{"mtu":true,"timeout":"500ms"}`, "198.18.7.7")
		if err != nil {
			t.Error(err)
			return
		}
		if f := fields(r.Row); f["mtu"] != int64(1333) || f["mtu_hop"] != int64(2) {
			t.Errorf("unprivileged: MTU %v behind hop %v", f["mtu"], f["mtu_hop"])
		}
	})
}

func TestUnprivilegedLeavesSocketsOfOthersAlone(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"))
	const to = "198.18.7.7"
	unprivileged(t, src, func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP)
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(fd)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(flowOf(ip(to), icmp, 0, 0).one)}); err != nil {
			t.Error(err)
			return
		}
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}); err != nil {
			t.Error(err)
			return
		}
		e, err := open(discard)
		if err != nil {
			t.Error(err)
			return
		}
		defer e.Close()
		p, err := newProbe([]byte(`{"probes":2}`), envOf(e))
		if err != nil {
			t.Error(err)
			return
		}
		r, err := p.Run(t.Context(), measure.Target{Address: to, Log: discard})
		if err != nil {
			t.Error(err)
			return
		}
		if s := read(t, r); strings.Join(s.hops, " ") != "10.1.1.1 "+to || told(s, "hop_notes") != nil {
			t.Errorf("%v, notes %v", s.hops, told(s, "hop_notes"))
		}
		if err := unix.Sendto(fd, []byte{8, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4}, 0, &unix.SockaddrInet4{Addr: ip("198.18.9.9").As4()}); err != nil {
			t.Error(err)
		}
		b := make([]byte, 100)
		if n, _, err := unix.Recvfrom(fd, b, 0); err != nil || n != 12 {
			t.Errorf("another program's ping is not answered any more: %v", err)
		}
	})
}

func TestLostPacketToTheTargetMakesItNotSilent(t *testing.T) {
	src, net := internet(t)
	n := 0
	way := lab.Path{lab.At("10.1.1.1"), &lab.Router{Lose: func(*lab.Packet) bool { n++; return n == 1 }}}
	for range 6 {
		way = append(way, &lab.Router{})
	}
	net.Path("0.0.0.0/0", way, lab.At("10.1.9.1"))
	if s := trace(t, src, `{"timeout":"500ms"}`, ip("198.18.7.7")); !s.reached || len(s.hops) != 10 {
		t.Errorf("%v ended %s", s.hops, s.end)
	}
	// And one that does not answer ends as before.
	net.Path("0.0.0.0/0", way, &lab.Target{Silent: lab.Always})
	if s := trace(t, src, `{"timeout":"500ms"}`, ip("198.18.7.7")); s.reached || len(s.hops) != 6 || s.end != "silent" {
		t.Errorf("%v ended %s", s.hops, s.end)
	}
}

// unprivileged runs f on the host without CAP_NET_RAW.
func unprivileged(t *testing.T, h *lab.Host, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		var err error
		h.Do(func() {
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var had, less [2]unix.CapUserData
			if err = unix.Capget(&header, &had[0]); err != nil {
				return
			}
			less = had
			less[0].Effective &^= 1 << unix.CAP_NET_RAW
			if err = unix.Capset(&header, &less[0]); err != nil {
				return
			}
			f()
			err = unix.Capset(&header, &had[0]) // Do wants to go back
		})
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("capabilities: %v", err)
	}
}
