package anomaly

import (
	"strings"
	"testing"
	"time"

	"sonde/analysis"
	"sonde/internal/measure"
)

const unknown5 = `{"interval": "5m", "kind": "unknown"}`

// alerts counts the samples whose score alerts, while the series goes on.
func (s *series) alerts(length time.Duration, value func() float64) int {
	n := 0
	for end := s.at.Add(length); s.at.Before(end); {
		s.feed(5*time.Minute, value)
		if s.d.(analysis.Scorer).Score() >= measure.AlertScore {
			n++
		}
	}
	return n
}

func TestDelayThatFlapsIsScoredOnceAndAgainWhenWorse(t *testing.T) {
	s := newSeries(t, rtt5, 5*time.Minute)
	s.feed(14*24*time.Hour, s.about(50))
	flaps := func(to float64) int {
		n := 0
		for range 8 {
			n += s.alerts(40*time.Minute, s.about(to)) + s.alerts(45*time.Minute, s.about(50))
		}
		return n
	}
	if n := flaps(80); n != 1 {
		t.Errorf("%d alerts of a path that flaps for eleven hours", n)
	}
	if n := flaps(140); n != 1 {
		t.Errorf("%d alerts when it then flaps three times as far", n)
	}
}

func TestDelayThatCreepsUpWhileItFlapsIsSaidAgain(t *testing.T) {
	s := newSeries(t, rtt5, 5*time.Minute)
	s.feed(14*24*time.Hour, s.about(50))
	n := 0
	for _, to := range []float64{65, 70, 75, 81, 87, 94} {
		n += s.alerts(40*time.Minute, s.about(to)) + s.alerts(45*time.Minute, s.about(50))
	}
	if n < 2 {
		t.Errorf("%d alerts of a path that flaps by 15, then by 44", n)
	}
}

func TestWhatComesEveryNightHidesNoSmallerPeakByDay(t *testing.T) {
	s := newSeries(t, unknown5, 5*time.Minute)
	night := func(minute int) func() float64 {
		return func() float64 {
			v := 10 + 0.3*s.noise.NormFloat64()
			if s.at.Hour() == 3 && s.at.Minute() == minute {
				v += 12 + s.noise.NormFloat64()
			}
			return v
		}
	}
	for day := range 14 {
		n := s.alerts(24*time.Hour, night(5*(day*5%12)))
		if day >= 7 && n > 0 {
			t.Errorf("day %d: %d alerts of a job that runs every night", day, n)
		}
	}
	s.feed(12*time.Hour, night(20))
	if n := s.alerts(5*time.Minute, func() float64 { return 18 }); n != 1 {
		t.Errorf("%d alerts of a peak at noon, smaller than those of the nights", n)
	}
}

func TestAnOddFirstDayIsNoMeasure(t *testing.T) {
	s := newSeries(t, unknown5, 5*time.Minute)
	for range 2 {
		s.feed(6*time.Hour, s.about(50)).feed(10*time.Minute, s.about(90)).feed(6*time.Hour, s.about(50))
	}
	s.feed(5*24*time.Hour, s.about(50))
	if n := s.alerts(5*time.Minute, func() float64 { return 66 }); n != 1 {
		t.Errorf("%d alerts of a peak, after two greater ones on the first day", n)
	}
}

func TestTheFirstChangeOfWhatStoodStillIsForgottenInDays(t *testing.T) {
	s := newSeries(t, unknown5, 5*time.Minute)
	s.feed(3*24*time.Hour, func() float64 { return 0 })
	if n := s.alerts(5*time.Minute, func() float64 { return 2e6 }); n != 1 {
		t.Errorf("%d alerts of the first change", n)
	}
	s.feed(7*24*time.Hour, func() float64 { return 1000 * s.noise.Float64() })
	if n := s.alerts(5*time.Minute, func() float64 { return 1e8 }); n != 1 {
		t.Errorf("%d alerts of a peak a week after the first change", n)
	}
}

func TestAStepWithinTheNoiseIsFound(t *testing.T) {
	for name, to := range map[string]float64{"high": 52, "low": 48} {
		s := newSeries(t, unknown5, 5*time.Minute)
		s.feed(14*24*time.Hour, s.about(50))
		if len(s.said) != 0 {
			t.Fatalf("found in noise: %+v", s.said)
		}
		s.feed(2*time.Hour, s.about(to))
		if s.turns() != "b" || !strings.Contains(s.said[0].Text, "has been "+name+" of late") {
			t.Errorf("verdicts %q of two hours at %v, where values are 50 ± 1: %+v", s.turns(), to, s.said)
		}
	}
}
