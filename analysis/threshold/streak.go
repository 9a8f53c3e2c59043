package threshold

import (
	"fmt"
	"time"

	"sonde/analysis"
	"sonde/internal/measure"
)

// effect is what one run does to a counter of runs in a row.
type effect int

const (
	leaves effect = iota
	counts
	ends
)

// streak counts runs of one kind in a row. The three methods that count so
// differ in kind. What a run touches that ends what has not begun, as nearly all
// do, stands first and together.
type streak struct {
	kind  *streakKind
	full  float64 // from what loss on a run is silent
	state streakState

	// silence is how long nothing may come before a tick counts as N runs
	// missed; 0 means that ticks say nothing.
	silence     time.Duration
	runs, clear int
}

// streakKind is what a method counts, and its words.
type streakKind struct {
	effect func(d *streak, s measure.Sample) effect
	bad    func(state streakState) string // the sentence
	good   string
}

type streakState struct {
	Count  int       // in a row, while good and while bad
	Bad    bool      // there were enough of them
	Heard  time.Time // when anything came last
	Since  time.Time // the first of those that count
	Reason string    // of the last of them
	Ended  int       // ending runs in a row since it was bad
	Well   time.Time // the first of those
}

func (d *streak) load(saved []byte) error {
	if len(saved) == 0 {
		return nil // a fresh start
	}
	p := analysis.Unpack(saved)
	d.state.pack(p)
	if err := p.Err(); err != nil {
		return err
	}
	s := d.state
	if s.Count < 0 || s.Ended < 0 || s.Count > 0 && s.Since.IsZero() || s.Bad && s.Since.IsZero() || s.Ended > 0 && s.Well.IsZero() {
		return fmt.Errorf("saved state of a detector: %+v cannot be", s)
	}
	return nil
}

func (d *streak) Save() ([]byte, error) {
	p := analysis.Pack(80)
	d.state.pack(p)
	return p.Packed(), nil
}

func (s *streakState) pack(p *analysis.Packing) {
	p.Version(1)
	p.Count(&s.Count)
	p.Count(&s.Ended)
	p.Instants(&s.Since, &s.Well, &s.Heard)
	p.Flags(&s.Bad)
	p.Text(&s.Reason)
}

func (d *streak) Feed(s measure.Sample) []measure.Verdict {
	st := &d.state
	at := s.DueAt.UTC()
	st.Heard = at
	switch d.kind.effect(d, s) {
	case counts:
		n := 1
		if s.Gap {
			n = s.Runs
		}
		if n <= 0 {
			return nil
		}
		if st.Count == 0 && !st.Bad {
			st.Since = at
		}
		st.Count += n
		st.Reason = s.Reason
		st.Ended = 0
		if st.Count < d.runs && !st.Bad {
			return nil
		}
		st.Bad = true
		return d.verdict(at)
	case ends:
		if !st.Bad {
			if st.Count > 0 {
				st.Count, st.Reason, st.Since = 0, "", time.Time{}
			}
			return nil
		}
		if st.Ended == 0 {
			st.Well = at
		}
		if st.Ended++; st.Ended < d.clear {
			return nil
		}
		v := measure.Verdict{
			Kind: measure.Good, At: at, Since: st.Well, Text: d.kind.good,
			Evidence: map[string]any{"runs": st.Ended, "bad_runs": st.Count, "bad_since": st.Since},
		}
		*st = streakState{Heard: at}
		return []measure.Verdict{v}
	}
	return nil
}

// Tick finds that nothing at all has come for as long as N runs take. The first
// tick of a series that never gave anything starts the wait.
func (d *streak) Tick(at time.Time) []measure.Verdict {
	st := &d.state
	at = at.UTC()
	if d.silence == 0 || st.Bad {
		return nil
	}
	if st.Heard.IsZero() {
		st.Heard = at
		return nil
	}
	if at.Sub(st.Heard) < d.silence {
		return nil
	}
	if st.Count == 0 {
		st.Since = st.Heard
	}
	st.Count, st.Bad, st.Reason = max(st.Count, d.runs), true, "nothing has come, not even a missed run"
	return d.verdict(at)
}

func (d *streak) verdict(at time.Time) []measure.Verdict {
	evidence := map[string]any{"runs": d.state.Count, "since": d.state.Since}
	if d.state.Reason != "" {
		evidence["reason"] = d.state.Reason
	}
	return []measure.Verdict{{
		Kind: measure.Bad, At: at, Since: d.state.Since,
		Text: d.kind.bad(d.state), Evidence: evidence,
	}}
}

func streakOptions(runs, clear int, what string) []measure.Option {
	return []measure.Option{
		{Name: "runs", Type: measure.IntOption, Default: runs, Min: 1, Max: 1000, Meaning: "How many runs in a row " + what + " before it is found."},
		{Name: "clear", Type: measure.IntOption, Default: clear, Min: 1, Max: 1000, Meaning: "How many other runs in a row end it."},
	}
}

// because appends the reason of the last run to a sentence.
func because(text, reason string) string {
	if reason == "" {
		return text
	}
	return text + ": " + reason
}
