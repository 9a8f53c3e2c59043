package measure

import (
	"net/netip"
	"slices"
	"time"
)

// Route is what a traceroute saw, with what is known of its hops.
type Route struct {
	Number  int           `json:"route_no"` // routeno.route_no, 0 when not known
	Hops    []Hop         `json:"hops"`
	Reached bool          `json:"reached"`
	RTT     time.Duration `json:"rtt_ns"` // to the target, 0 when it was not reached
}

// Hop is one hop of a route; Hops[0] is TTL 1. Only Address comes with every
// route. The rest is zero when it is not known: an AS is looked up after the
// route was stored, and a hop before the first TTL was not asked at all.
type Hop struct {
	Address netip.Addr    `json:"address"`          // of the first flow; the zero Addr stayed silent
	Arms    []netip.Addr  `json:"arms,omitempty"`   // all addresses that answered any flow of this run, each once
	AS      uint32        `json:"as"`               // AS that announces Address
	ASName  string        `json:"as_name"`          // its name: GEANT
	Name    string        `json:"name"`             // host name of Address
	RTT     time.Duration `json:"rtt_ns"`           // median of this run
	Labels  string        `json:"labels,omitempty"` // MPLS labels as traceroute -e writes them: L=16004,E=0,S=1,T=1
}

// Silent reports whether nobody answered there.
func (h Hop) Silent() bool { return !h.Address.IsValid() }

// ByTTL gives a list by hop, which begins at the first TTL that was asked, as one that
// begins at TTL 1: of hops before the first nothing is known.
func ByTTL[T any](first int, list []T) []T {
	if first <= 1 {
		return list
	}
	return append(make([]T, min(first, 255)-1, min(first, 255)-1+len(list)), list...)
}

// Median gives the mean of the two in the middle where there are two, and 0 of none. It
// sorts the list.
func Median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

// RouteChange is one change of the route of one spec, and what came with it on
// the same pair of monitoring host and node, and on others.
type RouteChange struct {
	ToolspecID int64          `json:"toolspec_id"`
	Monhost    string         `json:"monhost"`
	Node       string         `json:"node"`
	Tool       string         `json:"tool"`
	Label      string         `json:"label"`
	Last       time.Time      `json:"last"` // due_at of the last run of the route before
	At         time.Time      `json:"at"`   // due_at of the first run of the new one
	Before     Route          `json:"before"`
	After      Route          `json:"after"`
	Effects    []Effect       `json:"effects"` // of other tools of the pair, in the order of specs and metrics
	Alerts     []RelatedAlert `json:"alerts"`  // of the pair that began about then, in order
	Sharers    []Sharer       `json:"sharers"` // other specs whose route had a hop that went or came
}

// Effect is one series of the pair beside a change: the median of its runs
// before and after, of what is in % the mean.
type Effect struct {
	ToolspecID int64   `json:"toolspec_id"`
	Tool       string  `json:"tool"`
	Label      string  `json:"label"`
	Metric     string  `json:"metric"`
	Unit       string  `json:"unit"`
	Watched    bool    `json:"watched"` // a rule watches the metric
	Before     float64 `json:"before"`
	After      float64 `json:"after"`
	RunsBefore int     `json:"runs_before"` // that gave a value; with none there is no number
	RunsAfter  int     `json:"runs_after"`
}

// RelatedAlert is an alert that began when a route changed.
type RelatedAlert struct {
	ID       int64     `json:"id"`
	Tool     string    `json:"tool"`
	Rule     string    `json:"rule"`
	Severity string    `json:"severity"`
	Text     string    `json:"text"`
	BeganAt  time.Time `json:"began_at"`
	EndedAt  time.Time `json:"ended_at,omitzero"` // zero: it stands
}

// Sharer is another spec that ran over a hop that a change took away, or runs over one that it brought.
type Sharer struct {
	ToolspecID int64      `json:"toolspec_id"`
	Monhost    string     `json:"monhost"`
	Node       string     `json:"node"`
	Label      string     `json:"label"`
	Address    netip.Addr `json:"address"`             // the hop
	Gone       bool       `json:"gone"`                // Address is of the route before
	ChangedAt  time.Time  `json:"changed_at,omitzero"` // first run of another route about then; zero: its route stayed
}
