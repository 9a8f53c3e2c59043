package main

import (
	"context"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/internal/daemon"
	"sonde/internal/store"
)

// pool opens the daemon's connections without waiting for the database.
func (d asDaemon) pool(ctx context.Context) (*pgxpool.Pool, error) {
	c, err := daemon.PoolConfig(d.DSN, d.Name)
	if err != nil {
		return nil, err
	}
	return pgxpool.NewWithConfig(ctx, c)
}

// copyEvery is how often a daemon's report is copied to the database.
const copyEvery = 2 * time.Second

// copyReports copies the daemon's keepalive to the table daemons while ctx lasts.
// The database may be away: people then look at the files, as the supervisor does.
func (d asDaemon) copyReports(ctx context.Context, st *store.Store, facts func(*store.DaemonReport)) {
	latest := make(chan daemon.Keepalive, 1)
	d.Progress.OnReport(func(k daemon.Keepalive) {
		select {
		case <-latest:
		default:
		}
		select {
		case latest <- k:
		default:
		}
	})
	started := time.Now()
	go func() {
		next := time.NewTimer(0)
		defer next.Stop()
		for {
			var k daemon.Keepalive
			select {
			case <-ctx.Done():
				return
			case k = <-latest:
			}
			r := store.DaemonReport{Monhost: d.Monhost, Name: d.Name, PID: os.Getpid(), Version: version, StartedAt: started,
				Doing: k.Doing, Promise: k.Promised - daemon.BootClock()}
			if facts != nil {
				facts(&r)
			}
			try, cancel := context.WithTimeout(ctx, 5*time.Second)
			_ = st.ReportDaemon(try, r) // the daemon itself says when the database is away
			cancel()
			next.Reset(copyEvery)
			select {
			case <-ctx.Done():
				return
			case <-next.C:
			}
		}
	}()
}
