package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/measure"
)

// leaseGrace is added to start tolerance and time_to_run: a lease lasts until
// due_at + tolerance + time_to_run + 5 s.
const leaseGrace = 5 * time.Second

// Claims is what one call of Claim brought.
type Claims struct {
	Runs  []Claim
	Clock Clock     // read in the same call: due_at counts by it
	To    time.Time // every run due up to here that was there is claimed
	Full  bool      // there may be more
}

// Claim is a lease on a run, with the spec it is of.
type Claim struct {
	measure.Claim
	Monhost string
}

// byIndex goes before a statement on schedule, in its transaction. Statistics
// of a table that is filled and emptied all the time are those of some moment
// long ago: the planner takes it for empty and compares every row of it with
// every run of a batch. The right way is always that of the index. (A lateral
// subquery with a lock in it is never turned around, a plain join may be.)
const byIndex = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`

// byIndexSoon is byIndex for a transaction that waits for no lock longer than a moment.
const byIndexSoon = byIndex + `, set_config('lock_timeout', '50ms', true)`

// Claim leases the runs of one tool on one host that are due up to ahead from
// now, at most most of them, in order of due_at. tolerance is the setting
// start_tolerance: what was due before it cannot start any more. Locked rows are passed over:
// an open psql transaction delays its own rows only.
func (s *Store) Claim(ctx context.Context, monhost, tool, worker string, tolerance, ahead time.Duration, most int) (Claims, error) {
	// The window is bounded below as well: the dead index entries of a billion
	// ended runs lie there, and nothing that could still start.
	const claim = `
		WITH at AS MATERIALIZED (SELECT clock_timestamp() AS now),
		got AS (
			UPDATE schedule q SET state = 'claimed', attempt = q.attempt + 1, claimed_by = $3,
				lease_until = q.start_by + s.time_to_run + $6::float8 * interval '1 second'
			FROM toolspecs s
			WHERE s.id = q.toolspec_id AND q.ctid = ANY (ARRAY(
				SELECT q.ctid FROM schedule q
				WHERE q.monhost = $1 AND q.tool = $2 AND q.state = 'due'
					AND q.due_at > (SELECT now FROM at) - $7::float8 * interval '1 second' AND q.due_at <= (SELECT now FROM at) + $4::float8 * interval '1 second'
					AND q.start_by > (SELECT now FROM at)
				ORDER BY q.due_at LIMIT $5
				FOR UPDATE SKIP LOCKED))
			RETURNING q.toolspec_id, q.due_at, q.attempt, q.start_by, q.lease_until, s.node, s.options, s.time_to_run
		)
		SELECT at.now, g.toolspec_id, g.due_at, g.attempt, g.start_by, g.lease_until, g.node, n.address, g.options, extract(epoch FROM g.time_to_run)::float8
		FROM at LEFT JOIN (got g JOIN nodes n ON n.name = g.node) ON true`
	var c Claims
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return c, fmt.Errorf("claim %s runs: %w", tool, err)
	}
	defer conn.Release()
	before := time.Now() // making a connection may take long and must not count
	batch := &pgx.Batch{}
	batch.Queue(byIndex + `, clock_timestamp()`) // the clock at once: a claim of thousands takes long
	batch.Queue(claim, monhost, tool, worker, ahead.Seconds(), most, leaseGrace.Seconds(), (tolerance + time.Second).Seconds())
	answers := conn.SendBatch(ctx, batch)
	defer answers.Close()
	if err := answers.QueryRow().Scan(nil, nil, nil, &c.Clock.DB); err != nil {
		return c, fmt.Errorf("claim %s runs: %w", tool, err)
	}
	rows, err := answers.Query()
	if err != nil {
		return c, fmt.Errorf("claim %s runs: %w", tool, err)
	}
	defer rows.Close()
	for rows.Next() {
		var r Claim
		var id *int64
		var due, startBy, lease *time.Time
		var attempt *int
		var node, address *string
		var options []byte
		var toRun *float64
		if err := rows.Scan(nil, &id, &due, &attempt, &startBy, &lease, &node, &address, &options, &toRun); err != nil {
			return c, fmt.Errorf("claim %s runs: %w", tool, err)
		}
		if id == nil {
			continue // the one row there is when nothing is due
		}
		r.ToolspecID, r.DueAt, r.Attempt, r.StartBy, r.LeaseTo = *id, due.UTC(), *attempt, startBy.UTC(), lease.UTC()
		r.Tool, r.Monhost, r.Node, r.Address, r.Options, r.TimeToRun = tool, monhost, *node, *address, options, seconds(*toRun)
		c.Runs = append(c.Runs, r)
	}
	rows.Close()
	// The batch is one transaction, which ends with it.
	if err := errors.Join(rows.Err(), answers.Close()); err != nil {
		return Claims{}, fmt.Errorf("claim %s runs: %w", tool, err)
	}
	// The answer's clock was read somewhere between sending and receiving;
	// counting from before the call errs towards an early end of the lease.
	c.Clock.DB, c.Clock.At, c.Clock.Error = c.Clock.DB.UTC(), before, time.Since(before)
	c.To, c.Full = c.Clock.DB.Add(ahead), len(c.Runs) >= most
	if c.Full {
		c.To = c.Runs[0].DueAt
		for _, r := range c.Runs {
			if r.DueAt.After(c.To) {
				c.To = r.DueAt
			}
		}
	}
	return c, nil
}

// handedBack tells the other workers: some of the runs are due at this moment.
const handedBack = ` RETURNING monhost, tool) SELECT pg_notify('sonde_due', monhost || '/' || tool) FROM back GROUP BY monhost, tool`

// HandBack returns claimed runs that were not started, so that another worker
// may claim them again. Like all that touches schedule it waits for no row that
// a person holds locked in psql; such a run ends when its lease does.
func (s *Store) HandBack(ctx context.Context, runs []measure.RunKey, worker string) error {
	ids, dues := keys(runs)
	_, err := s.pool.Exec(ctx, `
		WITH back AS (UPDATE schedule SET state = 'due', claimed_by = NULL, lease_until = NULL
		WHERE ctid = ANY (ARRAY(
			SELECT q.ctid FROM schedule q JOIN unnest($1::bigint[], $2::timestamptz[]) AS k (id, due) ON q.toolspec_id = k.id AND q.due_at = k.due
			WHERE q.state = 'claimed' AND q.claimed_by = $3 FOR UPDATE OF q SKIP LOCKED))`+handedBack, ids, dues, worker)
	if err != nil {
		return fmt.Errorf("hand back %d runs: %w", len(runs), err)
	}
	return nil
}

// Drop deletes claimed runs that were not started and never will be, because
// their spec was disabled meanwhile.
func (s *Store) Drop(ctx context.Context, runs []measure.RunKey, worker string) error {
	ids, dues := keys(runs)
	_, err := s.pool.Exec(ctx, `
		DELETE FROM schedule WHERE ctid = ANY (ARRAY(
			SELECT q.ctid FROM schedule q JOIN unnest($1::bigint[], $2::timestamptz[]) AS k (id, due) ON q.toolspec_id = k.id AND q.due_at = k.due
			WHERE q.claimed_by = $3 FOR UPDATE OF q SKIP LOCKED))`, ids, dues, worker)
	if err != nil {
		return fmt.Errorf("drop %d runs of disabled specs: %w", len(runs), err)
	}
	return nil
}

func keys(runs []measure.RunKey) ([]int64, []time.Time) {
	ids, dues := make([]int64, len(runs)), make([]time.Time, len(runs))
	for i, r := range runs {
		ids[i], dues[i] = r.ToolspecID, r.DueAt
	}
	return ids, dues
}

// sanitized is a table or column name as SQL writes it.
func sanitized(name string) string { return pgx.Identifier{name}.Sanitize() }

// HandBackOthers returns the runs that worker has claimed but does not know of:
// claims whose answer was lost on the way.
func (s *Store) HandBackOthers(ctx context.Context, known []measure.RunKey, worker string) error {
	ids, dues := keys(known)
	_, err := s.pool.Exec(ctx, `
		WITH back AS (UPDATE schedule SET state = 'due', claimed_by = NULL, lease_until = NULL
		WHERE ctid = ANY (ARRAY(
			SELECT q.ctid FROM schedule q WHERE q.state = 'claimed' AND q.claimed_by = $3
				AND (q.toolspec_id, q.due_at) NOT IN (SELECT k.id, k.due FROM unnest($1::bigint[], $2::timestamptz[]) AS k (id, due)) -- a hash table, which NOT EXISTS need not be
			FOR UPDATE SKIP LOCKED))`+handedBack, ids, dues, worker)
	if err != nil {
		return fmt.Errorf("hand back unknown runs: %w", err)
	}
	return nil
}
