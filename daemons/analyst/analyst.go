package analyst

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sonde/analysis"
	"sonde/internal/judge"
	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/probes"
)

// Times of the analyst.
const (
	every       = time.Second      // between passes
	reload      = 10 * time.Second // between looks at the configuration when nobody notifies
	tickEvery   = 5 * time.Second  // between ticks of detectors
	holdAtMost  = 5 * time.Minute  // for spools after an outage
	passAtMost  = 10 * time.Minute // one pass: with a new rule it writes the states of all specs
	reports     = 70 * time.Second // of progress come more often, in a pass too
	endAtMost   = 5 * time.Second  // for the pass under way at a clean stop
	stopAtMost  = 10 * time.Second // for states of detectors after it
	rowsAPass   = 20000            // of one table, so that memory stays small while it catches up
	partAfter   = 5 * time.Second  // what came in less time is read at once
	groupWait   = time.Minute      // for the other specs of a host
	groupLinger = 5 * time.Minute  // a host's alert hides its specs so long after it got better
	hostSilent  = 2 * time.Minute  // without any report a monitoring host is silent
	markAtLeast = 30 * time.Second // the mark moves also when nothing is new
	clockSteady = 10 * time.Minute // without a step the clock's alert is over
	aheadAtMost = time.Minute      // of the clock, a result that was measured now, and of a step, one that was planned before it; with much to spare
)

// Analyst is the daemon.
type Analyst struct {
	Store   *store.Store
	Tools   []probes.Tool
	Methods []analysis.Method
	Log     *slog.Logger
	Report  func(doing string, next time.Duration) // of progress; nil for none
	Every   time.Duration                          // between passes; 0 means a second
	Rows    int                                    // of one table that a pass reads at once while it catches up; 0 means 20000

	works    atomic.Bool
	findings atomic.Int64
	lag      atomic.Int64
	judged   atomic.Int64
	busy     atomic.Int64
	unraised atomic.Int64
	wellAt   time.Time // end of the last pass that was committed; Run's own
	failing  string    // why the last one failed, until one succeeds; Run's own
}

// Works reports whether this analyst is the one that works.
func (a *Analyst) Works() bool { return a.works.Load() }

// Findings is how many findings this process has written.
func (a *Analyst) Findings() int64 { return a.findings.Load() }

// Judged is how many samples were judged, and how long the passes took in which
// there were any, from BEGIN to the answer of COMMIT.
func (a *Analyst) Judged() (samples int64, busy time.Duration) {
	return a.judged.Load(), time.Duration(a.busy.Load())
}

// Unraised is of how many rules alerts cannot be raised.
func (a *Analyst) Unraised() int64 { return a.unraised.Load() }

// Lag is how long the data that are read now have waited while it catches up, or
// for how long no pass has succeeded.
func (a *Analyst) Lag() time.Duration { return time.Duration(a.lag.Load()) }

// session is what an analyst knows while it holds the lock. It ends with the
// first error.
type session struct {
	*Analyst
	db      *store.Analyst
	sources map[string]*source // by tool
	tables  []string
	methods map[string]analysis.Method

	read     store.Snapshot // how far the data are read
	specs    map[int64]*spec
	order    []*spec                    // all, by their number
	restless map[int64]bool             // specs with a watch that may not be at rest
	hosts    map[string]bool            // monitoring hosts of specs
	options  map[string]measure.Options // of rules, by method and options as written
	readAt   time.Time                  // when all that was there had been read last
	inbox    inbox
	fed      int64                             // samples of this pass
	gone     map[int64]map[string]savedEpisode // restored, of specs that are watched no more
	config   store.Configuration
	prints   []string  // of config.Rules
	loadedAt time.Time // zero: never
	changed  *atomic.Bool
	tickedAt time.Time
	platform platform
	mesh     map[string]*mesh  // by rule
	hidden   map[int64]hiding  // by alert, as of the last pass
	unraised map[string]string // as of the last pass
	behind   bool
	markedAt time.Time
	caughtUp time.Time
	began    time.Time     // by the database's clock
	slept    time.Duration // no analyst worked for so long before

	lastNow, lastMono, noTicksTo time.Time // the database's clock beside ours
}

