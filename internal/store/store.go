package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Store speaks to one database.
type Store struct {
	pool *pgxpool.Pool
}

// New gives a store on pool, which stays the caller's to close.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// IsAway reports whether err means that the database cannot be reached or cannot
// work now (shut down, full, in recovery), so that the same call may succeed later.
func IsAway(err error) bool {
	if err == nil {
		return false
	}
	// Whatever a server says instead of letting us in, such as "could not write
	// init file" on a full disk: it took nothing.
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "08", "53", "57", "58": // connection, resources, operator intervention, system
			return pg.Code != "57014" // query_canceled: our own deadline or a person
		}
		return pg.Code[:2] == "28" || pg.Code == "3D000" // password or database wrong: a person must act, results must not be lost meanwhile
	}
	var nerr net.Error
	return errors.As(err, &nerr) || pgconn.SafeToRetry(err) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed) || isClosed(err)
}

func isClosed(err error) bool {
	for _, word := range []string{"conn closed", "unexpected EOF", "closed pool", "broken pipe", "connection reset"} {
		if strings.Contains(err.Error(), word) {
			return true
		}
	}
	return false
}

// inTx runs f in a transaction and commits it.
func (s *Store) inTx(ctx context.Context, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, f)
}

// Clock is one reading of the database's clock against our monotonic one.
type Clock struct {
	DB    time.Time     // the database's clock_timestamp()
	At    time.Time     // our own clock at the same moment, with its monotonic part
	Error time.Duration // the two may differ by this much: half of the round trip
}

// Now is the database's time now, counted on from the reading by the monotonic clock.
func (c Clock) Now() time.Time { return c.DB.Add(time.Since(c.At)) }

// Local is our clock (monotonic) at the database's instant t.
func (c Clock) Local(t time.Time) time.Time { return c.At.Add(t.Sub(c.DB)) }

type queryRower interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func readClock(ctx context.Context, q queryRower) (Clock, error) {
	before := time.Now()
	var db time.Time
	if err := q.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&db); err != nil {
		return Clock{}, fmt.Errorf("read the database's clock: %w", err)
	}
	half := time.Since(before) / 2
	return Clock{DB: db.UTC(), At: before.Add(half), Error: half}, nil
}

// ReadClock reads the database's clock.
func (s *Store) ReadClock(ctx context.Context) (Clock, error) { return readClock(ctx, s.pool) }

// Listen calls heard for every notification on channels until the context or
// the connection ends; it holds a connection of its own. Polling is what
// callers rely on, the notification only makes it quick.
func (s *Store) Listen(ctx context.Context, channels []string, heard func(channel, payload string)) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	c := conn.Hijack() // a connection that listens is not fit for the pool again
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = c.Close(closing)
	}()
	for _, ch := range channels {
		if _, err := c.Exec(ctx, "LISTEN "+pgx.Identifier{ch}.Sanitize()); err != nil {
			return fmt.Errorf("listen on %s: %w", ch, err)
		}
	}
	heard("", "") // what was notified before we listened must be looked for
	for {
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		heard(n.Channel, n.Payload)
	}
}
