package web

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"sonde/internal/store"
	"sonde/web/chart"
)

const (
	// lately is how far the page of a hop looks back among runs and changes.
	lately = 31 * 24 * time.Hour
	// crossingsShown bounds the routes that are looked at; chartCrossings those whose round trips are drawn.
	crossingsShown = 2000
	chartCrossings = 300
	crossersShown  = 200
	hopChangesMost = 40
)

// chartRuns bounds the runs that a chart reads, as far as intervals tell.
var chartRuns = 150_000

// hopSpans are the spans that the chart of a hop offers.
var hopSpans = []string{"3h", "30h", "10d"}

// longestHop is the longest time that the chart of a hop may show: it reads every run of everyone who crosses it.
const longestHop = 31 * 24 * time.Hour

// crosser is a pair whose packets cross a hop.
type crosser struct {
	Monhost, Node, Label string
	NodeHref, Routes     string
	Now                  bool // the route it saw last crosses it
	Places               string
	RTT                  *float64 // ms, least of the newest run
	Share                float64  // percent of all its runs that saw a route
	First, Last          time.Time
	Arm                  bool // only other flows than the first
}

// neighbour is a hop before or behind.
type neighbour struct {
	Place place
	Pairs int
	Text  string // of what is no hop: the source, the target, silence
}

type hopChange struct {
	store.PageHopChange
	Routes string
}

type hopView struct {
	base
	Place         place
	Known         store.PageAddress
	Nodes         []leads // nodes that have this address
	Crossers      []crosser
	Crossing      int // of them that cross it now
	All           int // pairs
	More          int // not shown
	Before, After []neighbour
	Changes       []hopChange
	Chart         *chartFigure
	Window        window
	Spans         []spanLink
	Cut           bool // there are more routes than were looked at
}

// leads is a text that leads somewhere.
type leads struct{ Href, Text string }

// chartFigure is a chart of no single spec.
type chartFigure struct {
	C         chart.Chart
	Sum       chart.Sum
	SVG       template.HTML
	SVGLink   string
	CSV, JSON string
	Routes    int // that are drawn
}

// hop makes the page of an address.
func (q request) hop(address netip.Addr, w window) (hopView, error) {
	v := hopView{base: q.titled("Hop "+address.String(), "topology"), Window: w}
	crossings, all, err := q.r.Crossings(q.ctx, address, crossingsShown)
	if err != nil {
		return v, err
	}
	v.Cut = all > len(crossings)
	if w.Default && len(crossings) > 0 {
		first := crossings[0].FirstSeen
		for _, c := range crossings {
			if c.FirstSeen.Before(first) {
				first = c.FirstSeen
			}
		}
		if w, err = young(w, q.Now.Sub(first), q.Now); err != nil {
			return v, err
		}
		v.Window = w
	}
	hops := [][]*netip.Addr{{&address}}
	for _, c := range crossings {
		hops = append(hops, c.Hops)
	}
	k, err := q.known(hops...)
	if err != nil {
		return v, err
	}
	v.Known, v.Place = k[address], q.place(k, &address)
	if len(crossings) == 0 {
		if _, ok := k[address]; !ok {
			return v, fmt.Errorf("hop %s that anybody has crossed: %w", address, store.ErrNone)
		}
	}
	if err := q.crossers(&v, address, crossings); err != nil {
		return v, err
	}
	v.Before, v.After = q.neighbours(k, address, crossings)
	for _, n := range q.nodesAt(address, crossings) {
		v.Nodes = append(v.Nodes, leads{q.L.Node(n, ""), n})
	}
	specs := map[int64]bool{}
	for _, c := range crossings {
		specs[c.ToolspecID] = true
	}
	ids := make([]int64, 0, len(specs))
	for id := range specs {
		ids = append(ids, id)
	}
	changes, err := q.r.HopChanges(q.ctx, address, ids, q.Now.Add(-lately), hopChangesMost)
	if err != nil {
		return v, err
	}
	for _, c := range changes {
		v.Changes = append(v.Changes, hopChange{c, q.L.Routes(c.ToolspecID)})
	}
	c, n, err := q.hopChart(address, crossings, w)
	if err != nil {
		return v, err
	}
	if len(c.Buckets) > 0 {
		v.Chart = &chartFigure{C: c, Sum: c.Sum(), SVG: template.HTML(append(c.SVG(chart.Wide), c.SVG(chart.Narrow)...)), Routes: n,
			SVGLink: q.L.HopChart(address, w, "svg"), CSV: q.L.HopChart(address, w, "csv"), JSON: q.L.HopChart(address, w, "json")}
	}
	for _, s := range hopSpans {
		v.Spans = append(v.Spans, spanLink{s, q.L.Hop(address, s), s == w.Span})
	}
	return v, nil
}

