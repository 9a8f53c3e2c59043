package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/measure"
)

// leaderLock is the advisory lock of the leading scheduler.
const leaderLock = `hashtext('sonde leading scheduler')`

// Leader is the one scheduler that plans. The lock and all its writes use one
// connection, so that leadership is lost exactly when writing is.
type Leader struct {
	conn      *pgx.Conn
	name      string
	seen      string    // snapshot in which SpecChanges read
	awayUntil time.Time // the database was away up to here; zero if not
}

// DatabaseWasAway tells that the database was away until then, so that Expire
// does not blame the workers for it.
func (l *Leader) DatabaseWasAway(until time.Time) { l.awayUntil = until }

// Alive is false when the connection, and the lead with it, is lost.
func (l *Leader) Alive() bool { return !l.conn.IsClosed() }

// Lead tries to become the leader; nil without error means that another is.
func (s *Store) Lead(ctx context.Context, name string) (*Leader, error) {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("become the leading scheduler: %w", err)
	}
	conn := pooled.Hijack()
	var got bool
	// A leader whose host vanished holds the lock until the server notices; let that be soon.
	_, err = conn.Exec(ctx, `SET application_name = 'sonde scheduler'`)
	for _, set := range []string{`SET tcp_keepalives_idle = 5`, `SET tcp_keepalives_interval = 5`, `SET tcp_keepalives_count = 3`, `SET lock_timeout = '5s'`, `SET jit = off`} {
		if err == nil {
			_, err = conn.Exec(ctx, set)
		}
	}
	if err == nil {
		err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(`+leaderLock+`)`).Scan(&got)
	}
	if err != nil || !got {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
		if err != nil {
			return nil, fmt.Errorf("become the leading scheduler: %w", err)
		}
		return nil, nil
	}
	return &Leader{conn: conn, name: name}, nil
}

// Close gives the leadership up.
func (l *Leader) Close(ctx context.Context) {
	_ = l.conn.Close(ctx)
}

// PlanMark is where the leader before has stopped.
type PlanMark struct {
	PlannedTo time.Time // the high-water mark: every instant up to it is planned
	Leader    string    // who moved it
	Unseen    []int64   // specs whose timing began shortly before the mark and that leader had not read
}

// Mark reads the high-water mark. The mark lies ahead seconds in front of what
// the leader before has read: a spec that came in between is planned from its own beginning.
func (l *Leader) Mark(ctx context.Context, ahead time.Duration) (PlanMark, error) {
	var m PlanMark
	err := l.conn.QueryRow(ctx, `SELECT m.planned_to, m.leader, ARRAY(
			SELECT s.id FROM toolspecs s JOIN nodes n ON n.name = s.node
			WHERE greatest(s.timing_since, n.enabled_since) > m.planned_to - $1::float8 * interval '1 second'
				AND (m.seen IS NULL OR NOT pg_visible_in_snapshot(s.changed_xid, m.seen) OR NOT pg_visible_in_snapshot(n.changed_xid, m.seen)))
		FROM schedule_mark m`, ahead.Seconds()).Scan(&m.PlannedTo, &m.Leader, &m.Unseen)
	if err != nil {
		return m, fmt.Errorf("read the high-water mark: %w", err)
	}
	m.PlannedTo = m.PlannedTo.UTC()
	return m, nil
}

// Clock reads the database's clock on the leader's connection.
func (l *Leader) Clock(ctx context.Context) (Clock, error) { return readClock(ctx, l.conn) }

// SpecChanges is Store.SpecChanges on the leader's connection, in one snapshot,
// which Plan writes down: the next leader knows by it what this one had read.
func (l *Leader) SpecChanges(ctx context.Context, mark uint64) (c Changes, err error) {
	err = pgx.BeginTxFunc(ctx, l.conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT pg_current_snapshot()::text`).Scan(&l.seen); err != nil {
			return fmt.Errorf("read settings: %w", err)
		}
		c, err = specChanges(ctx, tx, mark, "", "")
		return err
	})
	return c, err
}

// PlannedRun is a run to be made due.
type PlannedRun struct {
	ToolspecID    int64
	DueAt         time.Time
	StartBy       time.Time
	TimeToRun     time.Duration
	Monhost, Tool string
}

