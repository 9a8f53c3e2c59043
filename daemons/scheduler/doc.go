// Package scheduler turns TOOLSPECS into SCHEDULE: one leader among many makes
// runs due a few seconds ahead and names the missed ones.
//
//	standing by ──lock──▶ leading ──any error──▶ standing by
//	                        │
//	                        ├─ every second, and when told of a change:
//	                        │    read what changed ─▶ calendar (plan in memory)
//	                        │    instants up to now + 5 s ─▶ schedule, high-water mark: one transaction
//	                        ├─ every 3 s: runs that can no longer end ─▶ missed
//	                        └─ every hour: partitions
//
// The lock is an advisory lock of the connection that also does all the
// leader's writing, so who has lost the one cannot do the other. Nothing is
// kept that is not in the database: a new leader goes on from the mark. The mark
// lies seconds ahead of what the old leader had read, so its snapshot is kept
// beside the mark: specs it had not seen are planned from their own beginning.
//
// Instants that lie further behind than a run may start late (nobody planned
// them: scheduler down, database away) become one row of GAPS per spec, in time
// that depends on the number of specs, not on the length of the sleep.
//
// The database's clock says what is due. Each pass compares it with the
// monotonic clock; more than a second apart is a step. After a step forward the
// skipped instants are one quiet gap. After a step back measuring goes on at
// once, and instants that come again get due_at + n µs.
//
// It leaves to the worker: starting a run at its instant, and to the database:
// who may claim it.
package scheduler
