package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"sonde/internal/measure"
)

// ReplayPlan is what a replay of stored data goes by: the configuration as it is
// now, and all planned quiet there ever was.
type ReplayPlan struct {
	Rules       []Rule          // all
	Off         map[string]bool // those of them that are switched off
	Specs       []Watched       // enabled ones
	Maintenance []Maintenance
	Zone        *time.Location // of pages
	Now         time.Time
}

// ReplayPlan reads it.
func (s *Store) ReplayPlan(ctx context.Context) (ReplayPlan, error) {
	p := ReplayPlan{Off: map[string]bool{}, Zone: time.UTC}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		j := Judging{tx}
		c, err := j.Configuration(ctx, 0)
		if err != nil {
			return err
		}
		p.Specs = c.Specs
		if p.Rules, err = j.rules(ctx, "true"); err != nil {
			return err
		}
		for _, r := range p.Rules {
			p.Off[r.Name] = true
		}
		for _, r := range c.Rules {
			delete(p.Off, r.Name)
		}
		if p.Maintenance, err = j.maintenance(ctx, "true"); err != nil {
			return err
		}
		var zone string
		if err := tx.QueryRow(ctx, `SELECT value, clock_timestamp() FROM settings WHERE name = 'time_zone'`).Scan(&zone, &p.Now); err != nil {
			return fmt.Errorf("read the time zone of pages: %w", err)
		}
		if z, err := time.LoadLocation(zone); err == nil {
			p.Zone = z
		}
		return nil
	})
	return p, err
}

// StoredTick is a tick that the analyst gave, as of the detector of one rule.
type StoredTick struct {
	ToolspecID int64
	At         time.Time
}

// StoredTicks gives the ticks of a rule before an instant, in order of (spec, time).
func (s *Store) StoredTicks(ctx context.Context, rule string, until time.Time) ([]StoredTick, error) {
	return listed[StoredTick](ctx, s, "ticks", `SELECT toolspec_id, at FROM ticks WHERE rule = $1 AND at < $2 ORDER BY toolspec_id, at`, rule, until)
}

// RaisedAlerts says when the analyst raised alerts of a rule in [from, until), by spec, those in shadow included.
func (s *Store) RaisedAlerts(ctx context.Context, rule string, from, until time.Time) ([]StoredTick, error) {
	return listed[StoredTick](ctx, s, "alerts", `SELECT toolspec_id, raised_at FROM alerts WHERE rule = $1 AND toolspec_id > 0 AND raised_at >= $2 AND raised_at < $3
		ORDER BY toolspec_id, raised_at`, rule, from, until)
}

// StoredRun is a run as it was stored.
type StoredRun struct {
	Run
	StoredAt time.Time
}

// batchOf is how many stored rows are handed on at once.
const batchOf = 2048

// StoredRuns reads the rows of a data table and the gaps of these specs in
// [from, until), in order of (toolspec_id, due_at) and with one column of
// values, "" for none. f gets them in batches that it must not keep. A day at a
// time costs one partition to sort and nothing to remember.
func (s *Store) StoredRuns(ctx context.Context, series Series, specs []int64, from, until time.Time, f func([]StoredRun) error) error {
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		for _, set := range []string{`SET LOCAL jit = off`, `SET LOCAL work_mem = '64MB'`} {
			if _, err := tx.Exec(ctx, set); err != nil {
				return err
			}
		}
		gaps, err := storedGaps(ctx, tx, series, specs, from, until)
		if err != nil {
			return err
		}
		sql, err := storedSelect(ctx, tx, series)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, sql, specs, from, until)
		if err != nil {
			return err
		}
		defer rows.Close()
		b := storedBatch{series: series, gaps: gaps, runs: make([]StoredRun, 0, batchOf+1), values: make([]float64, 0, (batchOf+1)*len(series.Columns)), f: f,
			know: func(routes []*measure.Route) error { return knowHops(ctx, s.pool, routes) }} // tx is busy with the rows
		if err := b.read(rows); err != nil {
			return err
		}
		return b.end()
	})
	if err != nil {
		return fmt.Errorf("read stored rows of %s: %w", series.Table, err)
	}
	return nil
}

// storedSelect asks for numbers as float8, which is read without guessing.
func storedSelect(ctx context.Context, tx pgx.Tx, series Series) (string, error) {
	columns := `toolspec_id, due_at, stored_at, array_position(ARRAY['ok', 'fail', 'missed'], outcome), coalesce(reason, ''), late`
	for _, c := range series.Columns {
		number, err := numberOf(ctx, tx, series.Table, c)
		if err != nil {
			return "", err
		}
		columns += ", " + number
	}
	if series.Routes {
		columns += ", " + routeColumns
	}
	return `SELECT ` + columns + ` FROM ` + sanitized(series.Table) + ` WHERE toolspec_id = ANY ($1) AND due_at >= $2 AND due_at < $3 ORDER BY toolspec_id, due_at`, nil
}

