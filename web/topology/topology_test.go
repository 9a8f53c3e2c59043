package topology

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sonde/internal/measure"
)

// path reads "lab > 1 2/3 * 4 > cern": hops are 10.0.0.n, "2/3" two arms, "*"
// silence; a "…" before the target is a route that did not reach it. Hop n is of AS n/10.
func path(t testing.TB, pair int64, text string) Path {
	t.Helper()
	parts := strings.Split(text, ">")
	if len(parts) != 3 {
		t.Fatal(text)
	}
	p := Path{Pair: pair, Source: strings.TrimSpace(parts[0]), Target: strings.TrimSpace(parts[2]), Reached: true}
	words := strings.Fields(parts[1])
	flows := 1
	for _, w := range words {
		flows = max(flows, strings.Count(w, "/")+1)
	}
	for f := range flows {
		var hops []measure.Hop
		for i, w := range words {
			arms := strings.Split(w, "/")
			arm := arms[f%len(arms)]
			switch arm {
			case "*":
				hops = append(hops, measure.Hop{})
			case "…":
				p.Reached = false
			default:
				var n int
				if _, err := fmt.Sscan(arm, &n); err != nil {
					t.Fatal(text, err)
				}
				hops = append(hops, measure.Hop{Address: netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), AS: uint32(n / 10), RTT: time.Duration(i+1) * time.Millisecond})
			}
		}
		p.Flows = append(p.Flows, hops)
	}
	return p
}

func paths(t testing.TB, lines ...string) []Path {
	var out []Path
	for i, l := range lines {
		out = append(out, path(t, int64(i+1), l))
	}
	return out
}

