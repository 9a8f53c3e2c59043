package embeddedpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"sonde/internal/proc"
)

// Options of Start.
type Options struct {
	// Dir holds the cluster, its socket and its log; made when missing.
	Dir string
	Log *slog.Logger // nil discards

	// Ephemeral is for tests: no fsync, and the server dies with this process.
	Ephemeral bool

	// Env is added to the server's environment ("FAKETIME=+1h").
	Env []string

	// Progress, if set, is told what is being waited for.
	Progress func(doing string)

	watchEvery, watchPatience time.Duration // tests of Keep shorten them
}

// Server is a PostgreSQL that is ready, started or adopted by Start.
type Server struct {
	dir       string
	socketDir string
	log       *slog.Logger
	id        proc.Ident
	gone      <-chan struct{}
	adopted   bool
}

// oldBackends is how long what a killed postmaster left behind may take to go.
const oldBackends = 30 * time.Second

// Start gives a server for the folder that answers: one that lives already is
// adopted, else one is made and started. Recovery after a crash may take long;
// ctx bounds it.
func Start(ctx context.Context, o Options) (*Server, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	who := serverOwner()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder of the database: %w", err)
	}
	data := filepath.Join(dir, "data")

	if s, err := adopt(ctx, dir, o); s != nil || err != nil {
		return s, err
	}

	major := ""
	if raw, err := os.ReadFile(filepath.Join(data, "PG_VERSION")); err == nil {
		major = strings.TrimSpace(string(raw))
	}
	progs, err := findPrograms(ctx, major)
	if errors.Is(err, ErrNoPrograms) && major == "" {
		o.Progress("fetching PostgreSQL")
		var fetchErr error
		if progs, fetchErr = fetchPrograms(ctx, dir); fetchErr != nil {
			return nil, fmt.Errorf("%w found in PATH, /usr/lib/postgresql/*/bin or by pg_config, and none could be fetched (%w): apt-get install postgresql, or name a database of your own", ErrNoPrograms, fetchErr)
		}
	} else if err != nil {
		// A cluster made with fetched programs finds them again here.
		p, missing := inspect(ctx, filepath.Join(dir, "programs", "bin"))
		if missing != nil || p.major != major {
			return nil, err
		}
		progs = p
	}

	l := launcher{dir: dir, data: data, who: who, progs: progs, opts: o}
	if err := l.prepare(ctx); err != nil {
		return nil, err
	}
	return l.launch(ctx)
}

// DSN is the connection string of the platform's database on this server.
func (s *Server) DSN() string { return dsnAt(s.socketDir, Database) }

// DSNOf is the connection string of another database on this server.
func (s *Server) DSNOf(database string) string { return dsnAt(s.socketDir, database) }

// Dir is the folder that Start was given.
func (s *Server) Dir() string { return s.dir }

// Discard stops the server and removes all it wrote.
func (s *Server) Discard() error {
	err := s.Stop()
	return errors.Join(err, os.RemoveAll(s.dir), os.RemoveAll(s.socketDir))
}

// Pid is the postmaster's process id.
func (s *Server) Pid() int { return s.id.Pid }

// Adopted reports whether the server lived already when Start came.
func (s *Server) Adopted() bool { return s.adopted }

// Done is closed when the server is gone, for whatever reason.
func (s *Server) Done() <-chan struct{} { return s.gone }

// Stop ends the server: connections are cut and the shutdown checkpoint is
// written (SIGINT, "fast"); a server that cannot do that within a minute is
// ended without (SIGQUIT) and recovers at its next start.
func (s *Server) Stop() error { return s.stop(time.Minute) }

