package anomaly

import (
	"math"
	"strings"
	"testing"
	"time"
)

func nothing() float64 { return math.NaN() }

func TestWhatIsDeadIsNotAsUsualAgain(t *testing.T) {
	for kind, c := range map[string]struct {
		usual, odd float64
		dead       float64
	}{"rtt": {50, 90, math.NaN()}, "loss": {0, 40, 100}} {
		t.Run(kind, func(t *testing.T) {
			s := newSeries(t, `{"interval": "5m", "kind": "`+kind+`", "silence": false}`, 5*time.Minute)
			s.feed(3*24*time.Hour, func() float64 { return max(0, c.usual) })
			s.feed(time.Hour, func() float64 { return c.odd })
			if strings.Trim(s.turns(), "b") != "" || s.turns() == "" {
				t.Fatalf("what was odd: %q %+v", s.turns(), s.said)
			}
			s.feed(5*time.Minute, func() float64 { return c.usual }) // one that is well, then none
			s.feed(6*time.Hour, func() float64 { return c.dead })
			s.feed(10*time.Minute, func() float64 { return c.usual })
			if strings.Contains(s.turns(), "g") {
				t.Fatalf("a dead target, and the first answers, are no end: %+v", s.said)
			}
			s.feed(12*time.Hour, func() float64 { return c.usual })
			if last := s.said[len(s.said)-1]; strings.Trim(s.turns(), "b") != "g" || strings.Contains(last.Text, "NaN") {
				t.Errorf("well for hours: %q %+v", s.turns(), s.said)
			}
		})
	}
}

func TestSilenceAfterSlownessIsToldAsSoonAsWithoutIt(t *testing.T) {
	told := func(slow float64) time.Duration {
		s := newSeries(t, rtt5, 5*time.Minute)
		s.feed(7*24*time.Hour, s.about(50)).feed(2*time.Hour, s.about(slow))
		died := s.at
		s.feed(6*time.Hour, nothing)
		for _, v := range s.said {
			if v.Kind == "bad" && v.Evidence["rule"] == "silence" {
				return v.At.Sub(died)
			}
		}
		t.Fatalf("silence is never told after %v: %+v", slow, s.said)
		return 0
	}
	if usual, slow := told(50), told(400); slow != usual {
		t.Errorf("silence is told after %v, after slowness after %v", usual, slow)
	}
}
