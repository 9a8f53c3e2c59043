// Package archtest holds the drawing of who may knock on whose door, and names
// the arrow that turned. It has no code of its own: its test reads the imports
// of every package of the program.
//
//	cmd ─▶ daemons · keepalive · web · config · migrations · probes/catalog · notify/catalog · internal/…
//	daemons ─▶ probes · notify · analysis · internal/…   web · keepalive ─▶ internal/…
//	probes/<tool> ─▶ probes · internal/measure|proc · its protocol library
//	notify/<medium> ─▶ notify · internal/measure|proc · its protocol library
//	analysis/<method> ─▶ analysis · internal/measure · gonum    internal/store ─▶ internal/measure · pgx
//	probes · notify · analysis · internal/alert ─▶ internal/measure
//
// Tests may import what helps them to real peers (internal/lab, internal/pgtest,
// probes/probetest, …), the schema, and the catalogues they feed; otherwise no
// room that the program's own code may not, unless they stand in cmd, where
// everything meets.
package archtest
