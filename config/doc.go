// Package config is what one host must know before it knows its database: where
// the database is, which monitoring host this is, where state, spool and logs
// live, where pages are served. Everything else is in the database.
//
//	defaults ◀ file (TOML) ◀ SONDE_* ◀ flags ──▶ Validate ──▶ Config, passed by value
//
// The file is read once and strictly: a key nobody knows is an error that names
// its line. The default file may be absent, one named by --config may not.
package config
