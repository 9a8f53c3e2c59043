package measure

import "time"

// Action says what is to be done about an episode.
type Action string

// The actions, as they stand in newalerts.decision; the analyst says None more
// exactly there where it can: feed, wait, note.
const (
	Raise  Action = "raise"  // the episode opens: an alert is written
	Remind Action = "remind" // it still stands, or is now told of for the first time
	Clear  Action = "clear"  // it is over
	None   Action = "none"   // nothing is done, and Reason says why
)

// Decision is what the fold of verdicts makes of one verdict or one tick. Every
// decision is written down, also those that do nothing: they answer "why was I not woken".
type Decision struct {
	Action   Action
	Tell     bool // people are to hear of it
	Severity Severity
	At       time.Time
	Text     string // one sentence about the trouble
	Reason   string // one sentence about the decision
}
