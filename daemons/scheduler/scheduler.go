package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"sonde/internal/store"
)

const (
	ahead          = 5 * time.Second        // how far runs are made due before their instant
	passEvery      = time.Second            // polling; notifications make it quicker
	expireEvery    = 3 * time.Second        // how often missed runs are looked for
	expireAtOnce   = 5000                   // of them in one transaction
	partitionEvery = time.Hour              // and soon again after a failure
	leastPause     = 50 * time.Millisecond  // between passes, however many notifications come
	retry          = 500 * time.Millisecond // after an error
	promise        = 20 * time.Second       // a pass over a long sleep of 100,000 specs takes seconds
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
	Lag                          time.Duration // how long the last pass took
}

// Run plans until ctx ends. It returns nil then; it never gives up otherwise.
func (s *Scheduler) Run(ctx context.Context) error {
	told := make(chan struct{}, 1)
	go s.listen(ctx, told)
	for ctx.Err() == nil {
		leader, err := s.Store.Lead(ctx, s.Name)
		switch {
		case err != nil && ctx.Err() == nil:
			s.away = s.away || store.IsAway(err)
			s.Log.Warn("no lead: the database does not answer", "error", err)
			s.Report("waiting for the database", promise)
			pause(ctx, nil, retry)
		case err == nil && leader == nil:
			s.Report("standing by, another scheduler leads", promise)
			pause(ctx, nil, passEvery)
		case err == nil:
			s.Log.Info("leading")
			err := s.lead(ctx, leader, told)
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			leader.Close(closing)
			cancel()
			if ctx.Err() == nil {
				s.away = s.away || store.IsAway(err)
				s.Log.Warn("lead lost", "error", err)
				pause(ctx, nil, retry)
			}
		}
	}
	return nil
}

// lead plans until something fails.
func (s *Scheduler) lead(ctx context.Context, leader *store.Leader, told <-chan struct{}) error {
	s.Report("reading the plan", promise)
	if err := s.partitions(ctx, leader); err != nil {
		return err
	}
	p, err := s.newPlan(ctx, leader)
	if err != nil {
		return err
	}
	nextExpire, nextPartitions := time.Now(), time.Now().Add(partitionEvery)
	for ctx.Err() == nil {
		began := time.Now()
		if err := p.pass(ctx); err != nil {
			return err
		}
		if !time.Now().Before(nextExpire) {
			n, err := leader.Expire(ctx, expireAtOnce)
			if err != nil {
				return err
			}
			s.total.Missed += n
			nextExpire = time.Now().Add(expireEvery)
			if n == expireAtOnce {
				nextExpire = time.Now()
			}
		}
		if !time.Now().Before(nextPartitions) {
			s.Report("making and dropping partitions", promise)
			nextPartitions = time.Now().Add(partitionEvery)
			if err := s.partitions(ctx, leader); err != nil {
				return err
			}
		}
		s.total.Lag = time.Since(began)
		if s.Counted != nil {
			s.Counted(s.total)
		}
		s.Report(fmt.Sprintf("leading, %d specs planned", p.calendar.Len()), promise)
		pause(ctx, nil, leastPause)
		pause(ctx, told, passEvery-time.Since(began))
	}
	return ctx.Err()
}

func (s *Scheduler) partitions(ctx context.Context, leader *store.Leader) error {
	made, dropped, err := leader.Partitions(ctx)
	if err != nil {
		return err
	}
	if made+dropped > 0 {
		s.Log.Info("partitions", "made", made, "dropped", dropped)
	}
	return nil
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
