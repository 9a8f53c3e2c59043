package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"

	"sonde/daemons/notifier"
	"sonde/internal/daemon"
	"sonde/internal/store"
	"sonde/notify/catalog"
)

func runNotifier(ctx context.Context, args []string) error {
	return runDaemon(ctx, "notifier", args, 0, 0, func(d asDaemon) error {
		pool, err := daemon.Connect(d.Stopping, d.DSN, d.Name, d.Progress, d.Log)
		if err != nil {
			return stoppedOr(d.Stopping, err)
		}
		defer pool.Close()
		st := store.New(pool)
		defer d.reportTo(st, nil)()
		n := &notifier.Notifier{
			Store: st, Type: catalog.Find, Log: d.Log, Report: d.Progress.Report, Cancelled: d.Cancelled,
			// Process ids come again, so the owner of leases has a random part.
			Name: fmt.Sprintf("%s/%d/%s", d.Monhost, os.Getpid(), rand.Text()[:8]),
		}
		return n.Run(d.Stopping)
	})
}
