package analyst

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sonde/internal/alert"
	"sonde/internal/judge"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// pass is one transaction's worth of judging.
type pass struct {
	*session
	ctx       context.Context
	j         store.Judging
	now       time.Time
	attention map[int64]store.Attention
	releases  []release // hosts whose data are free now
	found     found
	changes   map[int64]*store.AlertChange
	closed    map[string]*store.AlertChange // by keyOf: closed in this pass
	order     []int64                       // of changes
	told      []told
	moved     bool              // something was read
	kept      bool              // states were written
	ahead     bool              // the database's clock has just run ahead
	byAlert   map[int64]*watch  // open alerts of specs, as of group
	specOf    map[int64]*spec   // theirs
	company   map[int64]string  // what they stand for
	outages   map[string]outage // by monitoring host, of the gaps read
	effects   int               // of how many routes it was asked what came with them
	unraised  map[string]string // by rule: why its alerts cannot be raised
	locked    bool              // an alert has been waited for in vain
}

// feedNew reads what is new and feeds it, spec by spec, in order of due_at.
func (p *pass) feedNew(part store.Part) error {
	inbox := &p.session.inbox
	defer inbox.empty(2 * len(p.specs)) // more than one of each is rare
	var sources []*source
	var series []store.Series
	for _, t := range p.Tools {
		sources, series = append(sources, p.sources[t.Name]), append(series, p.sources[t.Name].Series)
	}
	read := func(part store.Part, specs []int64, keep func(*spec) bool) error {
		gaps, err := p.j.News(p.ctx, series, part, specs, func(table int, r store.Run) {
			if sp := p.specs[r.ToolspecID]; sp != nil && sp.source == sources[table] && keep(sp) {
				inbox.put(sp, r)
			}
		})
		if err != nil {
			return err
		}
		for _, g := range gaps {
			if sp := p.specs[g.ToolspecID]; sp != nil && keep(sp) {
				g.Values = make([]float64, len(sp.source.Columns))
				for i := range g.Values {
					g.Values[i] = math.NaN()
				}
				inbox.put(sp, g)
				p.noteGap(sp.Monhost, g)
			}
		}
		return nil
	}
	for _, r := range p.releases {
		var specs []int64
		for _, sp := range p.session.order {
			if sp.Monhost == r.monhost {
				specs = append(specs, sp.ID)
			}
		}
		if len(specs) == 0 {
			continue
		}
		old := store.Part{Read: r.read, Seen: part.Read, Until: part.Read.Xmax, Anew: part.Anew}
		if err := read(old, specs, func(*spec) bool { return true }); err != nil {
			return err
		}
	}
	if err := read(part, nil, func(sp *spec) bool { return !p.held(sp.Monhost) }); err != nil {
		return err
	}
	p.moved = p.moved || len(inbox.came) > 0
	p.session.fed += int64(len(inbox.came))
	mail := inbox.sort()
	for i, t := range p.feedAll(mail) {
		if t == nil {
			continue
		}
		if err := p.hear(mail[i].spec, t.said); err != nil {
			return err
		}
		if len(t.late) > 0 {
			p.noteLate(mail[i].spec, t.late)
		}
	}
	return nil
}

// taken is what came of the runs of a spec: what its detectors said, and which were late.
type taken struct {
	said []said
	late []store.Run
}

// specsTogether are fed by one core before it asks for more.
const specsTogether = 64

// feedAll feeds specs their runs on all cores. No detector knows of another, nor of
// what is made of its verdicts: so it is the same in which order, and they are
// heard in order afterwards. Most say nothing, and are not looked at again.
func (p *pass) feedAll(mail []letter) []*taken {
	out := make([]*taken, len(mail))
	var next atomic.Int64
	var feeding sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		feeding.Go(func() {
			for {
				to := int(next.Add(specsTogether))
				for i := to - specsTogether; i < min(to, len(mail)); i++ {
					out[i] = p.feed(mail[i])
				}
				if to >= len(mail) {
					return
				}
			}
		})
	}
	feeding.Wait()
	return out
}

