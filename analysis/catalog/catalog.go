// Package catalog lists the methods of analysis, one line each, and the rules
// that come with the program, so that a new spec is watched without further
// configuration.
package catalog

import (
	"encoding/json"
	"time"

	"sonde/analysis"
	"sonde/analysis/anomaly"
	"sonde/analysis/changepoint"
	"sonde/analysis/cusum"
	"sonde/analysis/holtwinters"
	"sonde/analysis/joint"
	"sonde/analysis/kolmogorov"
	"sonde/analysis/meandiff"
	"sonde/analysis/plateau"
	"sonde/analysis/route"
	"sonde/analysis/threshold"
	"sonde/internal/measure"
)

// All methods this version knows.
func All() []analysis.Method {
	return []analysis.Method{
		threshold.NoAnswer(),
		threshold.CannotMeasure(),
		threshold.NoData(),
		threshold.Limit(),
		plateau.Method(),
		holtwinters.Method(),
		anomaly.Method(),
		kolmogorov.Method(),
		meandiff.Method(),
		cusum.Method(),
		changepoint.Method(),
		joint.Method(),
		route.Method(),
	}
}

// Rule is one row of RULES: which method watches which series, and how.
type Rule struct {
	Name, Method string
	Tool, Metric string // empty: of every tool; the outcome only
	Options      json.RawMessage
	Severity     measure.Severity
	Tolerance    time.Duration // how long a finding must last
	Repeat       time.Duration // told again no more often; 0: as the setting says
	Shadow       bool          // recorded, told to nobody
}

// Rules come with the program. They are meant for the night: what wakes people
// has lasted for several runs. People may change them as rows.
func Rules() []Rule {
	return []Rule{
		{Name: "no answer", Method: "no-answer", Tool: "ping", Metric: "loss_pct", Severity: measure.Critical},
		{Name: "cannot be measured", Method: "cannot-measure", Severity: measure.Warning},
		{Name: "no data", Method: "no-data", Severity: measure.Warning},
		{Name: "loss", Method: "limit", Tool: "ping", Metric: "loss_pct", Severity: measure.Warning,
			Options: json.RawMessage(`{"limit": 20, "runs": 5, "of": 10, "full": 100, "unit": "%"}`)},
		// Full loss is told by "no answer" alone.
		{Name: "unusual loss", Method: "anomaly", Tool: "ping", Metric: "loss_pct", Severity: measure.Warning,
			Options: json.RawMessage(`{"kind": "loss", "silence": false, "unit": "%"}`)},
		{Name: "delay", Method: "anomaly", Tool: "ping", Metric: "rtt_median_ms", Severity: measure.Warning,
			Options: json.RawMessage(`{"kind": "rtt", "silence": false, "what": "delay", "unit": "ms"}`)},
		// Changes are notes. What is told, a route off its history, is told once:
		// after a day it is the history, or it is over.
		{Name: "route", Method: "route", Tool: "traceroute", Severity: measure.Warning, Repeat: 24 * time.Hour},
	}
}
