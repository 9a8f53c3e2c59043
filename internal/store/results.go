package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"sonde/internal/measure"
)

// errMoved says that not every row lies where it was claimed.
var errMoved = errors.New("claimed rows have moved")

// ErrLeaseLost says that a run was no longer ours when its end was stored.
var ErrLeaseLost = errors.New("lease lost")

// RunEnd is how a run ended, ready to be stored.
type RunEnd struct {
	measure.RunKey
	Attempt   int
	StartedAt time.Time // zero if it never started
	Took      time.Duration
	Outcome   measure.Outcome
	Reason    string
	Log       string
	Address   netip.Addr
	Row       []any // values of Table.Columns; nil unless Outcome is ok
	Place     Place // of the claim; if it has none, or the row has moved, it is looked up
}

// Table is where ends of one tool go.
type Table struct {
	Name    string
	Columns []string // after the columns that all data tables share
}

var runColumns = []string{"toolspec_id", "due_at", "started_at", "took_ms", "outcome", "reason", "log", "attempt", "address", "late"}

// values gives the row of an end as the spool keeps it.
func (e *RunEnd) values(columns int) []any {
	v := []any{e.ToolspecID, e.DueAt, optional(e.StartedAt, e.StartedAt.IsZero()), optional(float64(e.Took)/1e6, e.StartedAt.IsZero()),
		string(e.Outcome), optional(clean(e.Reason), e.Reason == ""), optional(clean(e.Log), e.Log == ""), e.Attempt, optional(e.Address, !e.Address.IsValid()), true}
	return e.own(v, columns)
}

// copied gives ends to COPY. Each row is written before the next is asked for, so
// that all are shown from one place: making an interface of every value of every
// row was a third of what a worker allocates.
type copied struct {
	ends    []*RunEnd
	columns int // of the table's own
	next    int
	row     []any

	spec, attempt        pgtype.Int8
	due, started         pgtype.Timestamptz
	took                 pgtype.Float8
	outcome, reason, log pgtype.Text
	late                 pgtype.Bool
}

func (c *copied) Next() bool { c.next++; return c.next <= len(c.ends) }
func (c *copied) Err() error { return nil }

// Values has the order of runColumns.
func (c *copied) Values() ([]any, error) {
	e := c.ends[c.next-1]
	if c.row == nil {
		c.row = append(make([]any, 0, len(runColumns)+c.columns), &c.spec, &c.due, &c.started, &c.took, &c.outcome, &c.reason, &c.log, &c.attempt, nil, &c.late)
	}
	ran := !e.StartedAt.IsZero()
	c.spec, c.due, c.attempt = bigint(e.ToolspecID), instant(e.DueAt), bigint(int64(e.Attempt))
	c.started, c.took = pgtype.Timestamptz{Time: e.StartedAt, Valid: ran}, pgtype.Float8{Float64: float64(e.Took) / 1e6, Valid: ran}
	c.outcome, c.reason, c.log = text(string(e.Outcome)), text(clean(e.Reason)), text(clean(e.Log))
	c.late = pgtype.Bool{Valid: true}
	if c.row[8] = nil; e.Address.IsValid() {
		c.row[8] = e.Address
	}
	c.row = e.own(c.row[:len(runColumns)], c.columns)
	return c.row, nil
}

// text is NULL when there is none.
func text(s string) pgtype.Text { return pgtype.Text{String: s, Valid: s != ""} }

// own appends the values of the table's own columns.
func (e *RunEnd) own(v []any, columns int) []any {
	if len(e.Row) == columns {
		return append(v, e.Row...)
	}
	for range columns {
		v = append(v, nil)
	}
	return v
}

