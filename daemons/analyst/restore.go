package analyst

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"sonde/analysis"
	"sonde/internal/judge"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// specsAtOnce bounds what is restored in one step, so that memory stays small
// and progress is reported.
const specsAtOnce = 1000

// restore brings back what the last commit knew: episodes as they were written,
// detectors as they were a while ago and fed again with what was read since. Their
// verdicts were folded then; now they tell nobody.
func (s *session) restore(ctx context.Context) error {
	began := time.Now()
	var specs []int64
	var watched map[int64]store.Watched
	var from, until time.Time // rows that the mark tells of were stored then
	err := s.step(ctx, func(ctx context.Context, j store.Judging) error {
		mark, err := j.Mark(ctx)
		if err != nil {
			return err
		}
		s.platform = platform{}
		if err := json.Unmarshal(mark.State, &s.platform); err != nil {
			s.Log.Error("the saved state of the platform's alerts cannot be read; they are judged anew", "error", err)
		}
		s.platform.prepare()
		s.read, from = mark.Read, mark.Anew
		if mark.Restored() {
			anew, err := j.CountAnew(ctx, s.tables, mark)
			if err != nil {
				return err
			}
			until = anew.Anew
		}
		s.began, s.slept = mark.Now, max(0, mark.Now.Sub(mark.Last))
		c, err := j.Configuration(ctx, 0)
		if err != nil {
			return err
		}
		c.Mark = 0 // the first pass makes all specs fit it
		if err := s.follow(c); err != nil {
			return err
		}
		watched = make(map[int64]store.Watched, len(s.config.Specs))
		for _, w := range s.config.Specs {
			if s.sources[w.Tool] != nil {
				watched[w.ID] = w
			}
		}
		specs, err = j.DetectorSpecs(ctx)
		return err
	})
	if err != nil {
		return err
	}
	again := 0
	for part := range slices.Chunk(specs, specsAtOnce) {
		s.report("reading the state of the detectors", reports)
		err := s.step(ctx, func(ctx context.Context, j store.Judging) error {
			states, err := j.Detectors(ctx, part)
			if err != nil {
				return err
			}
			list := make([]*restored, 0, len(states))
			for _, state := range states {
				if r := s.revive(state, watched); r != nil {
					list = append(list, r)
				}
			}
			n, err := s.replay(ctx, j, list, from, until)
			again += n
			return err
		})
		if err != nil {
			return err
		}
	}
	if len(specs) > 0 {
		s.Log.Info("the detectors go on where they were", "specs", len(s.specs), "samples fed again", again, "took", time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// step is one short transaction that writes nothing.
func (s *session) step(ctx context.Context, f func(context.Context, store.Judging) error) error {
	ctx, cancel := context.WithTimeout(ctx, passAtMost)
	defer cancel()
	return s.db.Pass(ctx, func(j store.Judging) error { return f(ctx, j) })
}

// restored is a spec as of when its state was written.
type restored struct {
	*spec
	has store.Snapshot // whose rows are in its state
}

// unusable is why an episode ends whose detector is lost: nothing would end it.
const unusable = "it is judged anew: its saved state cannot be used"

// revive makes a spec of its row, nil for one that is watched no more.
func (s *session) revive(row store.DetectorState, watched map[int64]store.Watched) *restored {
	var episodes map[string]savedEpisode
	var not map[string]string
	var gone []missed
	// Each for itself: an alert that is open must not be lost with the state of its detector.
	state, unread := readState(row.State)
	err := errors.Join(unread, json.Unmarshal(row.Episodes, &episodes), json.Unmarshal(row.NotJudged, &not), json.Unmarshal(row.Missed, &gone))
	if err != nil {
		s.Log.Error("the saved state of a spec cannot be read; it is judged anew", "spec", row.ToolspecID, "error", err)
	}
	if unread != nil {
		for name, e := range episodes {
			e.why = unusable
			episodes[name] = e
		}
	}
	w, ours := watched[row.ToolspecID]
	if !ours {
		s.gone[row.ToolspecID] = episodes
		return nil
	}
	sp := &spec{Watched: w, source: s.sources[w.Tool], judgedTo: row.JudgedTo, well: state.Well, keptAt: row.KeptAt, left: episodes, missed: gone}
	var watches []*watch
	for i := range s.config.Rules {
		r := &s.config.Rules[i]
		m, column, ours := s.method(r, sp)
		at := slices.IndexFunc(state.Rules, func(d savedDetector) bool { return d.Rule == r.Name })
		if !ours || at < 0 || state.Rules[at].Print != s.prints[i] {
			continue
		}
		sd := state.Rules[at]
		d, anew, err := s.detector(m, r, sd.Interval, sp.ID, sd.State)
		if err != nil {
			s.Log.Error("a rule makes no detector", "rule", r.Name, "spec", sp.ID, "error", err)
			continue
		}
		e, open := episodes[r.Name]
		if anew { // the first pass ends what is open, and begins anew
			if e.why = unusable; open {
				episodes[r.Name] = e
			}
			continue
		}
		one := &watch{rule: r, print: s.prints[i], interval: sd.Interval, hand: &hand{column: column},
			episode: e.Episode, alert: e.Alert, opened: e.Opened, partOf: e.PartOf, reason: e.Reason, owed: e.Owed}
		one.use(d)
		one.declines = one.decliner != nil && not[r.Name] != ""
		watches = append(watches, one)
		if !one.atRest() {
			s.restless[sp.ID] = true
		}
		if e.Hidden != "" {
			s.hidden[e.Alert] = hiding{e.PartOf, e.Hidden}
		}
		delete(sp.left, r.Name)
	}
	sp.watch(watches)
	sp.keep = len(watches) < len(state.Rules)
	s.specs[sp.ID] = sp
	return &restored{sp, row.Read}
}

// replay feeds the detectors what was read after their states were written. Rows
// that came late are not among it: a state is written when one is seen. So what
// is left was fed in order of due_at, whichever order it came in. Missed runs come
// from the notes of them, whatever their rows have become.
func (s *session) replay(ctx context.Context, j store.Judging, list []*restored, from, until time.Time) (int, error) {
	type source struct{ tool, read string }
	bySource := map[source][]*restored{}
	for _, r := range list {
		if !r.judgedTo.IsZero() { // the first sample is written at once
			at := source{r.Tool, s.readOf(r.spec).String()}
			bySource[at] = append(bySource[at], r)
		}
	}
	again := 0
	for at, list := range bySource {
		read, err := store.ParseSnapshot(at.read)
		if err != nil {
			return 0, err
		}
		ids, byID, after := make([]int64, len(list)), make(map[int64]*restored, len(list)), list[0].judgedTo
		for i, r := range list {
			ids[i], byID[r.ID] = r.ID, r
			if r.judgedTo.Before(after) {
				after = r.judgedTo
			}
		}
		columns, noted := len(s.sources[at.tool].Columns), make(map[int64]int, len(list))
		untilNoted := func(to *restored, until time.Time) {
			for noted[to.ID] < len(to.missed) && !to.missed[noted[to.ID]].DueAt.After(until) {
				gone := to.missed[noted[to.ID]].run(to.ID, columns)
				to.judge(&gone)
				noted[to.ID]++
				again++
			}
		}
		err = j.RunsAgain(ctx, s.sources[at.tool].Series, ids, after, read, from, until, func(r store.Run) {
			to := byID[r.ToolspecID]
			untilNoted(to, r.DueAt)
			if r.DueAt.After(to.judgedTo) && !to.has.Sees(r.XID) {
				to.judge(&r)
				again++
			}
		})
		if err != nil {
			return 0, err
		}
		for _, to := range list {
			if n := len(to.missed); n > 0 {
				untilNoted(to, to.missed[n-1].DueAt)
			}
		}
	}
	return again, nil
}

// readOf is how far the data of a spec are read.
func (s *session) readOf(sp *spec) store.Snapshot {
	if h, held := s.platform.Held[sp.Monhost]; held {
		if read, err := store.ParseSnapshot(h.Read); err == nil {
			return read
		}
	}
	return s.read
}

// said is what a detector said and recorded of a run.
type said struct {
	watch    *watch
	late     bool // the run came by way of the spool
	verdicts []measure.Verdict
	records  []analysis.Stretch
}

// judge feeds one run to the detectors of its spec, and gives what they say: most
// often nothing.
func (sp *spec) judge(r *store.Run) (all []said) {
	sp.judgedTo = r.DueAt
	sp.fed++
	if sp.source.answered(r) && r.DueAt.After(sp.well) {
		sp.well = r.DueAt
	}
	for i := range sp.hands {
		h := &sp.hands[i]
		one := said{verdicts: h.detector.Feed(judge.Sample(r, h.column))}
		if h.recorder != nil {
			one.records = h.recorder.Record()
		}
		if len(one.verdicts)+len(one.records) > 0 {
			one.watch = sp.watches[i]
			all = append(all, one)
		}
	}
	return all
}

// keepAll writes the states of all detectors at a clean stop, so that the next
// start has little to feed again. What it does not come to is fed again.
func (s *session) keepAll(ctx context.Context) error {
	var specs []*spec
	for _, sp := range s.order {
		if sp.fed > 0 {
			specs = append(specs, sp)
		}
	}
	for part := range slices.Chunk(specs, specsAtOnce) {
		s.report("writing the state of the detectors", reports)
		err := s.db.Pass(ctx, func(j store.Judging) error {
			var f store.Found
			for _, sp := range part {
				state, err := s.save(sp, true)
				if err != nil {
					return err
				}
				f.States = append(f.States, state)
			}
			return j.Write(ctx, f)
		})
		if err != nil {
			return fmt.Errorf("write the state of the detectors: %w", err)
		}
	}
	return nil
}
