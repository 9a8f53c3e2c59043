// Package threshold finds what simple counting finds, in four methods:
//
//	no-answer       N measurements in a row lost everything
//	cannot-measure  N runs in a row failed: we learnt nothing, and say why
//	no-data         N runs in a row were missed, gaps among them, or nothing came at all
//	limit           M of the last N values lie over (or under) a limit
//
// None waits for another, so each run moves only the counters it speaks of:
//
//	run                     no-answer   cannot-measure  no-data       limit
//	ok, loss 100 %          counts      ends            ends          one value, over (1)
//	ok, less loss           ends        ends            ends          one value
//	ok, without the number  -           ends            ends          -
//	fail                    -           counts          ends          -
//	missed                  -           -               counts (2)    -
//	gap of k instants       -           -               counts k      -
//	tick                    -           -               silence       -
//
// (1) As long as they are few: a target that answers every second run has
// loss. With option `full`, several full values in a row are no answer's; they
// leave the window, or an outage would be told again as loss when it is over.
//
// (2) But for "still running": the run before it has not ended and will bring
// data or a failure of its own.
//
// "-" leaves the counter as it is: a name that does not resolve between two
// silent runs says nothing of the target, so it neither feeds nor clears no
// answer, and a target nobody measured is not known to be well again. So an
// episode of no answer stays open through a time without data, and both are
// open then; which of the two people hear of is not decided here.
//
// "ends" sets the counter to zero and, when the detector was bad, counts
// towards its end: after `clear` such runs in a row (a counting one begins
// anew) the verdict is good.
//
//	       N counting in a row
//	┌────┐ ───────────────────▶ ┌─────┐ ──┐ each further counting run
//	│good│                      │ bad │ ◀─┘ feeds the episode
//	└────┘ ◀─────────────────── └─────┘
//	       `clear` ending in a row
//
// The limit has two edges, so that a value that hovers at the limit does not
// flap: it is bad when M of the last N values pass the limit, and good again
// when at most `clear_runs` of the last N pass the lower edge `clear_limit`.
//
// The package knows no clock: a tick says what time it is.
package threshold
