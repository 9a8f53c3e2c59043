package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"

	"sonde/daemons/scheduler"
	"sonde/internal/store"
)

func runScheduler(ctx context.Context, args []string) error {
	return runDaemon(ctx, "scheduler", args, 0, 0, func(d asDaemon) error {
		pool, err := d.pool(d.Cancelled)
		if err != nil {
			return err
		}
		defer pool.Close()
		st := store.New(pool)
		var totals atomic.Pointer[scheduler.Totals]
		s := &scheduler.Scheduler{Store: st, Name: fmt.Sprintf("%s pid %d", d.Monhost, os.Getpid()), Log: d.Log}
		s.Report = d.Progress.Report
		s.Counted = func(t scheduler.Totals) { totals.Store(&t) }
		defer d.reportTo(st, func(r *store.DaemonReport) {
			if t := totals.Load(); t != nil {
				r.Lag = t.Lag
				r.Facts = map[string]any{"planned": t.Planned, "gaps": t.Gaps, "missed": t.Missed, "clock_steps": t.Steps}
			}
		})()
		return s.Run(d.Stopping)
	})
}
