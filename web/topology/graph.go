package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"time"

	"sonde/internal/measure"
)

// Path is the newest run of one route of one pair.
type Path struct {
	Pair    int64 // the spec; several routes of a pair count once
	Source  string
	Target  string
	Address netip.Addr      // that was measured; may be zero
	Flows   [][]measure.Hop // of the first flow, then of others; hops that stayed silent at the end are left out
	Open    [][]measure.Hop // of flows of which nobody knows how they go on
	Reached bool
}

// Kind says what a node stands for.
type Kind string

// The kinds of nodes.
const (
	Source Kind = "source"
	Router Kind = "router"
	System Kind = "as" // all routers of one AS
	Silent Kind = "silent"
	Target Kind = "target"
)

// Node is one node of the picture.
type Node struct {
	Key      string
	Kind     Kind
	Address  netip.Addr
	Name     string   // host name of the address; of a source its name
	Targets  []string // nodes whose routes end here
	AS       uint32
	ASName   string
	RTT      time.Duration // least that was seen, 0 when none was
	Pairs    int
	Low, Top int // of a silent one: hops it stands for, from and to; 0 when nobody answered behind it

	pairs map[int64]bool
}

// Edge leads from one node to the next.
type Edge struct {
	From, To int // places in Nodes
	Pairs    int
	Arm      bool // only flows other than the first take it
	Unsure   bool // nobody answered behind it: the target lies somewhere there

	pairs map[int64]bool
}

// Graph is what the paths make together.
type Graph struct {
	Nodes []Node
	Edges []Edge
	Pairs int
}

type merger struct {
	Graph
	place map[string]int
	edges map[[2]int]int
	byAS  bool
}

// Merge makes one graph of paths, a node for each address.
func Merge(paths []Path) Graph { return merge(paths, false) }

// ByAS makes one graph of paths, a node for each AS. What is of no known AS is
// merged like silence.
func ByAS(paths []Path) Graph { return merge(paths, true) }

func merge(paths []Path, byAS bool) Graph {
	m := merger{place: map[string]int{}, edges: map[[2]int]int{}, byAS: byAS}
	pairs := map[int64]bool{}
	for _, p := range paths {
		pairs[p.Pair] = true
		for i, flow := range p.Flows {
			m.flow(p, flow, i > 0, false)
		}
		for _, flow := range p.Open {
			m.flow(p, flow, true, true)
		}
	}
	m.Pairs = len(pairs)
	for i := range m.Nodes {
		m.Nodes[i].Pairs = len(m.Nodes[i].pairs)
		sort.Strings(m.Nodes[i].Targets)
	}
	for i := range m.Edges {
		m.Edges[i].Pairs = len(m.Edges[i].pairs)
	}
	return m.Graph
}

// flow enters the nodes and edges of one flow. An open one ends with its last hop that answered.
func (m *merger) flow(p Path, hops []measure.Hop, arm, open bool) {
	at := m.node("source:"+p.Source, Node{Kind: Source, Name: p.Source}, p.Pair)
	silent := 0
	for i, h := range hops {
		if h.Silent() || m.byAS && h.AS == 0 {
			silent++
			continue
		}
		next := m.router(h, p, i == len(hops)-1 && p.Reached && !open)
		m.step(at, next, silent, p.Pair, arm, false)
		at, silent = next, 0
	}
	switch {
	case open:
	case !p.Reached:
		m.step(at, m.target(p), silent, p.Pair, arm, true)
	case silent > 0: // it was reached, and is of no known AS
		m.step(at, m.target(p), silent-1, p.Pair, arm, false)
	}
}

// step leads from one node to the next over so many silent hops, how many is
// not known when it is not sure that the next is there.
func (m *merger) step(at, next, silent int, pair int64, arm, unsure bool) {
	if silent == 0 && !unsure {
		m.edge(at, next, pair, arm, false)
		return
	}
	if unsure {
		silent = 0
	}
	between := m.node(fmt.Sprintf("silent:%s>%s", m.Nodes[at].Key, m.Nodes[next].Key), Node{Kind: Silent, Low: silent, Top: silent}, pair)
	s := &m.Nodes[between]
	s.Low, s.Top = min(s.Low, silent), max(s.Top, silent)
	m.edge(at, between, pair, arm, unsure)
	m.edge(between, next, pair, arm, unsure)
}

// router enters a hop that answered.
func (m *merger) router(h measure.Hop, p Path, last bool) int {
	n := Node{Kind: Router, Address: h.Address, Name: h.Name, AS: h.AS, ASName: h.ASName}
	key := h.Address.String()
	if m.byAS {
		n, key = Node{Kind: System, AS: h.AS, ASName: h.ASName}, fmt.Sprintf("as:%d", h.AS)
	}
	if last && !m.byAS {
		n.Kind = Target
	}
	i := m.node(key, n, p.Pair)
	x := &m.Nodes[i]
	if last {
		if x.Kind == Router {
			x.Kind = Target
		}
		if !slices.Contains(x.Targets, p.Target) {
			x.Targets = append(x.Targets, p.Target)
		}
	}
	if h.RTT > 0 && (x.RTT == 0 || h.RTT < x.RTT) {
		x.RTT = h.RTT
	}
	return i
}

// target enters the target of a path whose end has no node yet.
func (m *merger) target(p Path) int {
	key, n := "target:"+p.Target, Node{Kind: Target, Name: p.Target}
	if p.Address.IsValid() && !m.byAS {
		key, n = p.Address.String(), Node{Kind: Target, Address: p.Address}
	}
	i := m.node(key, n, p.Pair)
	if x := &m.Nodes[i]; !slices.Contains(x.Targets, p.Target) {
		x.Targets = append(x.Targets, p.Target)
		if x.Kind == Router {
			x.Kind = Target
		}
	}
	return i
}

func (m *merger) node(key string, n Node, pair int64) int {
	i, ok := m.place[key]
	if !ok {
		i = len(m.Nodes)
		m.place[key] = i
		n.Key, n.pairs = key, map[int64]bool{}
		m.Nodes = append(m.Nodes, n)
	}
	m.Nodes[i].pairs[pair] = true
	return i
}

func (m *merger) edge(from, to int, pair int64, arm, unsure bool) {
	if from == to {
		return // a router that answers for two hops
	}
	k := [2]int{from, to}
	i, ok := m.edges[k]
	if !ok {
		i = len(m.Edges)
		m.edges[k] = i
		m.Edges = append(m.Edges, Edge{From: from, To: to, Arm: true, Unsure: true, pairs: map[int64]bool{}})
	}
	e := &m.Edges[i]
	e.pairs[pair] = true
	e.Arm = e.Arm && arm
	e.Unsure = e.Unsure && unsure
}
