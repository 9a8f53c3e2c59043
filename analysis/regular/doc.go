// Package regular puts a series on an even grid: what a forecaster can read.
//
//	samples, late, repeated,   ─Reader─▶  points, in order,   ─Grid─▶  stretches
//	counters, jumped clocks               rates, holes                 (REGDATA)
//
// A hole stays a hole: no value is ever made up, carried on or drawn through. A
// run that got no answer is a point of its own (Lost), since the loss of probes
// is a series of its own. A counter becomes a rate across its wrap; where it
// began anew, or ran on unseen, there is a hole.
//
// Clocks: a point that comes again is marked Again and judged by nobody; one
// that comes after a long pause, or from before its predecessor, is Broken: what
// was before says nothing of it. A Calendar tells the time of day and of week
// where people live, so that a season keeps its place over the change of clocks.
package regular
