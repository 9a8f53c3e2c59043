package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sort"

	"sonde/internal/store"
)

// pick says which of the specs that find routes are meant; what is "" narrows nothing.
type pick struct {
	Monhost, Node string
	Label         string // of the node
}

// pickNames are the parameters of a pick.
var pickNames = []string{"monhost", "node", "label"}

func pickOf(r *http.Request) (pick, error) {
	p := pick{r.FormValue("monhost"), r.FormValue("node"), r.FormValue("label")}
	for _, name := range []string{p.Monhost, p.Node, p.Label} {
		if name == "" {
			continue
		}
		if err := nameOK(name); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p pick) values() url.Values {
	v := url.Values{}
	for i, value := range []string{p.Monhost, p.Node, p.Label} {
		if value != "" {
			v.Set(pickNames[i], value)
		}
	}
	return v
}

// narrower reports whether it leaves out some of the specs of a node, or of all nodes for "".
func (p pick) narrower(node string) bool {
	return p.Monhost != "" || p.Label != "" || p.Node != "" && p.Node != node
}

// Any reports whether anything is left out.
func (p pick) Any() bool { return p.narrower("") }

// routeSpecs are specs that find routes, by monitoring host and node.
type routeSpecs struct {
	list     []store.PageSpec
	monhosts []string // of all such specs, picked or not
}

func (q request) routeSpecs(p pick) (routeSpecs, error) {
	var out routeSpecs
	all, err := q.r.RouteSpecs(q.ctx)
	if err != nil {
		return out, err
	}
	labelled := map[string]bool{}
	if p.Label != "" {
		nodes, err := q.r.Nodes(q.ctx)
		if err != nil {
			return out, err
		}
		for _, n := range nodes {
			labelled[n.Name] = slices.Contains(n.Labels, p.Label)
		}
	}
	for _, s := range all {
		if !slices.Contains(out.monhosts, s.Monhost) {
			out.monhosts = append(out.monhosts, s.Monhost)
		}
		if (p.Monhost == "" || s.Monhost == p.Monhost) && (p.Node == "" || s.Node == p.Node) && (p.Label == "" || labelled[s.Node]) {
			out.list = append(out.list, s)
		}
	}
	if p.Any() && len(out.list) == 0 && !q.Static {
		return out, fmt.Errorf("spec that finds routes for this question: %w", store.ErrNone)
	}
	sort.Strings(out.monhosts)
	sort.SliceStable(out.list, func(i, j int) bool { return out.list[i].Monhost < out.list[j].Monhost })
	return out, nil
}
