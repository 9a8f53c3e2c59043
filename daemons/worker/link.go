package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sonde/internal/measure"
	"sonde/internal/plan"
	"sonde/internal/proc"
	"sonde/internal/store"
)

// link talks to the database: it claims runs and keeps the worker's copy of its
// specs. What it learns goes to the dispatcher over channels.
type link struct {
	w      *Worker
	claims chan store.Claims
	plans  chan *ownPlan
	state  chan bool    // true: the database went away; false: it came back
	beat   atomic.Int64 // when it last went round, by our monotonic clock
	born   time.Time

	hand    *inHand // the dispatcher's
	mark    uint64
	copy    *ownPlan
	away    bool
	unsure  time.Time // until then the server may still be carrying out a claim that we gave up
	look    time.Time // not before this we look for such claims again
	last    []measure.RunKey
	entered bool
	told    chan struct{}

	claimed time.Time // by the database's clock: what was due up to here was offered to us
	whole   time.Time // by ours: when we looked at all that may still start
	due     struct {  // what we were told meanwhile
		sync.Mutex
		any  bool
		from time.Time
	}
}

// ownPlan is the worker's copy of its specs, also on disk.
type ownPlan struct {
	Specs          map[int64]store.Spec
	Repeats        plan.Repeats
	StartTolerance time.Duration
	Offset         time.Duration // the database's clock less this host's, when it was last asked
}

func newLink(w *Worker) *link {
	return &link{w: w, claims: make(chan store.Claims), plans: make(chan *ownPlan), state: make(chan bool),
		born: time.Now(), told: make(chan struct{}, 1)}
}

// alive reports whether the link has gone round lately; every call to the database has its limit.
func (l *link) alive() bool {
	return time.Since(l.born)-time.Duration(l.beat.Load()) < 2*(answerTime+storeTime)
}

func (l *link) run(ctx context.Context) {
	l.copy = l.w.readPlan()
	l.sendPlan(ctx)
	go l.listen(ctx)
	for ctx.Err() == nil {
		l.beat.Store(int64(time.Since(l.born)))
		full, err := l.round(ctx)
		if ctx.Err() != nil {
			return
		}
		l.tell(ctx, err)
		if err == nil && !l.w.refusing.Load() {
			l.release()
		}
		switch {
		case err != nil:
			wait(ctx, pollEvery)
		case !full:
			l.pause(ctx)
		}
	}
}

// round is one exchange with the database. A stop does not cut it off: a claim
// whose answer is not heard would be missed.
func (l *link) round(stopping context.Context) (full bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(stopping), answerTime)
	defer cancel()
	if !l.entered {
		if err := l.w.Register(ctx); err != nil {
			return false, err
		}
		l.entered = true
	}
	changes, err := l.w.Store.SpecChanges(ctx, l.mark, l.w.Monhost, l.w.Tool.Name)
	if err != nil {
		return false, err
	}
	if l.away {
		l.unsure, l.look = time.Now().Add(2*answerTime), time.Time{}
	}
	if now := time.Now(); now.Before(l.unsure) && !now.Before(l.look) {
		// All runs of the last minutes go along: once a second is enough.
		l.look = now.Add(pollEvery)
		// A claim whose answer was lost is ours in the database and unknown here.
		// The last one may not have arrived at the dispatcher's hand yet.
		if err := l.w.Store.HandBackOthers(ctx, append(l.hand.known(), l.last...), l.w.claimant()); err != nil {
			return false, err
		}
	}
	if l.hand.holding() >= holdMost {
		return false, nil
	}
	c, err := l.w.Store.Claim(ctx, l.w.claimant(), changes.StartTolerance, ahead, claimMost, l.since())
	if err != nil {
		return false, err
	}
	l.claimed, l.last = c.To, make([]measure.RunKey, len(c.Runs))
	for i, r := range c.Runs {
		l.last[i] = r.RunKey
	}
	l.take(stopping, changes, c.Clock)
	if c.Runs, err = l.fill(ctx, c.Runs); err != nil {
		l.last = nil // claimed, but unknown here: handed back when the database answers
		return false, err
	}
	select {
	case l.claims <- c:
		// Where so many were due, more are: no pause.
		return len(c.Runs) >= claimMost/4, nil
	case <-stopping.Done():
	}
	return false, l.w.Store.HandBack(ctx, l.last, l.w.claimant())
}

// since is the instant from which on the next claim looks. What was offered up
// to some instant is not looked through again, unless we are told of runs before
// it; what nobody tells, like the end of a lock on a row, is found once a second.
func (l *link) since() time.Time {
	l.due.Lock()
	told, from := l.due.any, l.due.from
	l.due.any, l.due.from = false, time.Time{}
	l.due.Unlock()
	since, now := l.claimed, time.Now()
	l.claimed = time.Time{} // if the claim fails
	switch {
	case since.IsZero(), told && from.IsZero(), now.Sub(l.whole) >= pollEvery:
		l.whole = now
		return time.Time{}
	case told && from.Before(since):
		return from
	}
	return since
}

// hear notes from which instant on runs were made due; zero means any.
func (l *link) hear(from time.Time) {
	l.due.Lock()
	if !l.due.any || from.Before(l.due.from) {
		l.due.any, l.due.from = true, from
	}
	l.due.Unlock()
}

