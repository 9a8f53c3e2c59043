package worker

import (
	"container/heap"
	"context"
	"fmt"
	"sync"
	"time"

	"sonde/internal/measure"
	"sonde/internal/store"
)

// nearer is how much later a run may start because the database's clock is
// known better than when the run was claimed. More would be a step, which moves nothing.
const nearer = 200 * time.Millisecond

// dispatcher owns the runs from claim to end and starts each at its instant.
// Its goroutine never waits for the database.
type dispatcher struct {
	w      *Worker
	engine *engine
	keep   *keeper
	link   *link

	hand    *inHand
	waiting byStart
	ready   []*run           // their instant has come, room is what they wait for
	behind  map[int64][]*run // their instant has come, the last run of their spec has not ended
	expiry  time.Time        // not before this the next of ready and behind is too late
	running int
	ended   endings
	most    int

	clock     store.Clock
	claimTo   time.Time // every run due up to here was offered to us
	heard     time.Time // when the database gave us runs last, be it none
	planned   time.Time // the leader has planned up to here; zero if none ever has
	alone     bool      // the database answers, but nobody plans
	beyond    time.Time // since when the plan ends further ahead than any leader plans
	saidAlone time.Time
	self      *selfPlan
	lag       time.Duration
	reported  time.Time
}

// endings are runs that have ended and whose place is not free yet.
type endings struct {
	mu   sync.Mutex
	runs []*run
	some chan struct{}
}

// put adds a run; the first of many wakes the dispatcher for all.
func (e *endings) put(r *run) {
	e.mu.Lock()
	e.runs = append(e.runs, r)
	first := len(e.runs) == 1
	e.mu.Unlock()
	if first {
		e.some <- struct{}{}
	}
}

// take gives what has ended; spare is filled next.
func (e *endings) take(spare []*run) []*run {
	e.mu.Lock()
	defer e.mu.Unlock()
	runs := e.runs
	e.runs = spare[:0]
	return runs
}

func newDispatcher(w *Worker, e *engine, k *keeper, l *link) *dispatcher {
	d := &dispatcher{w: w, engine: e, keep: k, link: l, hand: newInHand(), behind: map[int64][]*run{},
		ended: endings{some: make(chan struct{}, 1)}, most: atOnce, self: newSelfPlan(w)}
	if w.Tool.AtOnce > 0 {
		d.most = w.Tool.AtOnce
	}
	l.hand = d.hand
	return d
}

func (d *dispatcher) run(stopping, cancelled context.Context) {
	probing, cancel := context.WithCancelCause(context.Background())
	defer context.AfterFunc(cancelled, func() { cancel(errStopped) })()
	defer cancel(nil)

	timer := time.NewTimer(0)
	defer timer.Stop()
	done := stopping.Done()
	var spare []*run
	for done != nil || d.running > 0 {
		select {
		case c := <-d.link.claims:
			d.claimed(c)
			if done == nil {
				d.handBack()
			}
		case p := <-d.link.plans:
			d.self.take(p)
			d.dropDisabled(p)
		case away := <-d.link.state:
			d.self.database(away, d.claimTo, d.clock.Now())
		case <-d.ended.some: // many at once: one round for all of them
			ended := d.ended.take(spare)
			d.end(ended)
			clear(ended)
			spare = ended
		case <-timer.C:
		case <-done:
			done = nil
			d.handBack()
		}
		if done != nil {
			d.selfPlan()
		}
		next := d.start(probing, time.Now())
		d.report(done == nil)
		timer.Reset(next)
	}
}

// claimed takes runs that the database gave us.
func (d *dispatcher) claimed(c store.Claims) {
	d.clock, d.planned, d.heard = better(d.clock, c.Clock), c.Planned, time.Now()
	// What is due after the leader's plan was not offered to us, though we asked for it.
	if d.claimTo = c.To; !c.Planned.IsZero() && c.Planned.Before(c.To) {
		d.claimTo = c.Planned
	}
	if !d.nobodyPlans() {
		d.self.database(false, d.claimTo, d.clock.Now())
	}
	for _, claim := range c.Runs {
		switch have, made := d.hand.find(claim.RunKey); {
		case made || have != nil && (!have.own || have.spec.running == have):
			// We made it by our own plan: its result ends the run by way of Load.
		case have != nil:
			have.Claim, have.own = claim, false // not started yet: the lease is better
		default:
			d.add(&run{Claim: claim})
		}
	}
}

const (
	// planEnds is how long before its end the leader's plan counts as given up: a
	// leader plans five seconds ahead. No instant passes before we plan ourselves.
	planEnds = 500 * time.Millisecond
	// planBeyond is further than any leader plans: the clock was set back, and for
	// beyondMost a leader may not have dealt with it yet.
	planBeyond = 10 * time.Second
	beyondMost = 3 * time.Second
)

