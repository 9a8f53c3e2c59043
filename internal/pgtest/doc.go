// Package pgtest gives tests a real PostgreSQL.
//
//	test process ─ first New ─▶ reaper ─▶ server in a temporary folder
//	     │                        │ (a second process of the same test binary)
//	     └─ ends, of whatever ────┴─▶ server stopped, folder removed
//
// New gives a migrated database of its own, copied from a template that is
// migrated once for each catalogue, and drops it at the test's end. The server
// keeps what was committed over kill -9, not over a power failure (no fsync).
//
// With SONDE_TEST_DSN set (a server where databases may be made) that server is
// used. Without any server to be had a test fails and says how to get one.
//
// The catalogue of tools comes from the test, since pgtest may not know the
// tools: they use pgtest themselves.
package pgtest
