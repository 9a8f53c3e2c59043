package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrHostTaken says that another state directory holds this monitoring host's name.
var ErrHostTaken = errors.New("monitoring host's name is taken")

// Host is a monitoring host as it enters itself.
type Host struct {
	Name      string
	Address   string   // used when the node does not exist yet
	Instance  string   // identity of the state directory
	Described string   // host and directory, in words
	Tools     []string // what its workers can run
	Version   string
}

// heldFor is how long a silent host keeps its name.
const heldFor = time.Minute

// RegisterHost enters a monitoring host: its node, if there is none of that
// name, and its row of monhosts. A name that a live host with another state
// directory holds is refused with ErrHostTaken, naming the other.
func (s *Store) RegisterHost(ctx context.Context, h Host) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('sonde monhost'), hashtext($1))`, h.Name); err != nil {
			return fmt.Errorf("enter monitoring host %q: %w", h.Name, err)
		}
		var instance, described string
		var seen *time.Time
		err := tx.QueryRow(ctx, `SELECT instance, described, last_seen_at FROM monhosts
			WHERE name = $1 AND instance <> $2 AND instance <> '' AND last_seen_at > clock_timestamp() - $3::float8 * interval '1 second'`,
			h.Name, h.Instance, heldFor.Seconds()).Scan(&instance, &described, &seen)
		if err == nil {
			return fmt.Errorf("%w: %q is held by %s, seen %s; give this host another name (monhost in sonde.toml, SONDE_MONHOST, --monhost), or stop the other and wait a minute",
				ErrHostTaken, h.Name, described, seen.UTC().Format("2006-01-02 15:04:05 UTC"))
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("enter monitoring host %q: %w", h.Name, err)
		}
		batch := &pgx.Batch{}
		batch.Queue(`INSERT INTO nodes (name, address) SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM nodes WHERE name = $1)`, h.Name, h.Address)
		batch.Queue(`INSERT INTO monhosts (name, tools, version, instance, described, last_seen_at) VALUES ($1, $2, $3, $4, $5, clock_timestamp())
			ON CONFLICT (name) DO UPDATE SET tools = excluded.tools, version = excluded.version, instance = excluded.instance,
				described = excluded.described, last_seen_at = excluded.last_seen_at`, h.Name, h.Tools, h.Version, h.Instance, h.Described)
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return fmt.Errorf("enter monitoring host %q: %w", h.Name, err)
		}
		return nil
	})
}

// DaemonReport is what a daemon tells people of itself.
type DaemonReport struct {
	Monhost    string
	Name       string
	PID        int
	Version    string
	StartedAt  time.Time
	Doing      string
	Promise    time.Duration // from now
	Lag        time.Duration
	SpoolFiles int
	Facts      map[string]any
}

// ReportDaemon copies a daemon's report to the table daemons, and marks its
// monitoring host as seen unless somebody holds that row locked.
func (s *Store) ReportDaemon(ctx context.Context, r DaemonReport) error {
	facts, err := json.Marshal(r.Facts)
	if err != nil || r.Facts == nil {
		facts = []byte("{}")
	}
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO daemons (monhost, name, pid, version, started_at, doing, reported_at, promised_at, lag, spool_files, facts)
		VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp(), clock_timestamp() + $7::float8 * interval '1 second', $8::float8 * interval '1 second', $9, $10)
		ON CONFLICT (monhost, name) DO UPDATE SET pid = excluded.pid, version = excluded.version, started_at = excluded.started_at, doing = excluded.doing,
			reported_at = excluded.reported_at, promised_at = excluded.promised_at, lag = excluded.lag, spool_files = excluded.spool_files, facts = excluded.facts`,
		r.Monhost, r.Name, r.PID, r.Version, r.StartedAt, r.Doing, r.Promise.Seconds(), r.Lag.Seconds(), r.SpoolFiles, facts)
	batch.Queue(`UPDATE monhosts SET last_seen_at = clock_timestamp()
		WHERE name IN (SELECT name FROM monhosts WHERE name = $1 FOR UPDATE SKIP LOCKED)`, r.Monhost)
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("report of %s: %w", r.Name, err)
	}
	return nil
}

// CheckVersion says whether a program of this version may use the schema. An
// older one may go on when the migrations since were additive.
func (s *Store) CheckVersion(ctx context.Context, program string) error {
	var oldest string
	if err := s.pool.QueryRow(ctx, `SELECT oldest_program FROM schema_info`).Scan(&oldest); err != nil {
		return fmt.Errorf("read the schema's version (has `sonde migrate` been run?): %w", err)
	}
	if olderVersion(program, oldest) {
		return fmt.Errorf("this is sonde %s, the database needs at least %s: upgrade this host", program, oldest)
	}
	return nil
}

func olderVersion(a, b string) bool {
	var x, y [3]int
	if n, _ := fmt.Sscanf(a, "%d.%d.%d", &x[0], &x[1], &x[2]); n < 2 {
		return false // a development build knows what it does
	}
	_, _ = fmt.Sscanf(b, "%d.%d.%d", &y[0], &y[1], &y[2])
	for i := range x {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}