// nobodyPlans reports whether the database answers and yet nothing is made due,
// because no scheduler runs or what it plans cannot be stored (a full disk).
func (d *dispatcher) nobodyPlans() bool {
	left := d.planned.Sub(d.clock.Now())
	if left <= planBeyond {
		d.beyond = time.Time{}
	} else if d.beyond.IsZero() {
		d.beyond = time.Now()
	}
	alone := !d.planned.IsZero() && (left < planEnds || left > planBeyond && time.Since(d.beyond) > beyondMost)
	switch {
	case alone && !d.alone && time.Since(d.saidAlone) > time.Minute:
		d.saidAlone = time.Now()
		d.w.Log.Warn("the database answers, but nobody plans; runs go on by our own plan", "tool", d.w.Tool.Name, "planned_to", d.planned)
	case !alone && d.alone:
		d.w.Log.Info("somebody plans again", "tool", d.w.Tool.Name)
	}
	d.alone = alone
	return alone
}

// better is the reading that knows the database's clock more exactly. A claim
// counts from before it was sent, so each reading is ahead of the truth by what
// the claim took at most: the one less ahead is nearer, unless the two
// contradict each other, which is a step of the clock.
func better(old, read store.Clock) store.Clock {
	if old.DB.IsZero() {
		return read
	}
	age := read.At.Sub(old.At)
	drift := age / 5000
	ahead := read.DB.Sub(old.DB.Add(age))
	if ahead <= drift || ahead > read.Error+drift {
		return read
	}
	return old
}

// add puts a run in the queue for its instant.
func (d *dispatcher) add(r *run) {
	r.start, r.stop = d.clock.Local(r.DueAt), d.clock.Local(r.StartBy)
	d.hand.add(r)
	heap.Push(&d.waiting, r)
}

// silent is how long the database may take to give us runs before we plan by
// ourselves: less than ahead, so that no instant passes that was neither claimed
// nor planned. That it is away is known seconds later only. What it still gives
// us meanwhile is recognised by its key.
const silent = ahead - 250*time.Millisecond

// selfPlan adds the runs of the next seconds while the database is away or
// silent, or nobody plans.
func (d *dispatcher) selfPlan() {
	if !d.heard.IsZero() && (time.Since(d.heard) > silent || d.nobodyPlans()) {
		d.self.database(true, d.claimTo, d.clock.Now())
	}
	for _, r := range d.self.due(d.clock) {
		if have, made := d.hand.find(r.RunKey); have != nil || made || d.hand.holding() >= holdMost {
			continue
		}
		if d.clock.DB.IsZero() {
			d.clock = d.self.clock() // never spoke to the database: our own clock must do
		}
		d.add(r)
	}
}

// start starts what is due, names what came too late, and says how long
// nothing else is to do. An event costs what it starts, not what waits:
// thousands may.
func (d *dispatcher) start(ctx context.Context, now time.Time) time.Duration {
	for len(d.waiting) > 0 && !d.waiting[0].start.After(now) {
		r := heap.Pop(&d.waiting).(*run)
		if at := d.clock.Local(r.DueAt); at.After(now) && at.Sub(r.start) < nearer {
			r.start = at
			heap.Push(&d.waiting, r)
			continue
		}
		d.ready = append(d.ready, r)
		d.watch(r)
	}
	for len(d.ready) > 0 && d.running < d.most {
		r := d.ready[0]
		d.ready[0], d.ready = nil, d.ready[1:]
		switch {
		case !r.stop.After(now):
			d.tooLate(r)
		case r.spec.running != nil:
			d.behind[r.ToolspecID] = append(d.behind[r.ToolspecID], r)
		default:
			d.begin(ctx, r)
		}
	}
	d.lag = 0
	if len(d.ready) > 0 {
		d.lag = now.Sub(d.ready[0].start)
	}
	d.expire(now)
	next := now.Add(time.Second)
	if len(d.waiting) > 0 && d.waiting[0].start.Before(next) {
		next = d.waiting[0].start
	}
	if len(d.ready)+len(d.behind) > 0 && d.expiry.Before(next) {
		next = d.expiry
	}
	return max(next.Sub(now), 0)
}

// watch remembers when a run that is ready or behind may no longer start.
func (d *dispatcher) watch(r *run) {
	if len(d.ready)+len(d.behind) == 1 || r.stop.Before(d.expiry) {
		d.expiry = r.stop
	}
}

// expireEvery is how often the waiting ones are gone through at most: with
// thousands of them in an overload one is too late at every moment.
const expireEvery = 10 * time.Millisecond

// expire ends what can no longer start.
func (d *dispatcher) expire(now time.Time) {
	if len(d.ready)+len(d.behind) == 0 || now.Before(d.expiry) {
		return
	}
	next := now.Add(time.Hour)
	late := func(runs []*run) []*run {
		kept := runs[:0]
		for _, r := range runs {
			if !r.stop.After(now) {
				d.tooLate(r)
				continue
			}
			kept = append(kept, r)
			if r.stop.Before(next) {
				next = r.stop
			}
			d.lag = max(d.lag, now.Sub(r.start))
		}
		clear(runs[len(kept):])
		return kept
	}
	d.ready = late(d.ready)
	for id, runs := range d.behind {
		if kept := late(runs); len(kept) > 0 {
			d.behind[id] = kept
		} else {
			delete(d.behind, id)
		}
	}
	d.expiry = next
	if least := now.Add(expireEvery); next.Before(least) {
		d.expiry = least
	}
}

