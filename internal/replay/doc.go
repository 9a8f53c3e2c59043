// Package replay plays stored data through the detectors and episodes that
// the analyst uses, and says which alerts a rule, as it is or with another
// setting, would have raised.
//
//	data tables, gaps ─▶ for each spec: detector ─▶ episode ─▶ alerts ─▶ figures, difference, incidents
//	ticks, maintenance ─┘                internal/judge                 └▶ a better setting, proposed
//
// It reads a day at a time, a thousand specs at once, in the order in which
// detectors are fed; several settings share one reading. It writes nothing.
//
// What it cannot know: what hid an alert behind another, what people did about
// one, and that a result which came late was not judged at the time. Detectors
// learn from the days before the time that is asked for; alerts raised in those
// are not counted.
package replay
