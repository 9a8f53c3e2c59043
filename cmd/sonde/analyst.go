package main

import (
	"context"
	"os"
	"runtime/debug"

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
		// What detectors know stays, little comes with each sample, and hardly any of it
		// is pointers: collecting garbage often costs next to nothing, and at twice what
		// is in use, as usual, 10,000 pings would not live on a small machine.
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(25)
		}
		a := &analyst.Analyst{Store: st, Tools: tools.All(), Methods: analyses.All(), Log: d.Log, Report: d.Progress.Report}
		defer d.reportTo(st, func(r *store.DaemonReport) {
			r.Lag, r.Facts = a.Lag(), map[string]any{"works": a.Works(), "findings": a.Findings(), "unraised_rules": a.Unraised()}
		})()
		return a.Run(d.Stopping)
	})
}
