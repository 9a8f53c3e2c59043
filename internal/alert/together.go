package alert

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Pair is a node as one monitoring host sees it.
type Pair struct{ Monhost, Node string }

// The rules of alerts about what many pairs have in common.
const (
	HopRule  = "shared hop"
	ManyRule = "many nodes"
)

// Shared is an alert of HopRule or ManyRule that stands.
type Shared struct {
	Members []int64 // alerts that are part of it
	Since   time.Time
}

// How near to each other troubles of one cause begin. Each series is measured at
// its own instants, so two of them know their beginning only to an interval each.
const (
	togetherLeast = 5 * time.Minute
	togetherMost  = time.Hour
)

// leastNodes is how many nodes have a hop in common before it is the cause, and
// mostNodes how many a monitoring host must have bad, and more than half of its
// own, before they are one trouble without a hop that explains it.
const (
	leastNodes = 2
	mostNodes  = 3
)

// mostName is how much is told of the number and name of an AS, which come from outside.
const mostName = 24

func together(a, b time.Duration) time.Duration {
	return min(max(togetherLeast, 2*max(a, b)), togetherMost)
}

// trouble of a pair: its open findings that a path may be the cause of.
type badPair struct {
	Pair
	begin    time.Time
	interval time.Duration // the longest of its findings' series
	findings []Finding
	path     []string
}

// roads is what is known of all pairs: which are bad, and which have shown
// something good, and when.
type roads struct {
	w     World
	bad   map[Pair]*badPair
	well  map[Pair]*seen
	over  map[string][]Pair // by hop: who crosses it
	nodes map[string]int    // by monitoring host: how many nodes it measures
}

// seen is when a pair has shown something good last, by cause. An answer says
// nothing of loss and delay: where these are off, or nobody can judge them, they
// are not known to be good. So a pair that is found bad a little later clears no
// hop meanwhile.
type seen struct {
	answer, loss, delay time.Time
	lossOff, delayOff   bool
}

func (s *seen) since(c Cause) time.Time {
	switch {
	case c == Loss && !s.lossOff:
		return s.loss
	case c == Delay && !s.delayOff:
		return s.delay
	case c == Loss || c == Delay:
		return time.Time{}
	}
	return s.answer
}