// clean makes text storable: PostgreSQL takes neither zero bytes nor what is not
// UTF-8, and both come from the network by way of errors and log lines.
func clean(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func optional(v any, absent bool) any {
	if absent {
		return nil
	}
	return v
}

// Finish stores the ends of runs that w claimed, by COPY into the data
// table, and deletes their schedule rows, in one transaction. Ends whose lease
// is lost are given back with ErrLeaseLost and nothing of them is stored; for
// any other error nothing of the batch is. Either way Load is what comes next.
func (s *Store) Finish(ctx context.Context, t Table, ends []*RunEnd, w Claimant) (lost []*RunEnd, err error) {
	// All who number routes lock the rows of routeno in one order.
	sorted := slices.Clone(ends)
	slices.SortFunc(sorted, func(a, b *RunEnd) int {
		return cmp.Or(cmp.Compare(a.ToolspecID, b.ToolspecID), a.DueAt.Compare(b.DueAt))
	})
	keep := sorted
	finish := func(settings, remove string, see func(pgx.Rows) error, args ...any) error {
		return s.inTx(ctx, func(tx pgx.Tx) error {
			batch := &pgx.Batch{}
			batch.Queue(settings)
			batch.Queue(remove+` RETURNING toolspec_id, due_at, attempt`, args...)
			batch.Queue(`SET LOCAL lock_timeout TO DEFAULT`) // COPY waits for the other keeper to lengthen the table
			answers := tx.SendBatch(ctx, batch)
			defer answers.Close()
			if _, err := answers.Exec(); err != nil {
				return err
			}
			rows, err := answers.Query()
			if err != nil {
				return err
			}
			err = see(rows)
			rows.Close()
			if err := errors.Join(rows.Err(), err, answers.Close()); err != nil {
				return err // what was deleted comes back with the transaction's end
			}
			_, err = tx.CopyFrom(ctx, pgx.Identifier{t.Name}, append(append([]string(nil), runColumns...), t.Columns...), &copied{ends: keep, columns: len(t.Columns)})
			return err
		})
	}
	// Nearly always every row lies where it was claimed. Another run of ours may lie
	// there by now: which ones were deleted is compared here. Looking each up in SQL
	// by place and key asked the kernel for the length of the table each time.
	err = errMoved
	if placed := inPlaces(ends); placed != nil {
		places := make(tids, len(placed))
		for i, e := range placed {
			places[i] = e.Place
		}
		err = finish(byIndexSoon, `DELETE FROM schedule WHERE ctid = ANY ($1::tid[]) AND state = 'claimed' AND claimed_by = $2`,
			func(rows pgx.Rows) error { return allDeleted(rows, placed) }, places, w.Name)
	}
	byKey := func(settings, lock string) error {
		ids, dues, attempts := make(bigints, len(ends)), make(instants, len(ends)), make(ints, len(ends))
		for i, e := range ends {
			ids[i], dues[i], attempts[i] = bigint(e.ToolspecID), instant(e.DueAt), pgtype.Int4{Int32: int32(e.Attempt), Valid: true}
		}
		return finish(settings, `DELETE FROM schedule WHERE ctid = ANY (ARRAY(
				SELECT q.ctid FROM unnest($1::bigint[], $2::timestamptz[], $3::int[]) AS k (id, due, attempt)
				CROSS JOIN LATERAL (SELECT s.ctid FROM schedule s
					WHERE s.monhost = $5 AND s.tool = $6 AND s.due_at = k.due AND s.toolspec_id = k.id AND s.attempt = k.attempt AND s.state = 'claimed' AND s.claimed_by = $4
					`+lock+`) q))
				AND state = 'claimed' AND claimed_by = $4`,
			func(rows pgx.Rows) (err error) { keep, lost, err = deleted(rows, sorted); return err },
			ids, dues, attempts, w.Name, w.Monhost, w.Tool)
	}
	// Locking each row before it is deleted writes twice as much into the log.
	// Only a row that a person holds locked makes it worth while.
	if errors.Is(err, errMoved) {
		err = byKey(byIndexSoon, "OFFSET 0")
	}
	if IsLockTimeout(err) {
		err = byKey(byIndex, "FOR UPDATE SKIP LOCKED")
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("store %d ends in %s: %w", len(ends), t.Name, err)
	case len(lost) > 0:
		return lost, fmt.Errorf("%d of %d runs: %w", len(lost), len(ends), ErrLeaseLost)
	}
	return nil, nil
}

// lease is what fences the end of a run.
type lease struct {
	spec, due int64
	attempt   int
}

func (e *RunEnd) lease() lease { return lease{e.ToolspecID, e.DueAt.UnixMicro(), e.Attempt} }

// eachLease reads (toolspec_id, due_at, attempt) of each row until see says false.
func eachLease(rows pgx.Rows, see func(lease) bool) error {
	var l lease
	var due time.Time
	into := []any{&l.spec, &due, &l.attempt}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if l.due = due.UnixMicro(); !see(l) {
			break
		}
	}
	return rows.Err()
}

