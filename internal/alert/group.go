package alert

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sonde/internal/measure"
)

// Cause is what a finding is about, as far as grouping goes.
type Cause string

// The causes. The first three mean that nothing good is known of the target.
const (
	NoAnswer      Cause = "no-answer"
	CannotMeasure Cause = "cannot-measure"
	NoData        Cause = "no-data"
	RouteLeft     Cause = "route"
	Loss          Cause = "loss"
	Delay         Cause = "delay"
	Other         Cause = ""
)

func (c Cause) outage() bool { return c == NoAnswer || c == CannotMeasure || c == NoData }

// Finding is one open episode of one spec.
type Finding struct {
	ID       int64 // of the alert
	Spec     int64
	Monhost  string
	Node     string
	Rule     string
	Cause    Cause
	Reason   string // of the last run: "overload"; of a route: the turn it took
	Severity measure.Severity
	Since    time.Time // when it began
	Raised   time.Time
	Interval time.Duration // of its series
	Told     bool          // people have heard of it
	PartOf   int64         // the alert that hid it when last looked at
}

// Spec is one enabled spec of a monitoring host.
type Spec struct {
	ID      int64
	Monhost string
	Node    string
	Well    time.Time // due_at of the last run that got an answer

	Loss, Delay Judged // what the detectors of these causes say of it
}

// Judged is what the detectors of one cause say of the last run of a spec.
type Judged int

// In the order in which they count where a pair has several.
const (
	Unjudged Judged = iota // none has learnt enough to say
	AsUsual
	Off // not as usual, though it may be too little, or too short, to be found
)

// And joins what two detectors say.
func (j Judged) And(other Judged) Judged { return max(j, other) }

// The rules of alerts that stand for many.
const (
	HostRule     = "monitoring host"
	OverloadRule = "overload"
)

// Trouble is one trouble that stands for many findings, now.
type Trouble struct {
	Rule     string // HostRule, OverloadRule, HopRule or ManyRule
	Subject  string // the monitoring host, or the address of the hop
	Monhost  string // "" for a hop that several see
	Severity measure.Severity
	Since    time.Time
	Text     string
	Members  []int64 // alert ids, in order
	Nodes    []string
}

// Grouping is what Group found.
type Grouping struct {
	Troubles []Trouble
	Hidden   map[int64]Hiding // by alert id
}

// Hiding says why a finding is not told for itself.
type Hiding struct {
	By      int64  // the alert that hides it, 0 for a Trouble or for waiting
	Rule    string // of the Trouble that hides it, empty otherwise
	Subject string // of that Trouble
	Member  bool   // the alert that hides it says so in its text
	Why     string
}

// World is all that Group looks at.
type World struct {
	At       time.Time
	Findings []Finding
	Specs    []Spec               // enabled ones of all hosts
	Parents  map[string]string    // node to parent
	Standing map[string]bool      // by StandingKey: HostRule and OverloadRule alerts that are open
	Shared   map[string]Shared    // by StandingKey: HopRule and ManyRule alerts that are open
	Paths    map[Pair][]string    // routers on the way, the nearest first, as last seen when the target was reached
	Names    map[string]string    // what is known of routers, for words
	Ended    map[int64]time.Time  // alerts that hid others, and when they ended
	Silent   map[string]time.Time // monitoring hosts that report nothing, and since when
	Turns    map[string]Turn      // as NextTurns gives them
	Wait     time.Duration        // how long a finding waits to see whether others are concerned
	Linger   time.Duration        // how long an alert that ended keeps hiding what was part of it
}

// StandingKey names a Trouble in World.Standing and World.Shared.
func StandingKey(rule, subject string) string { return rule + "/" + subject }

// Overloaded reports whether a missed run tells of a host that has too much to do.
func Overloaded(reason string) bool { return strings.Contains(reason, measure.Overload) }

// Group says which open findings are one trouble, which wait for others, and
// which may speak for themselves (those not in Hidden).
//
//	overload     missed runs for want of room: one trouble of the host, however many specs
//	host         it reports nothing, or every spec of it is bad or has shown nothing good since, on two nodes at least
//	parent       a node between the host and this one does not answer
//	same spec    loss while there is no answer at all
//	lingering    what hid it has just ended
//	shared hop   pairs that began together, all over one hop that no pair crosses which is well
//	many nodes   most nodes of the host began together, and no hop explains it
//	same node    what began together at one node: the cause speaks
//	same turn    routes of the host that left their history at one place for one AS: the first speaks
//	waiting      the others of the host, or those behind the same hop, have shown nothing good since: wait a little
//
// A Trouble that stands keeps hiding while its alert stands, so that its members,
// which recover one after the other, are not told one by one. When it is over,
// or was never so, they speak for themselves.
func Group(w World) Grouping {
	g := Grouping{Hidden: map[int64]Hiding{}}
	byHost := map[string][]Finding{}
	specs := map[string][]Spec{}
	for _, s := range w.Specs {
		specs[s.Monhost] = append(specs[s.Monhost], s)
	}
	var hosts []string
	for host := range w.Silent {
		byHost[host] = nil
		hosts = append(hosts, host)
	}
	for _, f := range w.Findings {
		if _, known := byHost[f.Monhost]; !known {
			hosts = append(hosts, f.Monhost)
		}
		byHost[f.Monhost] = append(byHost[f.Monhost], f)
	}
	slices.Sort(hosts)
	for _, host := range hosts {
		findings := byHost[host]
		slices.SortFunc(findings, func(a, b Finding) int { return int(a.ID - b.ID) })
		g.overload(w, host, findings)
		g.host(w, host, findings, specs[host])
		g.parents(w, findings)
		g.sameSpec(findings)
	}
	if len(w.Findings) == 0 {
		return g // as on most days
	}
	g.lingering(w)
	r := g.survey(w)
	g.shared(r)
	g.sameNode(w)
	for _, host := range hosts {
		g.sameTurn(w, byHost[host])
		g.waiting(r, byHost[host], specs[host])
	}
	g.flatten()
	return g
}

