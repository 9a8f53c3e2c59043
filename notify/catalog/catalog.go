// Package catalog lists the mediums this version knows, one line each. It is
// written to MEDIUM_TYPES by `sonde migrate`, so that the database can check the
// options of a row by itself.
package catalog

import (
	"sonde/notify"
	"sonde/notify/log"
	"sonde/notify/smstools"
)

// All is every type of medium, by name.
func All() []notify.Type {
	return []notify.Type{
		log.Type(),
		smstools.Type(),
	}
}

// Find gives the type of that name.
func Find(name string) (notify.Type, bool) {
	for _, t := range All() {
		if t.Name == name {
			return t, true
		}
	}
	return notify.Type{}, false
}
