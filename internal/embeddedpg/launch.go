package embeddedpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sonde/internal/proc"
)

// launcher makes the cluster of one folder and starts its server.
type launcher struct {
	dir, data string
	who       owner
	progs     programs
	opts      Options
	closed    bool // the server's user cannot reach the folder by its name
	socketDir string
}

// prepare makes what is missing, down to a cluster with our settings in it.
func (l *launcher) prepare(ctx context.Context) error {
	l.closed = !l.who.reaches(l.dir)
	l.socketDir = l.who.socketDir(l.dir, l.closed)
	if !l.who.reaches(l.progs.bin) {
		return fmt.Errorf("the server programs in %s are closed to user %s, as which PostgreSQL runs: apt-get install postgresql, or use a folder that others may enter", l.progs.bin, l.who.name)
	}
	if l.closed {
		l.opts.Log.Info("the folder is closed to the server's user by its name, so the server gets it as an open file", "dir", l.dir, "user", l.who.name, "socket", l.socketDir)
	}
	if err := l.who.own(l.socketDir); err != nil {
		return fmt.Errorf("folder for the socket: %w", err)
	}
	if _, err := os.Stat(filepath.Join(l.data, "PG_VERSION")); errors.Is(err, os.ErrNotExist) {
		if err := l.initdb(ctx); err != nil {
			return err
		}
	} else if err != nil {
		return fmt.Errorf("cluster of the database: %w", err)
	}
	if err := l.who.own(l.data); err != nil {
		return err
	}
	if err := l.settle(); err != nil {
		return err
	}
	return l.dropStalePidfile()
}

// initdb makes the cluster under another name and renames it when it is whole,
// so that an interrupted one is made anew.
func (l *launcher) initdb(ctx context.Context) error {
	if entries, err := os.ReadDir(l.data); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty and no PostgreSQL cluster: move it away", l.data)
	}
	l.opts.Progress("making the database cluster")
	fresh := l.data + ".new"
	var said []byte
	var err error
	// Everybody has C; C.UTF-8, which knows letters beyond ASCII, is missing on old systems.
	for _, locale := range []string{"C.UTF-8", "C"} {
		if err := os.RemoveAll(fresh); err != nil {
			return fmt.Errorf("make the database cluster: %w", err)
		}
		if err := l.who.own(fresh); err != nil {
			return fmt.Errorf("make the database cluster: %w", err)
		}
		// The same order as C.UTF-8 has, but PostgreSQL knows that it is that of the bytes and compares names faster.
		args := []string{"--username=" + Role, "--auth=trust", "--encoding=UTF8", "--locale=" + locale, "--lc-collate=C"}
		if l.opts.Ephemeral {
			args = append(args, "--no-sync")
		}
		cmd := l.command(ctx, "initdb")
		close, name, openErr := l.nameFor(cmd, fresh)
		if openErr != nil {
			return openErr
		}
		cmd.Args = append(cmd.Args, append(args, "--pgdata="+name)...)
		said, err = cmd.CombinedOutput()
		close()
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		os.RemoveAll(fresh)
		return fmt.Errorf("make the database cluster in %s as user %s: %w: %s", l.dir, l.who.name, err, lastLines(string(said), 5))
	}
	_ = os.Remove(l.data) // empty, if it is there
	if err := os.Rename(fresh, l.data); err != nil {
		return fmt.Errorf("make the database cluster: %w", err)
	}
	return proc.SyncDir(l.dir)
}

// nameFor gives a name by which the server's user reaches a folder that is his
// own but lies below one closed to him (/root, a 0700 temporary folder). We open
// it and he inherits it; /proc/self/fd/3 then leads there without walking the
// path, in every process of the server, for they all descend from this one.
func (l *launcher) nameFor(cmd *exec.Cmd, dir string) (done func(), name string, err error) {
	if !l.closed {
		return func() {}, dir, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, "", err
	}
	cmd.ExtraFiles = []*os.File{f}
	return func() { f.Close() }, "/proc/self/fd/3", nil
}

// settle writes our settings beside initdb's. A person's ALTER SYSTEM wins over them.
// A look at all that is kept locks each partition and its indexes: with the default
// of 64 three looks at 400 days were more than there is room for, and failed.
func (l *launcher) settle() error {
	conf := `# Written by sonde at each start. ALTER SYSTEM wins over this file.
shared_buffers = 64MB
max_connections = 60
max_locks_per_transaction = 256
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
log_line_prefix = '%m [%p] '
idle_in_transaction_session_timeout = '10min'
max_parallel_workers_per_gather = 0
client_connection_check_interval = '10s'
autovacuum_naptime = '10s'
`
	if l.opts.Ephemeral {
		// synchronous_commit stays on: tests kill the server and count what was committed.
		conf += `max_connections = 200
fsync = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
`
	} else {
		conf += "fsync = on\nsynchronous_commit = on\n"
	}
	// Who gets to the socket has passed the folder's mode 0700; see doc.go.
	if err := l.write("pg_hba.conf", "# Written by sonde at each start. The socket's folder is the guard.\nlocal all all trust\nlocal replication all trust\n"); err != nil {
		return err
	}
	if err := l.write("sonde.conf", conf); err != nil {
		return err
	}
	main, err := os.ReadFile(filepath.Join(l.data, "postgresql.conf"))
	if err != nil {
		return fmt.Errorf("settings of the database: %w", err)
	}
	const include = "include 'sonde.conf'"
	if strings.Contains(string(main), "\n"+include) {
		return nil
	}
	return l.write("postgresql.conf", strings.TrimRight(string(main), "\n")+"\n\n"+include+"\n")
}

