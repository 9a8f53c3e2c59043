package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Stretch is a row of regdata and, where something was foretold, one of hwgraphs.
type Stretch struct {
	ToolspecID          int64
	Metric, Rule        string
	From                time.Time
	Step                time.Duration
	Values              []float64 // NaN is a hole
	Forecast, Low, High []float64 // nil: nothing was foretold
}

// Excursion is what a verdict says of a row of hwalerts: it begins it, goes on
// with it, or ends it.
type Excursion struct {
	ToolspecID                        int64
	Rule, Metric                      string
	Began                             time.Time // of one that begins or goes on
	Ended                             time.Time // zero: it lasts
	Forecast, Low, High, Value, Score *float64
	AlertID                           int64 // 0 for none
}

// stretchKey is what tells rows of one of the two tables apart, as precisely as it keeps it.
type stretchKey struct {
	spec       int64
	name       string
	from, step int64 // µs
}

func (s *Stretch) step() time.Duration { return s.Step.Round(time.Microsecond) }

// stretchTable is how stretches are rows of a table.
type stretchTable struct {
	name    string
	columns []string
	same    string // the condition for a row r that has the key k
	key     func(*Stretch) stretchKey
	row     func(*Stretch) []any // to be used before the next is asked for
}

func regdata() stretchTable {
	var values reals
	return stretchTable{"regdata", []string{"toolspec_id", "metric", "from_at", "step", "values"},
		`r.toolspec_id = k.spec AND r.metric = k.name AND r.from_at = k.at AND r.step = k.step`,
		func(s *Stretch) stretchKey {
			return stretchKey{s.ToolspecID, s.Metric, s.From.UnixMicro(), s.step().Microseconds()}
		},
		func(s *Stretch) []any {
			values.of = s.Values
			return []any{s.ToolspecID, s.Metric, s.From, s.step(), &values}
		}}
}

func hwgraphs() stretchTable {
	var forecast, low, high reals
	return stretchTable{"hwgraphs", []string{"toolspec_id", "rule", "from_at", "step", "forecast", "low", "high"},
		`r.toolspec_id = k.spec AND r.rule = k.name AND r.from_at = k.at`,
		func(s *Stretch) stretchKey { return stretchKey{s.ToolspecID, s.Rule, s.From.UnixMicro(), 0} },
		func(s *Stretch) []any {
			forecast.of, low.of, high.of = s.Forecast, s.Low, s.High
			return []any{s.ToolspecID, s.Rule, s.From, s.step(), &forecast, &low, &high}
		}}
}

// writeStretches writes stretches. The first of a key stays as it is: two rules may
// read one series.
func (j Judging) writeStretches(ctx context.Context, stretches []Stretch) error {
	var all, foretold []*Stretch
	for i := range stretches {
		s := &stretches[i]
		all = append(all, s)
		if s.Forecast != nil {
			foretold = append(foretold, s)
		}
	}
	if err := j.copyStretches(ctx, regdata(), all); err != nil {
		return err
	}
	return j.copyStretches(ctx, hwgraphs(), foretold)
}

// copyStretches writes those of which the table has no row yet. An hour may end for all
// series in one pass, and COPY takes a fifth of the time of an INSERT each. It knows no
// ON CONFLICT: when it finds one, what is there is left out and it is done again.
// Nobody writes these rows but the one analyst that works.
func (j Judging) copyStretches(ctx context.Context, t stretchTable, stretches []*Stretch) error {
	if len(stretches) == 0 {
		return nil
	}
	seen := make(map[stretchKey]bool, len(stretches))
	list := slices.DeleteFunc(stretches, func(s *Stretch) bool {
		k := t.key(s)
		again := seen[k]
		seen[k] = true
		return again
	})
	write := func(j Judging) error {
		_, err := j.tx.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, pgx.CopyFromSlice(len(list), func(i int) ([]any, error) { return t.row(list[i]), nil }))
		if err != nil {
			return fmt.Errorf("store %d stretches in %s: %w", len(list), t.name, err)
		}
		return nil
	}
	failed, err := j.Try(ctx, write)
	if err != nil || !isDuplicate(failed) {
		return cmp.Or(err, failed)
	}
	if list, err = j.unwritten(ctx, t, list); err != nil {
		return fmt.Errorf("look which stretches are in %s: %w", t.name, err)
	}
	return write(j)
}

