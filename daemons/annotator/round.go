package annotator

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sonde/internal/store"
)

// How long what was learnt holds, and when a failure is tried again.
const (
	leastHold    = 24 * time.Hour
	mostHold     = 7 * 24 * time.Hour
	leastHoldAS  = 7 * 24 * time.Hour // what AS are called hardly changes
	mostHoldAS   = 30 * 24 * time.Hour
	fresh        = 20 * time.Hour // what is younger is not asked for again with the other
	unseenRests  = 14 * 24 * time.Hour
	leastBackoff = time.Minute
	mostBackoff  = 4 * time.Hour
	doubts       = 5               // such failures, half an hour of them, are believed
	mostAway     = 5 * time.Minute // between looks whether a name server is back
)

// task is one address or one AS, and what came of it.
type task struct {
	address  *store.DueAddress
	system   *store.DueAS
	asked    int
	answered int
	found    store.LookedUp
	foundAS  store.LookedUpAS
}

func (t *task) failed() bool { return t.found.Failure != nil || t.foundAS.Failure != nil }

// round looks up what is due and stores what came of it.
func (s *session) round(ctx context.Context, addresses []store.DueAddress, systems []store.DueAS) error {
	tasks := make([]*task, 0, len(addresses)+len(systems))
	for i := range addresses {
		tasks = append(tasks, &task{address: &addresses[i]})
	}
	for i := range systems {
		tasks = append(tasks, &task{system: &systems[i]})
	}
	done, gaveUp := s.lookUp(ctx, tasks)
	if ctx.Err() != nil && len(done) == 0 {
		return nil
	}
	asked, answered := 0, 0
	for _, t := range done {
		asked += t.asked
		answered += t.answered
	}
	if asked > 0 && (answered == 0 || gaveUp) && ctx.Err() == nil {
		s.report("looking for a name server", promise)
		if !s.servers.alive(ctx) {
			s.nobodyAnswers()
			// They are not to blame, and keep their turn.
			done = slices.DeleteFunc(done, (*task).failed)
		}
	}
	var found []store.LookedUp
	var foundAS []store.LookedUpAS
	for _, t := range done {
		switch {
		case ctx.Err() != nil && t.failed(): // cut off by our own end
		case t.address != nil:
			found = append(found, t.found)
		default:
			foundAS = append(foundAS, t.foundAS)
		}
	}
	// What was learnt is stored also when we are told to stop.
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return s.db.Save(saving, found, foundAS)
}

func (s *session) nobodyAnswers() {
	if s.away == 0 {
		s.Log.Warn("no name server answers: names and AS wait", "server", s.set.Server)
	}
	s.away = min(max(2*s.away, s.Every), mostAway)
	s.askAgain = time.Now().Add(jitter(s.away))
}

// lookUp works through tasks, some at a time. It gives up when one after the
// other nobody has said anything.
func (s *session) lookUp(ctx context.Context, tasks []*task) (done []*task, gaveUp bool) {
	next, ended := make(chan *task), make(chan *task)
	var silent atomic.Int64
	var workers sync.WaitGroup
	for range min(parallel, len(tasks)) {
		workers.Go(func() {
			for t := range next {
				s.run(ctx, t)
				switch {
				case t.answered > 0:
					silent.Store(0)
				case t.asked > 0:
					silent.Add(1)
				}
				ended <- t
			}
		})
	}
	for i := 0; i < len(tasks) || len(done) < i; {
		out := next
		var t *task
		switch {
		case ctx.Err() != nil || silent.Load() >= parallel:
			gaveUp = gaveUp || silent.Load() >= parallel
			tasks = tasks[:i]
			out = nil
		case i < len(tasks):
			t = tasks[i]
		default:
			out = nil
		}
		if out == nil && len(done) == i {
			break
		}
		select {
		case out <- t:
			i++
		case t := <-ended:
			done = append(done, t)
			s.report("looking up", promise)
		}
	}
	close(next)
	workers.Wait()
	return done, gaveUp
}

// run makes the look-ups of one task.
func (s *session) run(ctx context.Context, t *task) {
	if t.system != nil {
		s.runAS(ctx, t)
		return
	}
	d, found := t.address, &t.found
	found.Address = d.Address
	zone := s.set.Zone4
	if d.Address.Is6() {
		zone = s.set.Zone6
	}
	// Whether it is ever asked for, and whether it is now.
	as := zone != "" && d.Special == "" && !d.Table
	name := s.set.Names && (d.Special == "" || s.set.PrivateNames && (d.Special == "private" || d.Special == "shared"))
	if !as && !name || d.Unseen > unseenRests {
		found.Rest = true
		return
	}
	hold := mostHold
	if as && stale(d.ASAge) {
		o, r := s.servers.origin(s.turn(ctx), d.Address, zone)
		s.count(t, r)
		// A name server that says "no such name" to everything for an hour is seen
		// more often than a prefix that is withdrawn, and must not change AS paths.
		if r.err == nil && o.AS == 0 && d.AS != 0 && d.Failures < doubts {
			r.err = errors.New("it is said that nobody announces it any more: asked for again before that is believed")
		}
		if found.Failure = r.err; r.err == nil {
			// Of several it stays with the one it was: a route is not to change by the order of an answer.
			if slices.Contains(o.All, d.AS) {
				o.AS = d.AS
			}
			found.Origin = &o
			hold = min(hold, r.ttl)
		}
	}
	if name && stale(d.NameAge) && ctx.Err() == nil {
		text, r := s.servers.name(s.turn(ctx), d.Address)
		s.count(t, r)
		if r.err != nil {
			found.Failure = r.err
		} else {
			found.Name = &text
			hold = min(hold, r.ttl)
		}
	}
	found.Next = again(hold, leastHold, mostHold, found.Failure, d.Failures)
}

func (s *session) runAS(ctx context.Context, t *task) {
	found := &t.foundAS
	found.AS = t.system.AS
	if s.set.NamesZone == "" || specialAS(t.system.AS) {
		found.Rest = true
		return
	}
	n, r := s.servers.asName(s.turn(ctx), t.system.AS, s.set.NamesZone)
	s.count(t, r)
	found.Asked, found.Name, found.Country, found.Failure = r.err == nil, n.Name, n.Country, r.err
	found.Next = again(r.ttl, leastHoldAS, mostHoldAS, r.err, t.system.Failures)
}

// turn waits until one more look-up may be made.
func (s *session) turn(ctx context.Context) context.Context {
	s.pace.wait(ctx, s.set.PerSecond)
	return ctx
}

func (s *session) count(t *task, r reply) {
	t.asked++
	s.lookUps.Add(1)
	if r.answered {
		t.answered++
	}
	if r.err != nil {
		s.failed.Add(1)
	}
}

func stale(age time.Duration) bool { return age < 0 || age > fresh }

// again says when the next turn is: when what was learnt is over, or, after so
// many failures before, after a while.
func again(hold, least, most time.Duration, failure error, failures int) time.Duration {
	if failure != nil {
		return jitter(min(leastBackoff<<min(failures, 20), mostBackoff))
	}
	return jitter(min(max(hold, least), most))
}

// jitter keeps what was learnt together from being asked together for ever.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

// specialAS holds for AS that nobody is given: RFC 7607, RFC 6793, RFC 5398, RFC 6996, RFC 7300.
func specialAS(as uint32) bool {
	return as == 0 || as == 23456 || as >= 64496 && as <= 65551 || as >= 4200000000
}
