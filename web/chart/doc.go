// Package chart draws one series over time as SVG, and gives the same numbers
// as CSV and JSON. It reads no clock and no database.
//
//	▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  bars of alerts, marks of changed configuration
//	░░▒▒▓▬▬▓▒▒░░ ╱╱╱ ⋅⋅  smoke (least…greatest, quartiles), median, hatched holes
//	1  │ 2 │ 1           numbers of routes, where the tool finds routes
//	──────────── ╱╱╱ ⋅⋅  how the runs ended
//	  ▂    █             loss
//
// A hole is data. Runs that failed, runs that were missed and instants that
// never became a run are hatched differently, and the line of the median is
// never drawn across a hole. Where nothing at all is known the ground stays
// empty. What the scale cannot hold is cut off and marked by a wedge.
//
// No colour tells anything that a form or a pattern does not tell as well.
package chart
