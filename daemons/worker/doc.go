// Package worker turns SCHEDULE into data: it claims the runs of one tool on
// one monitoring host, starts each at its instant, and stores what it learnt.
//
//	database ──claim──▶ waiting ──instant──▶ running ──ended──▶ keeper ──COPY──▶ data
//	   (2 s ahead)         │                                      │ lease lost, no answer
//	                       ├─ disabled meanwhile ─▶ dropped       ├─ database there ─▶ Load
//	                       └─ start_by passed ─▶ missed           └─ database away ─▶ spool
//
// One goroutine, the dispatcher, owns all runs; it never waits for the database.
// Another talks to the database: it claims, and keeps a copy of the worker's own
// specs in memory and on disk. With the database away, or silent for two
// seconds, or without a scheduler that plans (none runs, or the disk is full),
// the dispatcher plans the background runs of that copy by itself; instants are
// a pure function of the spec, so both arrive at the same ones. What was made
// that way takes the loader's way; the first result of a run wins, so a run made
// twice is counted and dropped, never doubled.
//
// Instants are due_at − now() of the last exchange with the database, counted
// on the monotonic clock: a step of any wall clock moves nothing.
//
// A spec never overlaps itself: a run whose predecessor is still running waits
// until start_by and is missed then, which is stored when that one has ended. A probe that panics is a failed run. The
// first signal stops claiming, hands back what has not started and lets the rest
// finish; the second cancels.
package worker
