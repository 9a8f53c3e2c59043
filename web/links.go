package web

import (
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// links says where pages lie. "" means: there is no such page, show the text only.
type links interface {
	Style() string
	Overview(page int, q, state string) string
	Node(name, span string) string
	NodeAt(name string, from, until time.Time) string
	NodeSpec(name string, spec int64, span string) string
	Routes(spec int64) string
	RoutesSpan(spec int64, span string) string
	Compare(spec int64, a, b int) string
	// Run is one run, or where its route is described.
	Run(spec int64, at time.Time, number int) string
	// Grid is the grid of a local day, "" for today.
	Grid(day string, p pick, page int) string
	GridData(day string, p pick, kind string) string
	Hop(address netip.Addr, span string) string
	HopChart(address netip.Addr, w window, kind string) string
	Topology(p pick, span string) string
	// TopologyFile is the picture or its numbers: kind is svg, csv or json.
	TopologyFile(p pick, span, kind string) string
	Alerts() string
	Closed(before int64) string
	Alert(id int64) string
	Daemons() string
	Mediums() string
	// Chart is the permanent link of a chart or its numbers: kind is svg, csv or json.
	Chart(spec int64, w window, kind string) string
}

// live are the links of the server.
type live struct{}

func (live) Style() string { return "/style.css" }

func (live) Overview(page int, q, state string) string {
	v := url.Values{}
	if page > 1 {
		v.Set("page", fmt.Sprint(page))
	}
	if q != "" {
		v.Set("q", q)
	}
	if state != "" {
		v.Set("state", state)
	}
	return withQuery("/", v)
}

func withQuery(path string, v url.Values) string {
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}

func nodeURL(name string, v url.Values) string {
	// Browsers resolve these two away, however they are written.
	if name == "." || name == ".." {
		v.Set("name", name)
		return withQuery("/node", v)
	}
	return withQuery("/node/"+url.PathEscape(name), v)
}

func (live) Node(name, span string) string {
	v := url.Values{}
	if span != "" {
		v.Set("range", span)
	}
	return nodeURL(name, v)
}

func (live) NodeAt(name string, from, until time.Time) string {
	return nodeURL(name, absolute(from, until))
}

func (live) NodeSpec(name string, spec int64, span string) string {
	v := url.Values{"spec": {fmt.Sprint(spec)}}
	if span != "" {
		v.Set("range", span)
	}
	return nodeURL(name, v)
}

func absolute(from, until time.Time) url.Values {
	return url.Values{"from": {from.UTC().Format(time.RFC3339)}, "until": {until.UTC().Format(time.RFC3339)}}
}

func (live) Routes(spec int64) string { return fmt.Sprintf("/routes/%d", spec) }
func (live) RoutesSpan(spec int64, span string) string {
	return fmt.Sprintf("/routes/%d?range=%s", spec, url.QueryEscape(span))
}
func (live) Run(spec int64, at time.Time, _ int) string {
	return fmt.Sprintf("/routes/%d?run=%s", spec, at.UTC().Format(time.RFC3339Nano))
}

func (live) Grid(day string, p pick, page int) string {
	v := p.values()
	if day != "" {
		v.Set("day", day)
	}
	if page > 1 {
		v.Set("page", fmt.Sprint(page))
	}
	return withQuery("/routes", v)
}

func (live) GridData(day string, p pick, kind string) string {
	v := p.values()
	v.Set("day", day)
	return withQuery("/routes."+kind, v)
}

func (live) Hop(address netip.Addr, span string) string {
	v := url.Values{}
	if span != "" {
		v.Set("range", span)
	}
	return withQuery("/hop/"+address.String(), v)
}

func (live) HopChart(address netip.Addr, w window, kind string) string {
	return withQuery(fmt.Sprintf("/hopchart/%s.%s", address, kind), absolute(w.From, w.Until))
}

func (live) Topology(p pick, span string) string { return topologyURL("/topology", p, span) }
func (live) TopologyFile(p pick, span, kind string) string {
	return topologyURL("/topology."+kind, p, span)
}

func topologyURL(path string, p pick, span string) string {
	v := p.values()
	if span != "" {
		v.Set("range", span)
	}
	return withQuery(path, v)
}

func (live) Compare(spec int64, a, b int) string {
	return fmt.Sprintf("/routes/%d?a=%d&b=%d", spec, a, b)
}
func (live) Alerts() string             { return "/alerts" }
func (live) Closed(before int64) string { return fmt.Sprintf("/alerts?before=%d", before) }
func (live) Alert(id int64) string      { return fmt.Sprintf("/alert/%d", id) }
func (live) Daemons() string            { return "/daemons" }
func (live) Mediums() string            { return "/mediums" }
func (live) Chart(spec int64, w window, kind string) string {
	v := absolute(w.From, w.Until)
	if w.Alert != 0 {
		v.Set("alert", fmt.Sprint(w.Alert))
	}
	return withQuery(fmt.Sprintf("/chart/%d.%s", spec, kind), v)
}

// files are the links of a report. up leads from the page's folder to the top.
type files struct {
	up   string
	have *inventory
}

// inventory is what a report consists of.
type inventory struct {
	today  string
	node   string // the only one it tells of; "" for all
	nodes  map[string]bool
	specs  map[int64]bool // with a page of routes
	alerts map[int64]bool
	days   map[string]bool // with a grid
	hops   map[netip.Addr]bool
}

func (f files) Style() string { return f.up + "style.css" }

func (f files) Overview(page int, q, state string) string {
	if q != "" || state != "" {
		return ""
	}
	return f.up + overviewFile(page)
}

func overviewFile(page int) string {
	if page > 1 {
		return fmt.Sprintf("index-%d.html", page)
	}
	return "index.html"
}

func (f files) Node(name, span string) string {
	if !f.have.nodes[name] {
		return ""
	}
	return f.up + nodeFile(name, span)
}

func nodeFile(name, span string) string {
	if span == defaultSpan {
		span = ""
	}
	if span != "" {
		span = "-" + span
	}
	return "node/" + safeName(name) + span + ".html"
}

func (f files) NodeAt(string, time.Time, time.Time) string { return "" }

func (f files) NodeSpec(string, int64, string) string { return "" }

func (f files) Routes(spec int64) string {
	if !f.have.specs[spec] {
		return ""
	}
	return f.up + fmt.Sprintf("routes/%d.html", spec)
}

func (f files) RoutesSpan(int64, string) string { return "" }
func (f files) Compare(int64, int, int) string  { return "" }

func (f files) Run(spec int64, _ time.Time, number int) string {
	to := f.Routes(spec)
	if to != "" && number > 0 {
		to += fmt.Sprintf("#route-%d", number)
	}
	return to
}

func (f files) Grid(day string, p pick, page int) string {
	if day == "" {
		day = f.have.today
	}
	if p.narrower(f.have.node) || !f.have.days[day] {
		return ""
	}
	return f.up + gridFile(day, page)
}

func gridFile(day string, page int) string {
	if page > 1 {
		return fmt.Sprintf("grid/%s-%d.html", day, page)
	}
	return "grid/" + day + ".html"
}

func (f files) GridData(day string, _ pick, kind string) string {
	return f.up + "grid/" + day + "." + kind
}

func (f files) Hop(address netip.Addr, span string) string {
	if !f.have.hops[address] || span != "" && span != defaultSpan {
		return ""
	}
	return f.up + hopFile(address)
}

// hopFile names a page by the address; a colon is no letter of file names everywhere.
func hopFile(a netip.Addr) string {
	return "hop/" + strings.ReplaceAll(a.WithZone("").String(), ":", "_") + ".html"
}

func (f files) HopChart(address netip.Addr, _ window, kind string) string {
	return f.up + strings.TrimSuffix(hopFile(address), "html") + kind
}

func (f files) Topology(p pick, span string) string {
	if p.narrower(f.have.node) || span != "" && span != topologySpan {
		return ""
	}
	return f.up + "topology.html"
}
func (f files) TopologyFile(_ pick, _, kind string) string { return f.up + "topology." + kind }

func (f files) Alerts() string      { return f.up + "alerts.html" }
func (f files) Closed(int64) string { return "" }
func (f files) Alert(id int64) string {
	if !f.have.alerts[id] {
		return ""
	}
	return f.up + fmt.Sprintf("alert/%d.html", id)
}
func (f files) Daemons() string { return f.up + "daemons.html" }
func (f files) Mediums() string { return f.up + "mediums.html" }

func (f files) Chart(spec int64, w window, kind string) string {
	return f.up + chartFile(spec, w, kind)
}

// chartFile is named by what the page shows, so that the next report replaces it
// and a folder written every hour does not grow.
func chartFile(spec int64, w window, kind string) string {
	return fmt.Sprintf("chart/%d-%s.%s", spec, w.Span, kind)
}

// safeName makes a file name of a node's name. Names that are no good file names,
// that differ only in capitals, or that could be mistaken for another page, get
// a checksum of the whole name.
func safeName(name string) string {
	var b strings.Builder
	same := true
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '_':
			b.WriteRune(r)
		default:
			same = false
			if r == '-' || r >= 'A' && r <= 'Z' {
				b.WriteRune(r)
			} else {
				b.WriteByte('_')
			}
		}
	}
	s := strings.TrimLeft(b.String(), ".")
	if len(s) > 60 {
		s = s[:60]
	}
	if reserved[strings.ToLower(strings.SplitN(s, ".", 2)[0])] {
		s = "_" + s
	}
	if same && s == name && s != "" {
		return s
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	return s + "_" + hex.EncodeToString(h.Sum(nil))
}

// reserved are names that Windows gives to devices, with any ending.
var reserved = map[string]bool{"con": true, "prn": true, "aux": true, "nul": true, "com1": true, "com2": true, "com3": true, "com4": true,
	"com5": true, "com6": true, "com7": true, "com8": true, "com9": true, "lpt1": true, "lpt2": true, "lpt3": true, "lpt4": true,
	"lpt5": true, "lpt6": true, "lpt7": true, "lpt8": true, "lpt9": true}
