package lab

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// internet is a host on an Internet of its own.
func internet(t *testing.T) (*Host, *Internet) {
	t.Helper()
	l := New(t)
	src := l.Host("src")
	return src, l.Internet(src)
}

// routes is traceroute's output without times: "1 10.0.0.1;2 * 10.0.0.2". Tests
// that wait for its silent hops are parallel, since it gives a busy machine long.
func routes(t *testing.T, from *Host, args ...string) string {
	t.Helper()
	out := traceroute(t, from, append([]string{"-w", "3"}, args...)...)
	_, out, _ = strings.Cut(out, "\n")
	out = regexp.MustCompile(` +[\d.]+ ms`).ReplaceAllString(out, "")
	var hops []string
	for line := range strings.Lines(out) {
		hops = append(hops, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(hops, ";")
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// asker sends UDP to one address from one port, and hears ICMP messages.
type asker struct {
	t    *testing.T
	to   netip.AddrPort
	out  net.PacketConn
	icmp net.PacketConn
}

func newAsker(t *testing.T, src *Host, to string) *asker {
	t.Helper()
	a := &asker{t: t, to: netip.AddrPortFrom(netip.MustParseAddr(to), 33434)}
	udp, icmp := "udp4", "ip4:icmp"
	if a.to.Addr().Is6() {
		udp, icmp = "udp6", "ip6:ipv6-icmp"
	}
	src.Do(func() {
		var err error
		if a.out, err = net.ListenPacket(udp, ":40000"); err != nil {
			t.Fatal(err)
		}
		if a.icmp, err = net.ListenPacket(icmp, ""); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { a.out.Close(); a.icmp.Close() })
	return a
}

// ask sends size bytes of UDP payload with a TTL and gives the ICMP message that comes.
func (a *asker) ask(ttl, size int) []byte {
	a.t.Helper()
	message, _ := a.askBoth(ttl, size)
	return message
}

// askFrom gives the sender of the message.
func (a *asker) askFrom(ttl int) string {
	a.t.Helper()
	_, from := a.askBoth(ttl, 0)
	return from
}

func (a *asker) askBoth(ttl, size int) (message []byte, sender string) {
	a.t.Helper()
	var err error
	if a.to.Addr().Is6() {
		err = ipv6.NewPacketConn(a.out).SetHopLimit(ttl)
	} else {
		err = ipv4.NewPacketConn(a.out).SetTTL(ttl)
	}
	if err == nil {
		_, err = a.out.WriteTo(make([]byte, size), net.UDPAddrFromAddrPort(a.to))
	}
	if err != nil {
		a.t.Fatal(err)
	}
	buf := make([]byte, 4096)
	a.icmp.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		n, from, err := a.icmp.ReadFrom(buf)
		if err != nil {
			a.t.Fatalf("ttl %d: %v", ttl, err)
		}
		if a.to.Addr().Is6() && buf[0] > 127 {
			continue // what the host says to its neighbours
		}
		return buf[:n], from.String()
	}
}

func TestInternetHasRoutersAndTargets(t *testing.T) {
	src, net := internet(t)
	a, b := At("10.1.1.1", "2001:db8:1::1"), At("10.1.2.1", "2001:db8:2::1")
	net.Path("198.18.0.0/15", a, b)
	net.Path("2001:db8:7::/48", a, b)
	for _, method := range []string{"-I", "-U", "-T"} {
		want(t, routes(t, src, method, "-q1", "198.18.7.7"), "1 10.1.1.1;2 10.1.2.1;3 198.18.7.7")
		want(t, routes(t, src, method, "-q1", "2001:db8:7::7"), "1 2001:db8:1::1;2 2001:db8:2::1;3 2001:db8:7::7")
	}
	for _, to := range []string{"198.19.255.255", "2001:db8:7::1"} {
		if got := ping(t, src, netip.MustParseAddr(to), 3); got != 3 {
			t.Errorf("%d of 3 pings to %s came back", got, to)
		}
	}
	if got := net.Malformed() + net.Stray(); got != 0 {
		t.Errorf("%d packets were malformed or stray", got)
	}
}

func TestQuotedPacketIsAsItArrived(t *testing.T) {
	src, n := internet(t)
	for _, family := range []struct {
		to                      string
		header, ttlAt, whole, c int
	}{{"198.18.7.7", 20, 8, 548, 11}, {"2001:db8:7::7", 40, 7, 1232, 3}} {
		all, few, cut := At("10.1.1.1", "2001:db8:1::1"), At("10.1.2.1", "2001:db8:2::1"), At("10.1.3.1", "2001:db8:3::1")
		few.Quote, cut.Quote = family.header+8, family.header-3
		stutter := At("10.9.9.9", "2001:db8:9::9")
		stutter.ZeroTTL = true
		n.Path(family.to, all, few, cut, stutter, At("10.1.5.1", "2001:db8:5::1"))
		a := newAsker(t, src, family.to)
		for ttl, size := range map[int]int{1: family.whole, 2: family.header + 8, 3: family.header - 3, 4: family.whole, 5: family.whole} {
			message := a.ask(ttl, 1400)
			if int(message[0]) != family.c || message[1] != 0 || len(message) != 8+size {
				t.Fatalf("ttl %d: type %d, %d bytes, want type %d, %d", ttl, message[0], len(message), family.c, 8+size)
			}
			quote := message[8:]
			wantTTL := 1
			if ttl == 4 {
				wantTTL = 0
			}
			if got := int(quote[family.ttlAt]); got != wantTTL {
				t.Errorf("ttl %d is quoted as %d, want %d", ttl, got, wantTTL)
			}
			if family.header == 20 && size >= 20 && fold(sum(0, quote[:20])) != 0 {
				t.Errorf("ttl %d: the quoted header has a wrong checksum", ttl)
			}
			if size >= family.header+8 && binary.BigEndian.Uint32(quote[family.header:]) != 40000<<16|33434 {
				t.Errorf("ttl %d: the ports are not quoted", ttl)
			}
		}
		if got := [5]int{all.Asked(), few.Asked(), cut.Asked(), stutter.Asked(), all.Answered()}; got != [5]int{1, 1, 1, 0, 1} {
			t.Errorf("asked %v", got)
		}
	}
	n.Path("198.18.8.8", At("10.1.1.1"), &Router{V4: "10.1.2.1", ZeroTTL: true}, At("10.1.3.1"))
	want(t, routes(t, src, "-I", "-q1", "198.18.8.8"), "1 10.1.1.1;2 10.1.3.1;3 10.1.3.1;4 198.18.8.8")
}

func TestSilenceIsForSomeOrAll(t *testing.T) {
	t.Parallel()
	src, n := internet(t)
	quiet := &Router{V4: "10.1.1.1", Silent: Always}
	picky := &Router{V4: "10.1.2.1", Silent: Not(IsICMP)}
	n.Path("198.18.7.7", quiet, picky, &Target{Silent: IsUDP})
	want(t, routes(t, src, "-I", "-q1", "198.18.7.7"), "1 *;2 10.1.2.1;3 198.18.7.7")
	want(t, routes(t, src, "-U", "-q1", "-m3", "198.18.7.7"), "1 *;2 *;3 *")
	if got := [4]int{quiet.Asked(), quiet.Answered(), picky.Asked(), picky.Answered()}; got != [4]int{2, 0, 2, 1} {
		t.Errorf("asked and answered: %v", got)
	}
}

func TestLimitIsATokenBucket(t *testing.T) {
	src, n := internet(t)
	box := &Limit{PerSecond: 0.0001, Burst: 6}
	one, other := &Router{V4: "10.1.1.1", Limit: box}, &Router{V4: "10.1.1.2", Limit: box}
	n.Path("198.18.7.7", one, other)
	for range 3 {
		traceroute(t, src, "-w0.1", "-I", "-q5", "-m2", "198.18.7.7")
	}
	if asked, answered := one.Asked()+other.Asked(), one.Answered()+other.Answered(); asked != 30 || answered != 6 {
		t.Errorf("asked %d times they answered %d, want 30 and 6", asked, answered)
	}
	l, start := &Limit{PerSecond: 10, Burst: 2}, time.Unix(1, 0)
	got := ""
	for _, ms := range []int{0, 0, 0, 50, 100, 100, 10000, 10000, 10000} {
		got += fmt.Sprint(l.take(start.Add(time.Duration(ms)*time.Millisecond)), " ")
	}
	want(t, got, "true true false false true false true true false ")
}

// TestBalancesSpreadFlows walks the topologies of the MDA papers flow by flow.
func TestBalancesSpreadFlows(t *testing.T) {
	src, n := internet(t)
	wide := func(width int, first ...string) *Balance { return Spread(PerFlow, Row(width, first...)...) }
	for _, c := range []struct {
		name, to string
		hops     Path
		widths   []int // how many addresses are seen at each TTL
		edges    []int // how many pairs of that TTL and the next
	}{
		{"simple diamond", "198.18.0.1", Path{At("10.0.0.1"), wide(2, "10.1.0.1")}, []int{1, 2, 1}, []int{2, 2}},
		{"five wide", "198.18.0.2", Path{wide(5, "10.1.0.1"), At("10.0.0.2")}, []int{5, 1, 1}, []int{5, 1}},
		{"sixteen wide", "198.18.0.3", Path{wide(16, "10.1.0.1")}, []int{16, 1}, []int{16}},
		{"two in a row", "198.18.0.4", Path{wide(2, "10.1.0.1"), At("10.0.0.2"), wide(3, "10.3.0.1")}, []int{2, 1, 3, 1}, []int{2, 3, 3}},
		{"meshed", "198.18.0.5", Path{wide(3, "10.1.0.1"), wide(3, "10.2.0.1")}, []int{3, 3, 1}, []int{9, 3}},
		{"unmeshed", "198.18.0.6", Path{Spread(PerFlow, Row(2, "10.1.0.1"), Row(2, "10.2.0.1"))}, []int{2, 2, 1}, []int{2, 2}},
		{"nested, of unequal length", "198.18.0.7", Path{Spread(PerFlow,
			At("10.1.0.1"),
			Path{At("10.1.0.2"), Spread(PerFlow, At("10.2.0.1"), Row(2, "10.2.0.2"))})},
			[]int{2, 3, 2, 1}, []int{3, 3, 2}},
		{"IPv6", "2001:db8:7::7", Path{wide(4, "2001:db8:1::1"), wide(2, "2001:db8:2::1")}, []int{4, 2, 1}, []int{8, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n.Path(c.to, c.hops...)
			a := newAsker(t, src, c.to)
			nodes, edges := make([]map[string]bool, len(c.widths)), make([]map[string]bool, len(c.widths))
			for ttl := range nodes {
				nodes[ttl], edges[ttl] = map[string]bool{}, map[string]bool{}
			}
			for flow := range 200 {
				a.to = netip.AddrPortFrom(a.to.Addr(), uint16(33000+flow))
				last := ""
				for ttl := range nodes {
					from := a.askFrom(ttl + 1)
					if again := a.askFrom(ttl + 1); again != from {
						t.Fatalf("flow %d at ttl %d: %s, then %s", flow, ttl+1, from, again)
					}
					nodes[ttl][from] = true
					edges[ttl][last+" "+from] = true
					last = from
				}
			}
			var gotWidths, gotEdges []int
			for ttl := range nodes {
				gotWidths = append(gotWidths, len(nodes[ttl]))
				if ttl > 0 {
					gotEdges = append(gotEdges, len(edges[ttl]))
				}
			}
			if !slices.Equal(gotWidths, c.widths) || !slices.Equal(gotEdges, c.edges) {
				t.Errorf("widths %v, edges %v, want %v, %v", gotWidths, gotEdges, c.widths, c.edges)
			}
		})
	}
}

// TestFlowsAreWhatRoutersHash: plain traceroute's echo requests are a flow
// each, because their checksums differ; an IPv6 flow label makes a flow too.
func TestFlowsAreWhatRoutersHash(t *testing.T) {
	src, n := internet(t)
	n.Path("198.18.7.7", Spread(PerFlow, Row(2, "10.1.1.1")...))
	got := ""
	for range 5 {
		got += routes(t, src, "-I", "-q10", "-m1", "198.18.7.7")
	}
	if !strings.Contains(got, "10.1.1.1") || !strings.Contains(got, "10.1.1.2") {
		t.Errorf("all echo requests went one way: %s", got)
	}
	n.Path("2001:db8:7::7", Spread(PerFlow, Row(2, "2001:db8:1::1")...))
	seen := map[string]bool{}
	for label := range 16 {
		var got [2]string
		for i := range got {
			got[i] = routes(t, src, "-U", "--sport=4000", "-l", fmt.Sprint(1+label), "-q1", "-m1", "2001:db8:7::7")
		}
		if seen[got[0]] = true; got[0] != got[1] {
			t.Errorf("flow label %d: %s, then %s", 1+label, got[0], got[1])
		}
	}
	if len(seen) != 2 {
		t.Errorf("16 flow labels went %v", seen)
	}
}

func TestBalancesSpreadPacketsAndDestinations(t *testing.T) {
	src, n := internet(t)
	packets := Row(4, "10.1.1.1")
	n.Path("198.18.7.7", Spread(PerPacket, packets...))
	traceroute(t, src, "-U", "-q10", "-m1", "198.18.7.7")
	traceroute(t, src, "-U", "-q10", "-m1", "198.18.7.7")
	for _, r := range packets {
		if got := r.(*Router).Asked(); got == 0 || got == 20 {
			t.Errorf("%s got %d of 20 packets", r.(*Router).V4, got)
		}
	}
	n.Path("198.19.0.0/16", Spread(PerDestination, Row(2, "10.1.2.1")...))
	seen := map[string]bool{}
	for i := range 16 {
		to := fmt.Sprintf("198.19.0.%d", i)
		got := routes(t, src, "-U", "-q10", "-m1", to)
		if strings.Count(got, "10.1.2.") != 1 {
			t.Errorf("to %s: %s", to, got)
		}
		seen[got] = true
	}
	if len(seen) != 2 {
		t.Errorf("16 destinations went by %v", seen)
	}
}

func TestExtensions(t *testing.T) {
	src, n := internet(t)
	labels := MPLS(Label{Label: 16001, TC: 5, TTL: 1}, Label{Label: 24, TTL: 254})
	modern := &Extension{Objects: []Object{labels}}
	named := &Extension{Objects: []Object{Interface{Role: 2, Index: 7, Addr: "192.0.2.77", Name: "eth7", MTU: 9000}.Object()}}
	n.Path("198.18.7.7", &Router{V4: "10.1.1.1", Extension: modern},
		&Router{V4: "10.1.2.1", Extension: &Extension{Objects: modern.Objects, Length: -1}},
		&Router{V4: "10.1.3.1", Extension: named, Quote: 28})
	const mpls = "<MPLS:L=16001,E=5,S=0,T=1/L=24,E=0,S=1,T=254>"
	want(t, routes(t, src, "-e", "-I", "-q1", "198.18.7.7"), "1 10.1.1.1 "+mpls+";2 10.1.2.1 "+mpls+
		";3 10.1.3.1 <2/143:00000007,00010000,c000024d,08657468,37000000,00002328>;4 198.18.7.7")
	n.Path("2001:db8:7::7", &Router{V6: "2001:db8:1::1", Extension: modern})
	want(t, routes(t, src, "-e", "-I", "-q1", "2001:db8:7::7"), "1 2001:db8:1::1 "+mpls+";2 2001:db8:7::7")

	const stack = "0101" + "03e81a01" + "000181fe"
	liar := &Router{V4: "10.1.1.1"}
	n.Path("198.18.8.8", liar)
	a := newAsker(t, src, "198.18.8.8")
	for _, c := range []struct {
		e    Extension
		end  string // of the message, in hex
		word byte
	}{
		{Extension{Objects: []Object{labels}}, "000c" + stack, 32},
		{Extension{Objects: []Object{{Class: 1, Type: 1, Payload: labels.Payload, Length: 400}}}, "0190" + stack, 32},
		{Extension{Objects: []Object{labels}, Length: 255}, "000c" + stack, 255},
		{Extension{Objects: []Object{labels}, Length: -1}, "000c" + stack, 0},
	} {
		for _, bad := range []bool{false, true} {
			n.Change(func() {
				c.e.BadChecksum = bad
				liar.Extension = &c.e
			})
			message := a.ask(1, 0)
			if !strings.HasSuffix(hex.EncodeToString(message), c.end) || message[5] != c.word || len(message) != 8+128+4+12 {
				t.Errorf("%+v: % x", c.e, message)
			}
			if right := fold(sum(0, message[8+128:])) == 0; right == bad {
				t.Errorf("%+v: the extension's checksum is right: %v", c.e, right)
			}
		}
	}
}

func TestRoutersRefuse(t *testing.T) {
	src, n := internet(t)
	r := At("10.1.2.1", "2001:db8:2::1")
	n.Path("198.18.7.7", At("10.1.1.1"), r)
	n.Path("2001:db8:7::7", At("2001:db8:1::1"), r)
	for mark, m := range map[string]Message{"!N": NoNetwork, "!X": Prohibited, "!H": NoHost, "!P": NoProtocol} {
		n.Change(func() { r.Refuse = m })
		want(t, routes(t, src, "-I", "-q1", "198.18.7.7"), "1 10.1.1.1;2 10.1.2.1 "+mark)
		if m != NoProtocol { // the words of RFC 4443 for it are no unreachable
			want(t, routes(t, src, "-I", "-q1", "2001:db8:7::7"), "1 2001:db8:1::1;2 2001:db8:2::1 "+mark)
		}
	}
	n.Change(func() { r.Refuse, r.RefuseOnly = Unreachable(14, 6), IsUDP })
	want(t, routes(t, src, "-U", "-q1", "198.18.7.7"), "1 10.1.1.1;2 10.1.2.1 !V")
	want(t, routes(t, src, "-I", "-q1", "198.18.7.7"), "1 10.1.1.1;2 10.1.2.1;3 198.18.7.7")
	// Any message, of what ends here only: what goes on is forwarded.
	n.Change(func() { r.Refuse, r.RefuseOnly = NoHost, func(p *Packet) bool { return p.TTL == 1 } })
	want(t, routes(t, src, "-I", "-q1", "-f3", "198.18.7.7"), "3 198.18.7.7")
	want(t, routes(t, src, "-I", "-q1", "198.18.7.7"), "1 10.1.1.1;2 10.1.2.1 !H")
	n.Path("198.18.8.8", &Target{Refuse: Prohibited})
	want(t, routes(t, src, "-I", "-q1", "198.18.8.8"), "1 198.18.8.8 !X")
}

// TestWrongChecksumIsSeenByTheKernel: it drops such answers.
func TestWrongChecksumIsSeenByTheKernel(t *testing.T) {
	t.Parallel()
	src, n := internet(t)
	n.Path("198.18.7.7", &Router{V4: "10.1.1.1", BadChecksum: true}, &Target{V4: "203.0.113.5"})
	want(t, routes(t, src, "-U", "-q1", "-m2", "198.18.7.7"), "1 *;2 203.0.113.5")
	if out := src.Run("cat", "/proc/self/net/snmp"); !regexp.MustCompile(`(?m)^Icmp: \d+ \d+ 1 `).MatchString(out) {
		t.Errorf("InCsumErrors is not 1:\n%s", out)
	}
}

func TestRewriteShowsInQuotesBehindIt(t *testing.T) {
	src, n := internet(t)
	nat := At("10.1.1.1", "2001:db8:1::1")
	for to, c := range map[string]struct {
		public  string
		src, at int
	}{"198.18.7.7": {"203.0.113.9", 12, 26}, "2001:db8:7::7": {"2001:db8:9::9", 8, 46}} {
		n.Path(to, nat, At("10.1.2.1", "2001:db8:2::1"))
		a := newAsker(t, src, to)
		sent := a.ask(1, 20)[8:]
		n.Change(func() { nat.Rewrite = Translated(c.public, true) })
		restored := a.ask(2, 20)[8:]
		n.Change(func() { nat.Rewrite = Translated(c.public, false) })
		naked := a.ask(2, 20)[8:]
		public, size := netip.MustParseAddr(c.public).AsSlice(), a.to.Addr().BitLen()/8
		if !slices.Equal(restored[c.src:c.src+size], sent[c.src:c.src+size]) || !slices.Equal(naked[c.src:c.src+size], public) {
			t.Errorf("%s: sources quoted: % x and % x", to, restored[c.src:c.src+size], naked[c.src:c.src+size])
		}
		before, after := sent[c.at:c.at+2], naked[c.at:c.at+2]
		if slices.Equal(before, after) || !slices.Equal(restored[c.at:c.at+2], after) || new(Packet).parse(slices.Concat(naked)) != nil {
			t.Errorf("%s: checksums quoted: % x, then % x and % x", to, before, restored[c.at:c.at+2], after)
		}
		n.Change(func() { nat.Rewrite = func(packet []byte) { put16(packet[4:], 4711) } })
		if to == "198.18.7.7" && binary.BigEndian.Uint16(a.ask(2, 20)[8+4:]) != 4711 {
			t.Error("the identification is not quoted as it was rewritten")
		}
		n.Change(func() { nat.Rewrite = nil })
		a.out.Close()
	}
	// Another source, and another identifier of echo requests: the NAT knows whose the reply is.
	n.Change(func() {
		nat.Rewrite = func(packet []byte) {
			put16(packet[24:], 4711)
			Translated("203.0.113.9", false)(packet)
		}
	})
	if got := ping(t, src, netip.MustParseAddr("198.18.7.7"), 2); got != 2 {
		t.Errorf("%d of 2 pings came back through the NAT", got)
	}
}

func TestLoopGoesOnForEver(t *testing.T) {
	src, n := internet(t)
	n.Path("198.18.7.7", At("10.1.1.1"), Loop(Row(2, "10.1.2.1")))
	want(t, routes(t, src, "-I", "-q1", "-m6", "198.18.7.7"), "1 10.1.1.1;2 10.1.2.1;3 10.1.2.2;4 10.1.2.1;5 10.1.2.2;6 10.1.2.1")
}

func TestMTUIsToldOrABlackHole(t *testing.T) {
	t.Parallel()
	src, n := internet(t)
	narrow := &Router{V4: "10.1.2.1", V6: "2001:db8:2::1", MTU: 1400}
	n.Path("198.18.7.7", At("10.1.1.1"), narrow, At("10.1.3.1"))
	n.Path("2001:db8:7::7", At("2001:db8:1::1"), narrow, At("2001:db8:3::1"))
	want(t, routes(t, src, "--mtu", "198.18.7.7"), "1 10.1.1.1 F=1500;2 10.1.2.1;3 10.1.3.1 F=1400;4 198.18.7.7")
	want(t, routes(t, src, "--mtu", "2001:db8:7::7"), "1 2001:db8:1::1 F=1500;2 2001:db8:2::1;3 2001:db8:3::1 F=1400;4 2001:db8:7::7")
	n.Path("198.18.8.8", At("10.1.1.1"), narrow, At("10.1.3.1"))
	n.Change(func() { narrow.BlackHole = true })
	want(t, routes(t, src, "-F", "-q1", "-m3", "198.18.8.8", "1450"), "1 10.1.1.1;2 10.1.2.1;3 *")
	want(t, routes(t, src, "-q1", "-m3", "198.18.8.8", "1450"), "1 10.1.1.1;2 10.1.2.1;3 10.1.3.1")
}

func TestTargetsAnswerByProtocol(t *testing.T) {
	t.Parallel()
	src, n := internet(t)
	n.Path("198.18.1.0/24", At("10.1.1.1"), &Target{OpenTCP: []uint16{80}, OpenUDP: []uint16{53}})
	n.Path("198.18.2.0/24", At("10.1.1.1"), &Target{OpenTCP: []uint16{80}, Silent: Not(IsTCP)})
	n.Path("198.18.3.0/24", At("10.1.1.1"), &Target{OpenTCP: []uint16{80}, Silent: func(p *Packet) bool { return p.DstPort() == 443 }})
	for _, c := range []struct{ args, want string }{
		{"-T -p 80 -O info 198.18.1.1", "2 198.18.1.1 <syn,ack>"},
		{"-T -p 81 -O info 198.18.1.1", "2 198.18.1.1 <rst,ack>"},
		{"-I 198.18.2.1", "2 *"}, {"-U 198.18.2.1", "2 *"}, {"-T 198.18.2.1", "2 198.18.2.1"},
		{"-T -p 443 198.18.3.1", "2 *"}, {"-T -p 444 198.18.3.1", "2 198.18.3.1"},
		{"-P 47 198.18.1.1", "2 198.18.1.1 !P"},
	} {
		want(t, routes(t, src, append(strings.Fields(c.args), "-q1", "-m2")...), "1 10.1.1.1;"+c.want)
	}
	if conn, err := src.DialContext(t.Context(), "tcp", "198.18.1.1:80"); err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}
	conn, err := src.DialContext(t.Context(), "udp", "198.18.1.1:53")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, "hello")
	buf := make([]byte, 10)
	if size, err := conn.Read(buf); err != nil || string(buf[:size]) != "hello" {
		t.Errorf("read %q, %v", buf[:size], err)
	}
}

// TestWayBackIsItsOwn: traceroute takes the TTL of answers for the length of the way back.
func TestWayBackIsItsOwn(t *testing.T) {
	src, n := internet(t)
	n.Path("198.18.7.7", At("10.1.1.1"), At("10.1.2.1"), &Router{V4: "10.1.3.1", Back: 5}, &Router{V4: "10.1.4.1", TTL: 64}, &Target{TTL: 128, Back: 9})
	want(t, routes(t, src, "-I", "--back", "-q1", "198.18.7.7"), "1 10.1.1.1;2 10.1.2.1;3 10.1.3.1 '-6';4 10.1.4.1;5 198.18.7.7 '-10'")
}

func TestDelaysAddUp(t *testing.T) {
	src, n := internet(t)
	n.Path("198.18.7.7", &Router{V4: "10.1.1.1", Delay: 20 * time.Millisecond}, &Router{V4: "10.1.2.1", Slow: 200 * time.Millisecond}, &Target{Delay: 30 * time.Millisecond})
	out := traceroute(t, src, "-I", "-q1", "198.18.7.7")
	var ms [3]float64
	for i, least := range []float64{20, 220, 50} {
		m := regexp.MustCompile(fmt.Sprintf(`(?m)^ %d  \S+  ([\d.]+) ms`, i+1)).FindStringSubmatch(out)
		if m == nil {
			t.Fatal(out)
		}
		if fmt.Sscan(m[1], &ms[i]); ms[i] < least {
			t.Errorf("hop %d: %v ms, want %v", i+1, ms[i], least)
		}
	}
	if ms[2] > ms[1] {
		t.Errorf("the target is as slow as the router before it:\n%s", out)
	}
}

func TestChangeUnderWay(t *testing.T) {
	src, n := internet(t)
	r := At("10.1.1.1")
	n.Path("198.18.7.7", r)
	a := newAsker(t, src, "198.18.7.7")
	go func() {
		for i := range 200 {
			n.Change(func() { r.V4 = fmt.Sprintf("10.1.1.%d", 1+i%2) })
		}
	}()
	for range 200 {
		if from := a.askFrom(1); from != "10.1.1.1" && from != "10.1.1.2" {
			t.Fatal(from)
		}
	}
	n.Path("198.18.7.7", At("10.2.2.2"))
	want(t, a.askFrom(1), "10.2.2.2")
}

func TestMalformedPacketsAreCounted(t *testing.T) {
	src, n := internet(t)
	n.Path("198.18.7.7", At("10.1.1.1"))
	n.Path("2001:db8:7::7", At("2001:db8:1::1"))
	send := func(network, to string, payload ...byte) {
		t.Helper()
		var c net.PacketConn
		var err error
		src.Do(func() { c, err = net.ListenPacket(network, "") })
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.WriteTo(payload, &net.IPAddr{IP: net.ParseIP(to)}); err != nil {
			t.Fatal(err)
		}
	}
	tcp := make([]byte, 20)
	tcp[12] = 5 << 4
	send("ip4:icmp", "198.18.7.7", 8, 0, 1, 2, 0, 1, 0, 1)  // checksum
	send("ip4:17", "198.18.7.7", 1, 2, 3, 4, 0, 8, 1, 2)    // checksum
	send("ip4:17", "198.18.7.7", 1, 2, 3, 4, 0, 9, 0, 0)    // length
	send("ip4:17", "198.18.7.7", 1, 2, 3, 4)                // cut short
	send("ip4:6", "198.18.7.7", tcp...)                     // checksum
	send("ip4:6", "198.18.7.7", make([]byte, 20)...)        // data offset
	send("ip6:17", "2001:db8:7::7", 1, 2, 3, 4, 0, 8, 0, 0) // IPv6 wants a checksum
	send("ip4:17", "198.18.7.7", 1, 2, 3, 4, 0, 8, 0, 0)    // right: IPv4 does not
	send("ip4:17", "203.0.113.1", 1, 2, 3, 4, 0, 8, 0, 0)   // right, and nobody's
	wait(t, func() bool { return n.Received() >= 9 })
	if got := [3]int{n.Received(), n.Malformed(), n.Stray()}; got != [3]int{9, 7, 1} {
		t.Errorf("received, malformed, stray: %v", got)
	}
}

func TestInternetIsWatchedAndInjected(t *testing.T) {
	t.Parallel()
	src, n := internet(t)
	r := &Router{V4: "10.1.1.1", Lose: func(p *Packet) bool { return p.N%2 == 0 }}
	n.Path("198.18.7.7", r)
	var ttls []int
	n.Watch(func(p *Packet) { ttls = append(ttls, p.TTL) })
	want(t, routes(t, src, "-I", "-q2", "-N1", "-m1", "198.18.7.7"), "1 * 10.1.1.1")
	n.Watch(nil)
	if !slices.Equal(ttls, []int{1, 1}) || r.Asked() != 1 {
		t.Errorf("sent with TTLs %v, asked %d", ttls, r.Asked())
	}
	a := newAsker(t, src, "198.18.7.7")
	n.Change(func() {
		r.Lose = nil
		r.Forge = func(message []byte) []byte { return []byte{message[0], 77, 0, 0, 1, 2, 3, 4} }
	})
	if got := a.ask(1, 0); len(got) != 8 || got[0] != 11 || got[1] != 77 || got[7] != 4 {
		t.Errorf("forged into % x", got)
	}
	packet := slices.Concat([]byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 203, 0, 113, 1}, n.V4.AsSlice(), []byte{3, 1, 0xfc, 0xfe, 0, 0, 0, 0})
	put16(packet[10:], int(fold(sum(0, packet[:20]))))
	if err := n.Inject(packet); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	a.icmp.SetReadDeadline(time.Now().Add(10 * time.Second))
	if size, from, err := a.icmp.ReadFrom(buf); err != nil || from.String() != "203.0.113.1" || size != 8 {
		t.Errorf("%d bytes from %v, %v", size, from, err)
	}
}

