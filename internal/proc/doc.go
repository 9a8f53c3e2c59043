// Package proc runs foreign programs: with an argument list and never a shell,
// in a process group of their own, with a deadline, and with output that is
// capped, so that a program gone wild fills neither memory nor disk.
//
//	Run      one program to its end:  start ─▶ exit
//	                                    └ deadline ─▶ SIGTERM to the group ─ grace ─▶ SIGKILL
//	Start    a program that lives on, tied to this process or not
//	Ident    a process named by pid and start time, so that a recycled pid is never mistaken for it
//
// Beside them stands what is done with files that another process has open or
// reads meanwhile: Replace, and TurnLog for the log that a child writes by itself.
//
// What the program's output means is left to the caller.
package proc
