package traceroute

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sonde/internal/lab"
	"sonde/internal/measure"
	"sonde/probes"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// seen is a row with its names back, and hops as text ("*" for silent).
type seen struct {
	hops    []string
	codes   [][]*string
	flows   [][]*netip.Addr
	rtts    [][]*int32
	count   int64
	reached bool
	rtt     any
	end     string
	errnos  any
	row     []any
}

func read(t *testing.T, r measure.Result) seen {
	t.Helper()
	f := fields(r.Row)
	s := seen{codes: f["hop_codes"].([][]*string), flows: f["hop_addresses"].([][]*netip.Addr), rtts: f["hop_rtts_us"].([][]*int32),
		count: f["hop_count"].(int64), reached: f["reached"].(bool), rtt: f["rtt_ms"], end: f["end_reason"].(string),
		errnos: f["icmp_errors"], row: r.Row}
	for _, a := range f["hops"].([]*netip.Addr) {
		s.hops = append(s.hops, "*")
		if a != nil {
			s.hops[len(s.hops)-1] = a.String()
		}
	}
	if int(s.count) != len(s.hops) || len(s.flows) < len(s.hops) || len(s.rtts) != len(s.flows) || len(s.codes) != len(s.flows) {
		t.Errorf("arrays of unequal length: %d hops, %d %d %d by flow", len(s.hops), len(s.flows), len(s.rtts), len(s.codes))
	}
	return s
}

func try(ctx context.Context, spec, target string) (measure.Result, error) {
	p, err := Tool().New(json.RawMessage(spec), probes.Env{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return measure.Result{}, err
	}
	return p.Run(ctx, measure.Target{Node: "target", Address: target, Log: slog.New(slog.DiscardHandler)})
}

func trace(t *testing.T, from *lab.Host, spec string, target netip.Addr) (s seen) {
	t.Helper()
	from.Do(func() {
		r, err := try(t.Context(), spec, target.String())
		if err != nil {
			t.Fatalf("%s to %s: %v", spec, target, err)
		}
		if r.Address != target {
			t.Errorf("address used is %s, want %s", r.Address, target)
		}
		s = read(t, r)
	})
	return s
}

// others gives the hops by Debian's traceroute: all addresses of each.
func others(t *testing.T, from *lab.Host, args ...string) (hops [][]string) {
	t.Helper()
	out := from.Run("traceroute", append([]string{"-n", "-w", "1"}, args...)...)
	for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
		var at []string
		for _, word := range strings.Fields(line) {
			if _, err := netip.ParseAddr(word); err == nil && !slices.Contains(at, word) {
				at = append(at, word)
			}
		}
		if at == nil {
			at = []string{"*"}
		}
		hops = append(hops, at)
	}
	return hops
}

// both gives both methods and families as options.
func both(f func(spec string, v6 bool, flag string)) {
	for _, v6 := range []bool{false, true} {
		f(`"method":"icmp"`, v6, "-I")
		f(`"method":"udp"`, v6, "-U")
	}
}

func TestSameHopsAsTraceroute(t *testing.T) {
	src, routers, dst := lab.New(t).Chain(5)
	routers[2].Silence()
	both(func(spec string, v6 bool, flag string) {
		to := lab.Uplink(dst, v6)
		s := trace(t, src, `{"timeout":"1s",`+spec+`}`, to)
		want := others(t, src, flag, "-p", "33434", to.String())
		if len(want) != 6 {
			t.Fatalf("traceroute %s saw %v", flag, want)
		}
		for i, h := range s.hops {
			if i >= len(want) || h != want[i][0] {
				t.Fatalf("%s: %v, traceroute saw %v", spec, s.hops, want)
			}
		}
		if len(s.hops) != 6 || s.hops[2] != "*" || !s.reached || s.end != "target" || s.errnos != nil {
			t.Errorf("%s to %s: %+v", spec, to, s)
		}
		if ms, ok := s.rtt.(float64); !ok || ms <= 0 || ms > 300 {
			t.Errorf("%s: round trip %v", spec, s.rtt)
		}
	})
}

