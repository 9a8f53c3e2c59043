package main

import (
	"context"
	"errors"
	"fmt"

	"sonde/config"
	"sonde/internal/store"
	"sonde/web"
)

// runReport writes the pages as files.
func runReport(ctx context.Context, args []string) error {
	fs := flags("report")
	out := fs.String("out", "", "folder to write to; it is made")
	node := fs.String("node", "", "only this node")
	from := config.Flags(fs)
	if err := parse(fs, args, 0, 0); err != nil {
		return err
	}
	if *out == "" {
		return usageError("--out DIR is needed")
	}
	c, err := from.Load()
	if err != nil {
		return err
	}
	dsn, err := databaseOf(c)
	if err != nil {
		return err
	}
	pages, err := store.OpenPages(dsn)
	if err != nil {
		return err
	}
	defer pages.Close()
	done, err := web.Report(ctx, pages, web.ReportOptions{Dir: *out, Node: *node, Version: version})
	if errors.Is(err, store.ErrNone) {
		return fmt.Errorf("there is no node %q", *node)
	}
	if err != nil {
		return err
	}
	fmt.Printf("wrote %d pages of %d nodes to %s\n", done.Pages, done.Nodes, *out)
	return nil
}
