package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"sonde/config"
	"sonde/internal/daemon"
)

// asDaemon is what the verb of a daemon gets.
type asDaemon struct {
	config.Config
	Name     string // "scheduler", "worker-ping"
	DSN      string
	Args     []string
	Log      *slog.Logger
	Progress *daemon.Progress

	// Stopping ends with the first signal: begin nothing new. Cancelled ends
	// with the second: drop everything.
	Stopping, Cancelled context.Context
}

// daemonStart is how long a daemon may take from its first report to its second.
const daemonStart = 30 * time.Second

// runDaemon reads settings, makes logger, keepalive and signals, and runs f. The
// daemon's name is the verb and its arguments, joined by "-".
func runDaemon(ctx context.Context, verb string, args []string, least, most int, f func(asDaemon) error) error {
	fs := flags(verb)
	from := config.Flags(fs)
	if err := parse(fs, args, least, most); err != nil {
		return err
	}
	c, err := from.Load()
	if err != nil {
		return err
	}
	dsn, err := databaseOf(c)
	if err != nil {
		return err
	}
	level, _ := c.Level() // validated
	name := strings.Join(append([]string{verb}, fs.Args()...), "-")
	log := daemon.Logger(os.Stderr, c.LogFormat, level).With("daemon", name)
	slog.SetDefault(log)
	stopping, cancelled, release := daemon.Signals(ctx)
	defer release()
	d := asDaemon{Config: c, Name: name, DSN: dsn, Args: fs.Args(), Log: log, Stopping: stopping, Cancelled: cancelled,
		Progress: daemon.NewProgress(c.State, name, version, log)}
	// One typed by hand beside a supervisor would write into the keepalive of the one that runs, which is killed for it.
	if other, runs := d.Progress.Another(); runs {
		return fmt.Errorf("%s runs already on %s, as pid %d: end it first, or give this one a --data folder of its own", name, c.State, other)
	}
	log.Info("starting", "version", version, "pid", os.Getpid())
	d.Progress.Report("starting", daemonStart)
	if err := f(d); err != nil && cancelled.Err() == nil {
		if errors.Is(err, errUsage) {
			d.Progress.Withdraw() // it was never a daemon
		}
		log.Error("ended", "error", err)
		return err
	}
	log.Info("ended")
	return nil
}