// feed gives the runs of a spec to its detectors; nil when nothing came of them.
func (p *pass) feed(l letter) *taken {
	var t taken
	sp := l.spec
	for i := range l.runs {
		r := &l.runs[i]
		if !r.DueAt.After(sp.judgedTo) || p.takenBack(r) {
			t.late = append(t.late, *r)
			continue
		}
		sp.keep = sp.keep || sp.judgedTo.IsZero() || unrepeatable(r)
		for _, one := range sp.judge(r) {
			one.late = r.Late
			t.said = append(t.said, one)
		}
		sp.noteJudging()
		if r.Outcome == measure.Missed && !r.Gap {
			sp.missed = append(sp.missed, missed{r.DueAt, r.Reason})
			sp.dirty = true
		}
	}
	sp.keep = sp.keep || len(t.late) > 0 || sp.due(p.now) // late runs are read, and never to be fed
	if len(t.said)+len(t.late) == 0 {
		return nil
	}
	return &taken{t.said, t.late}
}

// takenBack reports whether a run was due at a time that was taken back when the
// clock was set back, and is still to come. Fed, it would make late all that comes
// until that time is there again.
func (p *pass) takenBack(r *store.Run) bool {
	return r.DueAt.Sub(p.now) > aheadAtMost && r.DueAt.Sub(p.config.TakenBack) < aheadAtMost
}

// hear folds what the detectors of a spec said, run by run.
func (p *pass) hear(sp *spec, all []said) error {
	for _, one := range all {
		p.keepRecords(sp, one)
		for _, v := range one.verdicts {
			if err := p.verdict(sp, one.watch, v, one.late); err != nil {
				return err
			}
		}
	}
	return nil
}

// noteLate writes down results that came after later ones were judged.
func (p *pass) noteLate(sp *spec, late []store.Run) {
	first, last := late[0].DueAt, late[len(late)-1].DueAt
	text := fmt.Sprintf("a result of %s came late", first.Format(time.RFC3339))
	if len(late) > 1 {
		text = fmt.Sprintf("%d results of %s to %s came late", len(late), first.Format(time.RFC3339), last.Format(time.RFC3339))
	}
	why := "later results of this spec were judged already; it is kept and shown, and was not judged"
	if p.takenBack(&late[len(late)-1]) {
		why = "it was measured before the clock was set back; it is kept and shown, and was not judged"
	}
	p.found.Findings = append(p.found.Findings, store.NewFinding{
		ToolspecID: sp.ID, Monhost: sp.Monhost, Node: sp.Node, Tool: sp.Tool, Rule: "late", Kind: string(measure.Note), Severity: string(measure.Info),
		At: last, Since: first, Decision: "late", Text: text,
		Reason:   why,
		Evidence: map[string]any{"results": len(late), "judged_to": sp.judgedTo},
	})
}