// tooLate ends a run that could not start, and names why. When the run before
// it is why, its end is stored after that one's: the analyst judges a spec's runs
// in order of due_at, and what comes behind a later one is late.
func (d *dispatcher) tooLate(r *run) {
	if before := r.spec.running; before != nil {
		before.overtaken = append(before.overtaken, r)
		return
	}
	d.miss(r, fmt.Sprintf(measure.Overload+": %d runs of %s were under way on %s until it was too late to start", d.running, d.w.Tool.Name, d.w.Monhost))
}

// begin makes a run in a goroutine of its own.
func (d *dispatcher) begin(ctx context.Context, r *run) {
	r.spec.running = r
	d.running++
	started := d.clock.Now().Truncate(time.Microsecond)
	go func() {
		r.end = d.w.measure(ctx, d.engine, r, started)
		d.keep.put(r)
		d.ended.put(r)
	}()
}

// end frees the places of runs.
func (d *dispatcher) end(runs []*run) {
	for _, r := range runs {
		r.spec.running = nil
		d.running--
		for _, late := range r.overtaken {
			d.miss(late, measure.StillRunning+": the run due at "+r.DueAt.UTC().Format("15:04:05.000 UTC")+" had not ended")
		}
		r.overtaken = nil
		if behind := d.behind[r.ToolspecID]; len(behind) > 0 {
			d.ready = append(d.ready, behind...)
			delete(d.behind, r.ToolspecID)
		}
	}
	d.hand.forget(runs...)
	d.w.count(func(t *Totals) { t.Made += len(runs) })
}

// miss ends a run that could not start in time.
func (d *dispatcher) miss(r *run, why string) {
	r.end = store.RunEnd{RunKey: r.RunKey, Attempt: r.Attempt, Place: r.Place, Outcome: measure.Missed, Reason: why}
	d.keep.put(r)
	d.hand.forget(r)
	d.w.count(func(t *Totals) { t.Missed++ })
}

// dropDisabled deletes unstarted runs of specs that are no longer enabled.
func (d *dispatcher) dropDisabled(p *ownPlan) {
	var gone []measure.RunKey
	drop := func(runs []*run) []*run {
		kept := runs[:0]
		for _, r := range runs {
			if spec, known := p.Specs[r.ToolspecID]; known && !spec.Enabled {
				gone = append(gone, r.RunKey)
				// Not remembered as made: the spec may be enabled again before that instant.
				d.hand.drop(r)
				continue
			}
			kept = append(kept, r)
		}
		clear(runs[len(kept):])
		return kept
	}
	d.waiting = drop(d.waiting)
	heap.Init(&d.waiting)
	d.ready = drop(d.ready)
	for id, runs := range d.behind {
		if kept := drop(runs); len(kept) > 0 {
			d.behind[id] = kept
		} else {
			delete(d.behind, id)
		}
	}
	d.drop(gone)
}

// drop deletes claimed runs that will not be made.
func (d *dispatcher) drop(gone []measure.RunKey) {
	if len(gone) == 0 {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), answerTime)
		defer cancel()
		if err := d.w.Store.Drop(ctx, gone, d.w.claimant()); err != nil {
			d.w.Log.Warn("runs of disabled specs stay until their leases end", "runs", len(gone), "error", err)
		}
	}()
}

// handBack returns what has not started to the database.
func (d *dispatcher) handBack() {
	var keys []measure.RunKey
	unstarted := append(d.waiting, d.ready...)
	for _, runs := range d.behind {
		unstarted = append(unstarted, runs...)
	}
	for _, r := range unstarted {
		if !r.own {
			keys = append(keys, r.RunKey)
		}
	}
	d.hand.forget(unstarted...)
	d.waiting, d.ready = nil, nil
	clear(d.behind)
	if len(keys) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	if err := d.w.Store.HandBack(ctx, keys, d.w.claimant()); err != nil {
		d.w.Log.Warn("claimed runs could not be handed back and will be missed", "runs", len(keys), "error", err)
	}
}

// report proves progress.
func (d *dispatcher) report(stopping bool) {
	now := time.Now()
	if now.Sub(d.reported) < 500*time.Millisecond {
		return
	}
	d.reported = now
	d.w.count(func(t *Totals) { t.Lag = d.lag })
	doing := fmt.Sprintf("%d running, %d waiting", d.running, d.hand.holding()-d.running)
	switch {
	case d.alone:
		doing += "; nobody plans, runs go on by our own plan"
	case d.self.away:
		doing += "; the database is away, runs go on by our own plan"
	}
	if stopping {
		doing = fmt.Sprintf("stopping, %d runs still under way", d.running)
	}
	if d.link.alive() || stopping {
		d.w.Report(doing, promise)
	}
}

// byStart is a heap of runs by their instant.
type byStart []*run

func (q byStart) Len() int           { return len(q) }
func (q byStart) Less(i, j int) bool { return q[i].start.Before(q[j].start) }
func (q byStart) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *byStart) Push(x any)        { *q = append(*q, x.(*run)) }
func (q *byStart) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}
