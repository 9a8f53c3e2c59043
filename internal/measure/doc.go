// Package measure holds the words that all rooms of Sonde share: what a run
// is, how it ends, what it learnt, what an analysis said of it. It imports
// nothing of ours, knows no database, no socket and no clock.
//
//	Claim ──probe──▶ Result ──store──▶ Sample ──analysis──▶ Verdict ──alert──▶ Decision
package measure
