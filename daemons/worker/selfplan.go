package worker

import (
	"time"

	"sonde/internal/measure"
	"sonde/internal/plan"
	"sonde/internal/store"
)

// selfPlan plans the background runs of the worker's own specs while the
// database is away or nobody plans. Its instants are those the scheduler would
// have planned.
type selfPlan struct {
	w        *Worker
	copy     *ownPlan
	calendar *plan.Calendar
	away     bool
	planned  time.Time // by the database's clock: up to here runs were claimed or planned
}

func newSelfPlan(w *Worker) *selfPlan { return &selfPlan{w: w, calendar: plan.NewCalendar()} }

// take replaces the copy of the specs.
func (s *selfPlan) take(p *ownPlan) {
	s.copy = p
	if s.away {
		s.fill()
	}
}

// database hears that the database is away or there; everything due up to
// claimed was given to us. Zero means that we never spoke to it. now is the
// database's time.
func (s *selfPlan) database(away bool, claimed, now time.Time) {
	if s.away == away {
		return
	}
	if s.away = away; !away {
		s.calendar = plan.NewCalendar()
		return
	}
	if claimed.IsZero() {
		s.planned = s.clock().DB
	} else {
		s.planned = claimed
		s.near(now)
	}
	s.fill()
}

// near keeps the plan's end where it can be: what lies long behind was given up
// by somebody else (and may be days of instants, after a step of the clock), and
// nobody has planned what lies beyond ahead, unless the clock was set back.
func (s *selfPlan) near(now time.Time) (moved bool) {
	if oldest := now.Add(-time.Second); s.planned.Before(oldest) {
		s.planned = oldest
		return true
	}
	if s.planned.After(now.Add(ahead + time.Second)) {
		s.planned = now
		return true
	}
	return false
}

func (s *selfPlan) fill() {
	s.calendar = plan.NewCalendar()
	for _, spec := range s.copy.Specs {
		if !spec.Enabled || !spec.Background {
			continue
		}
		if err := s.calendar.Put(spec.Begun(s.planned), s.planned); err != nil {
			s.w.Log.Error("a spec has no instants", "spec", spec.ID, "error", err)
		}
	}
}

// clock is what the database's clock says by ours, for a worker that never reached it.
func (s *selfPlan) clock() store.Clock {
	now := time.Now()
	return store.Clock{DB: now.Round(0).UTC().Add(s.copy.Offset), At: now}
}

// due gives the runs of the next seconds that were not given before. What lies
// too far behind to start is left to the leader, which writes the gap.
func (s *selfPlan) due(clock store.Clock) []*run {
	if !s.away || s.copy == nil {
		return nil
	}
	if clock.DB.IsZero() {
		clock = s.clock()
	}
	now := clock.Now()
	if s.near(now) {
		s.fill()
	}
	to := now.Add(ahead)
	if !to.After(s.planned) {
		return nil
	}
	s.planned = to
	var runs []*run
	s.calendar.Through(to, func(id int64, at time.Time) {
		spec := s.copy.Specs[id]
		due := s.copy.Repeats.Shift(at)
		startBy := due.Add(spec.Tolerance(s.copy.StartTolerance))
		if startBy.Before(now) {
			return
		}
		runs = append(runs, &run{own: true, Claim: &store.Claim{Claim: measure.Claim{RunKey: measure.RunKey{ToolspecID: id, DueAt: due}, Tool: spec.Tool, Node: spec.Node,
			Address: spec.Address, Options: spec.Options, TimeToRun: spec.TimeToRun, StartBy: startBy}}})
	})
	return runs
}