// written gives the edges in words, sorted.
func written(g Graph) string {
	name := func(n Node) string {
		switch n.Kind {
		case Silent:
			return "(" + n.stars() + ")"
		case Source:
			return n.Name
		case System:
			return fmt.Sprintf("AS%d", n.AS)
		}
		if n.Address.IsValid() {
			b := n.Address.As4()
			s := fmt.Sprint(int(b[2])<<8 | int(b[3]))
			if len(n.Targets) > 0 {
				s += "=" + strings.Join(n.Targets, "+")
			}
			return s
		}
		return strings.Join(n.Targets, "+")
	}
	var out []string
	for _, e := range g.Edges {
		s := fmt.Sprintf("%s-%s:%d", name(g.Nodes[e.From]), name(g.Nodes[e.To]), e.Pairs)
		if e.Arm {
			s += "/"
		}
		if e.Unsure {
			s += "?"
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestPathsMerge(t *testing.T) {
	for _, c := range []struct {
		name  string
		byAS  bool
		paths []string
		want  string
	}{
		{"one", false, []string{"lab > 1 2 > a"}, "1-2=a:1 lab-1:1"},
		{"two share a hop", false, []string{"lab > 1 2 > a", "lab > 1 3 > b"}, "1-2=a:1 1-3=b:1 lab-1:2"},
		{"two sources", false, []string{"lab > 1 2 3 > a", "far > 4 2 3 > a"}, "1-2:1 2-3=a:2 4-2:1 far-4:1 lab-1:1"},
		{"silent hops in a row are one", false, []string{"lab > 1 * * 2 > a"}, "(2*)-2=a:1 1-(2*):1 lab-1:1"},
		{"between the same neighbours they are the same", false, []string{"lab > 1 * 2 3 > a", "lab > 1 * * 2 4 > b"}, "(1–2)-2:2 1-(1–2):2 2-3=a:1 2-4=b:1 lab-1:2"},
		{"between others they are not", false, []string{"lab > 1 * 2 > a", "lab > 1 * 3 > b"}, "(*)-2=a:1 (*)-3=b:1 1-(*):1 1-(*):1 lab-1:2"},
		{"silent from the start", false, []string{"lab > * 2 > a"}, "(*)-2=a:1 lab-(*):1"},
		{"arms", false, []string{"lab > 1 2/3 4 > a"}, "1-2:1 1-3:1/ 2-4=a:1 3-4=a:1/ lab-1:1"},
		{"an arm that is another's first flow", false, []string{"lab > 1 2/3 4 > a", "lab > 1 3 5 > b"}, "1-2:1 1-3:2 2-4=a:1 3-4=a:1/ 3-5=b:1 lab-1:2"},
		{"not reached", false, []string{"lab > 1 2 … > a"}, "(?)-a:1? 1-2:1 2-(?):1? lab-1:1"},
		{"nobody answers", false, []string{"lab > … > a"}, "(?)-a:1? lab-(?):1?"},
		{"a stutter is no circle", false, []string{"lab > 1 1 2 > a"}, "1-2=a:1 lab-1:1"},
		{"a target that others pass", false, []string{"lab > 1 2 > a", "lab > 1 2 3 > b"}, "1-2=a:2 2=a-3=b:1 lab-1:2"},
		{"one pair over two routes counts once", false, nil, "1-2:1 1-3:1 2-4=a:1 3-4=a:1 lab-1:1"},
		{"by AS", true, []string{"lab > 1 10 11 20 21 > a", "lab > 10 20 30 > b"}, "(*)-AS1:1 AS1-AS2:2 AS2-AS3:1 lab-(*):1 lab-AS1:1"},
		{"by AS, a target of none", true, []string{"lab > 10 1 2 > a"}, "(*)-a:1 AS1-(*):1 lab-AS1:1"},
		{"by AS, a target of none at once", true, []string{"lab > 10 1 > a"}, "AS1-a:1 lab-AS1:1"},
		{"by AS, not reached", true, []string{"lab > 10 … > a"}, "(?)-a:1? AS1-(?):1? lab-AS1:1"},
	} {
		list := paths(t, c.paths...)
		if c.paths == nil {
			list = []Path{path(t, 1, "lab > 1 2 4 > a"), path(t, 1, "lab > 1 3 4 > a")}
		}
		g := Merge(list)
		if c.byAS {
			g = ByAS(list)
		}
		if got := written(g); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// check says what is wrong with a layout.
func check(l Layout) error {
	for i, n := range l.Nodes {
		if n.Kind == Source && l.X[i] != 0 {
			return fmt.Errorf("source %s is in layer %v", n.Name, l.X[i])
		}
		if math.IsNaN(l.Y[i]) || l.Y[i] < 0 || l.Y[i] > l.Rows || l.X[i] < 0 || int(l.X[i]) >= l.Layers {
			return fmt.Errorf("node %s is at %v, %v of %d, %v", n.Key, l.X[i], l.Y[i], l.Layers, l.Rows)
		}
		for j := range i {
			if l.X[i] == l.X[j] && math.Abs(l.Y[i]-l.Y[j]) < nodeGap-1e-9 {
				return fmt.Errorf("nodes %s and %s are on each other", n.Key, l.Nodes[j].Key)
			}
		}
	}
	for i, e := range l.Edges {
		if want := int(math.Abs(l.X[e.To]-l.X[e.From])) - 1; want != len(l.Bends[i]) {
			return fmt.Errorf("edge %d has %d bends, not %d", i, len(l.Bends[i]), want)
		}
	}
	return nil
}

func TestSourcesAreLeftAndTargetsRight(t *testing.T) {
	l := Lay(Merge(paths(t, "lab > 1 2 3 4 > a", "lab > 1 5 > b", "far > 6 3 7 … > c", "far > 6 1 > d")))
	if err := check(l); err != nil {
		t.Error(err)
	}
	out := make([]int, len(l.Nodes))
	for _, e := range l.Edges {
		out[e.From]++
		if l.X[e.To] <= l.X[e.From] {
			t.Errorf("%s → %s runs back", l.Nodes[e.From].Key, l.Nodes[e.To].Key)
		}
	}
	for i, n := range l.Nodes {
		if n.Kind == Target && out[i] == 0 && int(l.X[i]) != l.Layers-1 {
			t.Errorf("target %s is in layer %v of %d", n.Key, l.X[i], l.Layers)
		}
	}
}

func TestCirclesAreDrawnToo(t *testing.T) {
	l := Lay(Merge(paths(t, "lab > 1 2 3 > a", "lab > 3 2 1 > b", "far > 1 2 1 2 … > c")))
	if err := check(l); err != nil {
		t.Error(err)
	}
}

func TestTreeHasNoCrossings(t *testing.T) {
	var lines []string
	for i := range 40 {
		// The order of the paths is not that of the tree.
		n := i * 17 % 40
		lines = append(lines, fmt.Sprintf("lab > 1 %d %d %d > t%02d", 2+n/20, 10+n/5, 100+n, n))
	}
	l := Lay(Merge(paths(t, lines...)))
	if n := drawnCrossings(l); n != 0 {
		t.Errorf("%d edges cross in a tree", n)
	}
	if err := check(l); err != nil {
		t.Error(err)
	}
}

// drawnCrossings counts crossings between neighbouring layers as they are drawn.
func drawnCrossings(l Layout) int {
	type piece struct{ x, a, b float64 }
	var list []piece
	for i, e := range l.Edges {
		points := [][2]float64{{l.X[e.From], l.Y[e.From]}}
		points = append(append(points, l.Bends[i]...), [2]float64{l.X[e.To], l.Y[e.To]})
		for j := 1; j < len(points); j++ {
			list = append(list, piece{points[j-1][0], points[j-1][1], points[j][1]})
		}
	}
	n := 0
	for i, p := range list {
		for _, o := range list[:i] {
			if p.x == o.x && (p.a-o.a)*(p.b-o.b) < -1e-9 {
				n++
			}
		}
	}
	return n
}

// network makes routes of several sources to many targets over a core that is
// much like a real one: some layers, each router with two ways on.
func network(t testing.TB, sources, targets int) []Path {
	var out []Path
	pair := int64(0)
	for s := range sources {
		for n := range targets {
			pair++
			region, city := n%6, n%18
			hops := []string{fmt.Sprint(100 + s), fmt.Sprint(110 + s/2), fmt.Sprintf("%d/%d", 120+region, 130+region), fmt.Sprint(140 + city)}
			if n%4 == 0 {
				hops = append(hops, "*")
			}
			if n%3 == 0 {
				hops = append(hops, fmt.Sprint(160+n%9))
			}
			out = append(out, path(t, pair, fmt.Sprintf("s%d > %s %d > t%03d", s, strings.Join(hops, " "), 300+n, n)))
		}
	}
	return out
}

func TestTwoHundredNodesStayReadable(t *testing.T) {
	g := Merge(network(t, 4, 90))
	begin := time.Now()
	l := Lay(g)
	took := time.Since(begin)
	if err := check(l); err != nil {
		t.Error(err)
	}
	n := drawnCrossings(l)
	t.Logf("%d nodes, %d edges, %d crossings, %d layers, %.0f rows, %s", len(g.Nodes), len(g.Edges), n, l.Layers, l.Rows, took)
	if len(g.Nodes) < 150 || n > 3*len(g.Edges) {
		t.Errorf("%d nodes, %d edges cross %d times", len(g.Nodes), len(g.Edges), n)
	}
}

func TestSamePathsGiveTheSamePicture(t *testing.T) {
	a, b := Lay(Merge(network(t, 3, 40))).Standalone(), Lay(Merge(network(t, 3, 40))).Standalone()
	if !bytes.Equal(a, b) {
		t.Error("they differ")
	}
}

const hostile = `<script>alert("x")</script>'&` + "\x00\xff"

func TestHostileNamesStayText(t *testing.T) {
	p := path(t, 1, "lab > 1 2 * 3 > a")
	p.Source, p.Target = hostile, hostile
	for i := range p.Flows[0] {
		if !p.Flows[0][i].Silent() {
			p.Flows[0][i].Name, p.Flows[0][i].ASName, p.Flows[0][i].AS = hostile, hostile, 7
		}
	}
	for _, g := range []Graph{Merge([]Path{p}), ByAS([]Path{p})} {
		l := Lay(g)
		svg := l.SVG(Links{Hop: func(netip.Addr) string { return `/hop/"><script>` }, Node: func(string) string { return `"><script>` }})
		for _, raw := range [][]byte{svg, l.Standalone()} {
			if bytes.Contains(raw, []byte("<script")) {
				t.Errorf("%s", raw)
			}
			wellFormed(t, raw)
		}
		var b bytes.Buffer
		if err := l.JSON(&b); err != nil || !json.Valid(b.Bytes()) {
			t.Errorf("%v %s", err, b.Bytes())
		}
	}
}

func wellFormed(t testing.TB, raw []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(raw))
	for {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%.300s", err, raw)
		}
	}
}

func TestNumbersAreThoseOfThePicture(t *testing.T) {
	l := Lay(Merge(paths(t, "lab > 1 2/3 * 4 > a", "lab > 1 5 … > b")))
	var b bytes.Buffer
	if err := l.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Pairs int
		Nodes []struct{ Kind string }
		Edges []struct{ From, To, Pairs int }
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || got.Pairs != 2 || len(got.Nodes) != len(l.Nodes) || len(got.Edges) != len(l.Edges) {
		t.Errorf("%v %+v", err, got)
	}
	b.Reset()
	if err := l.CSV(&b, func(s string) string { return s }); err != nil || strings.Count(b.String(), "\n") != len(l.Edges)+1 {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestEmptyGraphIsAPicture(t *testing.T) {
	wellFormed(t, Lay(Merge(nil)).Standalone())
}

// Whatever the routes are, nothing lies on anything else and the picture is well-formed.
func FuzzAnyRoutesCanBeDrawn(f *testing.F) {
	f.Add([]byte{1, 2, 3, 0, 0, 4, 255, 1, 3, 2, 1})
	f.Add([]byte{255, 255, 0, 255, 0, 0})
	f.Add([]byte{5, 5, 5, 255, 5, 6, 5, 6, 254, 7})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 400 {
			return
		}
		var list []Path
		p := Path{Pair: 1, Source: "s", Target: "t", Reached: true, Flows: [][]measure.Hop{nil}}
		end := func() {
			p.Source, p.Target = fmt.Sprintf("s%d", len(list)%3), fmt.Sprintf("t%d", len(list)%5)
			list = append(list, p)
			p = Path{Pair: p.Pair + 1, Reached: true, Flows: [][]measure.Hop{nil}}
		}
		for _, b := range raw {
			switch {
			case b == 255:
				end()
			case b == 254:
				p.Reached = false
			case b < 30: // silence
				p.Flows[0] = append(p.Flows[0], measure.Hop{})
			default:
				p.Flows[0] = append(p.Flows[0], measure.Hop{Address: netip.AddrFrom4([4]byte{10, 0, 0, b}), AS: uint32(b % 7)})
			}
		}
		end()
		for _, g := range []Graph{Merge(list), ByAS(list)} {
			l := Lay(g)
			if err := check(l); err != nil {
				t.Fatal(err)
			}
			wellFormed(t, l.Standalone())
		}
	})
}