// fill brings what our copy knows of the specs into claimed runs. The copy was
// read a moment before, so that a change counts as soon as it can. What is there
// no more, or disabled, is dropped.
func (l *link) fill(ctx context.Context, claimed []*store.Claim) ([]*store.Claim, error) {
	var unknown []int64
	for _, r := range claimed {
		if _, known := l.copy.Specs[r.ToolspecID]; !known {
			unknown = append(unknown, r.ToolspecID)
		}
	}
	fresh := map[int64]store.Spec{} // inserted between reading the changes and claiming
	if len(unknown) > 0 {
		specs, err := l.w.Store.Specs(ctx, unknown, l.w.Monhost, l.w.Tool.Name)
		if err != nil {
			return nil, err
		}
		for _, s := range specs {
			fresh[s.ID] = s
		}
	}
	runs := claimed[:0]
	var leases []*store.Claim
	var gone []measure.RunKey
	for _, r := range claimed {
		spec, known := l.copy.Specs[r.ToolspecID]
		if !known {
			spec, known = fresh[r.ToolspecID]
		}
		if !known || !spec.Enabled {
			gone = append(gone, r.RunKey)
			continue
		}
		r.Node, r.Address, r.Options = spec.Node, spec.Address, spec.Options
		if r.TimeToRun != spec.TimeToRun {
			r.TimeToRun, r.LeaseTo = spec.TimeToRun, store.LeaseTo(r.StartBy, spec.TimeToRun)
			leases = append(leases, r)
		}
		runs = append(runs, r)
	}
	if len(gone) > 0 {
		if err := l.w.Store.Drop(ctx, gone, l.w.claimant()); err != nil {
			return nil, err
		}
	}
	if len(leases) > 0 {
		if err := l.w.Store.SetLeases(ctx, leases, l.w.claimant()); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// tell says it when the database goes or comes.
func (l *link) tell(ctx context.Context, err error) {
	if (err != nil) == l.away {
		return
	}
	l.away = err != nil
	l.w.away.Store(l.away)
	if err != nil {
		l.w.Log.Warn("no exchange with the database; runs go on by our own plan", "tool", l.w.Tool.Name, "error", err)
	} else {
		l.w.Log.Info("the database answers", "tool", l.w.Tool.Name)
	}
	select {
	case l.state <- l.away:
	case <-ctx.Done():
	}
}

// release lets the loader have what was spooled, as soon as the database
// takes results: also what a call that began before spools only now.
func (l *link) release() {
	if err := l.w.Spool.Release(); err != nil {
		l.w.Log.Error("the spool's segment did not close well", "error", err)
	}
}

// take brings changes into the copy. The first reading of a process replaces
// the copy as a whole: it may be years old.
func (l *link) take(ctx context.Context, c store.Changes, clock store.Clock) {
	first := l.mark == 0
	l.mark = c.Mark
	offset := clock.DB.Sub(clock.At.Round(0))
	c.Removed = slices.DeleteFunc(c.Removed, func(id int64) bool { _, ours := l.copy.Specs[id]; return !ours })
	same := !first && len(c.Specs) == 0 && len(c.Removed) == 0 && len(c.Repeats) == len(l.copy.Repeats) &&
		c.StartTolerance == l.copy.StartTolerance && (offset-l.copy.Offset).Abs() < time.Second
	if same {
		return
	}
	next := &ownPlan{Specs: map[int64]store.Spec{}, Repeats: c.Repeats, StartTolerance: c.StartTolerance, Offset: offset}
	if !first {
		for id, s := range l.copy.Specs {
			next.Specs[id] = s
		}
	}
	for _, s := range c.Specs {
		next.Specs[s.ID] = s
	}
	for _, id := range c.Removed {
		delete(next.Specs, id)
	}
	l.copy = next
	if err := l.w.writePlan(next); err != nil {
		l.w.Log.Error("the copy of our specs cannot be written: with the database away a restart would not measure", "file", l.w.PlanFile, "error", err)
	}
	l.sendPlan(ctx)
}

func (l *link) sendPlan(ctx context.Context) {
	select {
	case l.plans <- l.copy:
	case <-ctx.Done():
	}
}

// listen wakes the link when work or changes are told.
func (l *link) listen(ctx context.Context) {
	for ctx.Err() == nil {
		_ = l.w.Store.Listen(ctx, []string{"sonde_due", "sonde_config"}, func(channel, payload string) {
			switch channel {
			case "sonde_due":
				from, mine := store.DueFor(payload, l.w.Monhost, l.w.Tool.Name)
				if !mine {
					return
				}
				l.hear(from)
			case "": // what was told before we listened is not known
				l.hear(time.Time{})
			}
			select {
			case l.told <- struct{}{}:
			default:
			}
		}) // polling goes on without it
		wait(ctx, 2*time.Second)
	}
}

// pause waits for the next poll; what is told makes it shorter, but not short.
func (l *link) pause(ctx context.Context) {
	wait(ctx, 50*time.Millisecond)
	t := time.NewTimer(pollEvery)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-l.told:
	case <-t.C:
	}
}

func (w *Worker) readPlan() *ownPlan {
	p := &ownPlan{Specs: map[int64]store.Spec{}, StartTolerance: 10 * time.Second}
	raw, err := os.ReadFile(w.PlanFile)
	if err != nil {
		if !os.IsNotExist(err) {
			w.Log.Error("the copy of our specs cannot be read", "file", w.PlanFile, "error", err)
		}
		return p
	}
	var read ownPlan
	if err := json.Unmarshal(raw, &read); err != nil || read.Specs == nil || read.StartTolerance <= 0 {
		w.Log.Error("the copy of our specs is damaged; it is written anew when the database answers", "file", w.PlanFile, "error", err)
		return p
	}
	return &read
}

func (w *Worker) writePlan(p *ownPlan) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("copy of the specs: %w", err)
	}
	return proc.Replace(w.PlanFile, raw, 0o600, true)
}