// Gap is a row of gaps: instants of one spec that never became runs.
type Gap struct {
	ToolspecID  int64
	From, Until time.Time // first and last instant
	Runs        int
	Reason      string
	Quiet       bool // no no-data alert comes of it
}

// Plan makes runs due, writes gaps and moves the high-water mark, in one
// transaction. It writes no row that people edit and waits for none. Runs that
// exist already stay as they are; those in forget, planned by a timing that has
// changed, are deleted first if nobody has claimed them.
func (l *Leader) Plan(ctx context.Context, runs []PlannedRun, gaps []Gap, forget []measure.RunKey, mark time.Time) error {
	// One statement for all runs of a worker that have as long to start and to run:
	// what they have in common need not go with every row.
	type kind struct {
		monhost, tool    string
		startIn, leaseIn time.Duration // after the instant
	}
	type column struct {
		ids   bigints
		dues  instants
		first time.Time
	}
	kindOf := func(r *PlannedRun) kind {
		return kind{r.Monhost, r.Tool, r.StartBy.Sub(r.DueAt), LeaseTo(r.StartBy, r.TimeToRun).Sub(r.DueAt)}
	}
	count := map[kind]int{}
	for i := range runs {
		count[kindOf(&runs[i])]++
	}
	due := map[kind]*column{}
	for k, n := range count {
		due[k] = &column{ids: make(bigints, 0, n), dues: make(instants, 0, n)}
	}
	for i := range runs {
		r := &runs[i]
		c := due[kindOf(r)]
		c.ids, c.dues = append(c.ids, bigint(r.ToolspecID)), append(c.dues, instant(r.DueAt))
		if len(c.ids) == 1 || r.DueAt.Before(c.first) {
			c.first = r.DueAt
		}
	}
	plan := func(onConflict string) error {
		return pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
			batch := &pgx.Batch{}
			if len(forget) > 0 {
				forgetIDs, forgetDues := keys(forget)
				batch.Queue(`DELETE FROM schedule WHERE ctid = ANY (ARRAY(
				SELECT q.ctid FROM unnest($1::bigint[], $2::timestamptz[]) AS k (id, due) JOIN toolspecs s ON s.id = k.id
				JOIN schedule q ON (q.monhost, q.tool, q.due_at, q.toolspec_id) = (s.monhost, s.tool, k.due, k.id)
				WHERE q.state = 'due' FOR UPDATE OF q SKIP LOCKED))`, forgetIDs, forgetDues)
			}
			for k, c := range due {
				batch.Queue(`INSERT INTO schedule (toolspec_id, due_at, start_by, lease_until, monhost, tool)
				SELECT id, due, due + $3::interval, due + $4::interval, $5, $6 FROM unnest($1::bigint[], $2::timestamptz[]) AS x (id, due)
				`+onConflict, c.ids, c.dues, k.startIn, k.leaseIn, k.monhost, k.tool)
				batch.Queue(`SELECT pg_notify('sonde_due', $1)`, dueFor(k.monhost, k.tool, c.first))
			}
			batch.Queue(`UPDATE schedule_mark SET planned_to = $1, leader = $2, seen = nullif($3, '')::pg_snapshot, moved_at = clock_timestamp()`, mark, l.name, l.seen)
			if err := tx.SendBatch(ctx, batch).Close(); err != nil {
				return fmt.Errorf("make runs due: %w", err)
			}
			return insertGaps(ctx, tx, gaps)
		})
	}
	// Nearly always nothing is there already, and an INSERT that need not look
	// for it costs a quarter less.
	err := plan("")
	if isDuplicate(err) {
		err = plan("ON CONFLICT DO NOTHING")
	}
	return err
}

// dueFor is what the channel sonde_due says of runs of tool on monhost of which
// the first is due at first. Without the instant, as triggers say it, the worker looks at all.
func dueFor(monhost, tool string, first time.Time) string {
	return fmt.Sprintf("%s/%s/%d", monhost, tool, first.UnixMicro())
}

// DueFor reports whether a notification on sonde_due is for tool on monhost, and
// from which instant on runs were made due; zero means any.
func DueFor(payload, monhost, tool string) (first time.Time, mine bool) {
	rest, mine := strings.CutPrefix(payload, monhost+"/"+tool)
	if !mine || rest == "" {
		return time.Time{}, mine
	}
	micros, found := strings.CutPrefix(rest, "/")
	n, err := strconv.ParseInt(micros, 10, 64)
	if !found || err != nil {
		return time.Time{}, false // a tool whose name only begins like ours
	}
	return time.UnixMicro(n), true
}

