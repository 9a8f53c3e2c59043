package anomaly

import (
	"strings"
	"testing"
	"time"
)

const throughput60 = `{"interval": "1h", "kind": "throughput", "unit": "Mbit/s"}`

// busy is a throughput that varies much by day and hardly at night.
func (s *series) busy() func() float64 {
	return func() float64 {
		sd := 8.0
		if h := s.at.Hour(); h >= 9 && h < 18 {
			sd = 60
		}
		return 900 + sd*s.noise.NormFloat64()
	}
}

func TestThroughputThatFellAtNightIsFoundThoughItVariesByDay(t *testing.T) {
	s := newSeries(t, throughput60, time.Hour)
	s.feed(28*24*time.Hour+time.Hour, s.busy())
	if len(s.said) != 0 {
		t.Fatalf("said of four usual weeks: %+v", s.said)
	}
	s.feed(4*time.Hour, func() float64 { return 780 + 8*s.noise.NormFloat64() })
	if s.turns() != "b" {
		t.Errorf("verdicts %q of a night with an eighth less: %+v", s.turns(), s.said)
	}
}

func TestAnOutageDoesNotHideALesserFallOfThroughput(t *testing.T) {
	s := newSeries(t, throughput60, time.Hour)
	usual := func() float64 { return 900 + 20*s.noise.NormFloat64() }
	s.feed(7*24*time.Hour, usual)
	for range 3 {
		s.feed(5*time.Hour, func() float64 { return 0 }).feed(3*24*time.Hour, usual)
	}
	if !strings.HasPrefix(s.turns(), "b") {
		t.Fatalf("verdicts %q of three outages", s.turns())
	}
	s.said = nil
	s.feed(5*time.Hour, func() float64 { return 740 + 20*s.noise.NormFloat64() })
	if s.turns() != "b" {
		t.Errorf("verdicts %q of a fall by a sixth, after three outages: %+v", s.turns(), s.said)
	}
}