// crossers lists the pairs that cross a hop, those that do now first.
func (q request) crossers(v *hopView, address netip.Addr, crossings []store.PageCrossing) error {
	place := map[int64]int{}
	times := map[int64]int64{}
	hops := map[int64][]int{}
	var ids []int64
	var newest []store.PageCrossing // of each spec the route over it that was seen last
	for _, c := range crossings {
		i, ok := place[c.ToolspecID]
		if !ok {
			i = len(v.Crossers)
			place[c.ToolspecID] = i
			ids, newest = append(ids, c.ToolspecID), append(newest, c)
			v.Crossers = append(v.Crossers, crosser{Monhost: c.Monhost, Node: c.Node, Label: c.Label, NodeHref: q.L.Node(c.Node, ""), Routes: q.L.Routes(c.ToolspecID),
				First: c.FirstSeen, Last: c.LastSeen, Arm: true})
		}
		x := &v.Crossers[i]
		x.Now = x.Now || c.Now
		x.Arm = x.Arm && c.Arm
		if c.FirstSeen.Before(x.First) {
			x.First = c.FirstSeen
		}
		if c.LastSeen.After(x.Last) {
			x.Last = c.LastSeen
		}
		times[c.ToolspecID] += c.Times
		if c.Place > 0 && !slices.Contains(hops[c.ToolspecID], c.Place) {
			hops[c.ToolspecID] = append(hops[c.ToolspecID], c.Place)
		}
	}
	whole, err := q.r.RouteTimes(q.ctx, ids)
	if err != nil {
		return err
	}
	rtts, err := q.r.HopRTTs(q.ctx, address, newest, q.Now.Add(-lately))
	if err != nil {
		return err
	}
	for id, i := range place {
		x := &v.Crossers[i]
		x.Share = 100 * float64(times[id]) / float64(max(whole[id], 1))
		if ms, ok := rtts[id]; ok {
			x.RTT = &ms
		}
		sort.Ints(hops[id])
		words := make([]string, len(hops[id]))
		for n, h := range hops[id] {
			words[n] = fmt.Sprint(h)
		}
		x.Places = strings.Join(words, ", ")
		if x.Now {
			v.Crossing++
		}
	}
	sort.SliceStable(v.Crossers, func(i, j int) bool {
		a, b := v.Crossers[i], v.Crossers[j]
		switch {
		case a.Now != b.Now:
			return a.Now
		case a.Monhost != b.Monhost:
			return a.Monhost < b.Monhost
		}
		return a.Node < b.Node
	})
	v.All = len(v.Crossers)
	v.More = max(0, v.All-crossersShown)
	v.Crossers = v.Crossers[:v.All-v.More]
	return nil
}

// neighbours counts the pairs by the hop before and the hop behind.
func (q request) neighbours(k known, address netip.Addr, crossings []store.PageCrossing) (before, after []neighbour) {
	type side map[string]map[int64]bool
	count := func(s side, key string, id int64) {
		if s[key] == nil {
			s[key] = map[int64]bool{}
		}
		s[key][id] = true
	}
	sides := [2]side{{}, {}}
	for _, c := range crossings {
		for i, h := range c.Hops {
			if i != c.Place-1 && (h == nil || *h != address) {
				continue
			}
			switch {
			case i == 0:
				count(sides[0], "monitoring host "+c.Monhost, c.ToolspecID)
			case !slices.ContainsFunc(c.Hops[:i], func(h *netip.Addr) bool { return h != nil }):
				count(sides[0], "hops that are silent or were not asked", c.ToolspecID)
			case c.Hops[i-1] == nil:
				count(sides[0], "a silent hop", c.ToolspecID)
			case *c.Hops[i-1] != address:
				count(sides[0], c.Hops[i-1].String(), c.ToolspecID)
			}
			switch {
			case i == len(c.Hops)-1 && c.Reached:
				count(sides[1], "the end: it is the target of "+c.Node, c.ToolspecID)
			case i == len(c.Hops)-1:
				count(sides[1], "nothing: nobody answered behind it", c.ToolspecID)
			case c.Hops[i+1] == nil:
				count(sides[1], "a silent hop", c.ToolspecID)
			case *c.Hops[i+1] != address:
				count(sides[1], c.Hops[i+1].String(), c.ToolspecID)
			}
		}
	}
	var out [2][]neighbour
	for n, s := range sides {
		for key, pairs := range s {
			x := neighbour{Pairs: len(pairs), Text: key}
			if a, err := netip.ParseAddr(key); err == nil {
				x.Place, x.Text = q.place(k, &a), ""
			}
			out[n] = append(out[n], x)
		}
		sort.Slice(out[n], func(i, j int) bool {
			a, b := out[n][i], out[n][j]
			switch {
			case a.Pairs != b.Pairs:
				return a.Pairs > b.Pairs
			case a.Text != b.Text:
				return a.Text < b.Text
			}
			return a.Place.Address.Less(b.Place.Address)
		})
		out[n] = out[n][:min(len(out[n]), 30)]
	}
	return out[0], out[1]
}

