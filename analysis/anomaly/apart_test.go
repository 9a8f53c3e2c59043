package anomaly

import (
	"strings"
	"testing"
	"time"

	"sonde/analysis"
)

// What is off by less than what alerts, or for too short a time, is not as usual.
func TestWhatIsOffIsNotAsUsualBeforeItIsFound(t *testing.T) {
	s := newSeries(t, `{"kind": "rtt", "interval": "5m"}`, 5*time.Minute)
	usual := func() bool { return s.d.(analysis.Comparer).Usual() }
	if s.feed(time.Hour, s.about(50)); usual() {
		t.Error("nothing is known yet of what is usual")
	}
	if s.feed(2*24*time.Hour, s.about(50)); !usual() {
		t.Error("nothing is off")
	}
	off := 0
	for range 12 {
		if s.feed(5*time.Minute, s.about(60)); len(s.said) > 0 {
			break
		}
		if !usual() {
			off++
		}
	}
	if off == 0 || usual() {
		t.Errorf("off for %d samples before it was found, and as usual then: %v", off, usual())
	}
}

func TestSamplesTooFarApartForTheStepAreSaidNotToBeJudged(t *testing.T) {
	s := newSeries(t, `{"kind": "rtt"}`, 6*time.Hour) // no interval is known
	s.feed(20*24*time.Hour, s.about(50))
	if why := s.d.(analysis.Decliner).Declines(); !strings.Contains(why, `6h apart`) || !strings.Contains(why, `"interval"`) {
		t.Errorf("why it is not judged: %q", why)
	}
	s.step = 5 * time.Minute
	s.feed(2*24*time.Hour, s.about(50))
	if why := s.d.(analysis.Decliner).Declines(); why != "" {
		t.Errorf("why what comes every five minutes is not judged: %q", why)
	}
}
