package analyst

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"sonde/analysis"
	"sonde/internal/alert"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// The state of the detectors is kilobytes a spec, and each sample changes it. It
// is written after this time, another for each spec, or so many samples; a
// restart feeds what came since once more.
const (
	keepAtLeast  = 20 * time.Minute
	keepSpread   = 20 * time.Minute
	keepSamples  = 48
	keepSampleOf = 32 // the limits of samples of specs differ by so many
	statesAtOnce = 250
)

// savedState is detectors.state, packed: JSON of the same took most of the time of
// saving and restoring.
type savedState struct {
	Well  time.Time
	Rules []savedDetector
}

type savedDetector struct {
	Rule     string
	Print    string
	Interval time.Duration
	State    []byte
}

// stateVersion changes when states of the program before cannot be read. Those of
// the detectors have versions of their own.
const stateVersion = 1

func (s *savedState) pack(p *analysis.Packing) {
	p.Version(stateVersion)
	p.Instants(&s.Well)
	const least = 3*4 + 8
	if n := p.Length(len(s.Rules), least); p.Reading() {
		s.Rules = make([]savedDetector, n)
	}
	for i := range s.Rules {
		d := &s.Rules[i]
		p.Text(&d.Rule)
		p.Text(&d.Print)
		p.Counts((*int64)(&d.Interval))
		p.Piece(&d.State)
	}
}

func readState(packed []byte) (savedState, error) {
	var s savedState
	if len(packed) == 0 {
		return s, nil
	}
	p := analysis.Unpack(packed)
	s.pack(p)
	if err := p.Err(); err != nil {
		return savedState{}, err
	}
	return s, nil
}

// missed is one of detectors.missed: a run that was judged as missed. A late
// result may replace its row at any moment, so the row does not tell it again.
type missed struct {
	DueAt  time.Time `json:"due_at"`
	Reason string    `json:"reason,omitempty"`
}

// run is what was fed of it.
func (m missed) run(spec int64, columns int) store.Run {
	r := store.Run{Values: make([]float64, columns)}
	r.ToolspecID, r.DueAt, r.Outcome, r.Reason = spec, m.DueAt.UTC(), measure.Missed, m.Reason
	for i := range r.Values {
		r.Values[i] = math.NaN()
	}
	return r
}

// savedEpisode is what detectors.episodes has of a rule that is not at rest.
type savedEpisode struct {
	Episode alert.Episode `json:"episode"`
	Alert   int64         `json:"alert,omitempty"`
	Opened  time.Time     `json:"opened,omitzero"`
	PartOf  int64         `json:"part_of,omitempty"`
	Hidden  string        `json:"hidden,omitempty"` // why it is not told for itself
	Reason  string        `json:"reason,omitempty"`
	Owed    []owed        `json:"owed,omitempty"`

	why string // the sentence with which it ends, where its detector is none of it any more
}

// save gives what is to be written of a spec: its episodes, and the whole state
// when whole.
func (s *session) save(sp *spec, whole bool) (store.DetectorState, error) {
	fail := func(err error) (store.DetectorState, error) {
		return store.DetectorState{}, fmt.Errorf("state of spec %d: %w", sp.ID, err)
	}
	episodes, not := map[string]savedEpisode{}, map[string]string{}
	for _, w := range sp.watches {
		if w.episode.Phase != alert.Nothing || len(w.episode.Starts) > 0 || w.alert != 0 || w.reason != "" || len(w.owed) > 0 {
			episodes[w.rule.Name] = savedEpisode{Episode: w.episode, Alert: w.alert, Opened: w.opened, PartOf: w.partOf, Hidden: s.hidden[w.alert].why, Reason: w.reason, Owed: w.owed}
		}
		if w.declines {
			not[w.rule.Name] = w.decliner.Declines()
		}
	}
	out := store.DetectorState{ToolspecID: sp.ID, JudgedTo: sp.judgedTo, Read: s.readOf(sp)}
	var err error
	if out.NotJudged, err = json.Marshal(not); err != nil {
		return fail(err)
	}
	if out.Episodes, err = json.Marshal(episodes); err != nil {
		return fail(err)
	}
	out.Missed = json.RawMessage("[]")
	if !whole {
		if len(sp.missed) > 0 {
			if out.Missed, err = json.Marshal(sp.missed); err != nil {
				return fail(err)
			}
		}
		return out, nil
	}
	state, size := savedState{Well: sp.well, Rules: make([]savedDetector, len(sp.watches))}, 64
	for i, w := range sp.watches {
		d, err := w.detector.Save()
		if err != nil {
			return fail(fmt.Errorf("rule %q: %w", w.rule.Name, err))
		}
		state.Rules[i] = savedDetector{w.rule.Name, w.print, w.interval, d}
		size += len(w.rule.Name) + len(w.print) + len(d) + 32
	}
	p := analysis.Pack(size)
	state.pack(p)
	out.State = p.Packed()
	return out, nil
}

// kept notes that the whole state is written.
func (sp *spec) kept(at time.Time) {
	sp.keep, sp.fed, sp.keptAt, sp.missed = false, 0, at, nil
}

// due reports whether it is time to write the whole state.
func (sp *spec) due(now time.Time) bool {
	if sp.fed == 0 {
		return false
	}
	spread := uint64(sp.ID) * 0x9e3779b97f4a7c15 >> 32
	return sp.fed >= keepSamples+int(spread%keepSampleOf) ||
		now.Sub(sp.keptAt) >= keepAtLeast+time.Duration(spread)*keepSpread>>32 || now.Before(sp.keptAt)
}

// unrepeatable reports whether stored rows could not bring back what a run told
// the detectors, nor a note of it: a gap shrinks with each result inside it, and
// what is known of the hops of a route changes with each look-up.
func unrepeatable(r *store.Run) bool {
	return r.Gap || r.Route != nil
}