func (s *seen) add(spec Spec) {
	s.answer = later(s.answer, spec.Well)
	if spec.Loss == AsUsual {
		s.loss = later(s.loss, spec.Well)
	}
	if spec.Delay == AsUsual {
		s.delay = later(s.delay, spec.Well)
	}
	s.lossOff, s.delayOff = s.lossOff || spec.Loss == Off, s.delayOff || spec.Delay == Off
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// survey looks at all pairs; findings that are hidden make a pair bad all the
// same, but are nobody's to explain again.
func (g *Grouping) survey(w World) roads {
	r := roads{w: w, bad: map[Pair]*badPair{}, well: map[Pair]*seen{}, over: map[string][]Pair{}, nodes: map[string]int{}}
	for _, s := range w.Specs {
		p := Pair{s.Monhost, s.Node}
		if r.well[p] == nil {
			r.well[p] = &seen{}
			r.nodes[s.Monhost]++
		}
		r.well[p].add(s)
	}
	for _, f := range w.Findings {
		if !f.Cause.OfPath() {
			continue
		}
		p := Pair{f.Monhost, f.Node}
		b := r.bad[p]
		if b == nil {
			b = &badPair{Pair: p, path: w.Paths[p]}
			r.bad[p] = b
		}
		if _, hidden := g.Hidden[f.ID]; hidden {
			continue
		}
		if b.begin.IsZero() || f.Since.Before(b.begin) {
			b.begin = f.Since
		}
		b.interval = max(b.interval, f.Interval)
		b.findings = append(b.findings, f)
	}
	for p, hops := range w.Paths {
		for _, hop := range hops {
			r.over[hop] = append(r.over[hop], p)
		}
	}
	return r
}

// OfPath reports whether what lies on the way may cause it.
func (c Cause) OfPath() bool { return c == NoAnswer || c == Loss || c == Delay }

// wellSince reports whether a pair has shown after an instant that none of these
// causes is there, and nothing bad stands.
func (r roads) wellSince(p Pair, at time.Time, causes []Cause) bool {
	s := r.well[p]
	return s != nil && r.bad[p] == nil && !slices.ContainsFunc(causes, func(c Cause) bool { return !s.since(c).After(at) })
}

// spared reports whether a pair that crosses a hop is well since.
func (r roads) spared(hop string, since time.Time, causes []Cause) bool {
	return slices.ContainsFunc(r.over[hop], func(p Pair) bool { return r.wellSince(p, since, causes) })
}

// causesOf gives what is found at bad pairs.
func causesOf(members []*badPair) []Cause {
	var out []Cause
	for _, b := range members {
		for _, f := range b.findings {
			if !slices.Contains(out, f.Cause) {
				out = append(out, f.Cause)
			}
		}
	}
	return out
}

// shared finds what bad pairs have in common that began together: a hop that
// they cross and no pair crosses that is well, or else their monitoring host. It
// takes the hop most of them cross, the nearest of several, and looks again at
// the rest.
func (g *Grouping) shared(r roads) {
	w := r.w
	var rest []*badPair
	for _, b := range r.bad {
		if len(b.findings) > 0 {
			rest = append(rest, b)
		}
	}
	slices.SortFunc(rest, func(a, b *badPair) int {
		return cmp.Or(a.begin.Compare(b.begin), cmp.Compare(a.Monhost, b.Monhost), cmp.Compare(a.Node, b.Node))
	})
	// What stands takes those who come later.
	for _, key := range sortedKeys(w.Shared) {
		rule, hop, _ := strings.Cut(key, "/")
		if rule != HopRule {
			continue
		}
		since := w.Shared[key].Since
		members := within(rest, func(b *badPair) bool {
			return slices.Contains(b.path, hop) && !b.begin.Before(since.Add(-together(b.interval, 0)))
		})
		if len(members) > 0 && countNodes(members) >= leastNodes && !r.spared(hop, latest(members), causesOf(members)) {
			g.oneHop(r, hop, members)
			rest = without(rest, members)
		}
	}
	for len(rest) > 0 {
		seed := rest[0]
		cluster := within(rest, func(b *badPair) bool { return b.begin.Sub(seed.begin) <= together(seed.interval, b.interval) })
		if hop, members := r.hopOf(cluster); hop != "" {
			if r.more(hop, members) {
				g.await(w, members)
			} else {
				g.oneHop(r, hop, members)
			}
			rest = without(rest, members)
			continue
		}
		own := within(cluster, func(b *badPair) bool { return b.Monhost == seed.Monhost })
		if n := countNodes(own); n >= mostNodes && 2*n > r.nodes[seed.Monhost] {
			g.many(r, seed.Monhost, own)
			rest = without(rest, own)
			continue
		}
		rest = rest[1:]
	}
	// Members of what stands stay hidden until it is closed, since they recover one after the other.
	for _, key := range sortedKeys(w.Shared) {
		for _, id := range w.Shared[key].Members {
			if i := slices.IndexFunc(w.Findings, func(f Finding) bool { return f.ID == id }); i >= 0 {
				g.hide(w.Findings[i], sharedHiding(key))
			}
		}
	}
}

// hopOf gives the hop that most pairs of a cluster cross and none that is well,
// and those who cross it; "" when no hop tells them from the others.
func (r roads) hopOf(cluster []*badPair) (string, []*badPair) {
	type tally struct {
		nodes    map[string]bool
		position int
		since    time.Time // the first of them: who was well when it was bad speaks for the hop
	}
	tallies := map[string]*tally{}
	for _, b := range cluster {
		for i, hop := range b.path {
			t := tallies[hop]
			if t == nil {
				t = &tally{nodes: map[string]bool{}, since: b.begin}
				tallies[hop] = t
			}
			t.nodes[b.Node] = true
			t.position += i
			if b.begin.Before(t.since) {
				t.since = b.begin
			}
		}
	}
	over := func(hop string) []*badPair {
		return within(cluster, func(b *badPair) bool { return slices.Contains(b.path, hop) })
	}
	since, best := latest(cluster), ""
	for _, hop := range sortedKeys(tallies) {
		t := tallies[hop]
		if len(t.nodes) < leastNodes || r.spared(hop, t.since, causesOf(over(hop))) {
			continue
		}
		if best == "" || len(t.nodes) > len(tallies[best].nodes) || len(t.nodes) == len(tallies[best].nodes) && t.position < tallies[best].position {
			best = hop
		}
	}
	if best == "" {
		return "", nil
	}
	members := over(best)
	causes := causesOf(members)
	// Where nothing from these hosts is well, the hop explains no more than the host does.
	for _, b := range members {
		for p, hops := range r.w.Paths {
			if p.Monhost == b.Monhost && len(hops) > 0 && r.wellSince(p, since, causes) {
				return best, members
			}
		}
	}
	return "", nil
}

// more reports whether the message of a hop would soon be of more: nothing is known
// yet of other nodes behind it, and its first finding is young.
func (r roads) more(hop string, members []*badPair) bool {
	since, causes := latest(members), causesOf(members)
	for _, b := range members {
		if slices.ContainsFunc(b.findings, func(f Finding) bool { return f.Told || r.w.At.Sub(f.Raised) >= r.w.Wait }) {
			return false
		}
	}
	return slices.ContainsFunc(r.over[hop], func(p Pair) bool { return r.bad[p] == nil && !r.wellSince(p, since, causes) })
}

// await holds findings back to see whether others behind their hop are concerned.
func (g *Grouping) await(w World, members []*badPair) {
	for _, b := range members {
		for _, f := range b.findings {
			g.hide(f, Hiding{Why: fmt.Sprintf("waits up to %s to see whether other nodes behind the same hop are concerned", short(w.Wait))})
		}
	}
}

func (g *Grouping) oneHop(r roads, hop string, members []*badPair) {
	t := troubleOf(HopRule, hop, members)
	from := hostsOf(members)
	if len(from) == 1 {
		t.Monhost = from[0]
	}
	// The message begins with the hop, and must name the nodes where it is cut.
	t.Text = fmt.Sprintf("%s: %s; all behind it", some(t.Nodes, 3), kinds(members))
	if as := []rune(r.w.Names[hop]); len(as) > 0 {
		t.Text += " (" + strings.TrimSpace(string(as[:min(len(as), mostName)])) + ")"
	}
	if len(from) > 1 {
		t.Text += ", seen from " + some(from, 3)
	}
	g.tellOf(t, members)
}

func (g *Grouping) many(r roads, host string, members []*badPair) {
	t := troubleOf(ManyRule, host, members)
	t.Monhost = host
	t.Text = fmt.Sprintf("%s: %s; %d of the %d nodes that it measures, together: its own line or load may be the cause",
		some(t.Nodes, 3), kinds(members), len(t.Nodes), r.nodes[host])
	g.tellOf(t, members)
}

func (g *Grouping) tellOf(t Trouble, members []*badPair) {
	g.Troubles = append(g.Troubles, t)
	for _, b := range members {
		for _, f := range b.findings {
			g.hide(f, sharedHiding(StandingKey(t.Rule, t.Subject)))
		}
	}
}

func sharedHiding(key string) Hiding {
	rule, subject, _ := strings.Cut(key, "/")
	why := "it began with those of other nodes behind " + subject
	if rule == ManyRule {
		why = "it began with those of most nodes that " + subject + " measures"
	}
	return Hiding{Rule: rule, Subject: subject, Why: why}
}

// waitsForHop reports whether a hop on the way of f may turn out to be the cause:
// one that another node is reached over, of which nothing is known since, and none that is well.
func (r roads) waitsForHop(f Finding) bool {
	if !f.Cause.OfPath() {
		return false
	}
	own := Pair{f.Monhost, f.Node}
	return slices.ContainsFunc(r.w.Paths[own], func(hop string) bool {
		others := false
		for _, p := range r.over[hop] {
			if r.wellSince(p, f.Since, []Cause{f.Cause}) {
				return false
			}
			others = others || p.Node != f.Node && r.bad[p] == nil
		}
		return others
	})
}

// troubleOf sums up bad pairs.
func troubleOf(rule, subject string, members []*badPair) Trouble {
	var findings []Finding
	for _, b := range members {
		findings = append(findings, b.findings...)
	}
	slices.SortFunc(findings, func(a, b Finding) int { return cmp.Compare(a.ID, b.ID) })
	t := trouble(rule, "", findings)
	t.Subject = subject
	return t
}

// kinds names what is found at them, the cause first: "no answer and loss".
func kinds(members []*badPair) string {
	var all []Finding
	for _, b := range members {
		all = append(all, b.findings...)
	}
	slices.SortStableFunc(all, causeFirst)
	var names []string
	for _, f := range all {
		if !slices.Contains(names, f.Rule) {
			names = append(names, f.Rule)
		}
	}
	return strings.Join(names[:min(len(names), 3)], ", ")
}

func hostsOf(members []*badPair) []string {
	var out []string
	for _, b := range members {
		if !slices.Contains(out, b.Monhost) {
			out = append(out, b.Monhost)
		}
	}
	slices.Sort(out)
	return out
}

func countNodes(members []*badPair) int {
	nodes := map[string]bool{}
	for _, b := range members {
		nodes[b.Node] = true
	}
	return len(nodes)
}

func latest(members []*badPair) time.Time {
	var at time.Time
	for _, b := range members {
		if b.begin.After(at) {
			at = b.begin
		}
	}
	return at
}

func within(list []*badPair, keep func(*badPair) bool) []*badPair {
	var out []*badPair
	for _, b := range list {
		if keep(b) {
			out = append(out, b)
		}
	}
	return out
}

func without(list, gone []*badPair) []*badPair {
	drop := make(map[*badPair]bool, len(gone))
	for _, b := range gone {
		drop[b] = true
	}
	return within(list, func(b *badPair) bool { return !drop[b] })
}

// some names at most n of a list.
func some(list []string, n int) string {
	if len(list) <= n {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:n], ", "), len(list)-n)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
