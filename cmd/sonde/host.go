package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"sonde/config"
	"sonde/internal/daemon"
	"sonde/internal/embeddedpg"
	"sonde/internal/schema"
	"sonde/internal/store"
	"sonde/keepalive"
	"sonde/probes/catalog"
)

// runHost runs everything of one host until it is told to stop: the embedded
// database if none is named, the supervisor with all daemons. It owns the state
// folder meanwhile. up is told when everything works.
func runHost(ctx context.Context, c config.Config, migrate bool, up func(listen, dsn string)) error {
	level, _ := c.Level() // validated
	log := daemon.Logger(os.Stderr, c.LogFormat, level).With("daemon", keepalive.SupervisorName)
	lock, err := keepalive.Own(c.State)
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := concreteListen(&c); err != nil {
		return err
	}
	stopping, cancelled, release := daemon.Signals(ctx)
	defer release()
	progress := daemon.NewProgress(c.State, keepalive.SupervisorName, version, log)
	progress.Report("starting", time.Minute)

	h := &host{Config: c, log: log, progress: progress, dsn: c.Database.Reveal()}
	if c.Embedded() {
		migrate = true // nobody else can have done it
		stop, err := h.database(stopping)
		if err != nil {
			return stoppedOr(stopping, err)
		}
		defer stop()
	}
	sup, err := h.supervisor()
	if err != nil {
		return err
	}
	// Daemons of an earlier supervisor may be of an older version.
	if err := sup.TakeOver(); err != nil {
		return err
	}
	if err := portFree(c.Listen); err != nil {
		return err
	}
	var background sync.WaitGroup
	defer background.Wait()
	failed := make(chan error, 1)
	if migrate {
		done, reached := make(chan error, 1), make(chan struct{})
		background.Go(func() { done <- h.migrate(stopping, sync.OnceFunc(func() { close(reached) })) })
		// A database that is away is no reason not to measure: what is known of
		// the plan is on disk. But one that answers is made ready before it is used.
		var err error
		select {
		case <-reached:
			err = <-done
		case err = <-done: // told to stop, or no connection string
		case <-time.After(20 * time.Second):
			log.Warn("the database is away; daemons are started without it")
			background.Go(func() { failed <- <-done })
		}
		if err != nil {
			return stoppedOr(stopping, err)
		}
	}
	background.Go(func() { h.ownTrouble(stopping) })
	background.Go(func() {
		if h.ready(stopping, sup) {
			up(c.Listen, h.dsn)
		}
	})
	run, end := context.WithCancel(stopping)
	defer end()
	var migration error
	background.Go(func() {
		select {
		case err := <-failed:
			if err != nil && stopping.Err() == nil {
				migration = err
				end()
			}
		case <-run.Done():
		}
	})
	err = sup.Run(run, cancelled)
	end()
	release()
	background.Wait()
	return errors.Join(err, migration)
}

// stoppedOr makes no error of work that we were told to stop.
func stoppedOr(stopping context.Context, err error) error {
	if stopping.Err() != nil {
		return nil
	}
	return err
}

// host is what runHost's steps share.
type host struct {
	config.Config
	log      *slog.Logger
	progress *daemon.Progress
	dsn      string
}

// database starts or adopts the embedded PostgreSQL and keeps it alive until
// stop, which is called when all who use it are gone.
func (h *host) database(ctx context.Context) (stop func(), err error) {
	o := embeddedpg.Options{Dir: h.DatabaseDir(), Log: h.log, Progress: func(doing string) {
		promise := time.Minute
		if strings.HasPrefix(doing, "fetching") {
			promise = 15 * time.Minute // the library that fetches tells nothing meanwhile
		}
		h.progress.Report(doing, promise)
	}}
	server, err := embeddedpg.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	h.dsn = server.DSN()
	// While it runs, only the supervisor's loop may report progress.
	o.Progress = nil
	keeping, end := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() {
		embeddedpg.Keep(keeping, server, o, func(s *embeddedpg.Server) { server = s })
	})
	return func() {
		end()
		done.Wait()
		h.progress.Report("stopping PostgreSQL", 90*time.Second)
		if err := server.Stop(); err != nil {
			h.log.Error("PostgreSQL does not stop", "error", err)
		}
	}, nil
}

