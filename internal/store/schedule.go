package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"sonde/internal/measure"
)

// leaseGrace is added to start tolerance and time_to_run: a lease lasts until
// due_at + tolerance + time_to_run + 5 s.
const leaseGrace = 5 * time.Second

// Claimant is a worker as schedule knows it: it makes the runs of one tool on
// one monitoring host. No two processes share a name.
type Claimant struct{ Monhost, Tool, Name string }

// Claims is what one call of Claim brought.
type Claims struct {
	Runs  []*Claim
	Clock Clock     // read in the same call: due_at counts by it
	To    time.Time // every run due up to here that was there is claimed
	// Planned is the instant up to which the leading scheduler has planned; zero
	// if none ever has. When it lies behind, nobody plans.
	Planned time.Time
	Full    bool // there may be more
}

// Claim is a lease on a run. Node, address and options are not in it: a worker
// has them in its copy of the specs. TimeToRun is what the lease was made for.
type Claim struct {
	measure.Claim
	Monhost string
	Place   Place
}

// Place is where a claimed row lies. As long as nobody touches the row it is
// found there without looking it up.
type Place = pgtype.TID

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
// start_tolerance: what was due before it cannot start any more. Runs due before
// since are left out; zero leaves out none. Locked rows are passed over: an open
// psql transaction delays its own rows only.
func (s *Store) Claim(ctx context.Context, w Claimant, tolerance, ahead time.Duration, most int, since time.Time) (Claims, error) {
	args := []any{w.Monhost, w.Tool, w.Name, ahead.Seconds(), most, (tolerance + time.Second).Seconds(), optional(since, since.IsZero()), leaseGrace.Seconds()}
	// Locking each row before it is updated is a second record in the log. Two
	// who claim the same row wait a moment, and the state tells the second.
	c, err := s.claim(ctx, byIndexSoon, "", args)
	if IsLockTimeout(err) {
		c, err = s.claim(ctx, byIndex, "FOR UPDATE SKIP LOCKED", args)
	}
	if err != nil {
		return Claims{}, fmt.Errorf("claim %s runs: %w", w.Tool, err)
	}
	c.To, c.Full = c.Clock.DB.Add(ahead), len(c.Runs) >= most
	if c.Full {
		c.To = c.Runs[0].DueAt
	}
	for _, r := range c.Runs {
		r.Monhost, r.Tool, r.TimeToRun = w.Monhost, w.Tool, r.LeaseTo.Sub(r.StartBy)-leaseGrace
		if c.Full && r.DueAt.After(c.To) {
			c.To = r.DueAt
		}
	}
	return c, nil
}

func (s *Store) claim(ctx context.Context, settings, lock string, args []any) (c Claims, err error) {
	// The window is bounded below as well: the dead index entries of a billion
	// ended runs lie there, and nothing that could still start.
	claim := `
		UPDATE schedule q SET state = 'claimed', attempt = q.attempt + 1, claimed_by = $3, lease_until = coalesce(q.lease_until, q.start_by + $8::float8 * interval '1 second')
		WHERE q.state = 'due' AND q.ctid = ANY (ARRAY(
			SELECT q.ctid FROM schedule q
			WHERE q.monhost = $1 AND q.tool = $2 AND q.state = 'due'
				AND q.due_at >= greatest((SELECT clock_timestamp()) - $6::float8 * interval '1 second', $7::timestamptz)
				AND q.due_at <= (SELECT clock_timestamp()) + $4::float8 * interval '1 second'
				AND q.start_by > (SELECT clock_timestamp())
			ORDER BY q.due_at LIMIT $5
			` + lock + `))
		RETURNING q.toolspec_id, q.due_at, q.attempt, q.start_by, q.lease_until, q.ctid`
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return c, err
	}
	defer conn.Release()
	before := time.Now() // making a connection may take long and must not count
	batch := &pgx.Batch{}
	// At once: a claim of thousands takes long.
	batch.Queue(`SELECT clock_timestamp(), (SELECT planned_to FROM schedule_mark WHERE leader <> '')`)
	batch.Queue(settings)
	batch.Queue(claim, args...)
	answers := conn.SendBatch(ctx, batch)
	defer answers.Close()
	var planned *time.Time
	if err := answers.QueryRow().Scan(&c.Clock.DB, &planned); err != nil {
		return c, err
	}
	if planned != nil {
		c.Planned = planned.UTC()
	}
	if _, err := answers.Exec(); err != nil {
		return c, err
	}
	rows, err := answers.Query()
	if err != nil {
		return c, err
	}
	defer rows.Close()
	var r Claim
	into := []any{&r.ToolspecID, &r.DueAt, &r.Attempt, &r.StartBy, &r.LeaseTo, &r.Place}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return c, err
		}
		r.DueAt, r.StartBy, r.LeaseTo = r.DueAt.UTC(), r.StartBy.UTC(), r.LeaseTo.UTC()
		claim := r
		c.Runs = append(c.Runs, &claim)
	}
	rows.Close()
	// The batch is one transaction, which ends with it.
	if err := errors.Join(rows.Err(), answers.Close()); err != nil {
		return Claims{}, err
	}
	// The answer's clock was read somewhere between sending and receiving;
	// counting from before the call errs towards an early end of the lease.
	c.Clock.DB, c.Clock.At, c.Clock.Error = c.Clock.DB.UTC(), before, time.Since(before)
	return c, nil
}