func TestManyTargetsBehindTenHops(t *testing.T) {
	src, n := internet(t)
	core := Row(9, "10.1.0.1")
	edges := Row(1000, "10.2.0.1")
	for i, edge := range edges {
		n.Path(fmt.Sprintf("198.18.%d.%d", i/250, i%250), core, edge)
	}
	var c net.PacketConn
	var err error
	src.Do(func() { c, err = net.ListenPacket("udp4", "") })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	for ttl := 1; ttl <= 10; ttl++ {
		ipv4.NewPacketConn(c).SetTTL(ttl)
		for i := range edges {
			if _, err := c.WriteTo(nil, &net.UDPAddr{IP: net.IPv4(198, 18, byte(i/250), byte(i%250)), Port: 33434}); err != nil {
				t.Fatal(err)
			}
		}
	}
	wait(t, func() bool { return n.Received() == 10000 })
	took := time.Since(start)
	t.Logf("%.0f packets a second", 10000/took.Seconds())
	for i, h := range append(slices.Clone(core), edges...) {
		asked := 1
		if i < len(core) {
			asked = 1000
		}
		if r := h.(*Router); r.Asked() != asked || r.Answered() != asked {
			t.Errorf("%s: asked %d, answered %d, want %d", r.V4, r.Asked(), r.Answered(), asked)
		}
	}
}