// write replaces a file of the cluster as a whole and gives it to the server's user.
func (l *launcher) write(name, content string) error {
	path := filepath.Join(l.data, name)
	if old, err := os.ReadFile(path); err == nil && string(old) == content {
		return nil
	}
	tmp := path + ".new"
	err := os.WriteFile(tmp, []byte(content), 0o600)
	if err == nil && l.who.cred != nil {
		err = os.Lchown(tmp, l.who.uid, l.who.gid)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("settings of the database: %w", err)
	}
	return nil
}

// dropStalePidfile removes a postmaster.pid whose process id belongs to
// somebody else by now, as happens after a reboot: the server would take any
// living process of its user for another postmaster and refuse to start. A dead
// one it clears away by itself, and old backends it finds by shared memory.
func (l *launcher) dropStalePidfile() error {
	p, err := readPidfile(l.data)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		if _, dead := proc.Identify(p.pid); dead != nil {
			return nil
		}
		if _, _, ours := living(l.data); ours {
			return nil
		}
	}
	// Unreadable: cut off by a full disk or a power failure.
	if err := os.Remove(filepath.Join(l.data, "postmaster.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// launch starts the server until it stays. What a killed one left behind (its
// lock on the socket, backends on its shared memory) goes by itself and is waited for.
func (l *launcher) launch(ctx context.Context) (*Server, error) {
	deadline := time.Now().Add(oldBackends)
	for {
		s, err := l.once(ctx)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errOld) || time.Now().After(deadline) || ctx.Err() != nil {
			return nil, err
		}
		l.opts.Progress("waiting for what the killed PostgreSQL left behind")
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(250 * time.Millisecond):
		}
	}
}

var errOld = errors.New("an older server still holds it")

func (l *launcher) once(ctx context.Context) (*Server, error) {
	logPath := filepath.Join(l.dir, "log")
	if err := proc.TurnLog(logPath, mostLog, 1); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log of PostgreSQL: %w", err)
	}
	defer log.Close()
	from, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("log of PostgreSQL: %w", err)
	}
	// Not ctx: the server outlives it.
	cmd := l.command(context.Background(), "postgres")
	done, name, err := l.nameFor(cmd, l.data)
	if err != nil {
		return nil, err
	}
	defer done()
	cmd.Args = append(cmd.Args, "-D", name, "-c", "listen_addresses=", "-c", "port="+port, "-c", "unix_socket_directories="+quoteSetting(l.socketDir), "-c", "unix_socket_permissions=0777")
	cmd.Stdout, cmd.Stderr = log, log
	var tied syscall.Signal
	if l.opts.Ephemeral {
		tied = syscall.SIGQUIT // "immediate": the backends are told too
	}
	child, err := proc.Start(cmd, tied)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL as user %s: %w", l.who.name, err)
	}
	id, err := proc.Identify(child.Pid)
	if err != nil {
		<-child.Done()
		return nil, l.failure(logPath, from)
	}
	s := &Server{dir: l.dir, socketDir: l.socketDir, log: l.opts.Log, id: id, gone: child.Done()}
	err = s.ready(ctx, l.opts.Progress, 2*time.Minute)
	if err == nil {
		err = s.ensureDatabase(ctx)
	}
	switch {
	case err == nil:
		l.opts.Log.Info("PostgreSQL is ready", "pid", id.Pid, "version", l.progs.major, "dir", l.dir)
		return s, nil
	case errors.Is(err, errGone):
		return nil, l.failure(logPath, from)
	}
	return nil, errors.Join(err, s.Stop())
}

// failure says why the server ended, in its own words.
func (l *launcher) failure(logPath string, from int64) error {
	said := ""
	if f, err := os.Open(logPath); err == nil {
		defer f.Close()
		raw, _ := io.ReadAll(io.LimitReader(io.NewSectionReader(f, from, 1<<20), 1<<20))
		said = string(raw)
	}
	err := fmt.Errorf("PostgreSQL ended at once; its log %s says: %s", logPath, lastLines(said, 6))
	// lc_messages is C, so the words are these.
	for _, old := range []string{"lock file \"", "pre-existing shared memory block", "is the server already running", "could not bind Unix address"} {
		if strings.Contains(said, old) {
			return fmt.Errorf("%w: %w", errOld, err)
		}
	}
	return err
}

// quoteSetting writes a folder as one element of a list setting.
func quoteSetting(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, " | ")
}

const mostLog = 10 << 20 // bytes; one old log is kept beside it
