// Package daygrid marks the traceroutes of a day, one sign a run, as IEPM's
// traceanal did: rows of signs in which the eye finds the change.
//
//	runs of a day + the last one before ─Marks─▶ marks ─Cells─▶ hours of marks
//
//	.  as before            *  a hop fell silent     :  only last octets differ
//	a  same AS              '  stutter               |  target not reached
//	H  a ! code: !H         ?  name not resolved     t  out of time
//	u  any other failure    7  route number          #  a number of three digits or more
//	-  missed               ~  never made: a gap
//
// Each run is compared with the last one that saw a route. A hop that is silent
// keeps the address it had, as long as nothing significant changes elsewhere, and
// so does one of which the flow takes another of its equal paths.
//
// Where IEPM is left: there a hop that never answers made every cell of the day
// a star, and a target that never answers made it a bar. Here a sign is news,
// or it is "as before". Silence as before is a dot. Of several signs that fit a
// run a number goes first, then the first that is news, then the first that is
// as before, in the order
//
//	code, |, a, :, *, '
//
// and what stands beside a number is the code or the bar.
package daygrid
