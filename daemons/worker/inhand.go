package worker

import (
	"slices"
	"sync"
	"time"

	"sonde/internal/measure"
)

// remember is how long an ended run is known at least, so that it is not made again
// when the database offers it after an absence.
const remember = 2 * time.Minute

// inHand is what the dispatcher has and had of each spec's runs. A run is looked
// for once, when it comes; from then on it knows its spec.
type inHand struct {
	born time.Time

	mu    sync.Mutex // the link reads too
	specs map[int64]*specRuns
	held  int
	swept time.Duration // since born
}

// specRuns are the runs of one spec.
type specRuns struct {
	held    []*run // waiting, ready, behind or running; hardly ever more than one
	running *run   // a spec never overlaps itself
	made    []made
}

// made is a run that has ended. It has no pointer: hundreds of thousands are
// remembered, and the garbage collector need not look at them.
type made struct {
	due   int64         // its instant in µs of Unix time
	until time.Duration // it is remembered, since the dispatcher was born
}

func newInHand() *inHand { return &inHand{born: time.Now(), specs: map[int64]*specRuns{}} }

// holding gives how many runs are held.
func (h *inHand) holding() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held
}

// known gives the keys of the runs that are held or remembered.
func (h *inHand) known() []measure.RunKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys := make([]measure.RunKey, 0, h.held+len(h.specs))
	for id, s := range h.specs {
		for _, r := range s.held {
			keys = append(keys, r.RunKey)
		}
		for _, m := range s.made {
			keys = append(keys, measure.RunKey{ToolspecID: id, DueAt: time.UnixMicro(m.due).UTC()})
		}
	}
	return keys
}

// find gives the run of that name if it is held, and whether it was made.
func (h *inHand) find(k measure.RunKey) (held *run, wasMade bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.specs[k.ToolspecID]
	if s == nil {
		return nil, false
	}
	for _, r := range s.held {
		if r.DueAt.Equal(k.DueAt) {
			return r, false
		}
	}
	due := k.DueAt.UnixMicro()
	return nil, slices.ContainsFunc(s.made, func(m made) bool { return m.due == due })
}

// add takes a run in.
func (h *inHand) add(r *run) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.specs[r.ToolspecID]
	if s == nil {
		s = &specRuns{}
		h.specs[r.ToolspecID] = s
	}
	r.spec, s.held, h.held = s, append(s.held, r), h.held+1
}

// drop lets runs go as if they had never been there.
func (h *inHand) drop(runs ...*run) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range runs {
		h.let(r)
	}
}

func (h *inHand) let(r *run) {
	i := slices.Index(r.spec.held, r)
	r.spec.held = slices.Delete(r.spec.held, i, i+1)
	h.held--
}

// forget lets ended runs go; that they were made is remembered for as long as
// the database may offer them again.
func (h *inHand) forget(runs ...*run) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range runs {
		h.let(r)
		until := now
		if r.stop.After(until) {
			until = r.stop
		}
		r.spec.made = append(r.spec.made, made{r.DueAt.UnixMicro(), until.Add(remember).Sub(h.born)})
	}
	if age := now.Sub(h.born); age-h.swept > remember {
		h.swept = age
		for id, s := range h.specs {
			s.made = slices.DeleteFunc(s.made, func(m made) bool { return m.until < age })
			if len(s.made)+len(s.held) == 0 {
				delete(h.specs, id)
			}
		}
	}
}
