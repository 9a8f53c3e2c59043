package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/plan"
)

// Spec is a row of toolspecs with what a scheduler and a worker need of its node.
type Spec struct {
	plan.Spec
	Node    string
	Address string
	Monhost string
	Tool    string
	Label   string
	Options json.RawMessage
	Enabled bool // the spec and its node
}

// Tolerance is how late a run of this spec may start: the setting, or its
// interval when that is shorter, so that a run never starts after the next one.
func (s Spec) Tolerance(setting time.Duration) time.Duration {
	if s.RunInterval > 0 && s.RunInterval < setting {
		return s.RunInterval
	}
	return setting
}

const specColumns = `s.id, s.node, n.address, s.monhost, s.tool, s.label, s.options,
	coalesce(extract(epoch FROM s.run_interval)::float8, 0), coalesce(s.run_at, ''), s.time_zone,
	greatest(s.timing_since, n.enabled_since), t.together, s.test_type = 'background',
	extract(epoch FROM s.time_to_run)::float8, s.enabled AND n.enabled`

const specTables = `toolspecs s JOIN nodes n ON n.name = s.node
	JOIN (SELECT timing_since, count(*)::int AS together FROM toolspecs GROUP BY 1) t USING (timing_since)`

func scanSpecs(rows pgx.Rows) ([]Spec, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Spec, error) {
		var s Spec
		var interval, toRun float64
		err := row.Scan(&s.ID, &s.Node, &s.Address, &s.Monhost, &s.Tool, &s.Label, &s.Options, &interval, &s.RunAt, &s.TimeZone,
			&s.Since, &s.Together, &s.Background, &toRun, &s.Enabled)
		s.RunInterval, s.TimeToRun, s.Since = seconds(interval), seconds(toRun), s.Since.UTC()
		return s, err
	})
}

// Specs reads single specs of one tool on one host; what is not there is left out.
func (s *Store) Specs(ctx context.Context, ids []int64, monhost, tool string) ([]Spec, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+specColumns+` FROM `+specTables+` WHERE s.id = ANY ($1) AND s.monhost = $2 AND s.tool = $3`, ids, monhost, tool)
	if err != nil {
		return nil, fmt.Errorf("read %d specs: %w", len(ids), err)
	}
	specs, err := scanSpecs(rows)
	if err != nil {
		return nil, fmt.Errorf("read %d specs: %w", len(ids), err)
	}
	return specs, nil
}

func seconds(f float64) time.Duration {
	return time.Duration(f*1e6+0.5) * time.Microsecond
}

// Changes is what changed in the configuration since a mark.
type Changes struct {
	Specs   []Spec
	Removed []int64
	Repeats plan.Repeats
	Settings
	Mark uint64 // hand it to the next call
}

// Settings are those that scheduler and workers go by.
type Settings struct {
	StartTolerance time.Duration
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// SpecChanges gives the specs that changed since mark, all of them for mark 0.
// monhost and tool narrow it; "" means any. A transaction that is still open is
// seen by a later call: the mark never passes the oldest open one.
func (s *Store) SpecChanges(ctx context.Context, mark uint64, monhost, tool string) (Changes, error) {
	return specChanges(ctx, s.pool, mark, monhost, tool)
}

// counted bounds the transactions that this server has begun. What was restored from
// another one can bear numbers far beyond: such a row would be changed at each look.
const counted = `pg_snapshot_xmax(pg_current_snapshot())`

func specChanges(ctx context.Context, q querier, mark uint64, monhost, tool string) (Changes, error) {
	var c Changes
	var tolerance float64
	if err := q.QueryRow(ctx, `SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, sonde_setting_seconds('start_tolerance')`).Scan(&c.Mark, &tolerance); err != nil {
		return c, fmt.Errorf("read settings: %w", err)
	}
	c.StartTolerance = seconds(tolerance)

	where := `WHERE ($1 = '' OR s.monhost = $1) AND ($2 = '' OR s.tool = $2)`
	args := []any{monhost, tool}
	if mark > 0 {
		changed, err := specsChanged(ctx, q, mark)
		if err != nil {
			return c, err
		}
		where += ` AND (s.changed_xid >= $3::text::xid8 AND s.changed_xid < ` + counted + ` OR n.changed_xid >= $3::text::xid8 AND n.changed_xid < ` + counted + `)`
		args = append(args, fmt.Sprint(mark))
		if !changed {
			where = ""
		}
	}
	if where != "" {
		rows, err := q.Query(ctx, `SELECT `+specColumns+` FROM `+specTables+` `+where+` ORDER BY s.id`, args...)
		if err != nil {
			return c, fmt.Errorf("read specs: %w", err)
		}
		if c.Specs, err = scanSpecs(rows); err != nil {
			return c, fmt.Errorf("read specs: %w", err)
		}
		// Before its first result a spec may go to another host or tool: to this one it is removed.
		rows, err = q.Query(ctx, `SELECT toolspec_id FROM toolspecs_removed WHERE changed_xid >= $1::text::xid8 AND changed_xid < `+counted+`
			UNION ALL SELECT s.id FROM toolspecs s WHERE $1 <> '0' AND s.changed_xid >= $1::text::xid8 AND s.changed_xid < `+counted+` AND NOT (($2 = '' OR s.monhost = $2) AND ($3 = '' OR s.tool = $3))`,
			fmt.Sprint(mark), monhost, tool)
		if err != nil {
			return c, fmt.Errorf("read removed specs: %w", err)
		}
		if c.Removed, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
			return c, fmt.Errorf("read removed specs: %w", err)
		}
	}
	var err error
	c.Repeats, err = repeats(ctx, q)
	return c, err
}

// specsChanged reports whether a spec or node was changed or removed by a
// transaction from mark on. Nearly always nothing has changed; the last entries of
// three indexes say so. The planner knows no order of xid8, so that EXISTS
// (… >= $1) would read whole tables.
func specsChanged(ctx context.Context, q querier, mark uint64) (changed bool, err error) {
	newest := func(table string) string {
		return `coalesce((SELECT changed_xid FROM ` + table + ` WHERE changed_xid < ` + counted + ` ORDER BY changed_xid DESC LIMIT 1) >= $1::text::xid8, false)`
	}
	if err := q.QueryRow(ctx, `SELECT `+newest("toolspecs")+` OR `+newest("nodes")+` OR `+newest("toolspecs_removed"), fmt.Sprint(mark)).Scan(&changed); err != nil {
		return false, fmt.Errorf("look for changed specs: %w", err)
	}
	return changed, nil
}

func repeats(ctx context.Context, q querier) (plan.Repeats, error) {
	rows, err := q.Query(ctx, `SELECT from_at, until_at FROM clock_steps WHERE seconds < 0 AND until_at > clock_timestamp() - interval '1 day' ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("read clock steps: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[plan.Repeat])
	if err != nil {
		return nil, fmt.Errorf("read clock steps: %w", err)
	}
	return list, nil
}
