// Package web turns rows into HTML pages: served live by `sonde web`, and
// written as files by `sonde report` from the same templates.
//
//	store.Pages ─one snapshot─▶ a view (Go struct) ─template─▶ HTML
//	                                  ├──────────web/chart────▶ SVG, CSV, JSON
//	                                  ├────────web/topology───▶ SVG, CSV, JSON
//	                                  └────────web/daygrid────▶ signs of a day
//
// Pages only read. They need no JavaScript and load nothing but their own style
// sheet. What the database holds is never trusted: the templates escape it all.
//
// What a state says stands in state.go. Whatever has not been measured for three
// intervals is stale, and stale is never green.
//
// With the database away every page says so with status 503; the server itself
// lives on. It never writes, so it needs only the right to read.
//
// Whether something is worth an alert is not decided here.
package web
