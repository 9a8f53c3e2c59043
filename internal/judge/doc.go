// Package judge is what a rule makes of one series: which specs it covers, its
// detector, and the facts and the policy by which verdicts are folded into an
// episode.
//
//	row of a data table ─Sample─▶ detector ─verdict─▶ Fold ─▶ episode, decision
//	                              └─ Detector(method, rule) ─┘   └─ Policy, Facts
//
// The analyst judges what is new with it and the back-test what is stored, so
// that a replay says what the analyst would have said. It knows no clock, no
// database and no other spec: what hides an alert is the analyst's to find.
package judge
