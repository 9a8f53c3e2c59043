// Package spool keeps records in fsynced files until the loader has brought
// them into the database. It knows nothing of what a record says.
//
//	           Append: write, fsync            flock can be had
//	hidden ──▶ open segment ────────▶ … ──▶ closed segment ──▶ Read ──▶ Remove
//	 .new      (writer's flock)   Release,                      │
//	                              full, old,                    └─▶ SetAside: damaged/
//	                              writer killed
//
// A segment is a text file, one record a line: the CRC-32C of the record in
// eight hexadecimal digits, a blank, and the record as JSON without line breaks.
// What a returned Append wrote survives the process and the power. The last
// line of a killed writer may be torn; its fsync never returned, so it is no
// damage and no record. A bad line before a good one is damage: the good ones
// are given out and the file is set aside.
//
// Who holds the flock owns the file. A writer locks its segment before it gives
// it its visible name, so that no loader can take a file that is just being
// made; the kernel gives the lock up for a killed writer.
//
// The whole folder is bounded. When it is full the oldest records stay and new
// ones are refused with ErrFull: what was measured first would otherwise be lost
// silently to what was measured last.
package spool
