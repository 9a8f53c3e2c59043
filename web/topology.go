package web

import (
	"bytes"
	"cmp"
	"html/template"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"sonde/analysis/route"
	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/web/chart"
	"sonde/web/topology"
)

// Spans of the topology: now is the route that each spec saw last, the others all routes it saw since.
var topologySpans = []string{topologySpan, "1d", "7d", "31d"}

const (
	topologySpan = "now"
	// mostNodes and mostEdges are what a picture can hold before it is drawn by AS.
	mostNodes = 220
	mostEdges = 600
	// routesPerSpec bounds what a spec whose route flaps brings into a picture.
	routesPerSpec = 8
)

type topologyView struct {
	base
	Pick      pick
	Monhosts  []string
	Span      string
	Spans     []spanLink
	Layout    topology.Layout
	SVG       template.HTML
	Colours   []topology.Colour
	ByAS      bool
	Routers   int // that there would be too many of
	Left      int // pairs that are not drawn
	Specs     int
	SVGLink   string
	JSON, CSV string
}

// Total says how many pairs are drawn.
func (v topologyView) Total() int { return v.Layout.Pairs }

// Swatch draws the colour and outline of an AS.
func (v topologyView) Swatch(c topology.Colour) template.HTML {
	return template.HTML(`<svg class="topology swatch" width="26" height="16" viewBox="0 0 26 16" aria-hidden="true"><g class="node ` + c.Class + `"><rect x="2" y="2" width="22" height="12" rx="3"/></g></svg>`)
}

// drawing is the layout of what was asked for, and what had to be left out.
type drawing struct {
	layout        topology.Layout
	byAS          bool
	routers, left int
	specs         routeSpecs
}

// draw reads routes and lays them out.
func (q request) draw(p pick, span string) (drawing, error) {
	var d drawing
	since, per, err := topologySince(span, q.Now)
	if err != nil {
		return d, err
	}
	if d.specs, err = q.routeSpecs(p); err != nil {
		return d, err
	}
	ids := make([]int64, len(d.specs.list))
	for i, s := range d.specs.list {
		ids[i] = s.ID
	}
	seen, err := q.r.Seen(q.ctx, ids, since, per)
	if err != nil {
		return d, err
	}
	var hops [][]*netip.Addr
	for _, s := range seen {
		hops = append(hops, s.Hops)
		hops = append(hops, s.Addresses...)
	}
	k, err := q.known(hops...)
	if err != nil {
		return d, err
	}
	paths := make([]topology.Path, len(seen))
	for i, s := range seen {
		paths[i] = k.path(s)
	}
	slices.SortStableFunc(paths, func(a, b topology.Path) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Target, b.Target))
	})
	g := topology.Merge(paths)
	if d.routers = len(g.Nodes); tooLarge(g) {
		d.byAS = true
		g = topology.ByAS(paths)
		all := g.Pairs
		for tooLarge(g) && len(paths) > 1 {
			paths = paths[:len(paths)*3/4]
			g = topology.ByAS(paths)
		}
		d.left = all - g.Pairs
	}
	d.layout = topology.Lay(g)
	return d, nil
}

func tooLarge(g topology.Graph) bool { return len(g.Nodes) > mostNodes || len(g.Edges) > mostEdges }

func topologySince(span string, now time.Time) (since time.Time, perSpec int, err error) {
	if span == topologySpan {
		return now.Add(-24 * time.Hour), 1, nil
	}
	w, err := spanWindow(span, now)
	if err == nil && w.Until.Sub(w.From) > lately {
		return since, 0, badRequest{"range: the topology shows 31d at most"}
	}
	return w.From, routesPerSpec, err
}

// path gives a route and its flows for the picture.
func (k known) path(s store.PageSeen) topology.Path {
	p := topology.Path{Pair: s.ToolspecID, Source: s.Monhost, Target: s.Node, Reached: s.Reached}
	if s.Target != nil {
		p.Address = *s.Target
	}
	first := k.seen(s).Hops
	// Where flow 1 got no answer and others did, the hop is not silent.
	for i, h := range first {
		if h.Silent() && len(h.Arms) > 0 {
			first[i] = k.hop(&h.Arms[0])
		}
	}
	first = route.Trim(measure.Route{Hops: first})
	end := p.Address
	if p.Reached && len(first) > 0 {
		end = first[len(first)-1].Address
	}
	p.Flows = append(p.Flows, first)
	flows := 1
	for _, a := range s.Addresses {
		flows = max(flows, len(a))
	}
	for f := 1; f < flows; f++ {
		hops, other := k.flow(s, first, f, end)
		switch n := len(hops); {
		case !other:
		case p.Reached && hops[n-1].Address == end, !p.Reached && n == len(first):
			p.Flows = append(p.Flows, hops)
		default:
			p.Open = append(p.Open, hops)
		}
	}
	return p
}

