package notifier

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sonde/internal/store"
	"sonde/notify"
)

const (
	passEvery  = 2 * time.Second // polling; notifications make it quicker
	leastPause = 50 * time.Millisecond
	retry      = 500 * time.Millisecond // after an error of the database
	promise    = 40 * time.Second
	passTime   = 15 * time.Second // no pass waits longer for the database
	atOnce     = 2000             // notices looked at in one pass
	takeAtOnce = 50
	tidyEvery  = 5 * time.Minute // old notices, alerts about mediums nobody uses
	forgetMost = 5000
	lastGrace  = 10 * time.Second // how long mediums may finish when we stop
	longest    = 75 * time.Minute // longer than any time-out of a medium
)

// Notifier is one daemon; many may run.
type Notifier struct {
	Store  *store.Store
	Type   func(name string) (notify.Type, bool) // the mediums this version knows
	Name   string                                // owner of leases: unique for each process
	Log    *slog.Logger
	Report func(doing string, next time.Duration)

	// Cancelled ends when what is under way must be dropped at once; nil: never.
	Cancelled context.Context

	PerMedium int           // messages one medium has in hand at the same time; 0: 8
	Lease     time.Duration // 0: 20 s
	Judging   time.Duration // for how long nothing may be judged; 0: 15 minutes

	mu      sync.Mutex
	flying  map[int64]string // deliveries in the hands of a medium, by id
	slots   map[string]int   // how many, by medium
	landed  chan struct{}    // something ended
	flights sync.WaitGroup
	daily   map[string]bool // recipient and day: done, or being written
	tidyAt  time.Time

	judgedTo, judged time.Time // the analyst's mark, and when we saw it move last; zero: not since the database answers
}

// Run sends until ctx ends, and then waits a little for what is under way. What
// is not finished then is released: whoever comes next asks its medium.
func (n *Notifier) Run(ctx context.Context) error {
	if n.PerMedium == 0 {
		n.PerMedium = 8
	}
	if n.Lease == 0 {
		n.Lease = 20 * time.Second
	}
	n.flying, n.slots, n.daily = map[int64]string{}, map[string]int{}, map[string]bool{}
	n.landed = make(chan struct{}, 1)

	// What mediums and bookkeeping run under: it outlives ctx.
	hard, drop := context.WithCancel(context.WithoutCancel(ctx))
	defer drop()
	if n.Cancelled != nil {
		defer context.AfterFunc(n.Cancelled, drop)()
	}

	told := make(chan struct{}, 1)
	n.flights.Go(func() { n.listen(ctx, told) })
	reason := ""
	for ctx.Err() == nil {
		began := time.Now()
		wake, err := n.pass(ctx, hard)
		switch {
		case err != nil && ctx.Err() == nil:
			if err.Error() != reason {
				n.Log.Warn("the database does not do what is asked", "error", err)
				reason = err.Error()
			}
			n.judged = time.Time{}
			doing := "waiting for the database"
			if !store.IsAway(err) {
				doing = "the pass fails: " + err.Error()
			}
			n.Report(doing, promise)
			pause(ctx, retry, nil, nil)
			continue
		case err == nil && reason != "":
			n.Log.Info("the database answers again")
			reason = ""
		}
		n.Report(fmt.Sprintf("%d messages under way", n.underWay()), promise)
		pause(ctx, leastPause, nil, nil)
		pause(ctx, min(passEvery, max(wake, 0))-time.Since(began), told, n.landed)
	}
	n.end(hard, drop)
	return nil
}

// end lets mediums finish, keeping the leases, and drops them after a while.
func (n *Notifier) end(hard context.Context, drop func()) {
	done := make(chan struct{})
	go func() { n.flights.Wait(); close(done) }()
	last := time.Now().Add(lastGrace)
	for {
		n.Report(fmt.Sprintf("stopping, %d messages under way", n.underWay()), promise)
		if time.Now().After(last) {
			drop()
		}
		select {
		case <-done:
			return
		case <-time.After(min(n.Lease/4, time.Second)):
			ctx, cancel := context.WithTimeout(context.WithoutCancel(hard), 5*time.Second)
			if err := n.renew(ctx); err != nil {
				n.Log.Warn("leases not renewed", "error", err)
			}
			cancel()
		}
	}
}

