// Package embeddedpg runs a private PostgreSQL for one host: it finds the
// server programs, makes the cluster, starts the server, survives its crash and
// our own, and stops it cleanly.
//
//	       ┌ living orphan of this folder ─ adopt ────────────────┐
//	Start ─┤                                                      ├─▶ ready ─ Stop ─▶ gone
//	       └ initdb, if new ─ start ─ recovery ───────────────────┘     │
//	             ▲                                                      │ died
//	             └───────────────── Keep, with back-off ────────────────┘
//
// The folder DIR holds `data` (the cluster), `run` (the socket) and `log`. The
// server listens on a unix socket only. Whoever reaches the socket's folder is
// trusted; the folder is 0700 and belongs to the server's user, so that is root
// and that user. As root the server runs as `postgres` or, without it, as `nobody`.
//
// The server is not tied to us unless it is ephemeral: after kill -9 of
// everything it lives on, and the next Start adopts it. A killed server's
// backends may hold its shared memory and socket for a moment; Start waits for
// them up to 30 s.
//
// One folder is used by one process at a time: the lock is the supervisor's.
// What is in the database is not our business.
package embeddedpg
