package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sonde/internal/store"
)

const (
	ahead          = 5 * time.Second // how far runs are made due before their instant
	passEvery      = time.Second     // polling; notifications make it quicker
	expireEvery    = 3 * time.Second // how often missed runs are looked for
	expireAtOnce   = 5000            // of them in one transaction
	partitionEvery = time.Hour
	partitionRetry = time.Minute            // after a failure
	leastPause     = 50 * time.Millisecond  // between passes, however many notifications come
	retry          = 500 * time.Millisecond // after an error
	promise        = 30 * time.Second       // a pass over a long sleep of 100,000 specs takes seconds
	patience       = 20 * time.Second       // with a database that says nothing
	unseenGrace    = 10 * time.Second       // how long before its commit a transaction may have begun to count as just now
)

// Scheduler is one daemon; many may run, one of them leads.
type Scheduler struct {
	Store  *store.Store
	Name   string // for people: monitoring host and pid
	Log    *slog.Logger
	Report func(doing string, next time.Duration)

	Counted func(Totals) // called after each pass; nil for none

	last  store.Clock // reading of the previous pass, kept over a loss of the lead
	away  bool        // the database was away since then
	total Totals
}

// Totals are counted since the start.
type Totals struct {
	Planned, Gaps, Missed, Steps int
	Passes                       int           // that succeeded
	Lag                          time.Duration // how long the last pass took
}

// Run plans until ctx ends. It returns nil then; it never gives up otherwise.
func (s *Scheduler) Run(ctx context.Context) error {
	told := make(chan struct{}, 1)
	go s.listen(ctx, told)
	last := ""
	// What goes on failing is said once in the log, and stands in every report.
	failed := func(what string, err error) {
		s.away = s.away || store.IsAway(err)
		if err.Error() != last {
			s.Log.Warn(what, "error", err)
			last = err.Error()
		}
		s.Report("nothing can be planned: "+last, promise)
		pause(ctx, nil, retry)
	}
	for ctx.Err() == nil {
		if last == "" {
			s.Report("asking for the lead", promise)
		}
		asking, cancel := context.WithTimeout(ctx, patience)
		leader, err := s.Store.Lead(asking, s.Name)
		cancel()
		switch {
		case err != nil && ctx.Err() == nil:
			failed("no lead: the database does not answer", err)
		case err == nil && leader == nil:
			s.away, last = false, "" // whoever leads has an answering one
			s.Report("standing by, another scheduler leads", promise)
			pause(ctx, nil, passEvery)
		case err == nil:
			planned := s.total.Passes
			err := s.lead(ctx, leader, told)
			if s.total.Passes > planned {
				last = ""
			}
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			leader.Close(closing)
			cancel()
			if ctx.Err() == nil {
				failed("lead lost", err)
			}
		}
	}
	return nil
}

// lead plans until planning fails. What else a leader does may fail for reasons
// of its own (a lock on a table, a full disk) and is tried again later.
func (s *Scheduler) lead(ctx context.Context, leader *store.Leader, told <-chan struct{}) error {
	first := true
	var p *theplan
	err := s.patiently(ctx, func(ctx context.Context) (err error) {
		p, err = s.newPlan(ctx, leader)
		return err
	})
	if err != nil {
		return err
	}
	var nextExpire, nextPartitions time.Time
	for ctx.Err() == nil {
		began := time.Now()
		steps := s.total.Steps
		if err := s.patiently(ctx, p.pass); err != nil {
			return err
		}
		if s.total.Passes++; first {
			s.Log.Info("leading")
			first = false
		}
		s.total.Lag = time.Since(began)
		if s.Counted != nil {
			s.Counted(s.total)
		}
		// A new leader first makes the partitions that ends go to; after a step the days are others.
		if !time.Now().Before(nextPartitions) || s.total.Steps > steps {
			s.Report("making and dropping partitions", promise)
			nextPartitions = time.Now().Add(partitionEvery)
			err := s.patiently(ctx, func(ctx context.Context) error {
				dropped, err := s.partitions(ctx, leader)
				if dropped > 0 { // there may be more
					nextPartitions = time.Now()
				}
				return err
			})
			if err != nil {
				s.Log.Error("partitions were not made and dropped", "error", err)
				if !errors.Is(err, store.ErrHeld) {
					nextPartitions = time.Now().Add(partitionRetry)
				}
			}
		}
		if !time.Now().Before(nextExpire) && leader.Alive() {
			nextExpire = time.Now().Add(expireEvery)
			err := s.patiently(ctx, func(ctx context.Context) error {
				n, err := leader.Expire(ctx, p.last.Now(), expireAtOnce)
				s.total.Missed += n
				if n == expireAtOnce {
					nextExpire = time.Now()
				}
				return err
			})
			if err != nil && ctx.Err() == nil {
				s.Log.Error("missed runs were not ended", "error", err)
			}
		}
		s.Report(fmt.Sprintf("leading, %d specs planned", p.calendar.Len()), promise)
		pause(ctx, nil, leastPause)
		pause(ctx, told, passEvery-time.Since(began))
	}
	return ctx.Err()
}

// patiently bounds a talk with the database: one that has fallen silent is as
// good as away.
func (s *Scheduler) patiently(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return f(ctx)
}

func (s *Scheduler) partitions(ctx context.Context, leader *store.Leader) (dropped int, err error) {
	made, dropped, err := leader.Partitions(ctx)
	if made+dropped > 0 {
		s.Log.Info("partitions", "made", made, "dropped", dropped)
	}
	return dropped, err
}

// listen turns notifications of changed configuration into a wake-up.
func (s *Scheduler) listen(ctx context.Context, told chan<- struct{}) {
	for ctx.Err() == nil {
		_ = s.Store.Listen(ctx, []string{"sonde_config"}, func(string, string) {
			select {
			case told <- struct{}{}:
			default:
			}
		}) // polling goes on without it, and says what is wrong with the database
		pause(ctx, nil, 2*time.Second)
	}
}

// pause waits for d, for wake, or for the end of ctx.
func pause(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}
