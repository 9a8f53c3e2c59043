package web

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"sonde/internal/store"
	"sonde/web/topology"
)

// seenAs reads "1/2/- -/3": of each hop whom the flows met, "-" silence or not asked.
func seenAs(t *testing.T, reached bool, hops string) store.PageSeen {
	t.Helper()
	s := store.PageSeen{Monhost: "lab", Node: "far", Reached: reached, ToolspecID: 1}
	address := func(word string) *netip.Addr {
		if word == "-" {
			return nil
		}
		a := netip.MustParseAddr("10.0.0." + word)
		return &a
	}
	ended := false
	for hop := range strings.FieldsSeq(hops) {
		var list []*netip.Addr
		for flow := range strings.SplitSeq(hop, "/") {
			list = append(list, address(flow))
		}
		s.Addresses = append(s.Addresses, list)
		s.RTTs = append(s.RTTs, make([]*int32, len(list)))
		if !ended {
			s.Hops = append(s.Hops, list[0])
		}
		if list[0] != nil && list[0].String() == "10.0.0.9" {
			ended = true // other paths may be longer
		}
	}
	for len(s.Hops) > 0 && s.Hops[len(s.Hops)-1] == nil {
		s.Hops = s.Hops[:len(s.Hops)-1]
	}
	return s
}

func TestFlowsAreDrawnAsFarAsTheyAreKnown(t *testing.T) {
	for _, c := range []struct {
		name    string
		reached bool
		hops    string
		want    string
	}{
		{"one", true, "1/1 2/2 9/9", "lab-1 1-2 2-9"},
		{"two arms", true, "1/1 2/3 9/9", "1-3/ 3-9/ lab-1 1-2 2-9"},
		{"where all met one a flow that was not asked goes through it", true, "1/- 2/3 9/-", "1-3/ 3-9/ lab-1 1-2 2-9"},
		{"where they met several nobody knows through which", true, "1/1/1 2/3/- 4/5/6 9/9/9", "1-3/ 3-5/ 5-9/ lab-1 1-2 2-4 4-9 1-*/ *-6/ 6-9/"},
		{"nor where it goes on", true, "1/1/1/1 2/3/2/4 5/6/7/- 9/9/9/-", "1-3/ 3-6/ 6-9/ lab-1 1-2 2-5 5-9 2-7/ 7-9/ 1-4/"},
		{"a path that is longer", true, "1/1 9/2 -/9", "1-2/ 2-9/ lab-1 1-9"},
		{"one that is shorter", true, "1/1 2/9 9/-", "1-9/ lab-1 1-2 2-9"},
		{"not reached", false, "1/1 2/3", "1-3/ 3-*/ *-far/ lab-1 1-2 2-* *-far"},
	} {
		k := known{}
		g := topology.Merge([]topology.Path{k.path(seenAs(t, c.reached, c.hops))})
		name := func(i int) string {
			switch n := g.Nodes[i]; {
			case n.Kind == topology.Silent:
				return "*"
			case n.Address.IsValid():
				return fmt.Sprint(n.Address.As4()[3])
			case n.Name != "":
				return n.Name
			}
			return "far"
		}
		got, want := map[string]bool{}, map[string]bool{}
		for _, e := range g.Edges {
			arm := ""
			if e.Arm {
				arm = "/"
			}
			got[name(e.From)+"-"+name(e.To)+arm] = true
		}
		for w := range strings.FieldsSeq(c.want) {
			want[w] = true
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s:\n got %v\nwant %v", c.name, got, want)
		}
	}
}