func (g *Grouping) hide(f Finding, h Hiding) {
	if _, already := g.Hidden[f.ID]; !already {
		g.Hidden[f.ID] = h
	}
}

func (g *Grouping) overload(w World, host string, findings []Finding) {
	var members []Finding
	for _, f := range findings {
		if f.Cause == NoData && Overloaded(f.Reason) {
			members = append(members, f)
		}
	}
	if len(members) > 0 {
		t := trouble(OverloadRule, host, members)
		t.Text = fmt.Sprintf("monitoring host %s is overloaded: %s not measured, %s", host, count(len(specsOf(members)), "spec is", "specs are"), members[len(members)-1].Reason)
		g.Troubles = append(g.Troubles, t)
	}
	if len(members) > 0 || w.Standing[StandingKey(OverloadRule, host)] {
		for _, f := range members {
			g.hide(f, Hiding{Rule: OverloadRule, Subject: host, Why: "part of the overload of monitoring host " + host})
		}
	}
}

func (g *Grouping) host(w World, host string, findings []Finding, specs []Spec) {
	var members []Finding
	bad, nodes := map[int64]bool{}, map[string]bool{}
	var first time.Time
	for _, f := range findings {
		if !f.Cause.outage() {
			continue
		}
		members = append(members, f)
		bad[f.Spec] = true
		nodes[f.Node] = true
		if first.IsZero() || f.Since.Before(first) {
			first = f.Since
		}
	}
	all := len(nodes) >= 2 && len(bad)*2 >= len(specs)
	for _, s := range specs {
		if !bad[s.ID] && !s.Well.Before(first) {
			all = false // something good came from this host meanwhile
		}
	}
	since, silent := w.Silent[host]
	if silent {
		all = true
		t := trouble(HostRule, host, members)
		t.Severity = measure.Critical
		if t.Since.IsZero() || since.Before(t.Since) {
			t.Since = since
		}
		t.Text = fmt.Sprintf("monitoring host %s has not reported since %s", host, since.UTC().Format("15:04 UTC"))
		g.Troubles = append(g.Troubles, t)
	} else if all {
		t := trouble(HostRule, host, members)
		t.Text = fmt.Sprintf("nothing can be measured from monitoring host %s: %s to %s, the first: %s %s", host,
			count(len(bad), "spec", "specs"), count(len(nodes), "node", "nodes"), members[0].Node, members[0].Rule)
		g.Troubles = append(g.Troubles, t)
	}
	if all || w.Standing[StandingKey(HostRule, host)] {
		for _, f := range members {
			g.hide(f, Hiding{Rule: HostRule, Subject: host, Why: "all of monitoring host " + host + " is concerned"})
		}
	}
}

func (g *Grouping) parents(w World, findings []Finding) {
	down := map[string]Finding{}
	for _, f := range findings {
		if f.Cause == NoAnswer {
			if _, known := down[f.Node]; !known {
				down[f.Node] = f
			}
		}
	}
	for _, f := range findings {
		node := f.Node
		for steps := 0; steps < 100; steps++ { // a circle of parents is refused by the database; be sure all the same
			if node = w.Parents[node]; node == "" || node == f.Node {
				break
			}
			if by, ok := down[node]; ok {
				g.hide(f, Hiding{By: by.ID, Member: true, Why: fmt.Sprintf("%s, through which it is reached, does not answer", node)})
				break
			}
		}
	}
}

func (g *Grouping) sameSpec(findings []Finding) {
	silent := map[int64]int64{}
	for _, f := range findings {
		if f.Cause == NoAnswer {
			silent[f.Spec] = f.ID
		}
	}
	for _, f := range findings {
		if by := silent[f.Spec]; !f.Cause.outage() && by != 0 {
			g.hide(f, Hiding{By: by, Member: true, Why: "there is no answer at all"})
		}
	}
}

// waiting holds back a finding as long as its host may be the cause: as long as
// no spec to another node has shown anything good since; or a hop on its way.
func (g *Grouping) waiting(r roads, findings []Finding, specs []Spec) {
	w := r.w
	for _, f := range findings {
		if w.At.Sub(f.Raised) >= w.Wait {
			continue
		}
		if r.waitsForHop(f) {
			g.hide(f, Hiding{Why: fmt.Sprintf("waits up to %s to see whether other nodes behind the same hop are concerned", short(w.Wait))})
		}
		if !f.Cause.outage() {
			continue
		}
		others, well := false, false
		for _, s := range specs {
			if s.Node != f.Node {
				others = true
				well = well || s.Well.After(f.Since)
			}
		}
		if others && !well {
			g.hide(f, Hiding{Why: fmt.Sprintf("waits up to %s to see whether all of monitoring host %s is concerned", short(w.Wait), f.Monhost)})
		}
	}
}

func trouble(rule, host string, members []Finding) Trouble {
	t := Trouble{Rule: rule, Subject: host, Monhost: host, Severity: measure.Info}
	for _, f := range members {
		t.Severity = Graver(t.Severity, f.Severity)
		if t.Since.IsZero() || f.Since.Before(t.Since) {
			t.Since = f.Since
		}
		t.Members = append(t.Members, f.ID)
		if !slices.Contains(t.Nodes, f.Node) {
			t.Nodes = append(t.Nodes, f.Node)
		}
	}
	return t
}

func specsOf(findings []Finding) map[int64]bool {
	out := map[int64]bool{}
	for _, f := range findings {
		out[f.Spec] = true
	}
	return out
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
