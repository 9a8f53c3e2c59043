package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// PoolConfig reads a connection string into a pool with our time limits: no
// daemon hangs for ever on a database that has gone silent. What the string
// itself sets stays.
func PoolConfig(dsn, name string) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("connection string of the database: %w", err) // pgx hides the password
	}
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	for setting, value := range map[string]string{
		"application_name":                    "sonde " + name,
		"timezone":                            "UTC",
		"statement_timeout":                   "120s",
		"idle_in_transaction_session_timeout": "60s",
	} {
		if _, set := c.ConnConfig.RuntimeParams[setting]; !set {
			c.ConnConfig.RuntimeParams[setting] = value
		}
	}
	c.HealthCheckPeriod = 15 * time.Second
	c.MaxConnIdleTime = 5 * time.Minute
	c.MaxConnLifetimeJitter = 10 * time.Minute
	return c, nil
}

// Open gives a pool without asking whether the database answers.
func Open(ctx context.Context, dsn, name string) (*pgxpool.Pool, error) {
	c, err := PoolConfig(dsn, name)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return pool, nil
}

// Connect gives a pool on a database that answers. Until it does it waits and
// reports that as progress; the reason is logged when it changes. Only ctx ends
// the wait: also a wrong password may be mended by somebody.
func Connect(ctx context.Context, dsn, name string, p *Progress, log *slog.Logger) (*pgxpool.Pool, error) {
	pool, err := Open(ctx, dsn, name)
	if err != nil {
		return nil, err
	}
	if err := WaitFor(ctx, pool, p, log); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// WaitFor waits until the database answers; see Connect.
func WaitFor(ctx context.Context, pool *pgxpool.Pool, p *Progress, log *slog.Logger) error {
	last, pause := "", 100*time.Millisecond
	for {
		p.Report("waiting for the database", 20*time.Second)
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := pool.Ping(try)
		cancel()
		if err == nil {
			if last != "" {
				log.Info("the database answers again")
			}
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err.Error() != last {
			log.Warn("waiting for the database", "error", err)
			last = err.Error()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// Answers asks the database once.
func Answers(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.Ping(ctx)
}