// pass does all there is to do now; wake is when the plan changes by itself.
func (n *Notifier) pass(ctx, hard context.Context) (wake time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, passTime)
	defer cancel()
	if err := n.renew(ctx); err != nil {
		return 0, err
	}
	orphans, err := n.Store.TakeOver(ctx, n.Name, n.Lease, takeAtOnce)
	if err != nil {
		return 0, err
	}
	for _, d := range orphans {
		// Our own, when the database was away for longer than the lease: it is still in hand.
		if n.takeOff(d) {
			n.Log.Info("asking a medium what became of a delivery", "delivery", d.ID, "medium", d.Medium, "recipient", d.Recipient)
			n.flights.Go(func() { n.ask(hard, d) })
		}
	}
	if err := n.tellHidden(ctx); err != nil {
		return 0, err
	}
	box, err := n.Store.ReadOutbox(ctx, atOnce)
	if err != nil {
		return 0, err
	}
	a := plan(box)
	for _, f := range a.finish {
		if err := n.Store.FinishNotice(ctx, f.notice, f.why, f.planned); err != nil {
			return 0, err
		}
	}
	for _, d := range a.digest {
		notice, fresh, takesOver := digestNotice(d, box.Now)
		if err := n.Store.AddDigest(ctx, notice, fresh, takesOver); err != nil {
			return 0, err
		}
	}
	zones := map[string]*time.Location{}
	for _, r := range box.Recipients {
		zones[r.Name] = zone(r.TimeZone)
	}
	for _, b := range a.begin {
		if err := n.begin(ctx, hard, b, zones[b.step.Recipient]); err != nil {
			return 0, err
		}
	}
	n.tellTheDay(ctx, hard, box)
	if err := n.watchAnalyst(ctx); err != nil {
		return 0, err
	}
	if err := n.tidy(ctx); err != nil {
		return 0, err
	}
	wake = passEvery
	if !a.wake.IsZero() {
		wake = min(wake, a.wake.Sub(box.Now))
	}
	if len(a.digest)+len(a.finish) > 0 {
		wake = 0 // what waited for these can go on
	}
	return wake, nil
}

// begin commits a delivery and gives it to its medium, if that has a hand free.
func (n *Notifier) begin(ctx, hard context.Context, b begin, zone *time.Location) error {
	if !n.handFree(b.step.Medium) {
		return nil // a medium that is slow holds up itself only
	}
	var d store.Delivery
	var ours bool
	var err error
	if b.again == nil {
		d, ours, err = n.Store.BeginDelivery(ctx, b.notice.ID, b.step, n.Name, n.Lease)
	} else {
		d, ours, err = n.Store.RetryDelivery(ctx, *b.again, b.step, n.Name, n.Lease)
	}
	if err != nil || !ours || !n.takeOff(d) {
		return err
	}
	n.flights.Go(func() { n.send(hard, d, b.step.Type, b.step.Options, message(b.notice, d, zone)) })
	return nil
}

func (n *Notifier) renew(ctx context.Context) error {
	n.mu.Lock()
	ids := make([]int64, 0, len(n.flying))
	for id := range n.flying {
		ids = append(ids, id)
	}
	n.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	return n.Store.RenewLeases(ctx, ids, n.Name, n.Lease)
}

func (n *Notifier) tidy(ctx context.Context) error {
	if time.Now().Before(n.tidyAt) {
		return nil
	}
	if err := n.Store.CloseUnusedMediums(ctx); err != nil {
		return err
	}
	gone, err := n.Store.ForgetNotices(ctx, forgetMost)
	if err != nil {
		return err
	}
	n.tidyAt = time.Now().Add(tidyEvery)
	if gone >= forgetMost {
		n.tidyAt = time.Now().Add(time.Second)
	}
	return nil
}

// takeOff enters a delivery as in hand; false when it already is.
func (n *Notifier) takeOff(d store.Delivery) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, flies := n.flying[d.ID]; flies {
		return false
	}
	n.flying[d.ID] = d.Medium
	n.slots[d.Medium]++
	return true
}

func (n *Notifier) land(d store.Delivery) {
	n.mu.Lock()
	delete(n.flying, d.ID)
	if n.slots[d.Medium]--; n.slots[d.Medium] == 0 {
		delete(n.slots, d.Medium)
	}
	n.mu.Unlock()
	select {
	case n.landed <- struct{}{}:
	default:
	}
}

func (n *Notifier) handFree(medium string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.slots[medium] < n.PerMedium
}

func (n *Notifier) underWay() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.flying)
}

func (n *Notifier) listen(ctx context.Context, told chan<- struct{}) {
	for ctx.Err() == nil {
		_ = n.Store.Listen(ctx, []string{"sonde_notice", "sonde_config"}, func(string, string) {
			select {
			case told <- struct{}{}:
			default:
			}
		})
		pause(ctx, retry, nil, nil) // polling goes on meanwhile
	}
}

func zone(name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return z
}

// pause waits for d, or until ctx ends or one of the channels says something.
func pause(ctx context.Context, d time.Duration, a, b <-chan struct{}) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-a:
	case <-b:
	}
}
