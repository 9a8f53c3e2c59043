package scheduler

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sonde/internal/measure"
	"sonde/internal/plan"
	"sonde/internal/store"
)

// theplan is the leader's plan in memory.
type theplan struct {
	*Scheduler
	leader   *store.Leader
	calendar *plan.Calendar
	specs    map[int64]store.Spec
	settings store.Settings
	repeats  plan.Repeats
	changes  uint64    // mark of SpecChanges
	mark     time.Time // every instant up to here is planned
	now      time.Time // the database's clock in this pass
	unseen   []store.Spec
}

// newPlan reads all specs. What comes after the mark of the leader before is not planned yet.
func (s *Scheduler) newPlan(ctx context.Context, leader *store.Leader) (*theplan, error) {
	p := &theplan{Scheduler: s, leader: leader, calendar: plan.NewCalendar(), specs: map[int64]store.Spec{}}
	clock, err := p.clock(ctx)
	if err != nil {
		return nil, err
	}
	p.now = clock.DB
	mark, err := leader.Mark(ctx, ahead+unseenGrace)
	if err != nil {
		return nil, err
	}
	p.mark = mark.PlannedTo
	if mark.Leader != s.Name {
		s.last = store.Clock{} // a step since then was the other's to deal with
	}
	if s.away {
		leader.DatabaseWasAway(p.now)
	}
	if err := leader.ForgetDisabled(ctx); err != nil {
		return nil, err
	}
	c, err := leader.SpecChanges(ctx, 0)
	if err != nil {
		return nil, err
	}
	p.take(c)
	for _, spec := range c.Specs {
		if spec.Enabled && slices.Contains(mark.Unseen, spec.ID) {
			p.unseen = append(p.unseen, spec) // new to the first pass
			continue
		}
		p.specs[spec.ID] = spec
		if spec.Enabled {
			p.put(spec, p.mark)
		}
	}
	return p, nil
}

// pass plans what lies between the mark and a few seconds from now.
func (p *theplan) pass(ctx context.Context) error {
	clock, err := p.clock(ctx)
	if err != nil {
		return err
	}
	now := clock.DB
	p.now = now
	var gaps []store.Gap
	step, from := p.stepped(clock)
	if latest := now.Add(ahead + time.Second); step == 0 && p.mark.After(latest) {
		step, from = latest.Sub(p.mark), p.mark // it was set back while nobody led
	}
	if step != 0 {
		if gaps, err = p.step(ctx, step, from, now); err != nil {
			return err
		}
	}
	p.last = clock

	changes, err := p.leader.SpecChanges(ctx, p.changes)
	if err != nil {
		return err
	}
	p.take(changes)
	changes.Specs = append(p.newOnes(changes.Specs), changes.Specs...)
	extra, forget := p.change(changes, now)

	// What is too late to start even with the full tolerance has become a gap.
	gaps = append(gaps, p.sleep(now)...)

	// The mark never goes back here: the clock may be a little behind the last pass.
	mark := now.Add(ahead)
	if mark.Before(p.mark) {
		mark = p.mark
	}
	runs := extra
	p.calendar.Through(mark, func(id int64, at time.Time) {
		runs = append(runs, p.run(id, at))
	})
	if err := p.leader.Plan(ctx, runs, gaps, forget, mark); err != nil {
		return err
	}
	if len(gaps) > 0 {
		p.Log.Warn("instants were not planned", "specs", len(gaps), "since", gaps[0].From, "reason", gaps[0].Reason)
	}
	p.mark, p.away = mark, false
	p.total.Planned += len(runs)
	p.total.Gaps += len(gaps)
	return nil
}

// newOnes are the specs that the leader before had not read, less those that have changed again.
func (p *theplan) newOnes(changed []store.Spec) []store.Spec {
	list := slices.DeleteFunc(p.unseen, func(s store.Spec) bool {
		return slices.ContainsFunc(changed, func(c store.Spec) bool { return c.ID == s.ID })
	})
	p.unseen = nil
	return list
}

func (p *theplan) run(id int64, at time.Time) store.PlannedRun {
	spec := p.specs[id]
	due := p.repeats.Shift(at)
	return store.PlannedRun{ToolspecID: id, DueAt: due, StartBy: due.Add(spec.Tolerance(p.settings.StartTolerance)), TimeToRun: spec.TimeToRun, Monhost: spec.Monhost, Tool: spec.Tool}
}

func (p *theplan) take(c store.Changes) {
	p.changes, p.settings, p.repeats = c.Mark, c.Settings, c.Repeats
}

// change brings changed specs into the calendar. It gives runs to be made due
// beside it, and runs that are planned already and void now.
func (p *theplan) change(c store.Changes, now time.Time) (extra []store.PlannedRun, forget []measure.RunKey) {
	for _, id := range c.Removed {
		p.calendar.Remove(id)
		delete(p.specs, id)
	}
	for _, spec := range c.Specs {
		old, known := p.specs[spec.ID]
		p.specs[spec.ID] = spec
		switch {
		case !spec.Enabled:
			p.calendar.Remove(spec.ID)
			if known && old.Enabled {
				forget = append(forget, p.planned(old)...)
			}
		case known && old.Enabled && old.Since.Equal(spec.Since):
			p.put(spec, p.mark) // address or options: its instants stay
		default:
			if known && old.Enabled {
				forget = append(forget, p.planned(old)...)
			}
			// The mark lies ahead of the run soon after the insert. A
			// transaction that stayed open long is seen late: what lies behind
			// never was a promise, and the soon run comes now.
			after := spec.Since
			if tooLate := now.Add(-spec.Tolerance(p.settings.StartTolerance)); after.Before(tooLate) {
				after = now
				if first, ok := plan.First(p.timing(spec)); ok && !first.After(now) {
					extra = append(extra, p.run(spec.ID, now.Truncate(time.Microsecond)))
				}
			}
			p.put(spec, after)
		}
	}
	return extra, forget
}