// unwritten leaves out stretches of which the table has a row.
func (j Judging) unwritten(ctx context.Context, t stretchTable, stretches []*Stretch) ([]*Stretch, error) {
	specs, names, froms, steps := make(bigints, len(stretches)), make([]string, len(stretches)), make(instants, len(stretches)), make([]time.Duration, len(stretches))
	for i, s := range stretches {
		specs[i], names[i], froms[i], steps[i] = bigint(s.ToolspecID), t.key(s).name, instant(s.From), s.step()
	}
	// OFFSET keeps it one look at the index for each.
	rows, err := j.tx.Query(ctx, `SELECT n FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::interval[]) WITH ORDINALITY k (spec, name, at, step, n)
		WHERE NOT EXISTS (SELECT FROM `+t.name+` r WHERE `+t.same+` OFFSET 0) ORDER BY n`, specs, names, froms, steps)
	if err != nil {
		return nil, err
	}
	var out []*Stretch
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&n}, func() error { out = append(out, stretches[n-1]); return nil })
	return out, err
}

// queueExcursions writes excursions.
func queueExcursions(batch *pgx.Batch, excursions []Excursion) {
	for _, e := range excursions {
		if !e.Ended.IsZero() {
			batch.Queue(`UPDATE hwalerts SET ended_at = greatest($3, began_at) WHERE toolspec_id = $1 AND rule = $2 AND ended_at IS NULL`, e.ToolspecID, e.Rule, e.Ended)
			continue
		}
		// One that begins when one began that has ended is that one again.
		batch.Queue(`UPDATE hwalerts h SET ended_at = NULL, alert_id = NULL WHERE toolspec_id = $1 AND rule = $2 AND began_at = $3 AND ended_at IS NOT NULL
			AND NOT EXISTS (SELECT FROM hwalerts o WHERE o.toolspec_id = $1 AND o.rule = $2 AND o.ended_at IS NULL)`, e.ToolspecID, e.Rule, e.Began)
		batch.Queue(`INSERT INTO hwalerts AS h (toolspec_id, rule, metric, began_at, forecast, low, high, value, score, alert_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (toolspec_id, rule) WHERE ended_at IS NULL DO UPDATE SET alert_id = coalesce(h.alert_id, excluded.alert_id),
				forecast = CASE WHEN excluded.score > h.score THEN excluded.forecast ELSE h.forecast END, low = CASE WHEN excluded.score > h.score THEN excluded.low ELSE h.low END,
				high = CASE WHEN excluded.score > h.score THEN excluded.high ELSE h.high END, value = CASE WHEN excluded.score > h.score THEN excluded.value ELSE h.value END,
				score = greatest(h.score, excluded.score)`,
			e.ToolspecID, e.Rule, e.Metric, e.Began, e.Forecast, e.Low, e.High, e.Value, e.Score, optional(e.AlertID, e.AlertID == 0))
	}
}

// fitting leaves out stretches that are too old, or too far ahead, to be kept and
// makes the partitions that the others need: data may come late, and the leader
// makes those of the days around today.
func (j Judging) fitting(ctx context.Context, stretches []Stretch) ([]Stretch, error) {
	if len(stretches) == 0 {
		return nil, nil
	}
	var today, oldest time.Time
	err := j.tx.QueryRow(ctx, `SELECT (now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date - (SELECT min(value::int) FROM settings WHERE name IN ('keep_days_regdata', 'keep_days_hwgraphs'))`).Scan(&today, &oldest)
	if err != nil {
		return nil, fmt.Errorf("read how long records are kept: %w", err)
	}
	var fit []Stretch
	made := map[time.Time]bool{}
	for _, s := range stretches {
		day := s.From.UTC().Truncate(24 * time.Hour)
		if day.Before(oldest) || day.After(today.AddDate(0, 0, 13)) {
			continue
		}
		fit = append(fit, s)
		if day.Before(today.AddDate(0, 0, -1)) && !made[day] {
			made[day] = true
			if _, err := j.tx.Exec(ctx, `SELECT sonde_make_partitions(name, $1::date, $1::date) FROM record_tables`, day); err != nil {
				return nil, fmt.Errorf("make partitions of %s: %w", day.Format(time.DateOnly), err)
			}
		}
	}
	return fit, nil
}
