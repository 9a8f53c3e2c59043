package analyst

import (
	"testing"
	"time"

	"sonde/internal/store"
)

// The skipped time of a forward step has not passed for a spec that judged nothing
// since. Once the clock is set back before that step there is none: a spec whose
// time went back by it again would find no data an hour late.
func TestAForwardStepThatWasTakenBackMovesNoTick(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	judged := now.Add(-2 * time.Minute)
	for _, c := range []struct {
		step, judged, want time.Time
	}{
		{now.Add(-time.Minute), judged, now.Add(-time.Hour)}, // stepped since
		{now.Add(-3 * time.Minute), judged, now},             // judged since
		{now.Add(30 * time.Minute), judged, now},             // taken back since
		{now.Add(-time.Minute), time.Time{}, now},            // nothing judged ever
	} {
		s := &session{config: store.Configuration{Steps: []store.ClockStep{{Seconds: 3600, At: c.step}}}}
		p := &pass{session: s, now: now}
		if got := p.timeFor(&spec{judgedTo: c.judged}); !got.Equal(c.want) {
			t.Errorf("stepped at %s, judged to %s: ticks at %s, want %s", c.step, c.judged, got, c.want)
		}
	}
}