// flow gives the hops of another flow than the first, to where they are known, and
// whether it met others than the first did. A hop that gave this flow no answer, or
// was not asked by it, is the one that all others met; where they met several it is
// one of those, nobody knows which: it is silent if the flow met a later one, and
// else the end of what is known.
func (k known) flow(s store.PageSeen, first []measure.Hop, f int, end netip.Addr) (hops []measure.Hop, other bool) {
	last := 0 // hops up to the last that is known
	for i := range max(len(first), len(s.Addresses)) {
		var h measure.Hop
		var met []*netip.Addr
		if i < len(s.Addresses) {
			met = s.Addresses[i]
		}
		var only *netip.Addr
		several := false
		for _, a := range met {
			several = several || a != nil && only != nil && *a != *only
			if a != nil {
				only = a
			}
		}
		switch {
		case f < len(met) && met[f] != nil:
			if last = i + 1; i < len(first) && first[i].Address == *met[f] {
				h = first[i]
				break
			}
			h, other = k.hop(met[f]), true
			if i < len(s.RTTs) && f < len(s.RTTs[i]) {
				h.RTT = measure.Median(durations(s.RTTs[i][f : f+1]))
			}
		case i >= len(first): // behind the end of flow 1 only what this one met counts
		case !several:
			if h = first[i]; last == i {
				last = i + 1
			}
		}
		if hops = append(hops, h); h.Address == end && !h.Silent() {
			break
		}
	}
	return hops[:last], other
}

// topology makes the page of the picture.
func (q request) topology(p pick, span string) (topologyView, error) {
	v := topologyView{base: q.titled("Topology", "topology"), Pick: p, Span: span}
	v.Wide = true
	d, err := q.draw(p, span)
	if err != nil {
		return v, err
	}
	v.Monhosts, v.Specs = d.specs.monhosts, len(d.specs.list)
	v.Layout, v.ByAS, v.Routers, v.Left = d.layout, d.byAS, d.routers, d.left
	v.Colours = d.layout.Colours()
	v.SVG = template.HTML(d.layout.SVG(topology.Links{
		Hop:  func(a netip.Addr) string { return v.L.Hop(a, "") },
		Node: func(name string) string { return v.L.Node(name, "") },
	}))
	for _, s := range topologySpans {
		v.Spans = append(v.Spans, spanLink{s, v.L.Topology(p, s), s == span})
	}
	v.SVGLink, v.JSON, v.CSV = v.L.TopologyFile(p, span, "svg"), v.L.TopologyFile(p, span, "json"), v.L.TopologyFile(p, span, "csv")
	return v, nil
}

// topologyFile writes the picture or its numbers.
func writeTopology(w *bytes.Buffer, l topology.Layout, kind string) error {
	switch kind {
	case "csv":
		return l.CSV(w, chart.PlainText)
	case "json":
		return l.JSON(w)
	}
	_, err := w.Write(l.Standalone())
	return err
}

func topologyAsk(r *http.Request) (p pick, span string, err error) {
	if err := onlyKnown(r, append(pickNames, "range")...); err != nil {
		return p, "", err
	}
	if p, err = pickOf(r); err != nil {
		return p, "", err
	}
	if span = r.FormValue("range"); span == "" {
		span = topologySpan
	}
	return p, span, nil
}

func topologyPage(q request, r *http.Request) (string, any, error) {
	p, span, err := topologyAsk(r)
	if err != nil {
		return "", nil, err
	}
	v, err := q.topology(p, span)
	return "topology.html", v, err
}

func topologyNumbers(q request, r *http.Request, b *bytes.Buffer, kind string) error {
	p, span, err := topologyAsk(r)
	if err != nil {
		return err
	}
	d, err := q.draw(p, span)
	if err != nil {
		return err
	}
	return writeTopology(b, d.layout, kind)
}
