package anomaly

import (
	"strings"
	"testing"
	"time"

	"sonde/analysis"
)

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