// inPlaces sorts ends by where their rows were claimed; nil if one has no place.
func inPlaces(ends []*RunEnd) []*RunEnd {
	if slices.ContainsFunc(ends, func(e *RunEnd) bool { return !e.Place.Valid }) {
		return nil
	}
	placed := slices.Clone(ends)
	slices.SortFunc(placed, func(a, b *RunEnd) int {
		return cmp.Or(cmp.Compare(a.Place.BlockNumber, b.Place.BlockNumber), cmp.Compare(a.Place.OffsetNumber, b.Place.OffsetNumber))
	})
	return placed
}

// allDeleted gives errMoved unless the rows are those of placed, one by one: rows
// are deleted in the order of their places. It is cheaper than deleted.
func allDeleted(rows pgx.Rows, placed []*RunEnd) error {
	left := placed
	err := eachLease(rows, func(l lease) bool {
		if len(left) == 0 || left[0].lease() != l {
			left = placed
			return false
		}
		left = left[1:]
		return true
	})
	if err == nil && len(left) > 0 {
		err = errMoved
	}
	return err
}

// deleted tells the ends whose rows were deleted from those whose lease was lost.
func deleted(rows pgx.Rows, ends []*RunEnd) (keep, lost []*RunEnd, err error) {
	ours := make(map[lease]bool, len(ends))
	if err := eachLease(rows, func(l lease) bool { ours[l] = true; return true }); err != nil {
		return ends, nil, err
	}
	for _, e := range ends {
		if ours[e.lease()] {
			keep = append(keep, e)
		} else {
			lost = append(lost, e)
		}
	}
	return keep, lost, nil
}

// SpoolRow is an end as the spool keeps it: table, and the row as an object by
// column name, which PostgreSQL itself turns back into values.
type SpoolRow struct {
	Table string         `json:"table"`
	Row   map[string]any `json:"row"`
}

// Spooled gives the row of an end for the spool.
func (e *RunEnd) Spooled(t Table) SpoolRow {
	row := make(map[string]any, len(runColumns)+len(t.Columns))
	values := e.values(len(t.Columns))
	for i, name := range append(append([]string(nil), runColumns...), t.Columns...) {
		if values[i] != nil {
			row[name] = values[i]
		}
	}
	return SpoolRow{t.Name, row}
}

// Loaded says what became of rows that came by the loader's way.
type Loaded struct {
	Stored  int // new, or in place of missed
	Doubles int // an ok or fail was there already: dropped
}

// ErrUnloadable says that the database refuses a row for what it contains.
var ErrUnloadable = errors.New("the database refuses the row")

// Load stores ends that come late or whose lease was lost: ok and fail replace
// missed, nothing else is replaced; the schedule row of a stored end leaves in
// the same transaction, unless a person holds it locked: the leader clears it
// away later. Missing partitions are made, back to the retention limit. All rows
// are stored or none; ErrUnloadable names a batch that can never be.
func (s *Store) Load(ctx context.Context, rows []SpoolRow) (Loaded, error) {
	byTable := map[string][]map[string]any{}
	for _, r := range rows {
		byTable[r.Table] = append(byTable[r.Table], r.Row)
	}
	var loaded Loaded
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		loaded = Loaded{}
		for table, list := range byTable {
			if err := loadTable(ctx, tx, table, list, &loaded); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		if unloadable(err) {
			return Loaded{}, fmt.Errorf("%w: %w", ErrUnloadable, err)
		}
		return Loaded{}, fmt.Errorf("load %d rows: %w", len(rows), err)
	}
	return loaded, nil
}

var errNoDataTable = errors.New("there is no data table")

// unloadable reports whether err is for what the rows contain, so that they can
// never be stored. A missing privilege or a schema that is not migrated yet is not.
func unloadable(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return errors.Is(err, errNoDataTable) || errors.Is(err, errOutsideTime)
	}
	switch pg.Code[:2] {
	case "22", "23", "54", "P0": // data exception, constraint violation, more than PostgreSQL can hold, raised by a trigger
		return true
	}
	return false
}

var errOutsideTime = errors.New("due_at is outside what is kept")

