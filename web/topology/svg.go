package topology

import (
	"bytes"
	_ "embed"
	"fmt"
	"html"
	"math"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// Style is the sheet of the picture, for pages that hold one. A picture that
// stands alone carries it inside.
//
//go:embed topology.css
var Style string

// Sizes in px.
const (
	boxWidth   = 130.0
	boxHeight  = 34.0
	layerWidth = boxWidth + 36
	rowHeight  = boxHeight + 12
	margin     = 12.0
	indent     = 7.0  // of the text in a box
	fontSize   = 11.0 // as topology.css says
	radius     = 11.0 // of a silent hop
)

// colours is how many colours there are for ASes; further ones come again with another outline.
const colours = 8

// Links says where a node leads; "" is nowhere. Any may be nil.
type Links struct {
	Hop  func(netip.Addr) string
	Node func(name string) string
}

// Colour is how an AS is told apart: a colour, and an outline beside it.
type Colour struct {
	AS     uint32
	ASName string
	Nodes  int
	Class  string
}

// Colours gives the ASes of the picture in the order of their first node.
func (l Layout) Colours() []Colour {
	var out []Colour
	place := map[uint32]int{}
	for _, n := range l.Nodes {
		if n.AS == 0 {
			continue
		}
		i, ok := place[n.AS]
		if !ok {
			i = len(out)
			place[n.AS] = i
			out = append(out, Colour{AS: n.AS, Class: fmt.Sprintf("as%d line%d", i%colours, i/colours%3)})
		}
		out[i].Nodes++
		if n.ASName != "" {
			out[i].ASName = n.ASName
		}
	}
	return out
}

// SVG draws the picture for a page that holds Style.
func (l Layout) SVG(links Links) []byte { return l.draw(links, false) }

// Standalone draws the picture as a file of its own, without links.
func (l Layout) Standalone() []byte { return l.draw(Links{}, true) }

func (l Layout) draw(links Links, alone bool) []byte {
	var b bytes.Buffer
	wide := 2*margin + float64(max(l.Layers, 1)-1)*layerWidth + boxWidth
	height := 2*margin + max(l.Rows-1, 0)*rowHeight + boxHeight
	if alone {
		b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="topology" width="%[1]s" height="%[2]s" viewBox="0 0 %[1]s %[2]s" role="img" aria-labelledby="topo-t topo-d"><title id="topo-t">Topology</title><desc id="topo-d">%[3]s</desc>`,
		px(wide), px(height), esc(l.Describe()))
	if alone {
		fmt.Fprintf(&b, `<style>%s</style><rect class="ground" width="%s" height="%s"/>`, Style, px(wide), px(height))
	}
	for i, e := range l.Edges {
		l.edge(&b, i, e)
	}
	class := map[uint32]string{}
	for _, c := range l.Colours() {
		class[c.AS] = c.Class
	}
	for i, n := range l.Nodes {
		l.node(&b, i, n, class[n.AS], links)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// Describe says in words what the picture shows, for people who do not see it.
func (l Layout) Describe() string {
	count := map[Kind]int{}
	for _, n := range l.Nodes {
		count[n.Kind]++
	}
	return fmt.Sprintf("%d pairs: %d sources, %d routers, %d ASes, %d groups of silent hops, %d targets, %d links.",
		l.Pairs, count[Source], count[Router], count[System], count[Silent], count[Target], len(l.Edges))
}

// point is the middle of a place.
func point(x, y float64) (float64, float64) {
	return margin + x*layerWidth + boxWidth/2, margin + y*rowHeight + boxHeight/2
}

func (l Layout) half(i int) float64 {
	if l.Nodes[i].Kind == Silent {
		return radius
	}
	return boxWidth / 2
}

func (l Layout) edge(b *bytes.Buffer, i int, e Edge) {
	x0, y0 := point(l.X[e.From], l.Y[e.From])
	x1, y1 := point(l.X[e.To], l.Y[e.To])
	back := l.X[e.To] <= l.X[e.From]
	if back {
		x0, x1 = x0-l.half(e.From), x1+l.half(e.To)
	} else {
		x0, x1 = x0+l.half(e.From), x1-l.half(e.To)
	}
	var d strings.Builder
	fmt.Fprintf(&d, "M%s %s", px(x0), px(y0))
	ax, ay := x0, y0
	curve := func(x, y float64) {
		m := (ax + x) / 2
		fmt.Fprintf(&d, "C%s %s %s %s %s %s", px(m), px(ay), px(m), px(y), px(x), px(y))
		ax, ay = x, y
	}
	for _, p := range l.Bends[i] {
		x, y := point(p[0], p[1])
		// Through a layer the line runs level, beside the boxes.
		near, far := x-boxWidth/2, x+boxWidth/2
		if back {
			near, far = far, near
		}
		curve(near, y)
		fmt.Fprintf(&d, "H%s", px(far))
		ax = far
	}
	curve(x1, y1)
	class := "edge"
	if e.Arm {
		class += " arm"
	}
	if e.Unsure {
		class += " unsure"
	}
	text := fmt.Sprintf("%s → %s: %s", l.Nodes[e.From].label(), l.Nodes[e.To].label(), plural(e.Pairs, "pair"))
	if e.Arm {
		text += ", only as another of several equal paths"
	}
	if e.Unsure {
		text += ", nobody answered there"
	}
	fmt.Fprintf(b, `<path class="%s" stroke-width="%s" d="%s"><title>%s</title></path>`, class, px(1.2+math.Log2(float64(max(e.Pairs, 1)))), d.String(), esc(text))
}

func (l Layout) node(b *bytes.Buffer, i int, n Node, class string, links Links) {
	x, y := point(l.X[i], l.Y[i])
	href := ""
	switch {
	case n.Kind == Source && links.Node != nil:
		href = links.Node(n.Name)
	case n.Address.IsValid() && links.Hop != nil:
		href = links.Hop(n.Address)
	}
	if href == "" && len(n.Targets) == 1 && links.Node != nil {
		href = links.Node(n.Targets[0])
	}
	if href != "" {
		fmt.Fprintf(b, `<a href="%s">`, esc(href))
	}
	fmt.Fprintf(b, `<g class="node %s %s"><title>%s</title>`, n.Kind, class, esc(n.says()))
	if n.Kind == Silent {
		fmt.Fprintf(b, `<circle cx="%s" cy="%s" r="%s"/><text x="%[1]s" y="%[4]s" text-anchor="middle">%[5]s</text>`, px(x), px(y), px(radius), px(y+4), esc(n.stars()))
	} else {
		round := 4.0
		if n.Kind == Source {
			round = boxHeight / 2
		}
		left, top := x-boxWidth/2, y-boxHeight/2
		fmt.Fprintf(b, `<rect x="%s" y="%s" width="%s" height="%s" rx="%s"/>`, px(left), px(top), px(boxWidth), px(boxHeight), px(round))
		first, second := n.lines()
		if second == "" {
			fmt.Fprintf(b, `<text class="first" x="%s" y="%s" text-anchor="middle">%s</text>`, px(x), px(y+4), esc(clip(first, firstLine)))
		} else {
			fmt.Fprintf(b, `<text class="first" x="%s" y="%s">%s</text><text x="%[1]s" y="%[4]s">%[5]s</text>`, px(left+indent), px(top+14), esc(clip(first, firstLine)), px(top+28), esc(clip(second, secondLine)))
		}
	}
	b.WriteString("</g>")
	if href != "" {
		b.WriteString("</a>")
	}
}

// stars is what stands in the circle of silent hops.
func (n Node) stars() string {
	switch {
	case n.Low == 0:
		return "?"
	case n.Low != n.Top:
		return fmt.Sprintf("%d–%d", n.Low, n.Top)
	case n.Low == 1:
		return "*"
	}
	return fmt.Sprintf("%d*", n.Low)
}

// lines are the two lines in the box of a node.
func (n Node) lines() (first, second string) {
	switch {
	case n.Kind == Source:
		return n.Name, ""
	case n.Kind == System:
		first, second = n.asText(), plural(n.Pairs, "pair")
		if len(n.Targets) > 0 {
			second += ", " + plural(len(n.Targets), "target")
		}
		return first, second
	case len(n.Targets) > 0:
		first = n.Targets[0]
		if more := len(n.Targets) - 1; more > 0 {
			first += fmt.Sprintf(" +%d", more)
		}
	case n.Name != "":
		first = n.Name
	default:
		first = n.Address.String()
	}
	if n.AS != 0 {
		second = n.asText()
	} else if n.Address.IsValid() && first != n.Address.String() {
		second = n.Address.String()
	}
	return first, second
}

func (n Node) asText() string {
	if n.AS == 0 {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("AS %d %s", n.AS, n.ASName))
}

// label names a node in one word.
func (n Node) label() string {
	switch {
	case n.Kind == Silent:
		return "silence"
	case n.Kind == System:
		return n.asText()
	case n.Name != "":
		return n.Name
	case n.Address.IsValid():
		return n.Address.String()
	}
	return strings.Join(n.Targets, ", ")
}

// says is all that is known of a node, for its tooltip.
func (n Node) says() string {
	var words []string
	add := func(s string) {
		if s != "" {
			words = append(words, s)
		}
	}
	switch n.Kind {
	case Silent:
		switch {
		case n.Low == 0:
			add("nobody answered from here on")
		case n.Low == n.Top:
			add(plural(n.Low, "hop") + " that gave no answer or is of no known AS")
		default:
			add(fmt.Sprintf("%d to %d hops that gave no answer or are of no known AS", n.Low, n.Top))
		}
	case Source:
		add("monitoring host " + n.Name)
	default:
		if len(n.Targets) > 0 {
			shown := n.Targets[:min(len(n.Targets), 20)]
			add("target " + strings.Join(shown, ", "))
		}
		if n.Kind != Target || n.Address.IsValid() {
			add(n.Name)
		}
		if n.Address.IsValid() {
			add(n.Address.String())
		}
		add(n.asText())
		if n.RTT > 0 {
			add(fmt.Sprintf("%.3g ms at least", float64(n.RTT)/float64(time.Millisecond)))
		}
	}
	add(plural(n.Pairs, "pair"))
	return strings.Join(words, " · ")
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// Room for the lines in a box, in em; the first is bold and so an eighth wider.
const (
	secondLine = (boxWidth - 2*indent) / fontSize
	firstLine  = secondLine / 1.125
)

// clip shortens a text to so many em. An SVG knows nothing of the reader's font and
// cannot clip by itself; the widths are those of DejaVu Sans, the widest that
// systems come with. The whole text is in the tooltip.
func clip(s string, room float64) string {
	used, fits := 0.0, 0 // with an ellipsis, the first fits bytes have room
	for i, r := range s {
		if used+em('…') <= room {
			fits = i
		}
		if used += em(r); used > room {
			return s[:fits] + "…"
		}
	}
	return s
}

// em is about how wide a character is.
func em(r rune) float64 {
	switch kind := width.LookupRune(r).Kind(); {
	case unicode.Is(unicode.Mn, r):
		return 0
	case r > 0xffff:
		return 1.4 // emoji
	case kind == width.EastAsianWide, kind == width.EastAsianFullwidth, strings.ContainsRune("mwMW@%…—", r):
		return 1
	case strings.ContainsRune("ijlI.,:;'|!()[] -", r):
		return 0.4
	case unicode.IsUpper(r):
		return 0.76
	}
	return 0.64
}

// px writes a coordinate with one decimal at most.
func px(v float64) string {
	s := fmt.Sprintf("%.1f", v)
	return strings.TrimSuffix(s, ".0")
}

func esc(s string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		// XML 1.0 knows no control characters, not even escaped ones.
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
}
