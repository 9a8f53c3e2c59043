package alert

import (
	"fmt"
	"time"

	"sonde/internal/measure"
)

// severity of an episode by magnitude and duration. The rule says how grave what
// it finds is as a rule; where the detector says how sure it is, a score of
// measure.NightScore, or one of measure.AlertScore that has lasted for
// Policy.Grow, is one step graver, never two.
//
//	score          at first     after Grow
//	none           the rule's   the rule's
//	0.5 to 0.8     the rule's   a step graver
//	0.8 and more   a step graver
func (p Policy) severity(e Episode, at time.Time) measure.Severity {
	if e.Score >= measure.NightScore || e.Score >= measure.AlertScore && p.Grow > 0 && at.Sub(e.Since) >= p.Grow {
		return graverStep[e.Base]
	}
	return e.Base
}

var graverStep = map[measure.Severity]measure.Severity{measure.Info: measure.Warning, measure.Warning: measure.Critical, measure.Critical: measure.Critical}

// grow makes an open alert as grave as it is now, and tells of it when people
// know it as a lesser one: an acknowledgement was of that. The false return means
// that there is nothing to tell.
func (e Episode) grow(p Policy, f Facts, at time.Time) (Episode, measure.Decision, bool) {
	e.Severity = Graver(e.Severity, p.severity(e, at))
	if rank(e.Severity) <= rank(e.ToldAs) || e.Flapping || e.Told.IsZero() || f.quiet() != "" {
		return e, measure.Decision{}, false
	}
	why := ""
	switch {
	case e.Severity == e.Base:
	case e.Score >= measure.NightScore:
		why = fmt.Sprintf(", its score is %.2f", e.Score)
	default:
		why = ", it has lasted longer than " + short(p.Grow)
	}
	e, d := e.tell(f, measure.Decision{Action: measure.Remind, Severity: e.Severity, At: at, Text: e.Text,
		Reason: fmt.Sprintf("it has become graver: %s, before %s%s", e.Severity, e.ToldAs, why)})
	return e, d, true
}