// Run works until ctx ends.
func (a *Analyst) Run(ctx context.Context) error {
	changed := &atomic.Bool{}
	var listening sync.WaitGroup
	defer listening.Wait()
	listening.Go(func() { a.listen(ctx, changed) })
	pause, last := time.Duration(0), ""
	a.wellAt = time.Now()
	for {
		err := a.work(ctx, changed)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			pause, last = every, "" // another analyst works
			a.wellAt, a.failing = time.Now(), ""
			a.lag.Store(0)
			a.report("waiting: another analyst works", 30*time.Second)
		} else {
			pause = min(max(2*pause, 200*time.Millisecond), 5*time.Second)
			if err.Error() != last {
				a.Log.Warn("the pass is given up and everything read anew", "error", err)
				last = err.Error()
			}
			// It is tried again and again, so it is progress; but nobody may take it for health.
			a.lag.Store(int64(time.Since(a.wellAt)))
			a.failing = ""
			doing := "waiting for the database"
			if !store.IsAway(err) {
				a.failing = err.Error()
				doing = "waiting to try again"
			}
			a.report(doing, 30*time.Second)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// listen makes changes of rules and specs seen at once; polling is what we rely on.
func (a *Analyst) listen(ctx context.Context, changed *atomic.Bool) {
	for ctx.Err() == nil {
		_ = a.Store.Listen(ctx, []string{"sonde_config"}, func(string, string) { changed.Store(true) })
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
}

func (a *Analyst) report(doing string, next time.Duration) {
	if a.failing != "" { // first, and as long as it lasts: trying again looks like work
		doing = "the pass fails: " + a.failing + "; " + doing
	}
	if a.Report != nil {
		a.Report(doing, next)
	}
}

// work makes passes as long as this analyst holds the lock. nil without an end
// of ctx means that another holds it.
func (a *Analyst) work(ctx context.Context, changed *atomic.Bool) error {
	try, cancel := context.WithTimeout(ctx, 10*time.Second)
	db, err := a.Store.Analyse(try)
	cancel()
	if err != nil || db == nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		db.Close(closing)
	}()
	s := newSession(a, db, changed)
	a.Log.Info("this analyst works")
	a.works.Store(true)
	defer func() { a.works.Store(false); a.unraised.Store(0) }()
	if err := s.restore(ctx); err != nil {
		return err
	}
	pause := a.Every
	if pause == 0 {
		pause = every
	}
	for {
		a.report(s.doing(), reports)
		passing, cancel := passContext(ctx)
		var wrote int
		began := time.Now()
		err := s.db.Pass(passing, func(j store.Judging) (err error) { wrote, err = s.pass(passing, j); return err })
		cancel()
		if err != nil {
			return err
		}
		a.wellAt, a.failing = time.Now(), ""
		a.findings.Add(int64(wrote))
		a.unraised.Store(int64(len(s.unraised)))
		if s.fed > 0 {
			a.busy.Add(int64(time.Since(began)))
			a.judged.Add(s.fed)
			s.fed = 0
		}
		if s.behind && ctx.Err() == nil {
			a.lag.Store(int64(time.Since(s.caughtUp)))
			continue
		}
		s.caughtUp = time.Now()
		a.lag.Store(0)
		select {
		case <-ctx.Done():
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopAtMost)
			defer cancel()
			return s.keepAll(ending)
		case <-time.After(pause):
		}
	}
}

// passContext is that of one pass. A stop lets it end: given up, it would leave the
// detectors ahead of what was committed, and their states could not be written.
func passContext(ctx context.Context) (context.Context, context.CancelFunc) {
	passing, cancel := context.WithTimeout(context.WithoutCancel(ctx), passAtMost)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-passing.Done():
		case <-time.After(endAtMost):
			cancel()
		}
	})
	return passing, func() { stop(); cancel() }
}