func TestOneFlowTakesOneWayThroughADiamond(t *testing.T) {
	src, routers, dst := lab.New(t).Diamond(3)
	both(func(spec string, v6 bool, flag string) {
		to := lab.Uplink(dst, v6)
		first := trace(t, src, `{"probes":10,`+spec+`}`, to)
		arms := map[string]bool{}
		for port := range 4 { // 40 flows, which the kernel spreads by a number of its own
			for _, a := range trace(t, src, fmt.Sprintf(`{"probes":10,"port":%d,%s}`, 33434+port, spec), to).flows[1] {
				arms[a.String()] = true
			}
		}
		for range 20 {
			again := trace(t, src, `{"probes":1,`+spec+`}`, to)
			if !slices.Equal(again.hops, first.hops) {
				t.Fatalf("%s: %v, then %v", spec, first.hops, again.hops)
			}
		}
		// Each flow by itself keeps to one way; different flows find all arms,
		// by UDP: the kernel's choice heeds nothing in an echo request.
		second := trace(t, src, `{"probes":10,`+spec+`}`, to)
		for i := range first.flows {
			for j := range first.flows[i] {
				if *first.flows[i][j] != *second.flows[i][j] {
					t.Errorf("%s: flow %d went by %v, then by %v", spec, j+1, first.flows[i][j], second.flows[i][j])
				}
			}
		}
		if flag == "-U" && len(arms) != 3 {
			t.Errorf("%s: 40 flows found the arms %v of 3", spec, arms)
		}
		for _, arm := range routers[1:4] {
			delete(arms, lab.Uplink(arm, v6).String())
		}
		if len(arms) != 0 {
			t.Errorf("%s: %v are no arms", spec, arms)
		}
	})
	// Debian's traceroute changes ports with every packet and sees every arm in time.
	s := trace(t, src, `{"method":"udp","probes":10}`, dst.V4())
	var want [4][]string
	for port := range 4 {
		for i, at := range others(t, src, "-q", "10", "-p", fmt.Sprint(33434+100*port), dst.V4().String()) {
			want[i] = append(want[i], at...)
		}
	}
	for i := range s.flows {
		for _, a := range s.flows[i] {
			if !slices.Contains(want[i], a.String()) {
				t.Errorf("hop %d: %v, traceroute saw %v", i+1, a, want[i])
			}
		}
	}
}

func TestRefusalsEndTheRoute(t *testing.T) {
	both(func(spec string, v6 bool, _ string) {
		marks := map[string]string{"unreachable": "!H", "prohibit": "!X", "throw": "!N"}
		if v6 {
			marks["unreachable"] = "!N" // Linux says "no route" of both
		}
		for kind, mark := range marks {
			src, routers, dst := lab.New(t).Chain(3)
			to := lab.Uplink(dst, v6)
			routers[1].Refuse(kind, lab.One(to))
			s := trace(t, src, `{"timeout":"5s",`+spec+`}`, to)
			router := lab.Uplink(routers[1], v6).String()
			if s.reached || s.rtt != nil || s.count != 2 || s.end != "unreachable "+mark+" from "+router || s.hops[1] != router {
				t.Errorf("%s, %s: %+v", spec, kind, s)
			}
			if c := s.codes[len(s.codes)-1][0]; c == nil || *c != mark {
				t.Errorf("%s, %s: code %v", spec, kind, c)
			}
			if text := printRow(s.row); !strings.Contains(text, " ms "+mark) {
				t.Errorf("%s, %s: printed\n%s", spec, kind, text)
			}
		}
	})
}

func TestTargetThatRefusesIsReached(t *testing.T) {
	src, _, dst := lab.New(t).Chain(1)
	for _, reject := range []struct{ match, code string }{
		{"ip protocol icmp reject with icmp type prot-unreachable", "!P"},
		{"ip protocol icmp reject with icmp type admin-prohibited", "!X"},
	} {
		dst.Run("nft", "add", "table", "ip", "refuse")
		dst.Run("nft", "add", "chain", "ip", "refuse", "in", "{ type filter hook input priority 0 ; }")
		dst.Run("nft", "add rule ip refuse in "+reject.match)
		s := trace(t, src, `{}`, dst.V4())
		dst.Run("nft", "delete", "table", "ip", "refuse")
		if !s.reached || s.end != "target "+reject.code || s.count != 2 {
			t.Errorf("%s: %+v", reject.match, s)
		}
	}
}

