package alert_test

import (
	"strings"
	"testing"
	"time"

	"sonde/internal/alert"
	"sonde/internal/measure"
)

func scored(minute int, score float64) measure.Verdict {
	at := start.Add(time.Duration(minute) * time.Minute)
	return measure.Verdict{Kind: measure.Bad, Severity: measure.Warning, At: at, Since: start, Text: "slow", Evidence: map[string]any{"score": score}}
}

func TestAScoreOfTheNightIsAStepGraverAndNeverTwo(t *testing.T) {
	for score, want := range map[float64]measure.Severity{0: measure.Warning, 0.5: measure.Warning, 0.79: measure.Warning, 0.8: measure.Critical, 1: measure.Critical, 7: measure.Warning} {
		if _, d := (alert.Episode{}).Verdict(alert.Usual(), alert.Facts{}, scored(5, score)); d.Severity != want || !d.Tell {
			t.Errorf("score %g: %+v", score, d)
		}
	}
	v := scored(5, 1)
	v.Severity = measure.Info
	if _, d := (alert.Episode{}).Verdict(alert.Usual(), alert.Facts{}, v); d.Severity != measure.Warning {
		t.Errorf("a rule that only informs: %+v", d)
	}
}

func TestAnAlertThatBecomesGraverIsToldAgainAsGraver(t *testing.T) {
	p := alert.Usual()
	e, _ := alert.Episode{}.Verdict(p, alert.Facts{}, scored(5, 0.6))
	e, d := e.Verdict(p, alert.Facts{Acked: true}, scored(10, 0.7))
	if d.Tell {
		t.Errorf("not graver yet: %+v", d)
	}
	e, d = e.Verdict(p, alert.Facts{Acked: true}, scored(15, 0.9))
	if !d.Tell || d.Severity != measure.Critical || d.Reason != "it has become graver: critical, before warning, its score is 0.90" {
		t.Errorf("%+v", d)
	}
	if _, d = e.Verdict(p, alert.Facts{}, scored(20, 0.95)); d.Tell {
		t.Errorf("said twice: %+v", d)
	}
}

func TestADoubtfulFindingThatLastsForHoursIsAStepGraver(t *testing.T) {
	p := alert.Usual()
	p.Repeat = 24 * time.Hour
	e, _ := alert.Episode{}.Verdict(p, alert.Facts{}, scored(5, 0.6))
	if _, _, due := e.Tick(p, alert.Facts{}, start.Add(p.Grow-time.Second)); due {
		t.Error("too soon")
	}
	e, d, due := e.Tick(p, alert.Facts{}, start.Add(p.Grow))
	if !due || !d.Tell || d.Severity != measure.Critical || d.Reason != "it has become graver: critical, before warning, it has lasted longer than 4h" {
		t.Errorf("%+v", d)
	}
	if _, _, due := e.Tick(p, alert.Facts{}, start.Add(p.Grow+time.Hour)); due {
		t.Error("said twice")
	}
	// Without a score the rule's severity stands.
	e, _ = alert.Episode{}.Verdict(p, alert.Facts{}, scored(5, 0))
	if _, _, due := e.Tick(p, alert.Facts{}, start.Add(p.Grow)); due {
		t.Error("a detector that says no score")
	}
}

func TestWhatBecameGraverInQuietIsToldWhenItIsOver(t *testing.T) {
	p := alert.Usual()
	e, _ := alert.Episode{}.Verdict(p, alert.Facts{}, scored(5, 0.6))
	e, d := e.Verdict(p, alert.Facts{Quiet: "planned: maintenance 1"}, scored(15, 0.9))
	if d.Tell || e.Severity != measure.Critical {
		t.Errorf("%+v", d)
	}
	if _, d, due := e.Tick(p, alert.Facts{}, start.Add(20*time.Minute)); !due || !d.Tell || !strings.HasPrefix(d.Reason, "it has become graver: critical, before warning") {
		t.Errorf("%+v", d)
	}
}
