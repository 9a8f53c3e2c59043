package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Pages reads what pages show. It has a small pool of its own, whose
// connections can write nothing and whose statements end after a while, so that
// readers never hold up the daemons.
type Pages struct {
	pool *pgxpool.Pool
	at   time.Time // AsOf
}

// ErrNone says that there is no such node, spec or alert.
var ErrNone = errors.New("there is none")

// pageStatement is how long one query of a page may take.
const pageStatement = "20s"

// OpenPages makes the pool; it connects when the first page is read, so that
// the database may come later and go away.
func OpenPages(dsn string) (*Pages, error) {
	c, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("connection string of the database: %w", err) // pgx hides the password
	}
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = 3 * time.Second
	}
	for setting, value := range map[string]string{
		"application_name":                    "sonde web",
		"timezone":                            "UTC",
		"statement_timeout":                   pageStatement,
		"idle_in_transaction_session_timeout": "60s",
		"default_transaction_read_only":       "on",
		// Compiling a plan over hundreds of partitions takes longer than running it.
		"jit": "off",
		// A plan made for the instants at hand leaves all other partitions out.
		"plan_cache_mode": "force_custom_plan",
	} {
		c.ConnConfig.RuntimeParams[setting] = value
	}
	c.MaxConns = 6 // four pages at once, and the question whether we are ready
	c.MaxConnIdleTime = time.Minute
	pool, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return &Pages{pool: pool}, nil
}

// Close gives the connections back.
func (p *Pages) Close() { p.pool.Close() }

// AsOf gives pages as if it were at: with the data of that time and before
// judged by that time. Configuration and alerts are those of now.
func (p *Pages) AsOf(at time.Time) *Pages { return &Pages{pool: p.pool, at: at} }

// Ready says whether the database answers and is migrated.
func (p *Pages) Ready(ctx context.Context) error {
	var version int64
	if err := p.pool.QueryRow(ctx, `SELECT version FROM schema_info`).Scan(&version); err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	return nil
}

// TookTooLong reports whether a query was cut off because it took too long.
func TookTooLong(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "57014"
}

// NotMigrated reports whether a table or column is missing.
func NotMigrated(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "42703")
}

// Reading is one consistent look at the database.
type Reading struct {
	tx  pgx.Tx
	Now time.Time // the database's
}

// Read runs f in one snapshot.
func (p *Pages) Read(ctx context.Context, f func(*Reading) error) error {
	return pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		r := &Reading{tx: tx, Now: p.at}
		if r.Now.IsZero() {
			if err := tx.QueryRow(ctx, `SELECT now()`).Scan(&r.Now); err != nil {
				return fmt.Errorf("read the database's clock: %w", err)
			}
		}
		r.Now = r.Now.UTC()
		return f(r)
	})
}

// Zone is the setting time_zone; UTC when this program does not know it.
func (r *Reading) Zone(ctx context.Context) (*time.Location, error) {
	var name string
	if err := r.tx.QueryRow(ctx, `SELECT value FROM settings WHERE name = 'time_zone'`).Scan(&name); err != nil {
		return nil, fmt.Errorf("read the time zone of pages: %w", err)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC, nil
	}
	return zone, nil
}

// collect reads all rows of a query into structs by the order of their fields.
func collect[T any](ctx context.Context, r *Reading, what, sql string, args ...any) ([]T, error) {
	rows, err := r.tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return list, nil
}

// quoted writes the name of a table or column that came from the database's own catalogue.
func quoted(name string) string { return pgx.Identifier{strings.ToLower(name)}.Sanitize() }
