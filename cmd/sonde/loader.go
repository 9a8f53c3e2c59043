package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

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
		var latest atomic.Pointer[daemon.Keepalive]
		d.Progress.OnReport(func(k daemon.Keepalive) { latest.Store(&k) })
		defer d.Progress.OnReport(nil)
		l := loader.New(loader.Options{
			Dir: d.Spool, Database: st, Log: d.Log, Report: d.Progress.Report,
			Wait: func(ctx context.Context) error { return daemon.WaitFor(ctx, pool, d.Progress, d.Log) },
			Tell: func(ctx context.Context, c loader.Counters) {
				k := latest.Load()
				if k == nil {
					return
				}
				// Half a copy is worth no waiting: the supervisor trusts the files only.
				ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
				defer cancel()
				err := st.ReportDaemon(ctx, store.DaemonReport{
					Monhost: d.Monhost, Name: d.Name, PID: k.Pid, Version: k.Version, StartedAt: k.StartedAt, Doing: k.Doing, Promise: max(0, -k.Late()),
					Lag: c.Oldest, SpoolFiles: c.Files,
					Facts: map[string]any{"loaded": c.Loaded, "doubles": c.Doubles, "refused": c.Refused, "damaged": c.Damaged, "spool_bytes": c.Bytes},
				})
				if err != nil && !errors.Is(err, context.Canceled) {
					d.Log.Debug("report not copied to the database", "error", err)
				}
			},
		})
		return l.Run(d.Stopping)
	})
}