// tickDetectors tells detectors the time, when all that is there has been read.
func (p *pass) tickDetectors() error {
	if d := p.now.Sub(p.tickedAt); d >= 0 && d < tickEvery {
		return nil
	}
	if p.ahead {
		return nil
	}
	p.tickedAt = p.now
	for _, sp := range p.session.order {
		if p.held(sp.Monhost) {
			continue
		}
		sp.keep = sp.keep || sp.due(p.now) // of one that nothing feeds any more
		at := p.timeFor(sp)
		for _, w := range sp.watches {
			verdicts := w.detector.Tick(at)
			if len(verdicts) == 0 {
				continue
			}
			sp.keep = true
			p.found.Ticks = append(p.found.Ticks, store.NewTick{At: at, ToolspecID: sp.ID, Rule: w.rule.Name})
			for _, v := range verdicts {
				if err := p.verdict(sp, w, v, false); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// stepped reports whether the database's clock has just run ahead of ours: then
// ticks wait until the step is a row and read. asked is when we asked it for the
// time; on a busy machine the answer is a while under way.
func (p *pass) stepped(asked time.Time) bool {
	s := p.session
	answered := time.Now()
	if !s.lastNow.IsZero() && p.now.Sub(s.lastNow)-answered.Sub(s.lastMono) > time.Second {
		s.noTicksTo = answered.Add(reload + tickEvery)
	}
	s.lastNow, s.lastMono = p.now, asked
	return answered.Before(s.noTicksTo)
}

// timeFor is the time as a spec knows it: for one that has judged nothing since
// a forward step, the skipped time has not passed, nor has the time in which no
// analyst worked: what happened then is told by rows, missed runs and gaps.
func (p *pass) timeFor(sp *spec) time.Time {
	at := p.now
	if sp.judgedTo.Before(p.began) {
		at = at.Add(-p.slept)
	}
	for _, s := range p.config.Steps {
		// One that lies ahead was taken back since.
		if !sp.judgedTo.IsZero() && sp.judgedTo.Before(s.At) && !s.At.After(p.now) {
			at = at.Add(-time.Duration(s.Seconds * float64(time.Second)))
		}
	}
	return at
}

// verdict takes what a detector says.
func (p *pass) verdict(sp *spec, w *watch, v measure.Verdict, late bool) error {
	sp.dirty = true
	if v.Kind == measure.Bad && w.rule.Method == routeMethod {
		if err := p.addEffects(sp, &v); err != nil {
			return err
		}
	}
	if v.Kind == measure.Bad {
		w.reason, _ = v.Evidence["reason"].(string)
	}
	if len(w.owed) > 0 {
		w.owed = owe(w.owed, v, late) // behind what came before
		return nil
	}
	return p.fold(sp, w, v, late, "")
}

// fold folds a verdict into its episode; what cannot be raised is owed. mute says
// why nobody hears of it, "" when people do.
func (p *pass) fold(sp *spec, w *watch, v measure.Verdict, late bool, mute string) error {
	before, f := w.episode, p.facts(sp, w, v.At, late)
	f.Mute = cmp.Or(f.Mute, mute)
	next, d := judge.Fold(w.rule, before, f, &v)
	switch err := p.decide(sp, w, before, next, d, &v, late); {
	case errors.Is(err, errOwed):
		w.owed = owe(nil, v, late)
		p.restless[sp.ID] = true
		return nil
	case err != nil:
		return err
	}
	p.excursion(sp, w, v)
	return nil
}

// facts of the moment at for a verdict or tick on one watch.
func (p *pass) facts(sp *spec, w *watch, at time.Time, late bool) alert.Facts {
	f := alert.Facts{Late: late, Mute: muteOf(w.rule)}
	f.Quiet = p.planned(sp.Node, sp.Labels, at)
	if h, ok := p.session.hidden[w.alert]; ok && f.Quiet == "" && w.alert != 0 {
		f.Quiet = h.why
	}
	if f.Quiet == "" && p.awaitsData(w) {
		f.Quiet = "told when data have not come again within a minute"
	}
	p.heed(&f, w.alert)
	return f
}

// awaitsData reports whether it is too soon to speak of missing data.
func (p *pass) awaitsData(w *watch) bool {
	return judge.AwaitsData(w.rule, w.alert != 0, w.opened, p.now)
}

// heed adds what people did to the alert.
func (p *pass) heed(f *alert.Facts, id int64) {
	a, ok := p.attention[id]
	if !ok || id == 0 {
		return
	}
	f.Acked = a.Acked
	if a.SilentTo.After(p.now) {
		f.Silenced = "silenced until " + a.SilentTo.UTC().Format("2006-01-02 15:04 UTC")
	}
}

// planned is the maintenance that covers a node at an instant, or now, in words;
// "" for none. Now counts for what happened just before the work began.
func (p *pass) planned(node string, labels []string, at time.Time) string {
	return judge.Planned(p.config.Maintenance, node, labels, at, p.now)
}

// restlessSpecs gives the specs of which a watch is not at rest, in order.
func (p *pass) restlessSpecs() []*spec {
	var list []*spec
	for id := range p.restless {
		sp := p.specs[id]
		if sp == nil || !slices.ContainsFunc(sp.watches, func(w *watch) bool { return !w.atRest() }) {
			delete(p.restless, id)
			continue
		}
		list = append(list, sp)
	}
	slices.SortFunc(list, bySpec)
	return list
}

// tickEpisodes tells the time to episodes that are not at rest.
func (p *pass) tickEpisodes() error {
	for _, sp := range p.restlessSpecs() {
		for _, w := range sp.watches {
			if w.episode.Phase == alert.Nothing || len(w.owed) > 0 || p.held(sp.Monhost) || p.behind {
				continue
			}
			before := w.episode
			next, d, due := before.Tick(judge.Policy(w.rule), p.facts(sp, w, p.now, false), p.now)
			if !due {
				continue
			}
			sp.dirty = true
			err := p.decide(sp, w, before, next, d, nil, false)
			if errors.Is(err, errOwed) { // a good verdict that comes first must not make it undone
				v := measure.Verdict{Kind: measure.Bad, Severity: before.Base, At: p.now, Since: before.Since, Text: before.Text}
				w.owed, err = owe(nil, v, false), nil
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
