package main

import (
	"context"
	"sync/atomic"

	"sonde/daemons/loader"
	"sonde/internal/daemon"
	"sonde/internal/store"
)

func runLoader(ctx context.Context, args []string) error {
	return runDaemon(ctx, "loader", args, 0, 0, func(d asDaemon) error {
		pool, err := daemon.Connect(d.Stopping, d.DSN, d.Name, d.Progress, d.Log)
		if err != nil {
			return stoppedOr(d.Stopping, err)
		}
		defer pool.Close()
		st := store.New(pool)
		var counters atomic.Pointer[loader.Counters]
		defer d.reportTo(st, func(r *store.DaemonReport) {
			if c := counters.Load(); c != nil {
				r.Lag, r.SpoolFiles = c.Oldest, c.Files
				r.Facts = map[string]any{"loaded": c.Loaded, "doubles": c.Doubles, "refused": c.Refused, "damaged": c.Damaged, "spool_bytes": c.Bytes}
			}
		})()
		l := loader.New(loader.Options{
			Dir: d.Spool, Database: st, Log: d.Log, Report: d.Progress.Report,
			Wait: func(ctx context.Context) error { return daemon.WaitFor(ctx, pool, d.Progress, d.Log) },
			Tell: func(c loader.Counters) { counters.Store(&c) },
		})
		return l.Run(d.Stopping)
	})
}
