package main

import (
	"context"

	"sonde/daemons/annotator"
	"sonde/internal/store"
)

func runAnnotator(ctx context.Context, args []string) error {
	return runDaemon(ctx, "annotator", args, 0, 0, func(d asDaemon) error {
		pool, err := d.pool(d.Cancelled)
		if err != nil {
			return err
		}
		defer pool.Close()
		st := store.New(pool)
		a := &annotator.Annotator{Store: st, Log: d.Log, Report: d.Progress.Report}
		defer d.reportTo(st, func(r *store.DaemonReport) {
			entered, lookUps, failed := a.Counts()
			r.Lag, r.Facts = a.Lag(), map[string]any{"works": a.Works(), "entered": entered, "look_ups": lookUps, "failed": failed}
		})()
		return a.Run(d.Stopping)
	})
}
