package worker

import (
	"slices"
	"testing"
	"time"

	"sonde/internal/measure"
	"sonde/internal/store"
)

func TestEndedRunsAreKnownForAsLongAsTheyMayComeAgain(t *testing.T) {
	h := newInHand()
	h.born = h.born.Add(-time.Hour)
	run1 := func(spec int64, due time.Time) *run {
		r := &run{Claim: &store.Claim{Claim: measure.Claim{RunKey: measure.RunKey{ToolspecID: spec, DueAt: due}}}, stop: due.Add(time.Second)}
		h.add(r)
		return r
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	long, lately, waiting, dropped := run1(1, now.Add(-time.Minute)), run1(2, now), run1(2, now.Add(time.Minute)), run1(3, now)
	h.drop(dropped)
	h.forget(long)
	h.specs[1].made[0].until = time.Since(h.born) - time.Second
	h.swept = 0
	h.forget(lately)

	if held, made := h.find(lately.RunKey); held != nil || !made {
		t.Errorf("a run that has ended: %v %v", held, made)
	}
	if held, made := h.find(waiting.RunKey); held != waiting || made {
		t.Errorf("a run that waits: %v %v", held, made)
	}
	for _, r := range []*run{long, dropped} {
		if held, made := h.find(r.RunKey); held != nil || made {
			t.Errorf("a run of spec %d that is out of mind: %v %v", r.ToolspecID, held, made)
		}
	}
	if h.holding() != 1 || h.specs[1] != nil {
		t.Errorf("%d held, of spec 1 %+v is kept", h.holding(), h.specs[1])
	}
	if keys := h.known(); len(keys) != 2 || !slices.Contains(keys, lately.RunKey) || !slices.Contains(keys, waiting.RunKey) {
		t.Errorf("known are %v", keys)
	}
}
