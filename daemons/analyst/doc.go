// Package analyst turns data into alerts: it reads what is new, feeds it to the
// detectors, folds their verdicts into episodes, and writes findings, alerts and
// notices.
//
//	new rows, gaps ─▶ detectors of the spec's rules ─▶ episodes ─▶ grouping ─▶ alerts, newalerts, notices
//	                  └─ state, now and then ┘                                 └──── one transaction ────┘
//
// One analyst works; the others wait for its lock. A pass is one transaction: it
// moves the mark, keeps the episodes and stores what was found, or does nothing.
// After any error everything is read anew from the database, so that memory never
// knows more than was committed. What the detectors know is written seldom; the
// samples that came since are fed once more, and their verdicts, which were
// folded then, tell nobody. What stored rows could not tell again is written at
// once: docs/decisions/detector-state.md.
//
// An alert that cannot be raised stops no other: what its detector said is owed,
// saved with the episode, and folded by a later pass. What is over by then is
// recorded and told to nobody. A change or the end of an alert that cannot be
// written gives the pass up.
//
// What is new is told by transaction: all that the snapshot of the last pass
// could not see. So nothing slips by that was committed out of order, and a
// forgotten open session stops nothing.
//
// The samples of a pass are fed in order of (toolspec_id, due_at). One that is
// older than the newest its spec has judged is late: it is noted as late, and
// never fed. After an outage the data of a monitoring host are left alone until
// its live daemons report their spools empty, five minutes at most: then its
// outage is known whole, and in order.
//
// Time is an input. Detectors get ticks when all that is there has been read;
// those that led to a verdict, and the one a fresh detector starts with, are rows
// of TICKS, so that the same data and ticks give the same verdicts again.
//
// A route that left its history is told with what came with it, read from the
// rows of that moment: steps of the pair's other series, alerts that began, other
// pairs that changed at the same hop. What an AS look-up brings later reaches the
// detectors with later samples.
//
// Before people are told of a doubtful finding it orders extra runs, and waits for
// what they show: look.go draws it.
//
// Whom a notice reaches is the notifier's to decide.
package analyst