// nodesAt gives the nodes that a route ends at this address for.
func (q request) nodesAt(address netip.Addr, crossings []store.PageCrossing) []string {
	var names []string
	for _, c := range crossings {
		if n := len(c.Hops); n > 0 && c.Reached && c.Hops[n-1] != nil && *c.Hops[n-1] == address && !slices.Contains(names, c.Node) {
			names = append(names, c.Node)
		}
	}
	sort.Strings(names)
	return names
}

// hopChart draws the round trips to an address of all who cross it, and says of how many routes.
func (q request) hopChart(address netip.Addr, crossings []store.PageCrossing, w window) (chart.Chart, int, error) {
	c := chart.Chart{ID: "hop", Title: fmt.Sprintf("Round trip to %s", address), Unit: "ms", From: w.From, Until: w.Until, Now: q.Now, Zone: q.Zone}
	var drawn []store.PageCrossing
	for _, x := range crossings {
		if x.Place > 0 && !x.LastSeen.Before(w.From) && !x.FirstSeen.After(w.Until) {
			drawn = append(drawn, x)
		}
	}
	runs, all := 0, len(drawn)
	for i, x := range drawn {
		runs += runsWithin(x, w)
		if i > 0 && runs > chartRuns || i == chartCrossings {
			drawn = drawn[:i]
			c.Note = fmt.Sprintf("Of %d routes over this hop the %d seen last are drawn: the chart reads %d runs at most. A shorter time shows more of them.", all, i, chartRuns)
			break
		}
	}
	// As wide as the longest interval, so that everyone is in each bucket.
	for _, x := range drawn {
		c.Interval = max(c.Interval, min(x.Interval, time.Hour))
	}
	c.Interval = max(c.Interval, 10*time.Second)
	c.Width = store.BucketWidth(w.From, w.Until, c.Interval)
	if len(drawn) == 0 {
		return c, 0, nil
	}
	list, err := q.r.HopSeries(q.ctx, address, drawn, w.From, w.Until, c.Width)
	if err != nil {
		return c, 0, err
	}
	for _, b := range list {
		c.Buckets = append(c.Buckets, chart.Bucket(b))
	}
	return c, len(drawn), nil
}

// runsWithin is how many runs of a window saw a route, as far as its interval tells.
func runsWithin(c store.PageCrossing, w window) int {
	from, until := w.From, w.Until
	if c.FirstSeen.After(from) {
		from = c.FirstSeen
	}
	if c.LastSeen.Before(until) {
		until = c.LastSeen
	}
	if c.Interval <= 0 {
		return int(c.Times)
	}
	return min(int(c.Times), int(until.Sub(from)/c.Interval)+1)
}

// hopChartFile writes the chart of a hop or its numbers.
func (q request) hopChartFile(w *bytes.Buffer, address netip.Addr, win window, kind string) error {
	crossings, _, err := q.r.Crossings(q.ctx, address, crossingsShown)
	if err != nil {
		return err
	}
	if len(crossings) == 0 {
		return fmt.Errorf("hop %s that anybody has crossed: %w", address, store.ErrNone)
	}
	c, _, err := q.hopChart(address, crossings, win)
	if err != nil {
		return err
	}
	return writeChart(w, c, kind)
}

// addressOf reads an address from a path.
func addressOf(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return a, badRequest{fmt.Sprintf("hop: %q is no IP address", short(50, text))}
	}
	return a.Unmap(), nil
}

func hopWindow(r *http.Request, now time.Time) (window, error) {
	w, err := windowOf(r, now)
	if err == nil && w.Until.Sub(w.From) > longestHop {
		return w, badRequest{"range: the chart of a hop shows 31d at most, since it reads the runs of everyone who crosses it"}
	}
	return w, err
}

func hopPage(q request, r *http.Request) (string, any, error) {
	if err := onlyKnown(r, "range", "from", "until"); err != nil {
		return "", nil, err
	}
	address, err := addressOf(r.PathValue("address"))
	if err != nil {
		return "", nil, err
	}
	w, err := hopWindow(r, q.Now)
	if err != nil {
		return "", nil, err
	}
	v, err := q.hop(address, w)
	return "hop.html", v, err
}

// hopChartAnswer answers /hopchart/192.0.2.1.svg, .csv and .json, and says of which kind it is.
func hopChartAnswer(q request, r *http.Request, b *bytes.Buffer) (kind string, err error) {
	file := r.PathValue("file")
	dot := strings.LastIndexByte(file, '.')
	if dot < 0 || chartTypes[file[dot+1:]] == "" {
		return "", badRequest{"a chart ends in .svg, .csv or .json"}
	}
	kind = file[dot+1:]
	if err := onlyKnown(r, "range", "from", "until"); err != nil {
		return kind, err
	}
	address, err := addressOf(file[:dot])
	if err != nil {
		return kind, err
	}
	w, err := hopWindow(r, q.Now)
	if err != nil {
		return kind, err
	}
	return kind, q.hopChartFile(b, address, w, kind)
}
