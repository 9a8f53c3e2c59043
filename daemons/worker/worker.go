package worker

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sonde/internal/store"
	"sonde/probes"
)

const (
	ahead      = 2 * time.Second  // how far runs are claimed before their instant
	pollEvery  = time.Second      // claims; notifications make it quicker
	claimMost  = 2000             // runs in one claim
	holdMost   = 50000            // runs in hand; beyond that the database keeps them
	answerTime = 5 * time.Second  // what the database gets for a claim
	storeTime  = 15 * time.Second // and for storing a batch
	promise    = 15 * time.Second
	atOnce     = 64 // runs at the same time, for tools that do not say
)

// Spool takes results while the database is away. Append returns when they are
// on disk; Release lets the loader have them.
type Spool interface {
	Append(records []json.RawMessage) error
	Release() error
}

// Worker is one daemon: it makes the runs of one tool on one monitoring host.
type Worker struct {
	Store    *store.Store
	Spool    Spool
	Tool     probes.Tool
	Monhost  string
	Name     string // the claims' owner: host, daemon and pid; no two processes share it
	PlanFile string // the copy of the worker's specs
	Log      *slog.Logger
	Report   func(doing string, next time.Duration)

	// Register enters this host into the database; it is called until it
	// succeeds. ErrHostTaken and a schema that is too new are its errors too.
	Register func(ctx context.Context) error

	away     atomic.Bool // no exchange with the database: results go to the spool at once
	refusing atomic.Bool // the database takes no results, although it answers
	mu       sync.Mutex
	total    Totals
}

// claimant is the worker as schedule knows it.
func (w *Worker) claimant() store.Claimant {
	return store.Claimant{Monhost: w.Monhost, Tool: w.Tool.Name, Name: w.Name}
}

// Totals are counted since the start.
type Totals struct {
	Made, Missed, Spooled, Doubles, Refused int
	Lag                                     time.Duration // how late the run that waits longest is
}

// Totals gives what was counted.
func (w *Worker) Totals() Totals {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}

func (w *Worker) count(f func(*Totals)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.total)
}

// run is one run in the worker's hand.
type run struct {
	*store.Claim
	spec  *specRuns // while the run is in hand
	start time.Time // our clock (monotonic) at its instant
	stop  time.Time // our clock at StartBy
	own   bool      // planned by ourselves: there is no lease, and there may be a row already
	end   store.RunEnd

	overtaken []*run // later ones of its spec, which could not start while it ran
}

// Run works until stopping ends, lets what runs finish, or cancels it when
// cancelled ends. It returns when everything it has learnt is stored or spooled.
func (w *Worker) Run(stopping, cancelled context.Context) error {
	table := store.Table{Name: w.Tool.Table, Columns: w.Tool.Columns}
	engine := newEngine(w.Tool, w.Log)
	keep := newKeeper(w, table)
	link := newLink(w)
	d := newDispatcher(w, engine, keep, link)

	var background sync.WaitGroup
	open, closeEngine := context.WithCancel(context.WithoutCancel(cancelled))
	background.Go(func() { engine.run(open) })
	storing, endStoring := context.WithCancel(context.WithoutCancel(cancelled))
	var keepers sync.WaitGroup
	for range 2 {
		keepers.Go(func() { keep.run(storing) })
	}

	// What is claimed before the engine is open would start late.
	w.Report("opening the engine", promise)
	engine.wait(stopping)
	background.Go(func() { link.run(stopping) })
	d.run(stopping, cancelled)

	keep.close()
	keepers.Wait()
	endStoring()
	closeEngine()
	background.Wait()
	return w.Spool.Release()
}