func TestBlackholeEndsAfterSilentHops(t *testing.T) {
	src, routers, dst := lab.New(t).Chain(3)
	routers[1].Refuse("blackhole", lab.One(dst.V4()))
	s := trace(t, src, `{"timeout":"500ms","max_silent":4}`, dst.V4())
	// A blackhole drops before the time to live is looked at.
	want := []string{routers[0].V4().String(), "*", "*", "*", "*"}
	if !slices.Equal(s.hops, want) || s.reached || s.end != "silent" || s.rtt != nil || s.errnos != nil {
		t.Errorf("%+v, want hops %v", s, want)
	}
	if s := trace(t, src, `{"timeout":"100ms","max_silent":255,"max_ttl":9}`, dst.V4()); s.count != 9 || s.end != "max_ttl" {
		t.Errorf("%+v, want 9 hops", s)
	}
	if s := trace(t, src, `{"first_ttl":2,"max_ttl":3,"timeout":"100ms"}`, lab.Uplink(dst, true)); s.count != 2 || s.hops[0] != routers[1].V6().String() || s.end != "max_ttl" {
		t.Errorf("from TTL 2 to 3: %+v", s)
	}
}

func TestLoopEndsTheRoute(t *testing.T) {
	l := lab.New(t)
	src, routers, _ := l.Chain(3)
	for _, v6 := range []bool{false, true} {
		lost := netip.MustParseAddr("10.99.0.1")
		if v6 {
			lost = netip.MustParseAddr("fd99::1")
		}
		end := func(i int, far bool) netip.Addr { // of link i
			k := l.Links()[i]
			e := k.A
			if far {
				e = k.B
			}
			if v6 {
				return e.V6
			}
			return e.V4
		}
		src.Via(lab.One(lost), end(0, true))
		routers[0].Via(lab.One(lost), end(1, true))
		routers[1].Via(lab.One(lost), end(2, true))
		routers[2].Via(lab.One(lost), end(2, false))
		s := trace(t, src, `{}`, lost)
		// The second time r2 answers by its interface towards r3, the third hop comes back.
		want := []string{end(0, true).String(), end(1, true).String(), end(2, true).String(), end(2, false).String(), end(2, true).String()}
		if !slices.Equal(s.hops, want) || s.end != "loop" || s.reached {
			t.Errorf("%+v, want hops %v and a loop", s, want)
		}
	}
}

func TestLostPacketOfTheFirstFlowIsAskedAgain(t *testing.T) {
	src, routers, dst := lab.New(t).Chain(3)
	// One of the three answers of r2 is lost each time, in turn another flow's.
	src.LoseEvery(3, "ip saddr "+routers[1].V4().String()+" icmp type time-exceeded")
	for range 6 {
		if s := trace(t, src, `{"timeout":"400ms"}`, dst.V4()); s.hops[1] != routers[1].V4().String() || !s.reached {
			t.Errorf("%+v", s)
		}
	}
}

// refusedBy gives the errnos counted in a row.
func refusedBy(t *testing.T, s seen) map[string]int {
	t.Helper()
	out := map[string]int{}
	if raw, ok := s.errnos.(json.RawMessage); ok {
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Error(err)
		}
	}
	return out
}