// SetLeases makes leases of the worker last for TimeToRun: that of their specs has
// changed since they were planned.
func (s *Store) SetLeases(ctx context.Context, runs []*Claim, w Claimant) error {
	byTime := map[time.Duration][]measure.RunKey{}
	for _, r := range runs {
		byTime[r.TimeToRun] = append(byTime[r.TimeToRun], r.RunKey)
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(byIndex)
		for toRun, list := range byTime {
			ids, dues := keys(list)
			batch.Queue(`
			UPDATE schedule SET lease_until = start_by + $4::float8 * interval '1 second' WHERE ctid = ANY (ARRAY(
				SELECT q.ctid FROM unnest($1::bigint[], $2::timestamptz[]) AS k (id, due)
				CROSS JOIN LATERAL (SELECT s.ctid FROM schedule s WHERE s.monhost = $5 AND s.tool = $6 AND s.due_at = k.due AND s.toolspec_id = k.id
					AND s.claimed_by = $3 FOR UPDATE SKIP LOCKED) q))`,
				ids, dues, w.Name, (toRun + leaseGrace).Seconds(), w.Monhost, w.Tool)
		}
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return fmt.Errorf("set the leases of %d runs: %w", len(runs), err)
	}
	return nil
}

// LeaseTo is when the lease on a run ends that may run for toRun.
func LeaseTo(startBy time.Time, toRun time.Duration) time.Time {
	return startBy.Add(toRun + leaseGrace)
}

// handedBack tells the other workers: some of the runs are due at this moment.
const handedBack = ` RETURNING monhost, tool) SELECT pg_notify('sonde_due', monhost || '/' || tool) FROM back GROUP BY monhost, tool`

// HandBack returns claimed runs that were not started, so that another worker
// may claim them again. Like all that touches schedule it waits for no row that
// a person holds locked in psql; such a run ends when its lease does.
func (s *Store) HandBack(ctx context.Context, runs []measure.RunKey, w Claimant) error {
	ids, dues := keys(runs)
	_, err := s.pool.Exec(ctx, `
		WITH back AS (UPDATE schedule SET state = 'due', claimed_by = NULL
		WHERE ctid = ANY (ARRAY(
			SELECT q.ctid FROM schedule q JOIN unnest($1::bigint[], $2::timestamptz[]) AS k (id, due) ON q.monhost = $4 AND q.tool = $5 AND q.due_at = k.due AND q.toolspec_id = k.id
			WHERE q.state = 'claimed' AND q.claimed_by = $3 FOR UPDATE OF q SKIP LOCKED))`+handedBack, ids, dues, w.Name, w.Monhost, w.Tool)
	if err != nil {
		return fmt.Errorf("hand back %d runs: %w", len(runs), err)
	}
	return nil
}

// Drop deletes claimed runs that were not started and never will be, because
// their spec was disabled meanwhile.
func (s *Store) Drop(ctx context.Context, runs []measure.RunKey, w Claimant) error {
	ids, dues := keys(runs)
	_, err := s.pool.Exec(ctx, `
		DELETE FROM schedule WHERE ctid = ANY (ARRAY(
			SELECT q.ctid FROM schedule q JOIN unnest($1::bigint[], $2::timestamptz[]) AS k (id, due) ON q.monhost = $4 AND q.tool = $5 AND q.due_at = k.due AND q.toolspec_id = k.id
			WHERE q.claimed_by = $3 FOR UPDATE OF q SKIP LOCKED))`, ids, dues, w.Name, w.Monhost, w.Tool)
	if err != nil {
		return fmt.Errorf("drop %d runs of disabled specs: %w", len(runs), err)
	}
	return nil
}

// sanitized is a table or column name as SQL writes it.
func sanitized(name string) string { return pgx.Identifier{name}.Sanitize() }

// HandBackOthers returns the runs that worker has claimed but does not know of:
// claims whose answer was lost on the way.
func (s *Store) HandBackOthers(ctx context.Context, known []measure.RunKey, w Claimant) error {
	ids, dues := keys(known)
	_, err := s.pool.Exec(ctx, `
		WITH back AS (UPDATE schedule SET state = 'due', claimed_by = NULL
		WHERE ctid = ANY (ARRAY(
			SELECT q.ctid FROM schedule q WHERE q.monhost = $4 AND q.tool = $5 AND q.state = 'claimed' AND q.claimed_by = $3
				AND (q.toolspec_id, q.due_at) NOT IN (SELECT k.id, k.due FROM unnest($1::bigint[], $2::timestamptz[]) AS k (id, due)) -- a hash table, which NOT EXISTS need not be
			FOR UPDATE SKIP LOCKED))`+handedBack, ids, dues, w.Name, w.Monhost, w.Tool)
	if err != nil {
		return fmt.Errorf("hand back unknown runs: %w", err)
	}
	return nil
}
