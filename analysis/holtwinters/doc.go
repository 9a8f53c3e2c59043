// Package holtwinters foretells a series from its level, its trend and what it
// did at this time of the day or week before, and finds when it does otherwise.
//
//	        ·  ·      values outside the band
//	 ╭──────────╮ ╭── high = forecast + delta_pos · deviation
//	─╯  forecast╰─╯
//	 ╭──────────╮ ╭── low  = forecast - delta_neg · deviation
//	─╯          ╰─╯
//
// A Model is the smoothing itself, one value at a time: Holt (1957) and Winters
// (1960), additive or multiplicative; the trend damped (Gardner and McKenzie
// 1985); a season of the day and one of the week together, with Taylor's (2003)
// adjustment by the last error; errors bounded as by Gelper, Fried and Croux
// (2010), so that one outlier neither moves the forecast nor widens the band;
// the usual deviation kept for each slot of the season (Brutlag 2000). Its
// forecasts are those of R, statsmodels and RRDtool where the model is theirs
// (testdata/README.md).
//
// Start makes a model of a few seasons by medians, so that one of three may be
// odd, also the first. Fit chooses constants by least squares one step ahead.
//
// The detector puts samples on a grid (grid.go), learns from `start` seasons,
// and then judges each value before the model takes it:
//
//	         failure_threshold of window_length values outside
//	┌──────┐ ────────────────────────────────────────────────▶ ┌─────┐ ──┐ twice as far off
//	│ good │                                                   │ bad │ ◀─┘
//	└──────┘ ◀──────────────────────────────────────────────── └─────┘
//	         at most `clear` of them, or of the band the old level would have
//
// When values are back where the level was, the level is put back. A failure
// that begins within a season of the last one's end must be over eight
// times as long before that is believed, up to three seasons: a season that
// changed is one episode until it is learnt.
//
// While it is bad, trend and seasons stay as they are, for at most one season:
// what an episode shows is not how the days are. The level goes on, so a change
// for good becomes usual, and the sentence says that.
//
// A hole advances the time and nothing else: seasons keep their place, the
// trend runs out after an hour's worth of steps, the band grows with what the
// level may have done meanwhile, and the first value counts for more. A season
// that cannot be learnt (fewer than half of its slots have values) is said
// once, in a note.
//
// The state is at most 5 KiB with a daily season at five minutes, 15 KiB with
// day and week, 22 KiB with a week alone (33 KiB while that is learnt). Finer
// steps share slots, so it grows no further.
//
// Days and weeks are those of a time zone (regular.Calendar): a season keeps its
// place over the change of clocks. The hour that is skipped then is a hole in it, of
// the hour that comes again each value counts.
package holtwinters