func newSession(a *Analyst, db *store.Analyst, changed *atomic.Bool) *session {
	s := &session{Analyst: a, db: db, caughtUp: time.Now(), changed: changed,
		sources: map[string]*source{}, methods: map[string]analysis.Method{}, specs: map[int64]*spec{}, restless: map[int64]bool{}, options: map[string]measure.Options{}, gone: map[int64]map[string]savedEpisode{}, hidden: map[int64]hiding{}, mesh: map[string]*mesh{}}
	seen := map[string]bool{}
	for _, t := range a.Tools {
		from := &source{tool: t.Name, Series: store.Series{Table: t.Table, Routes: judge.FindsRoutes(t.Columns)}}
		for _, m := range t.Metrics {
			from.Columns = append(from.Columns, m.Column)
		}
		s.sources[t.Name] = from
		from.loss = s.column(t.Name, "loss_pct")
		if !seen[t.Table] {
			seen[t.Table] = true
			s.tables = append(s.tables, t.Table)
		}
	}
	for _, m := range a.Methods {
		s.methods[m.Name] = m
	}
	return s
}

// pass is one transaction. It gives how many findings it wrote.
func (s *session) pass(ctx context.Context, j store.Judging) (int, error) {
	asked := time.Now()
	// A session begins when the database is there, maybe again.
	outset, err := j.Begin(ctx, s.platform.ClockStep, s.began.Add(-s.slept-time.Minute), s.began, s.began.Add(holdAtMost+time.Minute))
	if err != nil {
		return 0, err
	}
	mark := outset.Mark
	p := &pass{session: s, ctx: ctx, j: j, now: mark.Now, attention: outset.Attention, changes: map[int64]*store.AlertChange{}, closed: map[string]*store.AlertChange{}, unraised: map[string]string{}}
	p.ahead = p.stepped(asked)
	if mark.Restored() {
		before := mark.Read
		if mark, err = j.CountAnew(ctx, s.tables, mark); err != nil {
			return 0, err
		}
		s.Log.Warn("the database was restored into a server that counts transactions anew: what the restore brought is not judged again",
			"mark", before.String(), "now", mark.Seen.String(), "stored_before", mark.Anew)
		clear(s.platform.Held)
		s.platform.dirty = true
		for _, sp := range s.specs {
			sp.keep = true // what their states have read is told in numbers of the other server
		}
	}
	if s.changed.Swap(false) || time.Since(s.loadedAt) > reload {
		if err := p.configure(); err != nil {
			return 0, err
		}
	}
	if err := p.pay(); err != nil {
		return 0, err
	}
	part := mark.News()
	if asked.Sub(s.readAt) > partAfter {
		if part, err = j.Part(ctx, s.tables, part, cmp.Or(s.Rows, rowsAPass)); err != nil {
			return 0, err
		}
	}
	s.behind = part.Until < mark.Seen.Xmax
	s.read = mark.Seen.Before(part.Until)
	if !s.behind {
		s.readAt = asked
	}
	if err := p.hold(mark, outset.Spooling); err != nil {
		return 0, err
	}
	if err := p.clockSteps(outset.Steps); err != nil {
		return 0, err
	}
	if err := p.feedNew(part); err != nil {
		return 0, err
	}
	if err := p.gaps(); err != nil {
		return 0, err
	}
	if !s.behind {
		if err := p.tickDetectors(); err != nil {
			return 0, err
		}
	}
	if !s.behind {
		if err := p.meshes(); err != nil {
			return 0, err
		}
	}
	if err := p.group(); err != nil {
		return 0, err
	}
	if err := p.tickEpisodes(); err != nil {
		return 0, err
	}
	if err := p.write(); err != nil {
		return 0, err
	}
	s.unraised = p.unraised
	if p.found.Empty() && !p.kept && !p.moved && !s.platform.dirty && !s.behind && time.Since(s.markedAt) < markAtLeast {
		return 0, nil // nothing to say: not even a row version
	}
	s.markedAt = time.Now()
	mark.Read = s.read
	if !s.behind {
		mark.Whole = p.now
	}
	if mark.State, err = json.Marshal(s.platform); err != nil {
		return 0, fmt.Errorf("state of the platform's alerts: %w", err)
	}
	foundNothing := p.found.Empty() && !s.platform.dirty
	s.platform.dirty = false
	return len(p.found.Findings), j.SaveMark(ctx, mark, foundNothing)
}
