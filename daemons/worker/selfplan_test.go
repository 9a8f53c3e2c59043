package worker

import (
	"log/slog"
	"testing"
	"time"

	"sonde/internal/plan"
	"sonde/internal/store"
)

// While nobody plans the database's clock is still read, and may step.
func TestOwnPlanFollowsAStepOfTheDatabasesClock(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	specs := map[int64]store.Spec{}
	for id := range int64(1000) {
		specs[id] = store.Spec{Spec: plan.Spec{ID: id, RunInterval: time.Second, Since: now.Add(-2 * time.Hour), TimeToRun: time.Second, Background: true}, Enabled: true}
	}
	for name, step := range map[string]time.Duration{"an hour back": -time.Hour, "a month ahead": 30 * 24 * time.Hour} {
		s := newSelfPlan(&Worker{Log: slog.Default()})
		s.take(&ownPlan{Specs: specs, StartTolerance: 10 * time.Second})
		s.database(true, now, now)
		if n := len(s.due(store.Clock{DB: now, At: time.Now()})); n < 1900 || n > 2100 {
			t.Fatalf("%d runs in the first two seconds of 1,000 specs", n)
		}
		began := time.Now()
		runs := s.due(store.Clock{DB: now.Add(step), At: time.Now()})
		if n, took := len(runs), time.Since(began); n < 1900 || n > 4000 || took > 2*time.Second {
			t.Errorf("%s: %d runs after %s", name, n, took)
		}
	}
}
