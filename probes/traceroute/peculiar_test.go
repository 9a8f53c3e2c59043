package traceroute

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sonde/internal/lab"
)

// texts of a column, "hop:flow text" of all that are not NULL.
func told(s seen, column string) (out []string) {
	of, _ := fields(s.row)[column].([][]*string)
	for i := range of {
		for j, text := range of[i] {
			if text != nil {
				out = append(out, fmt.Sprintf("%d:%d %s", i+1, j+1, *text))
			}
		}
	}
	return out
}

func TestWhatRoutersTellBesides(t *testing.T) {
	src, net := internet(t)
	stack := lab.MPLS(lab.Label{Label: 16004, TTL: 1}, lab.Label{Label: 24001, TC: 5, TTL: 254})
	name := lab.Object{Class: 2, Type: hasIndex | hasAddress | hasName | hasMTU, Payload: slices.Concat(
		[]byte{0, 0, 0, 7}, []byte{0, 1, 0, 0, 192, 0, 2, 1}, []byte{8, 'g', 'e', '0', 0, 0, 0, 0}, []byte{0, 0, 0x23, 0x28})}
	wrongSum := &lab.Extension{Objects: []lab.Object{stack}, BadChecksum: true}
	way := []lab.Hop{
		&lab.Router{V4: "10.1.1.1", V6: "2001:db8:1::1", Extension: &lab.Extension{Objects: []lab.Object{stack}}},
		&lab.Router{V4: "10.1.2.1", V6: "2001:db8:2::1", Extension: &lab.Extension{Objects: []lab.Object{name, stack}}},
		&lab.Router{V4: "10.1.3.1", V6: "2001:db8:3::1", Extension: wrongSum},
		&lab.Router{V4: "10.1.4.1", V6: "2001:db8:4::1", Extension: &lab.Extension{Objects: []lab.Object{{Class: 1, Type: 1, Payload: []byte{1, 2, 3, 4}, Length: 4000}}}},
	}
	net.Path("0.0.0.0/0", way...)
	net.Path("::/0", way...)
	everyMethod(func(spec, to string) {
		s := trace(t, src, `{"probes":1,`+spec+`}`, ip(to))
		const labels = "L=16004,E=0,S=0,T=1/L=24001,E=5,S=1,T=254"
		if got, want := told(s, "hop_labels"), []string{"1:1 " + labels, "2:1 " + labels}; !slices.Equal(got, want) {
			t.Errorf("%s: labels %v, want %v", spec, got, want)
		}
		if got, want := told(s, "hop_interfaces"), []string{"2:1 in index=7 addr=192.0.2.1 name=ge0 mtu=9000"}; !slices.Equal(got, want) {
			t.Errorf("%s: interfaces %v, want %v", spec, got, want)
		}
		if !s.reached || len(s.hops) != 5 {
			t.Errorf("%s: %v", spec, s.hops)
		}
	})
}

