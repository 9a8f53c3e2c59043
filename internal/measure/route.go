package measure

import (
	"net/netip"
	"time"
)

// Route is what a traceroute saw, with what is known of its hops.
type Route struct {
	Number  int // routeno.route_no, 0 when not known
	Hops    []Hop
	Reached bool
	RTT     time.Duration // to the target, 0 when it was not reached
}

// Hop is one hop of a route; Hops[0] is TTL 1. Only Address comes with every
// route. The rest is zero when it is not known: an AS is looked up after the
// route was stored, and a hop before the first TTL was not asked at all.
type Hop struct {
	Address netip.Addr    // of the first flow; the zero Addr stayed silent
	Arms    []netip.Addr  // all addresses that answered any flow of this run, each once
	AS      uint32        // AS that announces Address
	ASName  string        // its name: GEANT
	Name    string        // host name of Address
	RTT     time.Duration // median of this run
	Labels  string        // MPLS labels as traceroute -e writes them: L=16004,E=0,S=1,T=1
}

// Silent reports whether nobody answered there.
func (h Hop) Silent() bool { return !h.Address.IsValid() }

// RouteChange is one change of the route of one spec, and what came with it on
// the same pair of monitoring host and node, and on others.
type RouteChange struct {
	ToolspecID                 int64
	Monhost, Node, Tool, Label string
	Last                       time.Time // due_at of the last run of the route before
	At                         time.Time // due_at of the first run of the new one
	Before, After              Route
	Effects                    []Effect       // of other tools of the pair, in the order of specs and metrics
	Alerts                     []RelatedAlert // of the pair that began about then, in order
	Sharers                    []Sharer       // other specs whose route had a hop that went or came
}

// Effect is one series of the pair beside a change: the median of its runs
// before and after, of what is in % the mean.
type Effect struct {
	ToolspecID    int64
	Tool, Label   string
	Metric, Unit  string
	Watched       bool // a rule watches the metric
	Before, After float64
	RunsBefore    int // that gave a value; with none there is no number
	RunsAfter     int
}

// RelatedAlert is an alert that began when a route changed.
type RelatedAlert struct {
	ID                   int64
	Tool, Rule, Severity string
	Text                 string
	BeganAt              time.Time
	EndedAt              time.Time // zero: it stands
}

// Sharer is another spec that ran over a hop that a change took away, or runs over one that it brought.
type Sharer struct {
	ToolspecID           int64
	Monhost, Node, Label string
	Address              netip.Addr // the hop
	Gone                 bool       // Address is of the route before
	ChangedAt            time.Time  // first run of another route about then; zero: its route stayed
}
