package web

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"sonde/internal/store"
)

// nodesPerPage bounds a page of the overview.
const nodesPerPage = 200

// nodeRow is one node of the overview.
type nodeRow struct {
	store.PageNode
	State  state
	Says   string // what is worst
	Delay  *float64
	Loss   *float64
	Unit   string
	Last   time.Time // newest run of any of its specs
	Specs  int
	Alerts []store.PageAlert
}

type stateCount struct {
	State state
	N     int
}

type overviewView struct {
	base
	Rows       []nodeRow
	Counts     []stateCount
	All        int // nodes that fit the question
	Page       int
	Prev, Next string
	Q, Only    string
	Platform   []store.PageAlert // open alerts of no node
	Open       int
	Pages      int
}

// specView is a spec with its state, its open alerts counted in.
type specView struct {
	store.PageSpec
	State    state
	Says     string
	Interval time.Duration
}

// Timing says how often it runs.
func (s specView) Timing() string {
	if s.RunAt != "" {
		return s.RunAt + " " + s.TimeZone
	}
	return "every " + ago(s.RunInterval)
}

// Name tells it apart from other specs of the node.
func (s specView) Name() string {
	if s.Label != "" {
		return s.Tool + " " + s.Label
	}
	return s.Tool
}

func specViews(specs []store.PageSpec, alerts []store.PageAlert, now time.Time) []specView {
	worst := map[int64]store.PageAlert{}
	for _, a := range alerts {
		if w, ok := worst[a.ToolspecID]; a.ClosedAt == nil && (!ok || stateOfAlert(a) < stateOfAlert(w)) {
			worst[a.ToolspecID] = a
		}
	}
	out := make([]specView, len(specs))
	for i, s := range specs {
		v := specView{PageSpec: s, Interval: interval(s, now)}
		v.State, v.Says = judge(s, now)
		if a, ok := worst[s.ID]; ok && stateOfAlert(a) < v.State {
			v.State, v.Says = stateOfAlert(a), a.Text
		}
		out[i] = v
	}
	return out
}

// nodeRows judges all nodes, the worst first.
func nodeRows(nodes []store.PageNode, specs []specView, alerts []store.PageAlert) []nodeRow {
	place := make(map[string]int, len(nodes))
	rows := make([]nodeRow, len(nodes))
	for i, n := range nodes {
		place[n.Name] = i
		rows[i] = nodeRow{PageNode: n, State: off, Says: "nothing is measured"}
		if !n.Enabled {
			rows[i].Says = "switched off"
		}
	}
	for _, s := range specs {
		i, ok := place[s.Node]
		if !ok {
			continue
		}
		r := &rows[i]
		if s.State < r.State || r.Specs == 0 {
			r.State, r.Says = s.State, s.Says
			if s.State != fine {
				r.Says = s.Name() + ": " + s.Says
			}
		}
		r.Specs++
		if s.Last.DueAt.After(r.Last) {
			r.Last = s.Last.DueAt
		}
		// An old number would look like one of now.
		if r.Delay == nil && s.Last.Loss != nil && s.State != stale && s.State != off {
			r.Delay, r.Loss, r.Unit = s.Last.Value, s.Last.Loss, "ms"
		}
	}
	for _, a := range alerts {
		i, ok := place[a.Node]
		if !ok || a.Node == "" || a.ClosedAt != nil {
			continue
		}
		r := &rows[i]
		r.Alerts = append(r.Alerts, a)
		if s := stateOfAlert(a); s < r.State && r.Enabled {
			r.State, r.Says = s, a.Text
		}
	}
	sort.SliceStable(rows, func(i, j int) bool { return rows[i].State < rows[j].State })
	return rows
}

// overview makes one page of it.
func (q request) overview(page int, search, only string) (overviewView, error) {
	v := overviewView{base: q.titled("Overview", "overview"), Page: page, Q: search, Only: only}
	v.Refresh = 60
	nodes, err := q.r.Nodes(q.ctx)
	if err != nil {
		return v, err
	}
	specs, err := q.r.Specs(q.ctx, "")
	if err != nil {
		return v, err
	}
	alerts, err := q.r.OpenAlerts(q.ctx)
	if err != nil {
		return v, err
	}
	v.Open = len(alerts)
	for _, a := range alerts {
		if a.Node == "" {
			v.Platform = append(v.Platform, a)
		}
	}
	if len(v.Platform) > 20 {
		v.Platform = v.Platform[:20]
	}
	return v, v.fill(nodeRows(nodes, specViews(specs, alerts, q.Now), alerts))
}

// fill counts, narrows and cuts the rows.
func (v *overviewView) fill(rows []nodeRow) error {
	var counts [states]int
	kept := rows[:0:0]
	search := strings.ToLower(v.Q)
	for _, r := range rows {
		if search != "" && !strings.Contains(strings.ToLower(r.Name+"\n"+r.Address+"\n"+r.Site+"\n"+strings.Join(r.Labels, "\n")), search) {
			continue
		}
		counts[r.State]++
		if v.Only == "" || r.State.Word() == v.Only {
			kept = append(kept, r)
		}
	}
	for s, n := range counts {
		if n > 0 {
			v.Counts = append(v.Counts, stateCount{state(s), n})
		}
	}
	v.All = len(kept)
	v.Pages = max(1, (v.All+nodesPerPage-1)/nodesPerPage)
	if v.Page > v.Pages {
		return badRequest{fmt.Sprintf("there are %d pages, not %d", v.Pages, v.Page)}
	}
	if v.Page > 1 {
		v.Prev = v.L.Overview(v.Page-1, v.Q, v.Only)
	}
	if v.Page < v.Pages {
		v.Next = v.L.Overview(v.Page+1, v.Q, v.Only)
	}
	v.Rows = kept[(v.Page-1)*nodesPerPage : min(v.Page*nodesPerPage, v.All)]
	return nil
}