// planned are the runs of a spec that may wait for their instant. A run that a
// person has inserted by hand is none of them.
func (p *theplan) planned(old store.Spec) []measure.RunKey {
	var runs []measure.RunKey
	for at := range plan.Between(p.timing(old), p.now.Add(-old.Tolerance(p.settings.StartTolerance)), p.mark) {
		runs = append(runs, measure.RunKey{ToolspecID: old.ID, DueAt: p.repeats.Shift(at)})
	}
	return runs
}

func (p *theplan) put(spec store.Spec, after time.Time) {
	if err := p.calendar.Put(p.timing(spec), after); err != nil {
		p.Log.Error("a spec has no instants", "spec", spec.ID, "node", spec.Node, "tool", spec.Tool, "error", err)
	}
}

// timing is the timing of a spec, seen from now.
func (p *theplan) timing(spec store.Spec) plan.Spec {
	return spec.Begun(p.now)
}

// sleep gives the gaps of what nobody planned in time, and counts it as planned.
func (p *theplan) sleep(now time.Time) []store.Gap {
	// The shortest tolerance is that of a spec that runs each second.
	if !p.mark.Before(now.Add(-time.Second)) {
		return nil
	}
	reason := "no scheduler was planning"
	if p.away {
		reason = "the database was away"
	}
	return p.gap(p.mark, reason, false, func(s store.Spec) time.Time {
		return now.Add(-s.Tolerance(p.settings.StartTolerance))
	})
}

// gap gives one gap per spec for its instants after from, up to until(spec),
// and takes them out of the calendar.
func (p *theplan) gap(from time.Time, reason string, quiet bool, until func(store.Spec) time.Time) []store.Gap {
	var gaps []store.Gap
	var skipped []plan.Spec
	p.calendar.All(func(s plan.Spec) {
		end := until(p.specs[s.ID])
		if n := plan.Count(s, from, end); n > 0 {
			first, _ := plan.Next(s, from)
			gaps = append(gaps, store.Gap{ToolspecID: s.ID, From: p.repeats.Shift(first), Until: p.repeats.Shift(end), Runs: n, Reason: reason, Quiet: quiet})
			skipped = append(skipped, s)
		}
	})
	for _, s := range skipped {
		if err := p.calendar.Put(s, until(p.specs[s.ID])); err != nil {
			p.Log.Error("a spec has no instants", "spec", s.ID, "error", err) // it had some a moment ago
		}
	}
	return gaps
}

// uncertain is how well a reading must be known to judge the clock by it.
const uncertain = 400 * time.Millisecond

// clock reads the database's clock, again if the answer took long.
func (p *theplan) clock(ctx context.Context) (store.Clock, error) {
	var c store.Clock
	var err error
	for range 3 {
		if c, err = p.leader.Clock(ctx); err != nil || c.Error < uncertain {
			break
		}
	}
	return c, err
}

// stepped compares the database's clock with the monotonic one since the last
// pass. It gives how far the first went beyond the second, 0 for less than a
// second, and where it should stand now.
func (p *theplan) stepped(c store.Clock) (step time.Duration, should time.Time) {
	if p.last.DB.IsZero() {
		return 0, time.Time{}
	}
	should = p.last.DB.Add(c.At.Sub(p.last.At))
	step = c.DB.Sub(should)
	// Over a long absence the two drift apart, by 200 µs a second at the worst.
	if step.Abs() <= time.Second+c.Error+p.last.Error+c.At.Sub(p.last.At)/5000 {
		return 0, time.Time{}
	}
	return step, should
}

// step deals with a step of the database's clock, which should stand at should
// and stands at now.
func (p *theplan) step(ctx context.Context, step time.Duration, should, now time.Time) ([]store.Gap, error) {
	p.total.Steps++
	p.Log.Error("the clock of the database stepped", "seconds", step.Seconds(), "from", should, "to", now)
	if step > 0 {
		// What was due in the next seconds and nobody claimed is skipped with the rest.
		if err := p.leader.ClockStep(ctx, step, should, now, should); err != nil {
			return nil, err
		}
		p.mark = should
		p.calendar.Jump(should)
		gaps := p.gap(should, fmt.Sprintf("the clock stepped %s forward", step.Round(time.Second)), true, func(store.Spec) time.Time { return now })
		p.mark = now
		return gaps, nil
	}
	// All that was planned comes again, also the seconds ahead.
	if err := p.leader.ClockStep(ctx, step, now, p.mark, now); err != nil {
		return nil, err
	}
	p.repeats = append(p.repeats, plan.Repeat{From: now, Until: p.mark})
	p.mark = now
	for _, spec := range p.specs {
		if spec.Enabled {
			p.put(spec, now)
		}
	}
	return nil, nil
}
