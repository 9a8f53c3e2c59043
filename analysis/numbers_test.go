package analysis_test

import (
	"math"
	"testing"

	"sonde/analysis"
)

func TestNumbersOfEvidenceAreSaidInWords(t *testing.T) {
	for evidence, want := range map[string]string{
		`{"value": 48, "forecast": 21, "low": 18, "high": 25, "score": 0.93, "basis": "the same hour of earlier days", "rule": "level"}`: "rtt median was 48 ms; expected 21 ms (18 to 25), from the same hour of earlier days; score 0.93, sure: 0.8 and more",
		`{"value": 48, "forecast": 21, "score": 0.6}`: "rtt median was 48 ms; expected 21 ms; score 0.60, doubtful: below 0.8",
		`{"value": 48, "low": 18, "high": 25}`:        "rtt median was 48 ms; expected 18 to 25 ms",
		`{"from": 12, "from_sd": 1, "to": 46}`:        "rtt median was 46 ms; expected 12 ms (11 to 13), from the level before",
		`{"limit": 20, "values": [3, 40]}`:            "rtt median was 40 ms; the limit is 20 ms",
		`{"value": 48, "score": 1234}`:                "rtt median was 48 ms",
		`{"runs": 3}`:                                 "",
		`{"from": "2026-03-02T03:10:00Z", "value": "much", "rule": {"name": "delay"}, "values": {}}`: "",
		`null`: "", ``: "", `[]`: "",
	} {
		if got := analysis.NumbersOf([]byte(evidence)).Words("rtt_median_ms", "ms"); got != want {
			t.Errorf("%s\n  got  %q\n  want %q", evidence, got, want)
		}
	}
}

func TestNumbersForPeopleHaveThreeDigits(t *testing.T) {
	for _, c := range []struct {
		v    float64
		unit string
		want string
	}{
		{0.003274, "%", "0.00327 %"}, {0.5, "%", "0.5 %"}, {0.0996, "", "0.0996"}, {0, "%", "0 %"}, {1.0 / 3, "%", "0.333 %"}, {2.0 / 3 * 100, "%", "66.7 %"},
		{99.97, "%", "99.97 %"}, {99.9991, "%", "99.999 %"}, {100, "%", "100 %"}, {-99.97, "", "-99.97"},
		{12.345678, "ms", "12.3 ms"}, {20, "ms", "20 ms"}, {1.004, "ms", "1 ms"}, {123.456, "ms", "123 ms"}, {1234.56, "ms", "1235 ms"}, {9876543210.4, "", "9876543210"},
		{0.000001234, "", "0.00000123"}, {1.234e-9, "", "1.23e-09"}, {1.234e18, "", "1.23e+18"}, {math.Inf(1), "", "+Inf"}, {math.NaN(), "", "NaN"},
	} {
		if got := analysis.Number(c.v, c.unit); got != c.want {
			t.Errorf("%v %s: %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}
