package topology

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

type jsonNode struct {
	ID      int      `json:"id"`
	Kind    Kind     `json:"kind"`
	Address string   `json:"address,omitempty"`
	Name    string   `json:"name,omitempty"`
	Targets []string `json:"targets,omitempty"`
	AS      uint32   `json:"as,omitempty"`
	ASName  string   `json:"as_name,omitempty"`
	RTT     *float64 `json:"rtt_min_ms,omitempty"`
	Pairs   int      `json:"pairs"`
	Low     int      `json:"hops_from,omitempty"`
	Top     int      `json:"hops_to,omitempty"`
	Layer   int      `json:"layer"`
	Row     float64  `json:"row"`
}

type jsonEdge struct {
	From   int  `json:"from"`
	To     int  `json:"to"`
	Pairs  int  `json:"pairs"`
	Arm    bool `json:"only_other_flows"`
	Unsure bool `json:"unreached"`
}

// JSON writes nodes and edges as one object.
func (l Layout) JSON(w io.Writer) error {
	out := struct {
		Pairs int        `json:"pairs"`
		Nodes []jsonNode `json:"nodes"`
		Edges []jsonEdge `json:"edges"`
	}{l.Pairs, []jsonNode{}, []jsonEdge{}}
	for i, n := range l.Nodes {
		j := jsonNode{ID: i, Kind: n.Kind, Name: n.Name, Targets: n.Targets, AS: n.AS, ASName: n.ASName, Pairs: n.Pairs, Low: n.Low, Top: n.Top, Layer: int(l.X[i]), Row: l.Y[i]}
		if n.Address.IsValid() {
			j.Address = n.Address.String()
		}
		if n.RTT > 0 {
			ms := float64(n.RTT) / float64(time.Millisecond)
			j.RTT = &ms
		}
		out.Nodes = append(out.Nodes, j)
	}
	for _, e := range l.Edges {
		out.Edges = append(out.Edges, jsonEdge{e.From, e.To, e.Pairs, e.Arm, e.Unsure})
	}
	return json.NewEncoder(w).Encode(out)
}

// CSV writes a row for each edge. plain keeps a spreadsheet from reckoning with a text.
func (l Layout) CSV(w io.Writer, plain func(string) string) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"from_kind", "from", "from_name", "from_as", "to_kind", "to", "to_name", "to_as", "pairs", "only_other_flows", "unreached"}) // the error is kept
	end := func(n Node) []string {
		address, as := "", ""
		if n.Address.IsValid() {
			address = n.Address.String()
		}
		if n.AS != 0 {
			as = fmt.Sprint(n.AS)
		}
		name := n.Name
		if len(n.Targets) > 0 {
			name = strings.Join(n.Targets, " ")
		}
		return []string{string(n.Kind), address, plain(name), as}
	}
	for _, e := range l.Edges {
		_ = out.Write(append(append(end(l.Nodes[e.From]), end(l.Nodes[e.To])...), fmt.Sprint(e.Pairs), fmt.Sprint(e.Arm), fmt.Sprint(e.Unsure)))
	}
	out.Flush()
	return out.Error()
}
