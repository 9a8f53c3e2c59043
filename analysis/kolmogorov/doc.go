// Package kolmogorov finds a change of any kind, of the level or of the spread,
// by the test of Kolmogorov and Smirnov: the largest distance D between the
// distribution of the last values and that of the same hours before.
//
//	1 ┤        ╭──── usual
//	  │     ╭──╯↕ D     ╭── now
//	0 ┼─────╯───────────╯───▶ value
//
// The probability of such a D by chance is that of the asymptotic distribution
// with Stephens' correction. It holds for independent values; those of a
// network are not, which is why `significance` is far smaller than a book's.
//
// See package usual for what is compared with what, and for how episodes end.
package kolmogorov