func TestOwnKernelsRefusalIsSilenceWithErrno(t *testing.T) {
	both(func(spec string, v6 bool, _ string) {
		src, _, _ := lab.New(t).Chain(1)
		away := netip.MustParseAddr("192.0.2.99")
		if v6 {
			away = netip.MustParseAddr("2001:db8::99")
		}
		for _, refusal := range []struct{ kind, errno string }{
			{"", "ENETUNREACH"}, {"unreachable", "EHOSTUNREACH"}, {"prohibit", "EACCES"}, {"blackhole", "EINVAL"},
		} {
			if refusal.kind != "" {
				src.Refuse(refusal.kind, lab.One(away))
			}
			begin := time.Now()
			s := trace(t, src, `{`+spec+`}`, away)
			if got := refusedBy(t, s); got[refusal.errno] < 15 || len(got) != 1 || s.reached || s.count != 5 || s.hops[0] != "*" || s.end != "not sent" {
				t.Errorf("%s, %s: %+v, %v", refusal.kind, spec, s, got)
			}
			if took := time.Since(begin); took > time.Second {
				t.Errorf("waited %v for what was never sent", took)
			}
			if state, text, _ := perf(s.row); state != 2 || !strings.Contains(text, refusal.errno) {
				t.Errorf("check says %d %q", state, text)
			}
		}
	})
}

func TestOwnFirewallsRefusalIsSilenceWithErrno(t *testing.T) {
	src, _, dst := lab.New(t).Chain(1)
	src.Forbid("icmp type echo-request")
	if s := trace(t, src, `{}`, dst.V4()); refusedBy(t, s)["EPERM"] < 15 || s.end != "not sent" {
		t.Errorf("%+v, %v", s, refusedBy(t, s))
	}
	if s := trace(t, src, `{"method":"udp"}`, dst.V4()); !s.reached || s.errnos != nil {
		t.Errorf("UDP is let through: %+v", s)
	}
	if s := trace(t, src, `{"method":"udp","size":9000}`, dst.V4()); refusedBy(t, s)["EMSGSIZE"] < 15 {
		t.Errorf("larger than the interface takes: %+v, %v", s, refusedBy(t, s))
	}
}

// TestMissingNeighbourIsSilenceWithErrno: after three seconds of asking the
// kernel says so by an ICMP message to itself.
func TestMissingNeighbourIsSilenceWithErrno(t *testing.T) {
	src, _, _ := lab.New(t).Chain(1)
	for _, absent := range []string{"10.98.0.7", "fd98::7"} {
		to := netip.MustParseAddr(absent)
		src.Run("ip", "route", "add", lab.One(to).String(), "dev", "l1-1")
		s := trace(t, src, `{"timeout":"6s","max_ttl":2}`, to)
		if refusedBy(t, s)["EHOSTUNREACH"] == 0 || s.reached || s.hops[0] != "*" {
			t.Errorf("%+v, %v", s, refusedBy(t, s))
		}
	}
}

func TestOwnAddressIsATarget(t *testing.T) {
	src, _, _ := lab.New(t).Chain(1)
	both(func(spec string, v6 bool, _ string) {
		for _, to := range []netip.Addr{lab.Uplink(src, v6), map[bool]netip.Addr{false: netip.MustParseAddr("127.0.0.1"), true: netip.IPv6Loopback()}[v6]} {
			if s := trace(t, src, `{`+spec+`}`, to); !s.reached || s.count != 1 || s.hops[0] != to.String() {
				t.Errorf("%s: %+v", spec, s)
			}
		}
	})
}

func TestRoundTripsAreThoseOfTheWire(t *testing.T) {
	l := lab.New(t)
	src, r1, r2, dst := l.Host("src"), l.Router("r1"), l.Router("r2"), l.Host("dst")
	l.Connect(src, r1)
	l.Wire(r1, r2, lab.Delayed(30*time.Millisecond, 10*time.Millisecond))
	l.Wire(r2, dst, lab.Delayed(15*time.Millisecond, 25*time.Millisecond))
	l.Route()
	// A busy machine makes packets late, even all of some runs, but none early.
	const runs = 30
	wire := []int32{0, 40_000, 80_000}
	both(func(spec string, v6 bool, _ string) {
		whole, hops := math.Inf(1), []int32{math.MaxInt32, math.MaxInt32, math.MaxInt32}
		late := func(i int, us int32) bool { return us > wire[i]+35_000 }
		for range runs {
			if whole <= 150 && !late(0, hops[0]) && !late(1, hops[1]) && !late(2, hops[2]) {
				break
			}
			s := trace(t, src, `{`+spec+`}`, lab.Uplink(dst, v6))
			ms, ok := s.rtt.(float64)
			if !ok || len(s.rtts) != len(hops) {
				t.Fatalf("%s: round trip %v over %d hops, the wire has %d", spec, s.rtt, len(s.rtts), len(hops))
			}
			whole = min(whole, ms)
			for i := range hops {
				for _, us := range s.rtts[i] {
					if us != nil {
						hops[i] = min(hops[i], *us)
					}
				}
			}
		}
		if whole < 80 || whole > 150 {
			t.Errorf("%s: round trip %v ms, the wire takes 80", spec, whole)
		}
		for i, want := range wire {
			if hops[i] < want || late(i, hops[i]) {
				t.Errorf("%s: hop %d: least round trip %d µs, the wire takes %d", spec, i+1, hops[i], want)
			}
		}
	})
}

