package analyst

import (
	"testing"
	"time"

	"sonde/internal/alert"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// What is good again within its tolerance is no alert when the tolerance is over.
func TestAStandingEpisodeThatIsToleratedEndsWhenItIsGood(t *testing.T) {
	p := &pass{session: &session{}, now: time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC), unraised: map[string]string{}}
	p.platform.prepare()
	policy := alert.Usual()
	policy.Tolerance = 10 * time.Minute
	for _, kind := range []measure.VerdictKind{measure.Bad, measure.Good} {
		v := measure.Verdict{Kind: kind, Severity: measure.Warning, At: p.now, Since: p.now, Text: "apart"}
		if err := p.standingVerdict(store.Alert{Rule: "mesh", Subject: "ping.loss_pct"}, "", policy, &v); err != nil {
			t.Fatal(err)
		}
		p.now = p.now.Add(11 * time.Minute)
	}
	if len(p.platform.Episodes) > 0 {
		t.Errorf("%+v", *p.platform.Episodes["mesh/ping.loss_pct"])
	}
}
