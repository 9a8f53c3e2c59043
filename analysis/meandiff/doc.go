// Package meandiff finds a change of the mean by the "mean difference" of
// IEPM-BW, its F1:
//
//	F1 = |m_usual - m_now| / sqrt((s_usual² + s_now²) / 2)
//
// with m the means and s the standard deviations (n-1) of the last values and
// of the same hours before. Unlike a test it does not grow with the number of
// values: it says by how many of their own spreads two levels lie apart. The
// published runs used 2 and less, beside a change in percent.
//
// See package usual for what is compared with what, and for how episodes end.
package meandiff
