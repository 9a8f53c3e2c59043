package pgtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/embeddedpg"
)

// reaperDir in the environment makes the test binary a reaper.
const reaperDir = "SONDE_PGTEST_REAPER"

// A test process can be killed, so somebody else has to clean up after it: the
// same binary, started once more, which gets here before any test begins.
func init() {
	if dir := os.Getenv(reaperDir); dir != "" {
		os.Exit(reap(dir))
	}
}

// reap runs a server until its standard input ends, as it does when the test
// process is gone, and removes everything.
func reap(dir string) int {
	lock, err := hold(dir)
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	defer lock.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s, err := embeddedpg.Start(ctx, embeddedpg.Options{Dir: filepath.Join(dir, "pg"), Ephemeral: true})
	if err != nil {
		fmt.Println("error:", strings.ReplaceAll(err.Error(), "\n", " | "))
		os.RemoveAll(dir)
		return 1
	}
	fmt.Println(s.DSNOf("postgres"))
	_, _ = io.Copy(io.Discard, os.Stdin)
	if errors.Join(s.Discard(), os.RemoveAll(dir)) != nil {
		return 1
	}
	return 0
}

// hold marks a folder as in use for as long as the file is open.
func hold(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sweep removes what a killed reaper left. A young folder may be one whose lock
// is about to be taken.
func sweep() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), "sonde-pgtest-*"))
	for _, dir := range left {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < 5*time.Minute {
			continue
		}
		if lock, err := hold(dir); err == nil {
			os.RemoveAll(dir)
			lock.Close()
		}
	}
}

// held is what must live as long as this process, and which the collector would
// otherwise close: the reaper's standard input, and on a shared server the
// connection whose lock says that we live.
var held []any

// server gives the connection string of the maintenance database of this
// process's server, which the first call starts.
var server = sync.OnceValues(func() (string, error) {
	if dsn := os.Getenv("SONDE_TEST_DSN"); dsn != "" {
		return dsn, claim(dsn)
	}
	sweep()
	dir, err := os.MkdirTemp("", "sonde-pgtest-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), reaperDir+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // ^C is for the tests
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	held = append(held, lifeline)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("%s: %w", howTo, err)
	}
	// Nobody waits for it: it ends after us.
	line, err := bufio.NewReader(out).ReadString('\n')
	line = strings.TrimSpace(line)
	if err != nil || strings.HasPrefix(line, "error:") {
		return "", fmt.Errorf("%s: %s", howTo, line)
	}
	return line, nil
})

// claim marks our databases on a shared server as in use, and drops those whose
// test process is gone.
func claim(dsn string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("SONDE_TEST_DSN: %w", err)
	}
	held = append(held, conn)
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext($1))", prefix()); err != nil {
		return fmt.Errorf("SONDE_TEST_DSN: %w", err)
	}
	rows, err := conn.Query(ctx, `SELECT datname, substring(datname from '^pgtest_\d+_[0-9a-f]{8}') FROM pg_database WHERE datname ~ '^pgtest_\d+_[0-9a-f]{8}_'`)
	if err != nil {
		return fmt.Errorf("SONDE_TEST_DSN: %w", err)
	}
	type left struct{ Name, Owner string }
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[left])
	if err != nil {
		return fmt.Errorf("SONDE_TEST_DSN: %w", err)
	}
	for _, db := range all {
		var free bool
		err := conn.QueryRow(ctx, "SELECT $1 <> $2 AND pg_try_advisory_lock(hashtext($1))", db.Owner, prefix()).Scan(&free)
		if err == nil && free {
			_, err = conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{db.Name}.Sanitize()+" WITH (FORCE)")
		}
		if err != nil {
			return fmt.Errorf("SONDE_TEST_DSN: %w", err)
		}
	}
	return nil
}