func TestOddAnswersAreNoted(t *testing.T) {
	for name, c := range map[string]struct {
		way          func(n int) []lab.Hop
		notes, codes string
		end          string
		only         string // a method or family it is seen by
	}{
		"a stutter": {way: func(int) []lab.Hop {
			return []lab.Hop{&lab.Router{V4: "10.1.1.1", V6: "2001:db8:1::1", ZeroTTL: true}, lab.At("10.1.2.1", "2001:db8:2::1")}
		}, notes: "[1:1 qttl=0]", end: "target"},
		"a tunnel": {way: func(int) []lab.Hop {
			return []lab.Hop{lab.At("10.1.1.1", "2001:db8:1::1"), &lab.Router{V4: "10.1.2.1", V6: "2001:db8:2::1", QuoteTTL: 4}}
		}, notes: "[2:1 qttl=4]", end: "target"},
		"translation": {way: func(int) []lab.Hop {
			return []lab.Hop{&lab.Router{V4: "10.1.1.1", Rewrite: lab.Translated("203.0.113.9", true)}, lab.At("10.1.2.1")}
		}, notes: "[2:1 nat 3:1 nat]", end: "target", only: "udp 4"},
		"translation that is not undone": {way: func(int) []lab.Hop {
			return []lab.Hop{&lab.Router{V4: "10.1.1.1", Rewrite: lab.Translated("203.0.113.9", false)}, lab.At("10.1.2.1")}
		}, notes: "[2:1 nat]", end: "target", only: "icmp 4"},
		"a wrong checksum": {way: func(int) []lab.Hop {
			return []lab.Hop{lab.At("10.1.1.1"), &lab.Router{V4: "10.1.2.1", BadChecksum: true}}
		}, notes: "[]", codes: "[2:1 cksum]", end: "target", only: "4"},
		"host unreachable": {way: func(int) []lab.Hop {
			return []lab.Hop{lab.At("10.1.1.1", "2001:db8:1::1"), &lab.Router{V4: "10.1.2.1", V6: "2001:db8:2::1", Refuse: lab.Unreachable(1, 3)}}
		}, notes: "[]", codes: "[2:1 !H]", end: "unreachable !H from"},
		"a code of its own": {way: func(int) []lab.Hop {
			return []lab.Hop{lab.At("10.1.1.1", "2001:db8:1::1"), &lab.Router{V4: "10.1.2.1", V6: "2001:db8:2::1", Refuse: lab.Unreachable(77, 77)}}
		}, notes: "[]", codes: "[2:1 !<77>]", end: "unreachable !<77> from"},
		"a loop": {way: func(int) []lab.Hop {
			return []lab.Hop{lab.At("10.1.1.1", "2001:db8:1::1"), lab.Loop{lab.At("10.1.2.1", "2001:db8:2::1"), lab.At("10.1.3.1", "2001:db8:3::1")}}
		}, notes: "[]", end: "loop"},
		"28 bytes quoted": {way: func(int) []lab.Hop {
			return []lab.Hop{&lab.Router{V4: "10.1.1.1", Quote: 28}, lab.At("10.1.2.1")}
		}, notes: "[]", end: "target", only: "4"},
	} {
		t.Run(name, func(t *testing.T) {
			src, net := internet(t)
			net.Path("0.0.0.0/0", c.way(4)...)
			net.Path("::/0", c.way(6)...)
			everyMethod(func(spec, to string) {
				family := "4"
				if strings.Contains(to, ":") {
					family = "6"
				}
				for word := range strings.FieldsSeq(c.only) {
					if len(word) == 1 && word != family || len(word) > 1 && !strings.Contains(spec, word) {
						return
					}
				}
				s := trace(t, src, `{"probes":1,`+spec+`}`, ip(to))
				notes := strings.ReplaceAll(strings.ReplaceAll(fmt.Sprint(told(s, "hop_notes")), fmt.Sprintf(" %d:1 rst", len(s.hops)), ""), fmt.Sprintf("%d:1 rst", len(s.hops)), "")
				codes := c.codes
				if codes == "" {
					codes = "[]"
				}
				if notes != c.notes || fmt.Sprint(told(s, "hop_codes")) != codes || !strings.HasPrefix(s.end, c.end) {
					t.Errorf("%s to %s: %v ended %q, notes %v, codes %v", spec, to, s.hops, s.end, notes, told(s, "hop_codes"))
				}
			})
		})
	}
}

func TestWayBackOfAnotherLengthShowsInTTLs(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), &lab.Router{V4: "10.1.2.1", Back: 7})
	s := trace(t, src, `{"probes":1}`, ip("198.18.7.7"))
	ttls := fields(s.row)["hop_ttls"].([][]*int32)
	if got := fmt.Sprint(*ttls[0][0], *ttls[1][0], *ttls[2][0]); got != "255 248 62" {
		t.Errorf("replies came with TTL %s", got)
	}
}

