package holtwinters

import (
	"fmt"
	"slices"
	"time"
)

// grid gives each sample its step: whole steps from the first sample on. It is not
// regular.Grid, which collects what has been read: a model wants each hole as a
// step, counted from a first sample that may lie anywhere, and a step measured
// where nobody tells it.
//
// Late, repeated and irregular samples take the step they are nearest to; the
// first of a step is its value, and steps that none comes to are holes.
type grid struct {
	Step   time.Duration `json:"step,omitempty"`
	Origin time.Time     `json:"origin,omitzero"`
	Next   int64         `json:"next,omitempty"`   // the first step that has nothing yet
	Behind int           `json:"behind,omitempty"` // samples in a row that are older

	Last      time.Time       `json:"last,omitzero"` // while the step is measured
	Distances []time.Duration `json:"distances,omitempty"`
}

const (
	// measured is from how many distances a step is taken that nobody told.
	measured = 9
	// So many samples in a row that lie before the last one are a clock that
	// was set back, or that had been ahead: the grid begins anew.
	setBack             = 12
	leastStep, mostStep = time.Second, 30 * 24 * time.Hour
)

// place gives the step of a sample that came at, and how many steps before it
// have no value, -1 when the grid began anew with it. The false return means that
// it has no step of its own.
func (g *grid) place(at time.Time) (holes int64, ok bool) {
	if g.Step == 0 {
		g.measure(at)
		return 0, false
	}
	if g.Origin.IsZero() {
		g.Origin = at
	}
	step := int64((at.Sub(g.Origin) + g.Step/2) / g.Step)
	if step < g.Next {
		if g.Behind++; g.Behind < setBack {
			return 0, false
		}
		g.Origin, g.Next, g.Behind = at, 1, 0
		return -1, true
	}
	holes, g.Next, g.Behind = step-g.Next, step+1, 0
	return holes, true
}

// time is when the step before Next is.
func (g *grid) time() time.Time { return g.Origin.Add(time.Duration(g.Next-1) * g.Step) }

// measure takes the median distance of the first samples for the step.
func (g *grid) measure(at time.Time) {
	if d := at.Sub(g.Last); !g.Last.IsZero() && d > 0 {
		g.Distances = append(g.Distances, d)
	}
	g.Last = at
	if len(g.Distances) < measured {
		return
	}
	slices.Sort(g.Distances)
	g.Step = min(max(g.Distances[measured/2].Round(leastStep), leastStep), mostStep)
	g.Distances, g.Last = nil, time.Time{}
}

func (g *grid) check() error {
	if g.Step < 0 || g.Step > mostStep || g.Step > 0 && g.Step < leastStep || g.Next < 0 || g.Behind < 0 || g.Behind > setBack || len(g.Distances) >= measured {
		return fmt.Errorf("saved state of a detector: the grid %+v cannot be", *g)
	}
	if g.Next > 0 && time.Duration(g.Next) > (1<<62)/g.Step {
		return fmt.Errorf("saved state of a detector: %d steps of %v are beyond all time", g.Next, g.Step)
	}
	return nil
}

// season is a time that comes again, cut into slots. Slots are counted from
// 1970 by the clocks of the place, so a season has its place whatever is missing,
// and keeps it when they change.
type season struct {
	length time.Duration
	slots  int
}

// A slot is not shorter than a step. Finer steps share slots, so that a state
// is no larger for a series that is measured every second.
const (
	day, week           = 24 * time.Hour, 7 * 24 * time.Hour
	daySlots, weekSlots = 288, 7 * 288
	// fewest is what a season is worth: with less there is no shape to learn.
	fewest = 4
)

// seasonOf gives the season of this length, and false when the step is too
// long for it to have a shape.
func seasonOf(length, step time.Duration, most int) (season, bool) {
	n := int((length + step/2) / step)
	return season{length, min(n, most)}, n >= fewest
}

// place gives the slot of an instant by the clocks of the place, and which
// repetition of the season it is in.
func (s season) place(at time.Time) (slot int, turn int64) {
	// 1970 began on a Thursday; a week here begins on Monday.
	seconds, length := at.Unix()+3*24*3600, int64(s.length/time.Second)
	turn = seconds / length
	within := seconds % length
	if within < 0 {
		turn, within = turn-1, within+length
	}
	return int(within * int64(s.slots) / length), turn
}
