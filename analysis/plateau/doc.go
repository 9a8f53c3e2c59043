// Package plateau finds lasting steps in a series: throughput that fell and
// stayed down, delay that rose and stayed up.
//
//	history   ▔▔▔▔▔▔▔╲                verdict: Step{From, To, Since}
//	trigger           ▁▁▁▁▁▁▁▁ full ─▶
//
// It is the method of McGregor and Braun as IEPM-BW ran it in 2008. History
// holds the last values that were usual; their mean and standard deviation
// (n-1, on demand never less than floor_pct of the mean) say what is usual. A
// value further than `sensitivity` deviations off waits in the trigger buffer
// of its side. Each usual value moves the oldest waiting one into history: the
// buffer leaks, it is not emptied. When it holds more values than its length,
// its mean is compared with that of history: a change of less than
// `threshold_pct`, or of less than `least`, is discarded with the values; else
// the step is real, and the waiting values become history, so that their mean
// and deviation stand in for the old ones.
//
//	        waiting > length, change large enough
//	┌──────┐ ────────────────────────────────────▶ ┌──────────┐ ──┐ a further step
//	│ good │                                       │ bad: step│ ◀─┘
//	└──────┘ ◀──────────────────────────────────── └──────────┘
//	         back at the old level · opposite step near it · settled
//
// The published method has no end of an event. Ours is good again when
//
//   - more values than the trigger length lie in the old level's band, or beyond
//     it on the good side, counted with the same leak: it takes as much to
//     believe in the end as in the beginning;
//   - or, with direction both, an opposite step ends less than threshold_pct from the old level;
//   - or the new level has stood for `settle`: it is what is usual now, and the text says so.
//
// Lengths come from time: floor(time / average separation of the values), the
// history's at most `points` and at least 10, the trigger's at least 3. A hole
// much longer than the separation does not count in the average. A gap is not a
// zero: runs without a value neither fill nor drain any buffer.
//
// The package judges neither why the step came nor who should hear of it.
package plateau
