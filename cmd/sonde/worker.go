package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"sonde/daemons/worker"
	"sonde/internal/machine"
	"sonde/internal/spool"
	"sonde/internal/store"
	"sonde/migrations"
	"sonde/probes/catalog"
)

// spoolLimit bounds what waits on disk while the database is away: a day of
// 10,000 pings a minute is about 8 GiB, of 100 a minute 80 MiB.
const spoolLimit = 2 << 30

func runWorker(ctx context.Context, args []string) error {
	return runDaemon(ctx, "worker", args, 1, 1, func(d asDaemon) error {
		tool, known := catalog.Find(d.Args[0])
		if !known {
			return usageError("there is no tool %q", d.Args[0])
		}
		pool, err := d.pool(d.Cancelled)
		if err != nil {
			return err
		}
		defer pool.Close()
		st := store.New(pool)
		out, err := spool.Open(d.Spool, d.Name, spoolLimit)
		if err != nil {
			// Measuring without a spool is better than not measuring.
			d.Log.Error("no spool: results are lost when the database goes away", "spool", d.Spool, "error", err)
		}
		plans := filepath.Join(d.State, "plan")
		if err := os.MkdirAll(plans, 0o755); err != nil {
			d.Log.Error("no folder for the copy of our specs", "folder", plans, "error", err)
		}
		w := &worker.Worker{
			Store: st, Spool: orNoSpool(out, err), Tool: tool, Monhost: d.Monhost, Log: d.Log, Report: d.Progress.Report,
			Name:     fmt.Sprintf("%s on %s, pid %d of %d", d.Name, d.Monhost, os.Getpid(), startedAt()),
			PlanFile: filepath.Join(plans, d.Name+".json"),
			Register: d.register(st),
		}
		defer d.reportTo(st, func(r *store.DaemonReport) {
			t := w.Totals()
			r.Lag = t.Lag
			r.Facts = map[string]any{"made": t.Made, "missed": t.Missed, "spooled": t.Spooled, "doubles": t.Doubles, "refused": t.Refused}
			r.SpoolFiles, _, _ = spool.Usage(d.Spool)
		})()
		// What a worker holds is small and turns over fast: collecting its garbage at
		// twice what is in use, as usual, was a fifth of its work.
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(300)
		}
		return w.Run(d.Stopping, d.Cancelled)
	})
}

// register enters this host into the database.
func (d asDaemon) register(st *store.Store) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := st.CheckVersion(ctx, version); err != nil {
			return err
		}
		if err := migrations.Foreign(ctx, d.DSN); err != nil {
			return err
		}
		h, err := thisHost(d.Config)
		if err != nil {
			return err
		}
		err = st.RegisterHost(ctx, h)
		if errors.Is(err, store.ErrHostTaken) {
			d.Progress.Report(err.Error(), daemonStart) // for `sonde status`: the log says it too
		}
		if err != nil {
			return err
		}
		m := machine.Read()
		if err := st.WriteNodeSpecs(ctx, store.NodeSpecs{Node: d.Monhost, OS: m.OS, Kernel: m.Kernel, CPU: m.CPU, Cores: m.Cores, MemoryMiB: m.MemoryMiB, NICs: m.NICs}); err != nil {
			d.Log.Warn("the facts of this machine are not stored", "error", err) // they stop nothing
		}
		return nil
	}
}