func isDuplicate(err error) bool {
	var pg interface{ SQLState() string }
	return errors.As(err, &pg) && pg.SQLState() == "23505"
}

// ForgetDisabled deletes the unstarted runs of specs that are disabled, as a
// leader finds them that begins.
func (l *Leader) ForgetDisabled(ctx context.Context) error {
	_, err := l.conn.Exec(ctx, `DELETE FROM schedule WHERE ctid = ANY (ARRAY(
		SELECT q.ctid FROM schedule q JOIN toolspecs s ON s.id = q.toolspec_id JOIN nodes n ON n.name = s.node
		WHERE q.state = 'due' AND NOT (s.enabled AND n.enabled) FOR UPDATE OF q SKIP LOCKED))`)
	if err != nil {
		return fmt.Errorf("forget runs of disabled specs: %w", err)
	}
	return nil
}

func insertGaps(ctx context.Context, tx pgx.Tx, gaps []Gap) error {
	if len(gaps) == 0 {
		return nil
	}
	n := len(gaps)
	ids, from, until, runs := make([]int64, n), make([]time.Time, n), make([]time.Time, n), make([]int, n)
	reasons, quiet := make([]string, n), make([]bool, n)
	for i, g := range gaps {
		ids[i], from[i], until[i], runs[i], reasons[i], quiet[i] = g.ToolspecID, g.From, g.Until, g.Runs, g.Reason, g.Quiet
	}
	_, err := tx.Exec(ctx, `INSERT INTO gaps (toolspec_id, from_at, until_at, runs, reason, quiet)
		SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::int[], $5::text[], $6::boolean[])
		ON CONFLICT DO NOTHING`, ids, from, until, runs, reasons, quiet)
	if err != nil {
		return fmt.Errorf("store %d gaps: %w", n, err)
	}
	return nil
}

// ClockStep writes down that the database's clock stepped, carries the leases
// along, and sets the high-water mark to mark: runs after it that nobody has
// claimed are taken back.
func (l *Leader) ClockStep(ctx context.Context, step time.Duration, from, until, mark time.Time) error {
	return pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO clock_steps (seconds, from_at, until_at) VALUES ($1, $2, $3)`, step.Seconds(), from, until); err != nil {
			return fmt.Errorf("note the clock's step: %w", err)
		}
		if _, err := tx.Exec(ctx, `UPDATE schedule SET lease_until = lease_until + $1::float8 * interval '1 second'
			WHERE ctid = ANY (ARRAY(SELECT ctid FROM schedule WHERE state = 'claimed' FOR UPDATE SKIP LOCKED))`, step.Seconds()); err != nil {
			return fmt.Errorf("move leases with the clock: %w", err)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM schedule
			WHERE ctid = ANY (ARRAY(SELECT ctid FROM schedule WHERE state = 'due' AND due_at > $1 FOR UPDATE SKIP LOCKED))`, mark); err != nil {
			return fmt.Errorf("take back unclaimed runs: %w", err)
		}
		if _, err := tx.Exec(ctx, `UPDATE schedule_mark SET planned_to = $1`, mark); err != nil {
			return fmt.Errorf("set the high-water mark: %w", err)
		}
		return nil
	})
}

// expireGrace is how long after start_by a run nobody claimed is given up, so
// that the worker that just claims it and the leader do not meet.
const expireGrace = 2 * time.Second

