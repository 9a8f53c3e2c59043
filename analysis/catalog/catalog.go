// Package catalog lists the detectors, one line each, and the rules that come
// with the program.
package catalog

import (
	"encoding/json"

	"sonde/analysis"
	"sonde/analysis/threshold"
	"sonde/internal/measure"
)

// All gives every method.
func All() []analysis.Method {
	return []analysis.Method{
		threshold.NoAnswer(),
		threshold.CannotMeasure(),
		threshold.NoData(),
	}
}

// Rules gives the rules that a new database starts with; people change the rows.
func Rules() []analysis.Rule {
	return []analysis.Rule{
		{Name: "no answer", Method: "no-answer", Tool: "ping", Metric: "loss_pct", Options: json.RawMessage(`{}`), Severity: measure.Critical, Tell: true},
		{Name: "cannot be measured", Method: "cannot-measure", Options: json.RawMessage(`{}`), Severity: measure.Warning, Tell: true},
		{Name: "no data", Method: "no-data", Options: json.RawMessage(`{}`), Severity: measure.Warning, Tell: true},
	}
}