// numberOf is a metric's column as float8; of a boolean, 1 is true.
func numberOf(ctx context.Context, tx pgx.Tx, table, column string) (string, error) {
	var boolean bool
	if err := tx.QueryRow(ctx, `SELECT atttypid = 'boolean'::regtype FROM pg_attribute WHERE attrelid = $1::text::regclass AND attname = $2`, sanitized(table), column).Scan(&boolean); err != nil {
		return "", fmt.Errorf("column %s: %w", column, err)
	}
	if boolean {
		return sanitized(column) + "::int::float8", nil
	}
	return sanitized(column) + "::float8", nil
}

// storedGaps reads the gaps that ended in the time as the analyst does: each as one sample at its last instant.
func storedGaps(ctx context.Context, tx pgx.Tx, series Series, specs []int64, from, until time.Time) ([]StoredRun, error) {
	rows, err := tx.Query(ctx, `SELECT toolspec_id, from_at, until_at, stored_at,
			runs - (SELECT count(*) FROM `+sanitized(series.Table)+` d WHERE d.toolspec_id = g.toolspec_id AND d.due_at BETWEEN g.from_at AND g.until_at)::int, reason
		FROM gaps g WHERE toolspec_id = ANY ($1) AND until_at >= $2 AND until_at < $3 AND NOT quiet ORDER BY toolspec_id, until_at`, specs, from, until)
	if err != nil {
		return nil, err
	}
	var out []StoredRun
	r := StoredRun{}
	_, err = pgx.ForEachRow(rows, []any{&r.ToolspecID, &r.From, &r.DueAt, &r.StoredAt, &r.Runs, &r.Reason}, func() error {
		if r.Runs > 0 {
			g := r
			g.Outcome, g.Gap, g.Late, g.Value = measure.Missed, true, true, math.NaN()
			out = append(out, g)
		}
		return nil
	})
	return out, err
}

// storedBatch collects what is handed on.
type storedBatch struct {
	series Series
	gaps   []StoredRun
	runs   []StoredRun
	values []float64
	know   func([]*measure.Route) error // looks up the hops of routes
	f      func([]StoredRun) error
}

var outcomes = [...]measure.Outcome{measure.OK, measure.Fail, measure.Missed}

func (b *storedBatch) read(rows pgx.Rows) error {
	var r StoredRun
	var outcome int
	var found routeRow
	values := make([]pgtype.Float8, len(b.series.Columns))
	into := []any{&r.ToolspecID, &r.DueAt, &r.StoredAt, &outcome, &r.Reason, &r.Late}
	for i := range values {
		into = append(into, &values[i])
	}
	if b.series.Routes {
		into = append(into, found.into()...)
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if outcome < 1 || outcome > len(outcomes) {
			return fmt.Errorf("a run of spec %d has no outcome", r.ToolspecID)
		}
		r.Outcome, r.Value, r.DueAt, r.Route = outcomes[outcome-1], math.NaN(), r.DueAt.UTC(), nil
		if b.series.Routes && r.Outcome == measure.OK {
			r.Route = found.route()
		}
		if err := b.gapsBefore(r); err != nil {
			return err
		}
		first := len(b.values)
		for _, v := range values {
			if !v.Valid {
				v.Float64 = math.NaN()
			}
			b.values = append(b.values, v.Float64)
		}
		r.Values = b.values[first:len(b.values):len(b.values)]
		if err := b.add(r); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (b *storedBatch) gapsBefore(r StoredRun) error {
	for len(b.gaps) > 0 {
		g := b.gaps[0]
		if g.ToolspecID > r.ToolspecID || g.ToolspecID == r.ToolspecID && g.DueAt.After(r.DueAt) {
			return nil
		}
		b.gaps = b.gaps[1:]
		if err := b.add(g); err != nil {
			return err
		}
	}
	return nil
}

func (b *storedBatch) add(r StoredRun) error {
	b.runs = append(b.runs, r)
	if len(b.runs) < batchOf {
		return nil
	}
	return b.hand()
}

func (b *storedBatch) end() error {
	for _, g := range b.gaps {
		if err := b.add(g); err != nil {
			return err
		}
	}
	return b.hand()
}

func (b *storedBatch) hand() error {
	var routes []*measure.Route
	for _, r := range b.runs {
		if r.Route != nil {
			routes = append(routes, r.Route)
		}
	}
	if len(routes) > 0 {
		if err := b.know(routes); err != nil {
			return err
		}
	}
	err := b.f(b.runs)
	b.runs, b.values = b.runs[:0], b.values[:0]
	return err
}
