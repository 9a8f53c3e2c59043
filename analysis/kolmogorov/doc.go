// Package kolmogorov finds a change by the test of Kolmogorov and Smirnov: the
// largest distance D between the distribution of the last values and that of
// the same hours before.
//
//	1 ┤        ╭──── usual
//	  │     ╭──╯↕ D     ╭── now
//	0 ┼─────╯───────────╯───▶ value
//
// The probability of such a D by chance is that of the asymptotic distribution
// with Stephens' correction. It holds for independent values; those of a
// network are not, which is why `significance` is far smaller than a book's.
//
// The test answers to changes of spread as well; only those are told that move
// the median by what counts (options least_pct, least), or the tail of every
// busy hour would be news.
//
// See package usual for what is compared with what, and for how episodes end.
package kolmogorov
