// Package catalog lists the tools of this version, one line each. The rows of
// TOOLS, the check of toolspecs, the worker and the pages learn of a tool from
// here and nowhere else.
package catalog

import (
	"sonde/probes"
	"sonde/probes/ping"
	"sonde/probes/traceroute"
)

// All gives every tool, in the order people see them.
func All() []probes.Tool {
	return []probes.Tool{
		ping.Tool(),
		traceroute.Tool(),
	}
}

// Find gives the tool of that name.
func Find(name string) (probes.Tool, bool) {
	for _, t := range All() {
		if t.Name == name {
			return t, true
		}
	}
	return probes.Tool{}, false
}