// Expire ends as missed what can no longer end otherwise: runs that nobody
// claimed in time and leases that ran out. The reason says which, and whether a
// worker was there at all. It gives how many it ended. now is the database's
// time as the leader counts it on: a step that it has not dealt with yet must
// end nothing.
func (l *Leader) Expire(ctx context.Context, now time.Time, most int) (int, error) {
	total := 0
	err := pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
		type gone struct {
			ToolspecID            int64
			DueAt                 time.Time
			Attempt               int
			TableName, Why, State string
		}
		rows, err := tx.Query(ctx, `
			WITH gone AS (
				DELETE FROM schedule WHERE ctid = ANY (ARRAY(
					SELECT ctid FROM schedule
					WHERE state = 'due' AND start_by < $4::timestamptz - $1::float8 * interval '1 second'
						OR state = 'claimed' AND lease_until < $4
					LIMIT $2 FOR UPDATE SKIP LOCKED))
				RETURNING toolspec_id, due_at, start_by, monhost, tool, state, attempt, claimed_by)
			SELECT g.toolspec_id, g.due_at, g.attempt, t.table_name,
				CASE
					WHEN g.state = 'claimed' AND d.pid IS NOT NULL AND g.claimed_by LIKE '%, pid %' AND g.claimed_by NOT LIKE '%, pid ' || d.pid || ' of %'
						THEN format('no result: %s claimed it and ended before it showed one', g.claimed_by)
					WHEN g.due_at <= $3 THEN CASE g.state WHEN 'due' THEN 'the database was away when it was due' ELSE format('the database was away when %s should have shown its result', g.claimed_by) END
					WHEN g.state = 'claimed' THEN format('no result: %s claimed it and showed none before its lease ended', g.claimed_by)
					WHEN d.name IS NULL THEN format('no worker for %s has ever run on %s', g.tool, g.monhost)
					WHEN d.promised_at < clock_timestamp() - interval '5 seconds' THEN format('no worker: the one for %s on %s has been silent since %s UTC', g.tool, g.monhost, to_char(d.reported_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'))
					WHEN d.started_at > g.start_by THEN format('no worker: the one for %s on %s was started only at %s UTC', g.tool, g.monhost, to_char(d.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'))
					ELSE format('not taken: the worker for %s on %s, which reported last at %s UTC, did not claim it in time', g.tool, g.monhost, to_char(d.reported_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'))
				END, g.state
			FROM gone g JOIN tools t ON t.name = g.tool
			LEFT JOIN daemons d ON d.monhost = g.monhost AND d.name = 'worker-' || g.tool`, expireGrace.Seconds(), most, optional(l.awayUntil, l.awayUntil.IsZero()), now)
		if err != nil {
			return err
		}
		ended, err := pgx.CollectRows(rows, pgx.RowToStructByPos[gone])
		if err != nil {
			return err
		}
		byTable := map[string][]gone{}
		for _, g := range ended {
			byTable[g.TableName] = append(byTable[g.TableName], g)
		}
		for table, list := range byTable {
			ids, dues, attempts, reasons := make([]int64, len(list)), make([]time.Time, len(list)), make([]int, len(list)), make([]string, len(list))
			for i, g := range list {
				ids[i], dues[i], attempts[i], reasons[i] = g.ToolspecID, g.DueAt, g.Attempt, g.Why
			}
			// A row inserted by hand may be due on any day.
			if _, err := tx.Exec(ctx, `SELECT sonde_make_partitions($1, d, d) FROM (SELECT DISTINCT (x AT TIME ZONE 'UTC')::date AS d FROM unnest($2::timestamptz[]) x) days
				WHERE d NOT BETWEEN (now() AT TIME ZONE 'UTC')::date - 1 AND (now() AT TIME ZONE 'UTC')::date + 13`, table, dues); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `INSERT INTO `+sanitized(table)+` (toolspec_id, due_at, outcome, reason, attempt)
				SELECT id, due, 'missed', reason, attempt FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::int[]) AS x (id, due, reason, attempt)
				ON CONFLICT DO NOTHING`, ids, dues, reasons, attempts); err != nil {
				return err
			}
		}
		total = len(ended)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("end missed runs: %w", err)
	}
	return total, nil
}

