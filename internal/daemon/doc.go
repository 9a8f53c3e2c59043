// Package daemon is what every daemon shares: its logger, its two-step end, its
// connection to the database, and its keepalive, the written proof of progress.
//
//	Report("claiming", 10 s) ──▶ STATE/keepalive/NAME.json ──▶ supervisor
//	                         └─▶ OnReport: the table daemons, for people
//
// A report says what is being done and promises the next one. The promise is by
// the boot clock, which nobody steps and which counts a suspended machine. Who
// reports without having got on with its work lies to the supervisor: report in
// the loop that works, never from a timer of its own. Waiting for the database
// is progress and says so.
//
// On SIGQUIT the Go runtime writes all goroutines to standard error and ends the
// process, however stuck it is; nothing here may catch that signal.
package daemon