// migrate waits for the database, says when it is reached, and brings its schema
// to this version.
func (h *host) migrate(ctx context.Context, reached func()) error {
	for {
		pool, err := daemon.Connect(ctx, h.dsn, "migrate", h.progress, h.log)
		if err != nil {
			return err
		}
		pool.Close()
		reached()
		h.progress.Report("migrating", 10*time.Minute)
		report, err := schema.Up(ctx, h.dsn)
		if err == nil {
			for _, m := range report.Applied {
				h.log.Info("migration applied", "migration", m)
			}
			for _, p := range report.Problems {
				h.log.Warn("a row no longer fits this version", "problem", p)
			}
			return h.enter(ctx)
		}
		// Gone in the middle: wait for it and go on. Anything else is for a person.
		if ctx.Err() != nil || daemonReaches(ctx, h.dsn) {
			return fmt.Errorf("bring the schema to this version: %w", err)
		}
		h.log.Warn("the database went away while migrating", "error", err)
	}
}

// enter enters this monitoring host, so that the first INSERT finds it; a name
// that is held by a living host elsewhere ends us with a sentence.
func (h *host) enter(ctx context.Context) error {
	pool, err := daemon.Open(ctx, h.dsn, "enter")
	if err != nil {
		return err
	}
	defer pool.Close()
	this, err := thisHost(h.Config)
	if err != nil {
		return err
	}
	err = store.New(pool).RegisterHost(ctx, this)
	if store.IsAway(err) {
		h.log.Warn("the monitoring host could not be entered yet; its workers will", "error", err)
		return nil
	}
	return err
}

func daemonReaches(ctx context.Context, dsn string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return daemon.Answers(ctx, dsn) == nil
}

// supervisor lists every daemon of a host, one worker for each tool.
func (h *host) supervisor() (*keepalive.Supervisor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("our own program: %w", err)
	}
	h.Database = config.Secret(h.dsn)
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "SONDE_") })
	// Children get every setting by the environment. They read no file, so that
	// one being edited does not keep a daemon from starting again.
	env = append(append(env, h.Environ()...), "SONDE_CONFIG="+os.DevNull)
	var daemons []keepalive.Daemon
	add := func(args ...string) {
		daemons = append(daemons, keepalive.Daemon{Name: strings.Join(args, "-"), Path: self, Args: args, Env: env, Promises: true})
	}
	add("scheduler")
	for _, tool := range catalog.All() {
		add("worker", tool.Name)
	}
	add("loader")
	add("analyst")
	add("notifier")
	add("annotator")
	add("web")
	return keepalive.New(keepalive.Options{State: h.State, LogDir: h.LogDir, Log: h.log, Daemons: daemons, Progress: h.progress, Env: env, Program: self}), nil
}

// ready waits until every daemon has promised progress and the pages answer.
func (h *host) ready(ctx context.Context, sup *keepalive.Supervisor) bool {
	select {
	case <-sup.Ready():
	case <-ctx.Done():
		return false
	}
	client := &http.Client{Timeout: 10 * time.Second}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reachable(h.Listen)+"/", nil)
		if err != nil {
			h.log.Error("the address of the pages", "error", err)
			return false
		}
		if resp, err := client.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// concreteListen turns port 0 into one that is free now, since a child is to
// listen on it and others are told of it.
func concreteListen(c *config.Config) error {
	hostname, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port != "0" {
		return err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer l.Close()
	_, port, err = net.SplitHostPort(l.Addr().String())
	c.Listen = net.JoinHostPort(hostname, port)
	return err
}

// portFree says early and clearly what the web daemon would say again and again.
func portFree(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("the pages cannot be served on %s: %w: choose another --listen", addr, err)
	}
	return l.Close()
}

// reachable is an address by which a listener on every address is reached.
func reachable(listen string) string {
	hostname, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	switch hostname {
	case "", "0.0.0.0":
		hostname = "127.0.0.1"
	case "::":
		hostname = "::1"
	}
	return net.JoinHostPort(hostname, port)
}

var passwordWord = regexp.MustCompile(`(?i)password\s*=\s*('(\\.|[^'])*'|\S+)\s*`)

// withoutPassword is a connection string that may be printed.
func withoutPassword(dsn string) string {
	if u, err := url.Parse(dsn); err == nil && u.Scheme != "" {
		if u.User != nil {
			u.User = url.User(u.User.Username())
		}
		q := u.Query()
		if q.Has("password") {
			q.Del("password")
			u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // libpq takes "+" for itself
		}
		return u.String()
	}
	return strings.TrimSpace(passwordWord.ReplaceAllString(dsn, ""))
}
