// Package changepoint finds changes by the probabilities of all lengths the
// present run may have (Adams and MacKay 2007, "Bayesian Online Changepoint
// Detection"):
//
//	length  0 ◀─ hazard ──┐
//	        1 ─▶ 2 ─▶ 3 ─▶ …    each with its own mean and spread
//
// With each value every hypothesis "this run began n values ago" grows by one
// and is weighed by how well it foretold the value (a Student distribution, from
// the normal-gamma prior); a share of all, the hazard 1/`every`, goes to "it
// begins now". Values are counted in scales from what is usual at this hour
// (package usual), and none for more than `clip`.
//
// It is bad when, with probability `certain`, the present run has lasted
// `confirm` values and its mean lies `shift` scales or more off. It is over when
// that probability is under a fifth: because a new run began near the usual, or
// because the days before have become like it.
//
// At most `hypotheses` are kept, the most probable ones of at least 1e-9; runs longer than 500
// count as 500 long and forget. So a value costs the same however long the
// series is, and the state is a few kilobytes.
package changepoint
