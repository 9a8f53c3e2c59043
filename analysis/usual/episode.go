package usual

import (
	"fmt"
	"maps"
	"math"
	"time"

	"sonde/internal/measure"
)

// Episode is what stands.
type Episode struct {
	Since time.Time `json:"since"`
	Score float64   `json:"score"` // when it was last said
	From  float64   `json:"from"`  // what was usual when it began
	Calm  int       `json:"calm,omitempty"`
}

// Finding is what a method makes of the newest value.
type Finding struct {
	Rule       string    // "kolmogorov-smirnov p"
	Score      float64   // 1 is where an episode begins; it ends below Clear
	Clear      float64   // between 0 and 1
	Hold       int       // so many values in a row below Clear end it
	Since      time.Time // what it tells of began then
	From, To   float64   // what is usual, what is now
	Low, High  float64   // where values are usual
	Value      float64   // the newest
	Evidence   map[string]any
	Unfounded  bool // the score may be high, but not of a change that counts
	Sentence   string
	RepeatFrom float64 // a score so many times the last said is said again
}

// Judge says what begins, grows and ends.
func (s *Series) Judge(o Settings, at time.Time, f Finding) []measure.Verdict {
	score := min(max(f.Score, 0), 1e9)
	if math.IsNaN(score) {
		score = 0
	}
	verdict := func(kind measure.VerdictKind, since time.Time, text string) []measure.Verdict {
		evidence := map[string]any{
			"rule": f.Rule, "value": f.Value, "forecast": f.From, "now": f.To, "low": f.Low, "high": f.High, "score": measure.ScoreOf(score),
		}
		maps.Copy(evidence, f.Evidence)
		if since.After(at) {
			since = at
		}
		return []measure.Verdict{{Kind: kind, At: at, Since: since, Text: text, Evidence: evidence}}
	}
	bad := s.Bad
	switch {
	case bad == nil && score >= 1 && !f.Unfounded:
		s.Bad = &Episode{Since: f.Since, Score: score, From: f.From}
		if s.Bad.Since.After(at) {
			s.Bad.Since = at
		}
		return verdict(measure.Bad, f.Since, f.Sentence)
	case bad == nil:
	case score >= f.RepeatFrom*bad.Score && f.RepeatFrom > 0 && !f.Unfounded:
		bad.Score, bad.Calm = score, 0
		return verdict(measure.Bad, bad.Since, f.Sentence)
	case score < f.Clear:
		if bad.Calm++; bad.Calm < f.Hold {
			return nil
		}
		s.Bad = nil
		text := fmt.Sprintf("as usual again: %s, usual is %s", o.Number(f.To), o.Number(f.From))
		if o.Counts(bad.From, f.From) || o.Counts(f.From, bad.From) {
			text = fmt.Sprintf("%s has stood long enough to be usual; it was %s", o.Number(f.From), o.Number(bad.From))
		}
		out := verdict(measure.Good, at, text)
		out[0].Evidence["bad_since"] = bad.Since
		return out
	default:
		bad.Calm = 0
	}
	return nil
}