func TestPathsOfUnequalLengthAreFound(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), lab.Spread(lab.PerFlow, lab.At("10.2.0.1"), lab.Row(3, "10.3.0.1"), lab.Row(2, "10.4.0.1")), lab.At("10.1.9.1"))
	for _, m := range methods {
		s := trace(t, src, `{"paths":"all","confidence":0.999,"method":"`+m+`"}`, ip("198.18.7.7"))
		if got := addressesOf(s); len(got) != 9 {
			t.Errorf("%s: %d of 9 addresses: %v", m, len(got), got)
		}
	}
}

func TestMeshedAndNestedPathsAreFound(t *testing.T) {
	src, net := internet(t)
	second := func(n int) (out []lab.Hop) {
		for i := range n {
			out = append(out, lab.At(fmt.Sprintf("10.5.0.%d", i+1)))
		}
		return out
	}
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), lab.Spread(lab.PerFlow, arms(3)...), lab.Spread(lab.PerFlow, second(4)...), lab.At("10.1.9.1"))
	s := trace(t, src, `{"paths":"all","confidence":0.999,"method":"udp","timeout":"1s"}`, ip("198.18.7.7"))
	if got := links(s); len(got) != 3+12+4+1 {
		t.Errorf("%d links of 20: %v", len(got), got)
	}
}

func TestBalancingByPacketIsToldFromThatByFlow(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), lab.Spread(lab.PerPacket, arms(2)...), lab.At("10.1.3.1"))
	net.Path("198.18.0.0/16", lab.At("10.1.1.1"), lab.Spread(lab.PerFlow, arms(2)...), lab.At("10.1.3.1"))
	if got := fmt.Sprint(told(trace(t, src, `{"paths":"all"}`, ip("203.0.113.7")), "hop_notes")); got != "[2:1 per-packet]" {
		t.Errorf("by packet: %s", got)
	}
	if got := told(trace(t, src, `{"paths":"all"}`, ip("198.18.7.7")), "hop_notes"); got != nil {
		t.Errorf("by flow: %s", got)
	}
}

// As Linux limits: a burst, then one a second.
func TestAllPathsAreFoundThroughRoutersThatLimit(t *testing.T) {
	src, net := internet(t)
	var limited []lab.Hop
	for i := range 4 {
		limited = append(limited, &lab.Router{V4: fmt.Sprintf("10.2.0.%d", i+1), Limit: &lab.Limit{PerSecond: 1, Burst: 6}})
	}
	first := &lab.Router{V4: "10.1.1.1", Limit: &lab.Limit{PerSecond: 1, Burst: 6}}
	net.Path("0.0.0.0/0", first, lab.Spread(lab.PerFlow, limited...), lab.At("10.1.3.1"))
	s := trace(t, src, `{"paths":"all","timeout":"1s","method":"udp"}`, ip("198.18.7.7"))
	if got := addressesOf(s); len(got) != 7 || fields(s.row)["confidence"].(float64) < 0.95 {
		t.Errorf("%d of 7 addresses: %v, confidence %v", len(got), got, fields(s.row)["confidence"])
	}
	t.Logf("%d asked of the first, %d answered; confidence %v", first.Asked(), first.Answered(), fields(s.row)["confidence"])
}

func TestOneRoutersNewAddressIsOneHop(t *testing.T) {
	src, net := internet(t)
	r := lab.At("10.1.2.1", "2001:db8:2::1")
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), r, lab.At("10.1.3.1"))
	before := trace(t, src, `{}`, ip("198.18.7.7")).hops
	net.Change(func() { r.V4 = "10.7.7.7" })
	after := trace(t, src, `{}`, ip("198.18.7.7")).hops
	if fmt.Sprint(before) != "[10.1.1.1 10.1.2.1 10.1.3.1 198.18.7.7]" || fmt.Sprint(after) != "[10.1.1.1 10.7.7.7 10.1.3.1 198.18.7.7]" {
		t.Errorf("%v became %v", before, after)
	}
}
