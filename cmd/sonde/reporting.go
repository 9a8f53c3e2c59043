package main

import (
	"context"
	"sync"
	"time"

	"sonde/internal/daemon"
	"sonde/internal/store"
)

// copyEvery is how often a daemon's report is copied to the database at most.
const copyEvery = 2 * time.Second

// reportTo copies the daemon's reports to the table daemons, for people, until
// the function it returns is called; facts, if not nil, adds what the daemon
// counts. A database that is slow or away costs copies, never a report: the
// supervisor trusts the files only.
func (d asDaemon) reportTo(st *store.Store, facts func(*store.DaemonReport)) (stop func()) {
	latest := make(chan daemon.Keepalive, 1)
	ctx, cancel := context.WithCancel(context.WithoutCancel(d.Stopping))
	d.Progress.OnReport(func(k daemon.Keepalive) {
		select {
		case <-latest: // nobody needs the older one
		default:
		}
		select {
		case latest <- k:
		default:
		}
	})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case k := <-latest:
				report := store.DaemonReport{
					Monhost: d.Monhost, Name: d.Name, PID: k.Pid, Version: k.Version, StartedAt: k.StartedAt,
					Doing: k.Doing, Promise: -k.Late(),
				}
				if facts != nil {
					facts(&report)
				}
				try, end := context.WithTimeout(ctx, 5*time.Second)
				err := st.ReportDaemon(try, report)
				end()
				if err != nil && ctx.Err() == nil {
					d.Log.Debug("report not copied to the database", "error", err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(copyEvery):
				}
			}
		}
	})
	return func() {
		d.Progress.OnReport(nil)
		cancel()
		done.Wait()
	}
}
