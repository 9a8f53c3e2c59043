// Package log is the medium that writes messages down instead of sending them:
// one JSON line each, appended to a file and synced, or to the daemon's own log
// when no file is named. It serves as a trace of what people were told (an
// invisible step of a ladder) and as a stand-in while one tries things out.
//
// The file ends in .log, .json or .jsonl and is no symbolic link, so that who may
// insert mediums cannot write elsewhere with the notifier's rights.
//
// With a file it can tell afterwards what it has written; without one it cannot.
package log
