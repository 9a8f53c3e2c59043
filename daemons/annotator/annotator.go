package annotator

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sonde/internal/store"
)

// Times and bounds of the annotator.
const (
	every       = 10 * time.Second // between passes
	rowsAPass   = 100000           // of one table, when it catches up
	batch       = 100              // addresses, and as many AS, looked up between two commits
	parallel    = 8                // look-ups at the same time
	forgetEvery = time.Hour
	passTime    = 2 * time.Minute // what the database may take for one step
	promise     = 45 * time.Second
)

// Annotator is the daemon.
type Annotator struct {
	Store  *store.Store
	Log    *slog.Logger
	Report func(doing string, next time.Duration) // of progress; nil for none
	Every  time.Duration                          // between passes; 0 means 10 s

	// Dial reaches a name server; nil: as ever.
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	AskTime time.Duration // for one look-up; 0 means 10 s

	works            atomic.Bool
	entered, lookUps atomic.Int64
	failed           atomic.Int64
	lag              atomic.Int64
}

// Works reports whether this annotator is the one that works.
func (a *Annotator) Works() bool { return a.works.Load() }

// Counts gives how many addresses this process has entered, how many look-ups it
// has made, and how many of them failed.
func (a *Annotator) Counts() (entered, lookUps, failed int64) {
	return a.entered.Load(), a.lookUps.Load(), a.failed.Load()
}

// Lag is for how long the address whose turn is next has been waiting, when there are more than one goes through at once.
func (a *Annotator) Lag() time.Duration { return time.Duration(a.lag.Load()) }

func (a *Annotator) report(doing string, next time.Duration) {
	if a.Report != nil {
		a.Report(doing, next)
	}
}

// Run works until ctx ends.
func (a *Annotator) Run(ctx context.Context) error {
	if a.Every == 0 {
		a.Every = every
	}
	if a.Dial == nil {
		a.Dial = new(net.Dialer).DialContext
	}
	if a.AskTime == 0 {
		a.AskTime = askTime
	}
	pause, last := time.Duration(0), ""
	for {
		err := a.work(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			pause, last = a.Every, "" // another annotator works
			a.report("waiting: another annotator works", promise)
		} else {
			pause = min(max(2*pause, 200*time.Millisecond), 5*time.Second)
			if err.Error() != last {
				a.Log.Warn("the pass is given up", "error", err)
				last = err.Error()
			}
			doing := "waiting for the database"
			if !store.IsAway(err) {
				doing = "the pass fails: " + err.Error()
			}
			a.report(doing, promise)
		}
		wait(ctx, pause)
	}
}

// session is what an annotator knows while it holds the lock.
type session struct {
	*Annotator
	db       *store.Annotator
	pace     pace
	servers  nameServer
	set      store.LookUps
	away     time.Duration // the pause since nobody answers; 0: somebody does
	askAgain time.Time
	forgetAt time.Time
}

// work makes passes as long as this annotator holds the lock. nil without an end
// of ctx means that another holds it.
func (a *Annotator) work(ctx context.Context) error {
	try, cancel := context.WithTimeout(ctx, 10*time.Second)
	db, err := a.Store.Annotate(try)
	cancel()
	if err != nil || db == nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		db.Close(closing)
	}()
	s := &session{Annotator: a, db: db}
	a.Log.Info("this annotator works")
	a.works.Store(true)
	defer a.works.Store(false)
	for {
		more, err := s.pass(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if !more {
			wait(ctx, a.Every)
		}
	}
}

// pass takes in what is new and looks some of what is due up. more means that
// there is more of either.
func (s *session) pass(ctx context.Context) (more bool, err error) {
	s.report("collecting addresses", passTime+10*time.Second)
	step, cancel := context.WithTimeout(ctx, passTime)
	defer cancel()
	n, behind, err := s.db.Collect(step, rowsAPass)
	if err != nil {
		return false, err
	}
	s.entered.Add(n)
	if s.set, err = s.db.LookUps(step); err != nil {
		return false, err
	}
	s.servers = newNameServer(s.Dial, s.set.Server, s.AskTime)
	if time.Now().After(s.forgetAt) {
		n, err := s.db.Forget(step)
		if err != nil {
			return false, err
		}
		if n > 0 {
			s.Log.Info("addresses that are not measured any more are forgotten", "addresses", n)
		}
		s.forgetAt = time.Now().Add(forgetEvery)
	}
	if s.away > 0 {
		s.report("waiting for a name server", s.Every+promise)
		if time.Now().Before(s.askAgain) {
			return behind, nil
		}
		if !s.servers.alive(ctx) {
			s.nobodyAnswers()
			return behind, nil
		}
		s.Log.Info("a name server answers again")
		s.away = 0
	}
	most := min(batch, 5*s.set.PerSecond)
	addresses, systems, err := s.db.Due(step, most)
	if err != nil {
		return false, err
	}
	full := len(addresses) == most || len(systems) == most
	s.lag.Store(0)
	if full && len(addresses) > 0 {
		s.lag.Store(int64(max(0, addresses[0].Overdue)))
	}
	if err := s.round(ctx, addresses, systems); err != nil {
		return false, err
	}
	doing := "nothing to look up"
	if len(addresses)+len(systems) > 0 {
		doing = fmt.Sprintf("looked %d addresses and %d AS up", len(addresses), len(systems))
	}
	s.report(doing, s.Every+promise)
	return behind || full && s.away == 0, nil
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// pace spaces look-ups out.
type pace struct {
	mu   sync.Mutex
	next time.Time
}

// wait returns when it is the caller's turn.
func (p *pace) wait(ctx context.Context, perSecond int) {
	p.mu.Lock()
	now := time.Now()
	at := p.next
	if at.Before(now) {
		at = now
	}
	p.next = at.Add(time.Second / time.Duration(max(perSecond, 1)))
	p.mu.Unlock()
	if d := time.Until(at); d > 0 {
		wait(ctx, d)
	}
}
