package main

import (
	"context"

	analyses "sonde/analysis/catalog"
	"sonde/daemons/analyst"
	"sonde/internal/store"
	tools "sonde/probes/catalog"
)

func runAnalyst(ctx context.Context, args []string) error {
	return runDaemon(ctx, "analyst", args, 0, 0, func(d asDaemon) error {
		pool, err := d.pool(d.Cancelled)
		if err != nil {
			return err
		}
		defer pool.Close()
		st := store.New(pool)
		a := &analyst.Analyst{Store: st, Tools: tools.All(), Methods: analyses.All(), Log: d.Log, Report: d.Progress.Report}
		defer d.reportTo(st, func(r *store.DaemonReport) {
			r.Lag, r.Facts = a.Lag(), map[string]any{"works": a.Works(), "findings": a.Findings()}
		})()
		return a.Run(d.Stopping)
	})
}
