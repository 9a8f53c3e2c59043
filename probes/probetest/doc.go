// Package probetest is the examination every tool sits:
//
//	func TestPingPassesTheExamination(t *testing.T) {
//		probetest.Examine(t, ping.Tool(), probetest.Peer{Answering: "127.0.0.1", …})
//	}
//
// It asks what the platform relies on and no compiler checks: that the columns
// exist in the migrated table and take the values of a real run, that options
// tell their meaning and their defaults are right, that the database and the
// program read the tool's options and its least time the same, that a nonsense
// spec is probes.ErrSpec, that cancel ends Run at once, that a silent peer is a
// Result, that nothing stays behind.
//
// What a tool measures, and how well, is for its own tests.
package probetest
