package analysis

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"sonde/internal/measure"
)

// Numbers are those of a verdict's evidence that every detector means the same
// by. NaN is what it does not say.
//
//	value            what was measured
//	forecast         what was expected
//	low, high        the band around it
//	score            how sure it is, 0 to 1: see measure.AlertScore
//	basis            what the forecast comes from, in words: "the same hour of earlier days"
//	rule             which of its own rules found it
//	limit            a fixed limit in place of a forecast
type Numbers struct {
	Value, Forecast, Low, High, Score, Limit float64
	Basis, Rule                              string
}

// NumbersOf reads the evidence of a verdict as it is stored. A plateau says from,
// from_sd and to; a limit the values it looked at.
func NumbersOf(evidence []byte) Numbers {
	var e map[string]any // another method may mean something else by a name
	_ = json.Unmarshal(evidence, &e)
	number := func(name string) float64 {
		if v, ok := e[name].(float64); ok {
			return v
		}
		return math.NaN()
	}
	n := Numbers{Value: number("value"), Forecast: number("forecast"), Low: number("low"), High: number("high"), Score: number("score"), Limit: number("limit")}
	n.Basis, _ = e["basis"].(string)
	n.Rule, _ = e["rule"].(string)
	if from, to := number("from"), number("to"); math.IsNaN(n.Value) && !math.IsNaN(from) && !math.IsNaN(to) {
		sd := number("from_sd")
		n.Value, n.Forecast, n.Low, n.High, n.Basis = to, from, from-sd, from+sd, "the level before"
	}
	if values, ok := e["values"].([]any); ok && len(values) > 0 && math.IsNaN(n.Value) && !math.IsNaN(n.Limit) {
		if v, ok := values[len(values)-1].(float64); ok {
			n.Value = v
		}
	}
	if !(n.Score >= 0 && n.Score <= 1) {
		n.Score = math.NaN() // not of this scale
	}
	return n
}

// HasBand reports whether there is a band to draw or say.
func (n Numbers) HasBand() bool { return !math.IsNaN(n.Low) && !math.IsNaN(n.High) }

// Words say the numbers of a metric to people: "rtt median was 48 ms; expected 21 ms
// (18 to 25), from the same hour of earlier days; score 0.93, …"; "" when there are none.
func (n Numbers) Words(metric, unit string) string {
	var parts []string
	if !math.IsNaN(n.Value) {
		parts = append(parts, MetricWords(metric)+" was "+Number(n.Value, unit))
	}
	switch {
	case !math.IsNaN(n.Forecast):
		text := "expected " + Number(n.Forecast, unit)
		if n.HasBand() {
			text += fmt.Sprintf(" (%s to %s)", Number(n.Low, ""), Number(n.High, ""))
		}
		if n.Basis != "" {
			text += ", from " + n.Basis
		}
		parts = append(parts, text)
	case n.HasBand():
		parts = append(parts, fmt.Sprintf("expected %s to %s", Number(n.Low, ""), Number(n.High, unit)))
	case !math.IsNaN(n.Limit):
		parts = append(parts, "the limit is "+Number(n.Limit, unit))
	}
	if !math.IsNaN(n.Score) {
		parts = append(parts, scoreWords(n.Score))
	}
	return strings.Join(parts, "; ")
}

func scoreWords(score float64) string {
	text := fmt.Sprintf("score %.2f", score)
	switch {
	case score >= measure.NightScore:
		return text + fmt.Sprintf(", sure: %g and more", measure.NightScore)
	case score >= measure.AlertScore:
		return text + fmt.Sprintf(", doubtful: below %g", measure.NightScore)
	}
	return text + fmt.Sprintf(", no alert: below %g", measure.AlertScore)
}

// Number says a value to people, with the unit where one is known: three digits
// that count, and all those before the point. What is not quite 100 does not
// become 100: of 99.97 % lost something came back.
func Number(v float64, unit string) string {
	text := strconv.FormatFloat(v, 'g', 3, 64)
	if a := math.Abs(v); a == 0 {
		text = "0"
	} else if a >= 1e-6 && a < 1e15 { // else it is no number, or beyond reading
		decimals := max(0, 2-int(math.Floor(math.Log10(a))))
		for text = rounded(v, decimals); a < 100 && a > 99 && strings.HasSuffix(text, "100"); text = rounded(v, decimals) {
			decimals++
		}
	}
	if unit == "" {
		return text
	}
	return text + " " + unit
}

func rounded(v float64, decimals int) string {
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// MetricWords is rtt median for rtt_median_ms: the unit follows the number.
func MetricWords(metric string) string {
	for _, unit := range []string{"_ms", "_pct", "_mbps", "_bps"} {
		metric = strings.TrimSuffix(metric, unit)
	}
	if metric == "" {
		return "the value"
	}
	return strings.ReplaceAll(metric, "_", " ")
}
