// Package cusum finds a small change that stays, by the sum of what values are
// off (Page 1954), in the tabular form of the textbooks:
//
//	z  = (value - usual) / scale
//	C+ = max(0, C+ + z - k)      rises
//	C- = max(0, C- - z - k)      falls
//
// Usual and scale are median and median absolute deviation of the same hours
// before (package usual), so an outlier moves neither; and z is bounded by
// `clip`, so that one alone cannot fill a sum. A sum that passes h is a change;
// k is half the shift that is looked for, in scales. A shift of s scales is
// found after about h / (s - k) values.
//
// A sum does not grow beyond 2 h, so that it takes as long to be over as it
// took to begin; it is over when the sum is under a quarter of h.
package cusum
