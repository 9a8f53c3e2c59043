// Package alert folds verdicts into episodes and says what is to be done, with
// its reason in words. It is a pure fold: state, verdict and facts in; state and
// decision out. It knows no clock, no database and no people.
//
//	        bad, not long enough          bad, tolerance passed
//	┌──────┐ ───────────▶ ┌─────────┐ ──────────────────────▶ ┌──────┐ ──┐ bad: fed, reminded,
//	│ none │              │ waiting │                         │ open │ ◀─┘ told when it may be told
//	└──────┘ ◀─────────── └─────────┘                         └──────┘
//	    ▲      good: nobody is told                            │    ▲
//	    │                                                good  ▼    │ bad again
//	    │  at once, or after recovery                      ┌─────────┐
//	    └───────────────────────────────────────────────── │ closing │
//	       flapping: after a time without change           └─────────┘
//
// Every verdict gets a decision, also when nothing is done: the reasons are the
// answer to "why was I not woken".
//
// Three raises within an hour are flapping: the third says so, and from then on
// the episode stays open and silent through good and bad, until nothing has
// changed for half an hour; then its end state is told, whatever it is.
//
// Opening an episode and telling of it are two things. What may not be told
// now (planned maintenance, hidden by a greater trouble, known only from late
// data) opens all the same; a tick tells of it when the reason is gone and it
// still stands. An end is told only to those who heard of the beginning: an
// episode that began and ended unheard is recorded, not sent.
//
// Group looks at all open findings at once and says which are one trouble:
// overload of a monitoring host, a host from which nothing can be measured, a
// parent that is down, a hop that all bad pairs cross and no good one, what began
// together at one node, routes that left one AS for the same other one at the same
// place (NextTurns says which of their alerts speaks).
package alert
