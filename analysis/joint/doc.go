// Package joint looks at many series at one instant: delays of all pairs of a
// mesh, say, that go up and down together because they share links, hosts and
// hours. What they usually do together spans a few directions; what one instant
// does beside these is trouble, even where each series alone is within its own
// bounds (Lakhina, Crovella and Diot 2004, "Diagnosing Network-Wide Traffic
// Anomalies"):
//
//	z = P Pᵀ z  +  rest       P: the first principal components of the past
//	     usual      Q = |rest|²   bad when Q passes its limit
//
// The limit is that of Jackson and Mudholkar (1979) for a false alarm
// probability. Which series make Q is told by their shares.
//
// Series are centred by medians and scaled by median absolute deviations, and no
// value counts for more than `clip` scales; the twentieth of the past that fits
// worst is not learnt from. Components swing with a single outlier otherwise
// (Ringberg and others 2007). A hole says nothing: the
// components are fitted to the series that are there, and Q is taken as if the
// others did as these do on average. With fewer than half of the series there is
// no judgement.
//
// A rule names it by Method; the analyst gives it the series of all specs of the rule.
package joint