// Partitions makes the day partitions of all data and record tables up to 14 days ahead
// and drops those past retention, excursions past that of hwgraphs, and old days that
// have been read; and it has
// vacuum shorten schedule if that has become long. Dropping
// waits 200 ms for its lock at most, because every insert queues behind a waiting
// DROP; what could not be had is left for the next call. So is what is past a
// number of drops: nothing is planned meanwhile, and a shorter retention leaves hundreds.
func (l *Leader) Partitions(ctx context.Context) (made, dropped int, err error) {
	err = l.conn.QueryRow(ctx, `
		SELECT coalesce(sum(sonde_make_partitions(name, (now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + 14)), 0)
		FROM (SELECT name FROM data_tables UNION ALL SELECT name FROM record_tables) t`).Scan(&made)
	if err != nil {
		return 0, 0, fmt.Errorf("make partitions: %w", err)
	}
	rows, err := l.conn.Query(ctx, `SELECT d.name, (now() AT TIME ZONE 'UTC')::date - s.value::int
		FROM (SELECT name FROM data_tables UNION ALL SELECT name FROM record_tables) d JOIN settings s ON s.name = 'keep_days_' || d.name`)
	if err != nil {
		return made, 0, fmt.Errorf("read retention: %w", err)
	}
	type limit struct {
		Table  string
		Before time.Time
	}
	limits, err := pgx.CollectRows(rows, pgx.RowToStructByPos[limit])
	if err != nil {
		return made, 0, fmt.Errorf("read retention: %w", err)
	}
	tries := 0
	var held error
	for _, lim := range limits {
		for tries < 10 && dropped < dropsAtOnce {
			n, err := l.dropOne(ctx, lim.Table, lim.Before)
			if IsLockTimeout(err) {
				tries++
				held = fmt.Errorf("drop old partitions of %s: %w", lim.Table, ErrHeld)
				continue
			}
			if err != nil {
				return made, dropped, fmt.Errorf("drop old partitions of %s: %w", lim.Table, err)
			}
			if n == 0 {
				break
			}
			dropped += n
		}
	}
	if tries < 10 {
		held = nil // it was had in the end, or is with the next call
	}
	return made, dropped, errors.Join(held, l.dropExcursions(ctx), l.dropOldDays(ctx), l.trimSchedule(ctx))
}

// ErrHeld means that a drop was tried for as long as inserts may wait behind it.
var ErrHeld = errors.New("a session holds a lock on them; pg_locks names it")

// dropsAtOnce take half a second, and some seconds on a Raspberry Pi.
const dropsAtOnce = 20

// scheduleMost is how many bytes of schedule are kept for the next rows: more than
// 60,000 runs a second need, and quickly read.
const scheduleMost = 64 << 20

func (l *Leader) trimSchedule(ctx context.Context) error {
	if _, err := l.conn.Exec(ctx, `SELECT sonde_trim_schedule($1)`, scheduleMost); err != nil {
		return fmt.Errorf("set whether vacuum shortens schedule: %w", err)
	}
	return nil
}

// dropOldDays deletes days whose results analyst and annotator have read. Marks that
// lie ahead of all transactions came with a restore, and tell nothing yet.
func (l *Leader) dropOldDays(ctx context.Context) error {
	_, err := l.conn.Exec(ctx, `DELETE FROM old_days USING (SELECT least(a.read_xid, coalesce(pg_snapshot_xmin(n.read), a.read_xid)) AS first, greatest(a.read_xid, pg_snapshot_xmax(n.read)) AS last
		FROM analyst_mark a LEFT JOIN asn_mark n ON true) unread WHERE stored_xid < first AND last <= pg_snapshot_xmax(pg_current_snapshot())`)
	if err != nil {
		return fmt.Errorf("delete old days that have been read: %w", err)
	}
	return nil
}

// dropExcursions deletes excursions that are over and older than the bands they
// left. They are few and have no partitions, so they go some at a time; what is
// left goes with the next call.
func (l *Leader) dropExcursions(ctx context.Context) error {
	const most, times = 2000, 20
	for range times {
		done, err := l.conn.Exec(ctx, `DELETE FROM hwalerts WHERE ctid = ANY (ARRAY(SELECT ctid FROM hwalerts
			WHERE began_at < ((now() AT TIME ZONE 'UTC')::date - (SELECT value::int FROM settings WHERE name = 'keep_days_hwgraphs'))::timestamp AT TIME ZONE 'UTC'
			AND ended_at IS NOT NULL LIMIT $1))`, most)
		if err != nil {
			return fmt.Errorf("delete old excursions: %w", err)
		}
		if done.RowsAffected() < most {
			return nil
		}
	}
	return nil
}

func (l *Leader) dropOne(ctx context.Context, table string, before time.Time) (n int, err error) {
	err = pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '200ms'`); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT sonde_drop_partitions($1, $2::date)`, table, before.Format(time.DateOnly)).Scan(&n)
	})
	return n, err
}

// IsLockTimeout reports whether a lock was waited for in vain.
func IsLockTimeout(err error) bool {
	var pg interface{ SQLState() string }
	return errors.As(err, &pg) && pg.SQLState() == "55P03"
}
