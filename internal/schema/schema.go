// Package schema brings a database to this version of the program: the
// migrations, and the catalogues of tools, mediums and detectors as rows.
package schema

import (
	"context"
	"encoding/json"
	"fmt"

	analyses "sonde/analysis/catalog"
	"sonde/internal/measure"
	"sonde/migrations"
	mediums "sonde/notify/catalog"
	"sonde/probes"
	tools "sonde/probes/catalog"
)

// Up migrates the database at dsn and writes what this version knows.
func Up(ctx context.Context, dsn string) (migrations.Report, error) {
	catalog, err := Catalog(tools.All())
	if err != nil {
		return migrations.Report{}, err
	}
	return migrations.Up(ctx, dsn, catalog)
}

// Catalog gives these tools, and all mediums and detectors, as rows.
func Catalog(all []probes.Tool) (migrations.Catalog, error) {
	var c migrations.Catalog
	for _, t := range all {
		options, err := json.Marshal(t.Options)
		if err != nil {
			return c, fmt.Errorf("options of tool %s: %w", t.Name, err)
		}
		metrics, err := json.Marshal(metricRows(t.Metrics))
		if err != nil {
			return c, fmt.Errorf("metrics of tool %s: %w", t.Name, err)
		}
		class := "background"
		if t.Alone {
			class = "background-syn"
		}
		c.Tools = append(c.Tools, migrations.Tool{Name: t.Name, Meaning: t.Meaning, Class: class, Table: t.Table,
			Options: options, Metrics: metrics, TimeToRun: t.TimeToRun, LeastTime: t.LeastTime})
	}
	for _, m := range mediums.All() {
		options, err := json.Marshal(m.Options)
		if err != nil {
			return c, fmt.Errorf("options of medium %s: %w", m.Name, err)
		}
		c.MediumTypes = append(c.MediumTypes, migrations.Described{Name: m.Name, Meaning: m.Meaning, Options: options, Address: m.Address, AddressLike: m.AddressLike})
	}
	for _, m := range analyses.All() {
		options, err := json.Marshal(m.Options)
		if err != nil {
			return c, fmt.Errorf("options of detector %s: %w", m.Name, err)
		}
		c.Methods = append(c.Methods, migrations.Described{Name: m.Name, Meaning: m.Meaning, Options: options, Outcomes: m.Outcomes})
	}
	for _, r := range analyses.Rules() {
		c.Rules = append(c.Rules, migrations.Rule{Name: r.Name, Method: r.Method, Tool: r.Tool, Metric: r.Metric,
			Options: r.Options, Severity: string(r.Severity), Tolerance: r.Tolerance, Repeat: r.Repeat, Shadow: r.Shadow})
	}
	return c, nil
}

type metricRow struct {
	Name    string `json:"name"`
	Column  string `json:"column"`
	Unit    string `json:"unit"`
	Meaning string `json:"meaning"`
}

func metricRows(metrics []measure.Metric) []metricRow {
	rows := make([]metricRow, len(metrics))
	for i, m := range metrics {
		rows[i] = metricRow(m)
	}
	return rows
}
