// Package keepalive keeps this host measuring: it starts daemons as child
// processes, holds each to the progress it promised, and starts again what fell
// or stands still. A living process proves nothing here, a kept promise does.
//
//	start ─▶ running ─ promise broken ─▶ goroutine dump ─▶ SIGKILL to the group ─┐
//	  ▲         └────── ended ───────────────────────────────────────────────────┤
//	  └──── pause: none at first, doubling with each fall, forgotten with time ◀─┘
//
// One flock on STATE/lock says who owns a state folder. Free means take over:
// daemons that a killed supervisor left are ended, by recorded pid and start
// time. Taken means an error that names the owner. Children are tied to the
// supervisor (PR_SET_PDEATHSIG): when it is killed they get SIGTERM.
//
// Three lists are files in STATE, read again when they change, since they must
// work when the database does not:
//
//	servers.alive   NAME PROGRAM ARGS…              keep this server running
//	cleanup.list    PROGRAM AGE                     kill such programs when older
//	crontab         MIN HOUR DOM MON DOW PROGRAM…   run at these times, local time
//
// No line ever reaches a shell. A wrong line is named in the log and left out;
// the others work.
//
// The end has two steps: SIGTERM to all and patience, then SIGTERM again, then
// SIGKILL. The database server is not the supervisor's business.
package keepalive