func (s *Server) stop(patience time.Duration) error {
	for _, step := range []struct {
		sig  syscall.Signal
		wait time.Duration
	}{{syscall.SIGINT, patience}, {syscall.SIGQUIT, 10 * time.Second}, {syscall.SIGKILL, 10 * time.Second}} {
		if err := s.id.Signal(step.sig); err != nil && !errors.Is(err, syscall.ESRCH) && s.id.Alive() {
			return fmt.Errorf("stop PostgreSQL: %w", err)
		}
		// A stopped process acts on nothing but SIGKILL.
		_ = s.id.Signal(syscall.SIGCONT)
		select {
		case <-s.gone:
			if filepath.Dir(s.socketDir) != s.dir {
				_ = os.Remove(s.socketDir) // a runtime folder of ours; only if it is empty
			}
			return nil
		case <-time.After(step.wait):
			s.log.Warn("PostgreSQL does not stop", "pid", s.id.Pid, "signal", step.sig.String())
		}
	}
	return fmt.Errorf("stop PostgreSQL: process %d does not end", s.id.Pid)
}

// adopt takes over a server that lives on our folder; nil, nil if there is none.
func adopt(ctx context.Context, dir string, o Options) (*Server, error) {
	id, p, ok := living(filepath.Join(dir, "data"))
	if !ok {
		return nil, nil
	}
	gone, err := id.Gone()
	if err != nil {
		return nil, nil // it went this moment
	}
	s := &Server{dir: dir, socketDir: p.socketDir, log: o.Log, id: id, gone: gone, adopted: true}
	if p.status == "stopping" {
		o.Progress("waiting for the old PostgreSQL to end")
		select {
		case <-gone:
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Minute):
			if err := s.stop(time.Second); err != nil {
				return nil, err
			}
			return nil, nil
		}
	}
	if p.socketDir == "" {
		// Killed between two lines of its own pid file, or just starting.
		return nil, s.stop(5 * time.Second)
	}
	o.Log.Info("adopting the running PostgreSQL", "pid", id.Pid)
	_ = id.Signal(syscall.SIGCONT)
	err = s.ready(ctx, o.Progress, 2*time.Minute)
	switch {
	case err == nil:
		return s, s.ensureDatabase(ctx)
	case errors.Is(err, errGone), errors.Is(err, errSilent):
		o.Log.Warn("the running PostgreSQL does not answer and is replaced", "pid", id.Pid, "error", err)
		return nil, s.stop(5 * time.Second)
	}
	return nil, err
}

var (
	errGone   = errors.New("PostgreSQL ended")
	errSilent = errors.New("PostgreSQL does not answer")
)

// ready waits until the server answers a query. A server that says it is
// starting up is recovering and gets all the time ctx allows; one that says
// nothing at all gets patience.
func (s *Server) ready(ctx context.Context, progress func(string), patience time.Duration) error {
	silentSince := time.Now()
	for {
		err := ask(ctx, s.DSNOf("postgres"))
		if err == nil {
			return nil
		}
		var pgErr *pgconn.PgError
		switch {
		case errors.As(err, &pgErr):
			// 57P03: starting up; 53300: too many connections, which is an answer
			// too, but not one that lets us work.
			if pgErr.Code != "57P03" && pgErr.Code != "53300" && pgErr.Code != "57P01" {
				return fmt.Errorf("PostgreSQL answers: %w", err)
			}
			silentSince = time.Now()
			progress("waiting for PostgreSQL: " + pgErr.Message)
		case time.Since(silentSince) > patience:
			return fmt.Errorf("%w: %w", errSilent, err)
		default:
			progress("waiting for PostgreSQL to start")
		}
		select {
		case <-s.gone:
			return errGone
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(25 * time.Millisecond):
		}
	}
}

func ask(ctx context.Context, dsn string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.Ping(ctx)
}

func (s *Server) ensureDatabase(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSNOf("postgres"))
	if err != nil {
		return fmt.Errorf("make database %s: %w", Database, err)
	}
	defer conn.Close(ctx)
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", Database).Scan(&there); err != nil {
		return fmt.Errorf("make database %s: %w", Database, err)
	}
	if there {
		return nil
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{Database}.Sanitize())
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "42P04" {
		return nil // somebody else was quicker
	}
	if err != nil {
		return fmt.Errorf("make database %s: %w", Database, err)
	}
	return nil
}

// command is a server program as the server's user runs it, with a clean
// environment: PGDATA, PGPORT or a locale of ours must not reach it.
func (l *launcher) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(l.progs.bin, program), args...)
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=" + l.progs.bin + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=/nonexistent"}, l.opts.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: l.who.cred, Setsid: true}
	return cmd
}
