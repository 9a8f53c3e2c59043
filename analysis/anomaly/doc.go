// Package anomaly is the detector a new spec gets: one setting for every series a
// probe can make. It learns what is usual from the series itself, as it goes.
//
//	sample ─▶ regular ─▶ nine forecasters ─▶ residual / spread ─┬▶ one point ─┐
//	           point     3 speeds × none,     of this hour      ├▶ a level  ──┼▶ against the ─▶ once ─▶ score
//	                     day, week                              ├▶ a drift  ──┤  usual extremes
//	                     losses: sum of likelihood ratios ──────┼▶ silence  ──┤
//	                     ranks among the hours before ──────────┴▶ the last ──┘
//	                                                               values
//
// Forecast (forecast.go). Nine levels run side by side: quick, middle and slow, each of the
// series itself, of the series less its usual day, and less its usual week. The one
// with the smallest robust error is believed; a season must win by a margin.
//
// Magnitude (spread.go). The residual of a point, and the median of the residuals of the last 25
// minutes (window.go), are measured in spreads: the mean error of this hour of the day, never
// less than a share of the level, of the range, and of the usual step from value to
// value. A level is off only as far as its season an hour earlier or later does not explain
// it: clocks are changed. Round-trip times never alert by one point, and are allowed
// more where the season stands high.
//
// Ranks (ranks.go). Of series of unknown meaning also where the last dozen values lie among
// those of the hours before, whatever their size: a step within the noise. The two
// convictions add up as squares do.
//
// Rarity (extremes.go). The greatest such deviations of each half day are kept for four weeks:
// what half days usually bring is no news. Round-trip times are judged by magnitude alone,
// since a path that is worse every evening is still worse. Of series of unknown meaning
// what each hour of the day usually brings is taken off first (hours.go).
//
// Loss of probes (loss.go) is judged by the sum of log likelihood ratios, silence by its length
// against how often answers fail to come, and throughput also by a day's level
// against that of ten days (drift.go).
//
// Once. A score is given again only when it is greater than what was said; that fades
// within hours from when it no longer holds, and is renewed by a delay that comes back: a
// path that flaps is said once. A level that stood for half a day is how
// the series is now, and is learnt as quickly as a young series is.
//
// A score lies in 0 to 1. From 0.5 on it is an alert, from 0.8 on one that may wake
// people: a grave finding.
//
// Nothing is judged before a day's worth of learning where the series allows it; see Declines.
// The package judges one series; what many share is for others to see.
package anomaly
