package store

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/measure"
)

// Analyst is the one analyst that works. Its lock and all its reading and
// writing use one connection, so that the right to judge is lost exactly when
// writing is, and what it keeps in memory is nobody else's meanwhile.
type Analyst struct {
	conn *pgx.Conn
}

// Analyse tries to become the analyst that works; nil without error means that
// another is.
func (s *Store) Analyse(ctx context.Context) (*Analyst, error) {
	conn, err := s.alone(ctx, "analyst")
	if conn == nil {
		return nil, err
	}
	return &Analyst{conn}, nil
}

// alone gives a connection that holds the lock of a daemon of which one works at
// a time; nil without error when another holds it.
func (s *Store) alone(ctx context.Context, daemon string) (*pgx.Conn, error) {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("become the %s: %w", daemon, err)
	}
	conn := pooled.Hijack()
	var got bool
	// Data tables have hundreds of partitions: plan the look at them once. A plan that was
	// made while they, or asn, were empty is used for long after, so it goes by index.
	for _, set := range []string{`SET enable_seqscan = off`, `SET tcp_keepalives_idle = 5`, `SET tcp_keepalives_interval = 5`, `SET tcp_keepalives_count = 3`,
		`SET lock_timeout = '` + lockWait + `'`, `SET jit = off`, `SET plan_cache_mode = force_generic_plan`} {
		if err == nil {
			_, err = conn.Exec(ctx, set)
		}
	}
	if err == nil {
		err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtext('sonde ' || $1))`, daemon).Scan(&got)
	}
	if err == nil && got {
		return conn, nil
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(closing)
	if err != nil {
		return nil, fmt.Errorf("become the %s: %w", daemon, err)
	}
	return nil, nil
}

// lockWait is how long a daemon that works alone waits for a lock.
const lockWait = "5s"

// Close gives the right to judge back.
func (a *Analyst) Close(ctx context.Context) { _ = a.conn.Close(ctx) }

// Judging is one pass and one commit. Data are read as of the snapshot of its
// Mark; alerts, which people change at any time, as they are.
type Judging struct {
	tx pgx.Tx
}

// Pass runs f in one transaction and commits it.
func (a *Analyst) Pass(ctx context.Context, f func(Judging) error) error {
	return pgx.BeginFunc(ctx, a.conn, func(tx pgx.Tx) error { return f(Judging{tx}) })
}

// Try does f within a savepoint. failed is what went wrong in it, and then
// nothing of it has been written; with an err the whole pass is lost.
func (j Judging) Try(ctx context.Context, f func(Judging) error) (failed, err error) {
	tx, err := j.tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	if failed = f(Judging{tx}); failed != nil {
		return failed, tx.Rollback(ctx)
	}
	return nil, tx.Commit(ctx)
}

// Hurry does f, which is all of a Try, with hardly any wait for locks.
func (j Judging) Hurry(ctx context.Context, f func() error) error {
	const set = `SELECT set_config('lock_timeout', $1, true)` // a rollback takes it back
	if _, err := j.tx.Exec(ctx, set, "1ms"); err != nil {
		return fmt.Errorf("wait no longer for locks: %w", err)
	}
	if err := f(); err != nil {
		return err
	}
	if _, err := j.tx.Exec(ctx, set, lockWait); err != nil {
		return fmt.Errorf("wait for locks again: %w", err)
	}
	return nil
}

// Mark is how far has been read, and what belongs to no single spec.
type Mark struct {
	Read  Snapshot  // rows of transactions visible in it are read
	Seen  Snapshot  // what this pass can see
	Anew  time.Time // and so are rows stored before: see Restored; zero if there was no restore
	Now   time.Time
	Last  time.Time // when the mark was moved last
	Whole time.Time // when all that was there was read last; zero: nobody knows
	Old   time.Time // the first day noted in old_days; zero for none
	State json.RawMessage
}

// lookBack is how long before the last look results are looked for that no row of
// old_days tells of. Those are due a day at most before their transaction began, and
// that is no longer open than a day.
const lookBack = 2 * 24 * time.Hour

// newSince is from when on results are due that came since all were read last; zero
// when nobody knows. A clock that was set back lets them be due before it.
func newSince(last, now, old time.Time) time.Time {
	if last.IsZero() {
		return last
	}
	since := last
	if now.Before(since) {
		since = now
	}
	since = since.UTC().Add(-lookBack).Truncate(24 * time.Hour)
	if !old.IsZero() && old.Before(since) {
		since = old
	}
	return since.UTC()
}

// News is all that came since.
func (m Mark) News() Part {
	return Part{Read: m.Read, Seen: m.Seen, Until: m.Seen.Xmax, Anew: m.Anew, Due: newSince(m.Whole, m.Now, m.Old)}
}

// oldest is the first day of old_days.
const oldest = `(SELECT min(day) FROM old_days)`

// Outset is what a pass begins with.
type Outset struct {
	Mark      Mark
	Attention map[int64]Attention // by open alert
	Spooling  []Spooling
	Steps     []ClockStep // after the one that was known
}

// Begin reads what a pass begins with, in one round trip: the database may be far away.
// The mark comes first, so what it sees is not newer than the rest.
// known is the clock step looked at last. Workers and loaders that were alive at one
// instant and have not reported since the database is back count as spooling until another.
func (j Judging) Begin(ctx context.Context, known int64, alive, back, until time.Time) (o Outset, err error) {
	batch := &pgx.Batch{}
	queueMark(batch, &o.Mark)
	queueAttention(batch, &o.Attention)
	queueSpooling(batch, alive, back, until, &o.Spooling)
	queueClockSteps(batch, known, &o.Steps)
	if err := j.tx.SendBatch(ctx, batch).Close(); err != nil {
		return o, fmt.Errorf("begin a pass: %w", err)
	}
	return o, nil
}

// Mark reads the mark.
func (j Judging) Mark(ctx context.Context) (m Mark, err error) {
	batch := &pgx.Batch{}
	queueMark(batch, &m)
	return m, j.tx.SendBatch(ctx, batch).Close()
}

// queueMark reads the mark. read_xid alone would do if the pass stopped at the
// oldest open transaction; then one forgotten psql session would stop all
// alerts. So the whole snapshot of the last pass is kept beside it: what it
// could not see is new, whatever its number.
func queueMark(batch *pgx.Batch, m *Mark) {
	batch.Queue(`SELECT read_xid::text, coalesce(state ->> 'snapshot', ''), pg_current_snapshot()::text, clock_timestamp(), ticked_at, state,
		coalesce(anew_at, '0001-01-01 00:00:00+00'), coalesce(whole_at, '0001-01-01 00:00:00+00'), coalesce(` + oldest + `, '0001-01-01') FROM analyst_mark`).QueryRow(func(row pgx.Row) error {
		var readXID, seen, snapshot string
		err := row.Scan(&readXID, &snapshot, &seen, &m.Now, &m.Last, &m.State, &m.Anew, &m.Whole, &m.Old)
		if err != nil {
			return fmt.Errorf("read the analyst's mark: %w", err)
		}
		if m.Seen, err = ParseSnapshot(seen); err != nil {
			return err
		}
		if m.Read, err = ParseSnapshot(snapshot); err != nil || snapshot == "" {
			if m.Read, err = ParseSnapshot(readXID + ":" + readXID + ":"); err != nil {
				return err
			}
		}
		m.Now, m.Last, m.Anew = m.Now.UTC(), m.Last.UTC(), m.Anew.UTC()
		return nil
	})
}

// Restored reports whether the mark lies ahead of the database's transactions:
// then the database was restored into another server, which counts them anew. What
// is in the rows that came with it are numbers of the old server; the new one
// reaches them one day, and would give rows of last year for new ones. So they are
// told apart by when they were stored.
func (m Mark) Restored() bool { return m.Read.Xmax > m.Seen.Xmax }

// CountAnew gives the mark of a restored database: all that the restore brought is
// read, and nothing that was stored since.
func (j Judging) CountAnew(ctx context.Context, tables []string, m Mark) (Mark, error) {
	// What was stored since has a number of the new server, and a later time than the old mark.
	query := `SELECT min(stored_at) AS at, min(stored_xid::text::bigint) AS xid FROM gaps WHERE stored_xid < $1::text::xid8 AND stored_at > $2`
	for _, t := range tables {
		query += ` UNION ALL SELECT min(stored_at), min(stored_xid::text::bigint) FROM ` + sanitized(t) + `
			WHERE stored_xid < $1::text::xid8 AND stored_at > $2 AND due_at > $2::timestamptz - interval '1 day'`
	}
	xmin := m.Seen.Xmin
	err := j.tx.QueryRow(ctx, `SELECT least(min(xid), $3), coalesce(min(at), $4) FROM (`+query+`) since`, fmt.Sprint(m.Seen.Xmax), m.Last, xmin, m.Now).Scan(&xmin, &m.Anew)
	if err != nil {
		return m, fmt.Errorf("look for what was stored since the restore: %w", err)
	}
	m.Read, m.Anew = Snapshot{Xmin: xmin, Xmax: xmin}, m.Anew.UTC()
	return m, nil
}

// SaveMark moves the mark. Its State must be a JSON object; the snapshot is put into it.
// Where a pass found nothing, nobody waits for its commit to be on the disk: if the
// server breaks down before it is, the pass is made once more and finds nothing again.
func (j Judging) SaveMark(ctx context.Context, m Mark, foundNothing bool) error {
	batch := &pgx.Batch{}
	if foundNothing {
		batch.Queue(`SET LOCAL synchronous_commit = off`)
	}
	batch.Queue(`UPDATE analyst_mark SET read_xid = $1::text::xid8, ticked_at = $2, state = $3::jsonb || jsonb_build_object('snapshot', $4::text),
		anew_at = nullif($5, '0001-01-01 00:00:00+00'::timestamptz), whole_at = nullif($6, '0001-01-01 00:00:00+00'::timestamptz)`, fmt.Sprint(m.Read.Xmin), m.Now, m.State, m.Read.String(), m.Anew, m.Whole)
	if err := j.tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("move the analyst's mark: %w", err)
	}
	return nil
}

// Series is what is read of one data table.
type Series struct {
	Table   string
	Columns []string // one number each; a boolean is 0 or 1
	Unread  []bool   // which of Columns nobody wants: they are NaN; nil means none
	Routes  bool     // the table has the columns of routedata
}

// Run is one new row of a data table, or a gap.
type Run struct {
	measure.Sample           // Value is not set: see Values
	Values         []float64 // in the order of Series.Columns; NaN for none
	Late           bool
	From           time.Time // of a gap: its first instant
	XID            uint64    // the transaction that stored it; 0 for a gap
}

// Part is a stretch of transactions: those that Seen can see, Read could not,
// and that come before Until. What was stored before Anew is none of it.
type Part struct {
	Read, Seen Snapshot
	Until      uint64
	Anew       time.Time
	Due        time.Time // no result of it was due before; zero: nobody knows
}

// isNew picks the rows of a Part; the two bounds let the index do most of it. When a row
// was stored matters after a restore only.
func (p Part) isNew() string {
	is := `stored_xid >= $1::text::xid8 AND stored_xid < $2::text::xid8
	AND NOT pg_visible_in_snapshot(stored_xid, $3::pg_snapshot) AND pg_visible_in_snapshot(stored_xid, $4::pg_snapshot)`
	if !p.Anew.IsZero() {
		is += ` AND stored_at >= '` + p.Anew.UTC().Format("2006-01-02 15:04:05.999999") + `+00'`
	}
	return is
}

// ofResults picks the results of a Part. The day is written out, so that partitions
// of other days are no part of the plan. The OR, which no row needs, keeps the primary
// key out of it: the plan is made while today's partition is empty and one index is as
// good as another, and by due_at alone it would be walked from end to end each second.
func (p Part) ofResults() string {
	if p.Due.IsZero() {
		return p.isNew()
	}
	return p.isNew() + ` AND (due_at >= '` + p.Due.Format(time.DateOnly) + ` 00:00:00+00' OR due_at = 'infinity')`
}

func (p Part) args(more ...any) []any {
	return append([]any{fmt.Sprint(p.Read.Xmin), fmt.Sprint(p.Until), p.Read.String(), p.Seen.String()}, more...)
}

// Part gives all that is new, or so much of it that not many more than most rows are read of a table.
func (j Judging) Part(ctx context.Context, tables []string, all Part, most int) (Part, error) {
	return partOf(ctx, j.tx, tables, all, most)
}

func partOf(ctx context.Context, tx pgx.Tx, tables []string, p Part, most int) (Part, error) {
	cut := p.Seen.Xmax
	for _, table := range tables {
		var xid uint64
		err := tx.QueryRow(ctx, `SELECT coalesce((SELECT (stored_xid::text)::bigint FROM `+sanitized(table)+`
			WHERE `+p.ofResults()+` ORDER BY stored_xid OFFSET $5 LIMIT 1), 0)`, p.args(most)...).Scan(&xid)
		if err != nil {
			return p, fmt.Errorf("look for new rows of %s: %w", table, err)
		}
		if xid != 0 {
			cut = min(cut, xid+1)
		}
	}
	// What lies before the old snapshot's end is read or was open then; a cut there could not be written as a snapshot.
	p.Until = min(max(cut, p.Read.Xmax), p.Seen.Xmax)
	return p, nil
}

// News gives the new rows of data tables to each, with the number of the table, those of
// one in no order, and then the new gaps, in one round trip: see Begin. specs narrows it;
// nil means all.
func (j Judging) News(ctx context.Context, all []Series, p Part, specs []int64, each func(table int, r Run)) (gaps []Run, err error) {
	condition, args := p.ofResults(), p.args()
	if specs != nil {
		condition, args = condition+` AND toolspec_id = ANY ($5)`, append(args, specs)
	}
	batch, readings := &pgx.Batch{}, make([]*reading, len(all))
	for i, s := range all {
		readings[i] = &reading{Series: s, condition: condition, args: args, each: func(r Run) { each(i, r) }}
		readings[i].queue(batch)
	}
	// Most often there are none, and to begin the look into all partitions costs more than to see that.
	var some bool
	batch.Queue(`SELECT EXISTS (SELECT FROM gaps WHERE `+p.isNew()+` AND NOT quiet)`, p.args()...).QueryRow(func(row pgx.Row) error { return row.Scan(&some) })
	if err := j.tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("read what is new: %w", err)
	}
	for _, r := range readings {
		if err := r.finish(ctx, j.tx); err != nil {
			return nil, err
		}
	}
	if !some {
		return nil, nil
	}
	return j.newGaps(ctx, all, p, specs)
}

// tablesOf are the tables of all series, each once.
func tablesOf(all []Series) (tables []string) {
	for _, s := range all {
		if !slices.Contains(tables, s.Table) {
			tables = append(tables, s.Table)
		}
	}
	return tables
}

// newGaps reads new gaps that are not quiet, less the results inside them, each
// as one sample at its last instant.
func (j Judging) newGaps(ctx context.Context, all []Series, p Part, specs []int64) ([]Run, error) {
	inside := "0"
	for _, t := range tablesOf(all) {
		inside += ` + (SELECT count(*) FROM ` + sanitized(t) + ` d WHERE d.toolspec_id = g.toolspec_id AND d.due_at BETWEEN g.from_at AND g.until_at)`
	}
	rows, err := j.tx.Query(ctx, `SELECT toolspec_id, from_at, until_at, runs - (`+inside+`)::int, reason FROM gaps g
		WHERE `+p.isNew()+` AND NOT quiet AND ($5::bigint[] IS NULL OR toolspec_id = ANY ($5)) ORDER BY toolspec_id, until_at`, p.args(specs)...)
	if err != nil {
		return nil, fmt.Errorf("read new gaps: %w", err)
	}
	var out []Run
	r := Run{}
	_, err = pgx.ForEachRow(rows, []any{&r.ToolspecID, &r.From, &r.DueAt, &r.Runs, &r.Reason}, func() error {
		if r.Runs > 0 {
			g := r
			g.DueAt, g.Outcome, g.Gap, g.Late, g.Value = g.DueAt.UTC(), measure.Missed, true, true, math.NaN()
			out = append(out, g)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read new gaps: %w", err)
	}
	return out, nil
}

// ClockStep is a step of the database's clock.
type ClockStep struct {
	ID      int64
	At      time.Time
	Seconds float64
	From    time.Time // backward: the time that comes again begins
	Until   time.Time // and ends
}

// queueClockSteps reads the steps after the one with this number.
func queueClockSteps(batch *pgx.Batch, after int64, steps *[]ClockStep) {
	batch.Queue(`SELECT id, at, seconds, from_at, until_at FROM clock_steps WHERE id > $1 ORDER BY id`, after).Query(func(rows pgx.Rows) (err error) {
		if *steps, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ClockStep]); err != nil {
			return fmt.Errorf("read clock steps: %w", err)
		}
		return nil
	})
}

// Spooling is a monitoring host of which a live daemon still has results in its
// spool, or has not reported since an outage.
type Spooling struct {
	Monhost string
	Why     string
}

// queueSpooling names hosts whose data of an outage may still come: live daemons
// with files in the spool, and, until an instant, workers and loaders that were alive
// at one and have not reported since the database is back. What a daemon reports goes
// to the database too, so an outage makes all of them look dead.
func queueSpooling(batch *pgx.Batch, alive, back, until time.Time, hosts *[]Spooling) {
	batch.Queue(`SELECT monhost, string_agg(CASE WHEN spool_files > 0 THEN format('%s has %s files in its spool', name, spool_files)
			ELSE format('%s has not reported since the outage', name) END, ', ' ORDER BY name)
		FROM daemons WHERE spool_files > 0 AND promised_at > clock_timestamp() - interval '1 minute'
			OR reported_at < $2 AND clock_timestamp() <= $3 AND promised_at > $1 AND (name LIKE 'worker%' OR name = 'loader') GROUP BY monhost ORDER BY monhost`,
		alive, back, until).Query(func(rows pgx.Rows) (err error) {
		if *hosts, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Spooling]); err != nil {
			return fmt.Errorf("look at the spools: %w", err)
		}
		return nil
	})
}