// FuzzInternet has whatever comes from a host answered by packets that a host would accept.
func FuzzInternet(f *testing.F) {
	ip4 := []byte{0x45, 0, 0, 28, 0, 1, 0x40, 0, 1, 17, 0, 0, 192, 0, 2, 1, 198, 18, 7, 7}
	ip6 := slices.Concat([]byte{0x60, 0, 0, 0, 0, 8, 17, 1}, netip.MustParseAddr("2001:db8::1").AsSlice(), netip.MustParseAddr("2001:db8:7::7").AsSlice())
	for _, head := range [][]byte{ip4, ip6} {
		for _, ttl := range []byte{1, 2, 64} {
			for proto, transport := range map[byte][]byte{
				udp: {0, 1, 0, 53, 0, 8, 0, 0}, tcp: {0, 1, 0, 80, 19: 0}, icmp4: {8, 0, 0, 0, 0, 1, 0, 1}, icmp6: {128, 0, 0, 0, 0, 1, 0, 1},
			} {
				if proto == tcp {
					transport[12], transport[13] = 5<<4, tcpSYN
				}
				packet := slices.Concat(head, transport)
				if head[0] == 0x45 {
					packet[8], packet[9], packet[3] = ttl, proto, byte(len(packet))
					put16(packet[10:], int(fold(sum(0, packet[:20]))))
				} else {
					packet[7], packet[6], packet[5] = ttl, proto, byte(len(transport))
				}
				setChecksum(packet, proto, packet[len(head):])
				f.Add(packet)
			}
		}
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		there, back, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer there.Close()
		defer back.Close()
		n := &Internet{t: t, tun: back, paths: map[netip.Prefix]Path{}}
		r := &Router{V4: "10.1.1.1", V6: "2001:db8:1::1", MTU: 100, Rewrite: Translated("203.0.113.9", false)}
		last := &Router{V4: "10.1.2.1", V6: "2001:db8:2::1", Extension: &Extension{Objects: []Object{MPLS(Label{Label: 16})}}}
		target := &Target{OpenTCP: []uint16{80}, OpenUDP: []uint16{53}}
		for _, to := range []string{"0.0.0.0/0", "::/0"} {
			n.Path(to, Spread(PerFlow, r, Path{r, last}), target)
		}
		n.take(packet)
		if r.Answered()+last.Answered()+target.Answered() == 0 {
			return
		}
		buf := make([]byte, 1<<17)
		size, err := there.Read(buf)
		if err == nil {
			err = new(Packet).parse(buf[:size])
		}
		if err != nil {
			t.Errorf("% x is answered by % x: %v", packet, buf[:size], err)
		}
	})
}
