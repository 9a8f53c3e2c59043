// Package plan says when a spec runs. It is arithmetic: no clock, no database,
// no goroutine. The same spec gives the same instants in the scheduler and in a
// worker that is cut off from the database, and the next process agrees with
// the one before.
//
//	Since        First              the grid: epoch + phase + n × interval
//	  │ ≤ spread  │ ≤ time_to_run │      │            │            │
//	──┼───────────●───────────────┼──────●────────────●────────────●──▶ time
//	  inserted    the soon run           phase is a hash of the id
//
// A spec by interval stands on a grid that begins at the Unix epoch and is
// shifted by a phase of its own, so that ten thousand specs do not start
// together. A background spec also runs once soon after it was inserted,
// enabled or retimed, and its grid begins when that run must have ended: a
// brand-new spec would otherwise greet its owner with a run that was missed
// because the one before was still running.
//
// A spec by cron expression runs at wall times of its zone. Expressions that
// name hours run once for each wall time: one that does not exist on the day
// the clocks go forward runs at the first instant after it, one that comes
// twice runs the first time. Expressions whose hour field is every hour
// ("*/15 * * * *") mean an interval and run in each real hour: the hour that
// is skipped was none, the hour that comes again is measured again.
//
// All windows are (from, to]: adjacent windows neither miss an instant nor have
// it twice. Instants are whole microseconds, as PostgreSQL keeps them.
//
// The package knows nothing of runs that were made or missed, of leases and of
// tolerance; that is the scheduler's and the worker's.
package plan