// withinTime refuses rows that are older than retention or more than a day
// ahead, and makes the partitions of all others.
func withinTime(ctx context.Context, tx pgx.Tx, table string, raw []byte) error {
	var wrong *string
	if err := tx.QueryRow(ctx, `
		WITH k AS MATERIALIZED (SELECT coalesce((SELECT value::int FROM settings WHERE name = 'keep_days_' || $1), 400) AS days),
		dues AS MATERIALIZED (SELECT DISTINCT (r ->> 'due_at')::timestamptz AS due FROM jsonb_array_elements($2::jsonb) r),
		wrong AS MATERIALIZED (SELECT due FROM dues, k WHERE due IS NULL OR due > now() + interval '1 day' OR (due AT TIME ZONE 'UTC')::date < (now() AT TIME ZONE 'UTC')::date - k.days),
		made AS MATERIALIZED (SELECT sonde_make_partitions($1, d, d) FROM (SELECT DISTINCT (due AT TIME ZONE 'UTC')::date AS d FROM dues) days
			WHERE d IS NOT NULL AND NOT EXISTS (SELECT FROM wrong))
		SELECT (SELECT format('%s is more than a day ahead, or older than the %s days of the setting keep_days_%s', coalesce(due::text, 'a missing one'), k.days, $1) FROM wrong LIMIT 1), (SELECT count(*) FROM made) FROM k`, table, raw).Scan(&wrong, nil); err != nil {
		return err
	}
	if wrong != nil {
		return fmt.Errorf("%w: %s", errOutsideTime, *wrong)
	}
	return nil
}

func loadTable(ctx context.Context, tx pgx.Tx, table string, list []map[string]any, loaded *Loaded) error {
	raw, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("rows of %s: %w", table, err)
	}
	var known bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM data_tables WHERE name = $1)`, table).Scan(&known); err != nil {
		return err
	}
	if !known {
		return fmt.Errorf("%w %q", errNoDataTable, table)
	}
	if err := withinTime(ctx, tx, table, raw); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `SELECT attname FROM pg_attribute
		WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('stored_at', 'stored_xid', 'route_no') ORDER BY attnum`, table)
	if err != nil {
		return err
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	cols, sets := "", ""
	for i, c := range columns {
		if i > 0 {
			cols += ", "
		}
		cols += sanitized(c)
		if c != "toolspec_id" && c != "due_at" {
			sets += sanitized(c) + " = excluded." + sanitized(c) + ", "
		}
	}
	routeNo := ""
	if table == "routedata" {
		routeNo = "route_no = excluded.route_no, " // the row trigger numbered the route
	}
	tab := sanitized(table)
	tag, err := tx.Exec(ctx, `
		INSERT INTO `+tab+` AS d (`+cols+`)
		SELECT DISTINCT ON (r.toolspec_id, r.due_at) `+qualified("r", columns)+`
		FROM jsonb_populate_recordset(NULL::`+tab+`, $1::jsonb) WITH ORDINALITY r
		ORDER BY r.toolspec_id, r.due_at, r.outcome = 'missed', r.ordinality
		ON CONFLICT (toolspec_id, due_at) DO UPDATE SET `+sets+routeNo+`stored_at = now(), stored_xid = pg_current_xact_id()
		WHERE d.outcome = 'missed' AND excluded.outcome <> 'missed'`, raw)
	if err != nil {
		return err
	}
	loaded.Stored += int(tag.RowsAffected())
	loaded.Doubles += len(list) - int(tag.RowsAffected())
	_, err = tx.Exec(ctx, `
		DELETE FROM schedule WHERE ctid = ANY (ARRAY(
			SELECT q.ctid FROM jsonb_to_recordset($1::jsonb) AS k (toolspec_id bigint, due_at timestamptz) JOIN toolspecs s ON s.id = k.toolspec_id
			JOIN schedule q ON (q.monhost, q.tool, q.due_at, q.toolspec_id) = (s.monhost, s.tool, k.due_at, k.toolspec_id)
			FOR UPDATE OF q SKIP LOCKED))`, raw)
	return err
}

// qualified writes columns of alias r; NULL of a NOT NULL column gets the default it has everywhere.
func qualified(alias string, columns []string) string {
	s := ""
	for i, c := range columns {
		if i > 0 {
			s += ", "
		}
		switch c {
		case "attempt":
			s += "coalesce(" + alias + ".attempt, 0)"
		case "late":
			s += "coalesce(" + alias + ".late, true)"
		default:
			s += alias + "." + sanitized(c)
		}
	}
	return s
}
