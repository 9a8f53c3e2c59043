package route

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sonde/analysis"
	"sonde/internal/measure"
)

// leastRuns is how many routes must have been seen before anything is an alarm,
// however long that takes.
const leastRuns = 10

// Method finds changes of a route.
func Method() analysis.Method {
	return analysis.Method{
		Name:     "route",
		Meaning:  "The route is another one than before, hop by hop: noted. It leaves all that its history knows, by its AS path: an alarm.",
		Outcomes: true,
		Options: []measure.Option{
			{Name: "least", Type: measure.EnumOption, Default: "minor", Values: []string{"minor", "significant", "major"},
				Meaning: "The least change that is noted: minor (any other address), significant (one hop to another network), major (more than one)."},
			{Name: "alarm", Type: measure.EnumOption, Default: "path", Values: []string{"path", "route", "never"},
				Meaning: "What is an alarm: path (the AS path is none of the history's; where no AS is known, a significant change to a new route), route (any significant change to a new route), never."},
			{Name: "learn", Type: measure.DurationOption, Default: "1d", Min: "0s", Max: "90d",
				Meaning: "So long, and for ten routes at least, all that is seen becomes history and nothing is an alarm."},
			{Name: "persist", Type: measure.IntOption, Default: 3, Min: 1, Max: 1000,
				Meaning: "So many runs in a row must be off the history before it is an alarm; an AS is looked up meanwhile."},
			{Name: "adopt", Type: measure.DurationOption, Default: "1d", Min: "1m", Max: "90d",
				Meaning: "A new route that was there for so long, all its stays together, becomes history, and its alarm is over."},
			{Name: "history", Type: measure.DurationOption, Default: "30d", Min: "1h", Max: "400d",
				Meaning: "A route that was not seen for so long is forgotten."},
		},
		New: newDetector,
	}
}

type detector struct {
	least, alarm           string
	learn, adopt, forgetIn time.Duration
	persist                int
	state                  state
}

// state is the previous known route, and what is known beside it. What versions
// before the memory saved is a state that has yet to learn.
type state struct {
	snapshot
	memory  `json:"-"`
	Saved   packed        `json:"memory,omitzero"`      // memory, while it is not in use
	Learn   time.Time     `json:"learn,omitzero"`       // since when it learns, by the clock of the history
	Runs    int           `json:"runs,omitempty"`       // judged since then
	Fed     time.Time     `json:"fed,omitzero"`         // the last run of any end …
	Judged  bool          `json:"was_judged,omitempty"` // … and whether that was judged
	Unseen  time.Duration `json:"unseen,omitempty"`     // by which that clock is behind
	Home    *snapshot     `json:"home,omitempty"`       // the last usual route
	Strange int           `json:"strange,omitempty"`    // runs off the history in a row …
	Since   time.Time     `json:"since,omitzero"`       // … since the first of them
	Told    *snapshot     `json:"told,omitempty"`       // the route of the open alarm
}

// tick takes note of a run and gives its time by the clock of the history. That
// goes on between two runs in a row that were judged only: a run that was missed
// or failed, or met no target, shows of no route that it was there, nor that it was not.
func (s *state) tick(at time.Time, judged bool) time.Time {
	if d := at.Sub(s.Fed); !s.Fed.IsZero() && d > 0 && !(judged && s.Judged) {
		s.Unseen += d
	}
	s.Fed, s.Judged = at, judged
	return at.Add(-s.Unseen)
}

// addresses gives those of the snapshots.
func (s *state) addresses() []netip.Addr {
	all := s.Hops
	for _, other := range []*snapshot{s.Home, s.Told} {
		if other != nil {
			all = slices.Concat(all, other.Hops)
		}
	}
	return all
}

// snapshot is a route as it was seen once. ASes are in the memory.
type snapshot struct {
	At      time.Time    `json:"at,omitzero"` // of the previous route: when it was seen first in a row
	Hops    []netip.Addr `json:"hops,omitempty"`
	Reached bool         `json:"reached,omitempty"`
	Number  int          `json:"number,omitempty"`
	RTTs    []int64      `json:"rtts_us,omitempty"` // of hops
	Labels  []string     `json:"labels,omitempty"`  // of hops, when any has one
	RTT     int64        `json:"rtt_us,omitempty"`  // to the target
}

func newDetector(p measure.Options, saved []byte) (analysis.Detector, error) {
	d := &detector{least: p.Text("least"), alarm: p.Text("alarm"), learn: p.Duration("learn"), adopt: p.Duration("adopt"),
		forgetIn: p.Duration("history"), persist: p.Int("persist")}
	if err := analysis.Load(saved, &d.state); err != nil {
		return nil, err
	}
	s := &d.state
	var err error
	if s.memory, err = s.Saved.unpack(); err != nil {
		return nil, err
	}
	s.Saved = packed{}
	switch {
	case len(s.Hops) > 0 && s.At.IsZero():
		return nil, fmt.Errorf("saved state of a detector: a route seen never")
	case len(s.Routes) > mostRoutes || len(s.Paths) > mostPaths:
		return nil, fmt.Errorf("saved state of a detector: %d routes and %d AS paths, the most are %d and %d", len(s.Routes), len(s.Paths), mostRoutes, mostPaths)
	case s.Runs < 0 || s.Strange < 0:
		return nil, fmt.Errorf("saved state of a detector: less than no runs")
	}
	return d, nil
}

