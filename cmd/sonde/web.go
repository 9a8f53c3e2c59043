package main

import (
	"context"
	"fmt"
	"net"

	"sonde/internal/store"
	"sonde/web"
)

// runWeb serves the pages. It does not wait for the database: as long as that is
// away, every page says so.
func runWeb(ctx context.Context, args []string) error {
	return runDaemon(ctx, "web", args, 0, 0, func(d asDaemon) error {
		pages, err := store.OpenPages(d.DSN)
		if err != nil {
			return err
		}
		defer pages.Close()
		// The pages' own connections can write nothing; the report needs another.
		pool, err := d.pool(d.Cancelled)
		if err != nil {
			return err
		}
		defer pool.Close()
		defer d.reportTo(store.New(pool), nil)()
		ln, err := (&net.ListenConfig{}).Listen(d.Stopping, "tcp", d.Listen)
		if err != nil {
			return fmt.Errorf("listen for readers of pages: %w", err)
		}
		d.Log.Info("listening", "address", ln.Addr().String())
		site := web.New(pages, version, d.Log)
		site.Names = d.Names()
		return site.Serve(d.Stopping, d.Cancelled, ln, d.Progress)
	})
}