func TestDuplicatesAndOvertakingDoNotConfuse(t *testing.T) {
	l := lab.New(t)
	src, r1, dst := l.Host("src"), l.Router("r1"), l.Host("dst")
	l.Wire(src, r1, func(forth bool, n int, _ []byte) []time.Duration {
		late := time.Duration(20-n%20) * time.Millisecond
		return []time.Duration{late, late + 3*time.Millisecond}
	})
	l.Connect(r1, dst)
	l.Route()
	both(func(spec string, v6 bool, _ string) {
		s := trace(t, src, `{`+spec+`}`, lab.Uplink(dst, v6))
		if want := []string{lab.Uplink(r1, v6).String(), lab.Uplink(dst, v6).String()}; !slices.Equal(s.hops, want) || !s.reached {
			t.Errorf("%s: %+v, want hops %v", spec, s, want)
		}
	})
}

// TestTranslatedAddressesDoNotHideTheRoute: as in a container, the first
// router changes source addresses, and changes them back in what is quoted.
func TestTranslatedAddressesDoNotHideTheRoute(t *testing.T) {
	src, routers, dst := lab.New(t).Chain(3)
	nat := routers[0]
	nat.Run("nft", "add table inet nat")
	nat.Run("nft", "add chain inet nat out { type nat hook postrouting priority 100 ; }")
	nat.Run("nft", `add rule inet nat out oifname "l2-1" counter masquerade`)
	both(func(spec string, v6 bool, _ string) {
		s := trace(t, src, `{`+spec+`}`, lab.Uplink(dst, v6))
		want := []string{}
		for _, h := range append(slices.Clone(routers), dst) {
			want = append(want, lab.Uplink(h, v6).String())
		}
		if !slices.Equal(s.hops, want) || !s.reached {
			t.Errorf("%s: %v, %s, want %v", spec, s.hops, s.end, want)
		}
	})
	if rules := nat.Run("nft", "list table inet nat"); strings.Contains(rules, "packets 0 ") {
		t.Errorf("nothing was translated:\n%s", rules)
	}
}

func TestLinkLocalTargets(t *testing.T) {
	l := lab.New(t)
	a, b := l.Host("a"), l.Host("b")
	k := l.Connect(a, b)
	l.Route()
	linkLocal := func(h *lab.Host) (found string) {
		for found == "" { // once the kernel is sure that nobody else has it
			for _, f := range strings.Fields(h.Run("ip", "-6", "-o", "addr", "show", "scope", "link", "-tentative")) {
				if strings.HasPrefix(f, "fe80") {
					found = strings.Split(f, "/")[0]
				}
			}
		}
		return found
	}
	to, from := linkLocal(b)+"%"+k.A.Name, linkLocal(a)
	reached := func(spec string) {
		r, err := try(t.Context(), spec, to)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
		} else if s := read(t, r); !s.reached {
			t.Errorf("%s: %v ended %s %v", spec, s.hops, s.end, s.errnos)
		}
	}
	a.Do(func() {
		for _, spec := range []string{`{}`, `{"source":"` + from + `"}`, `{"mtu":true}`, `{"method":"udp"}`, `{"method":"tcp"}`} {
			reached(spec)
		}
	})
	unprivileged(t, a, func() { reached(`{}`) })
}