func (d *detector) Save() ([]byte, error) {
	s := d.state
	s.Saved = s.pack(s.addresses())
	return json.Marshal(s)
}

func (d *detector) Tick(time.Time) []measure.Verdict { return nil }

func (d *detector) Feed(s measure.Sample) []measure.Verdict {
	at := s.DueAt.UTC()
	if s.Outcome != measure.OK || s.Route == nil || len(Trim(*s.Route)) == 0 {
		d.state.tick(at, false)
		return nil // nobody answered at all: no route was seen
	}
	now := *s.Route
	now.Hops = slices.Clone(Trim(now))
	for i := range now.Hops {
		now.Hops[i].Address = now.Hops[i].Address.Unmap()
	}
	d.state.remember(now.Hops)
	out := d.note(at, now)
	out = append(out, d.judge(at, now)...)
	d.state.prune(d.state.addresses())
	return out
}

// note compares a route with the previous known one.
func (d *detector) note(at time.Time, now measure.Route) []measure.Verdict {
	st := &d.state
	seen := snap(at, now)
	if len(st.Hops) == 0 {
		st.snapshot = seen
		return nil
	}
	before := d.route(st.snapshot)
	now = d.unrotated(before, now)
	seen = snap(at, now)
	previous := st.snapshot
	class, changes := Compare(before, now)
	if class == MinorSignificant || class == MajorSignificant {
		st.snapshot = seen
	} else {
		st.snapshot = seen.remembering(previous)
		if len(changes) == 0 {
			st.At = previous.At
		}
	}
	var words []string
	switch {
	case d.notes(class):
		if words = Sentences(before, now); len(words) == 0 {
			words = []string{fmt.Sprintf("hop %d changed", changes[0].Hop)}
		}
	case previous.Reached != now.Reached:
		w := writer{before: before, after: now, a: Trim(before), b: now.Hops}
		w.length()
		words = w.out
	default:
		return nil
	}
	return []measure.Verdict{{
		Kind: measure.Note, Severity: measure.Info, At: at, Since: at, Text: few(words, 3),
		Evidence: evidence(class, changes, before, now, previous.At),
	}}
}

// unrotated gives a route with the arms of load-balanced hops as the route
// before had them: which arm a flow takes is no change. The address that is
// kept is the one before, so that the end of the old arm is seen as what it is.
func (d *detector) unrotated(before, now measure.Route) measure.Route {
	k := d.state.memory.route(now.Hops, now.Reached)
	now.Hops = slices.Clone(now.Hops)
	for i := range now.Hops {
		x, y := at(before.Hops, i), now.Hops[i]
		if x.Silent() || y.Silent() || x.Address == y.Address {
			continue
		}
		both := k != nil && i < len(k.Hops) && slices.Contains(k.Hops[i].Is, x.Address) && slices.Contains(k.Hops[i].Is, y.Address)
		if both || slices.Contains(y.Arms, x.Address) {
			now.Hops[i].Address, now.Hops[i].AS, now.Hops[i].ASName = x.Address, x.AS, x.ASName
		}
	}
	return now
}

func (d *detector) notes(c Class) bool {
	switch d.least {
	case "major":
		return c == MajorSignificant
	case "significant":
		return c.Significant()
	}
	return c != None
}

func snap(at time.Time, r measure.Route) snapshot {
	s := snapshot{At: at, Reached: r.Reached, Number: r.Number, RTT: r.RTT.Microseconds(),
		Hops: make([]netip.Addr, len(r.Hops)), RTTs: make([]int64, len(r.Hops))}
	labels, any := make([]string, len(r.Hops)), false
	for i, h := range r.Hops {
		s.Hops[i], s.RTTs[i], labels[i] = h.Address, h.RTT.Microseconds(), h.Labels
		any = any || h.Labels != ""
	}
	if any {
		s.Labels = labels
	}
	return s
}

// route gives a snapshot with all that is known of its hops by now.
func (d *detector) route(s snapshot) measure.Route {
	r := measure.Route{Number: s.Number, Reached: s.Reached, RTT: time.Duration(s.RTT) * time.Microsecond, Hops: make([]measure.Hop, len(s.Hops))}
	for i, a := range s.Hops {
		h := &r.Hops[i]
		h.Address = a
		if i < len(s.RTTs) {
			h.RTT = time.Duration(s.RTTs[i]) * time.Microsecond
		}
		if i < len(s.Labels) {
			h.Labels = s.Labels[i]
		}
	}
	d.state.remember(r.Hops)
	return r
}

// remembering fills hops that are silent now with what they were.
func (s snapshot) remembering(before snapshot) snapshot {
	s.Hops = slices.Clone(s.Hops)
	for i, h := range s.Hops {
		if !h.IsValid() && i < len(before.Hops) {
			s.Hops[i] = before.Hops[i]
		}
	}
	// A route that broke off keeps what was known beyond.
	if !s.Reached && len(before.Hops) > len(s.Hops) {
		s.Hops = append(s.Hops, before.Hops[len(s.Hops):]...)
	}
	return s
}
