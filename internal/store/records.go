package store

import (
	"context"
	"fmt"
	"math"
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

// reals are numbers as PostgreSQL's real has them.
func reals(values []float64) []*float32 {
	out := make([]*float32, len(values))
	for i, v := range values {
		if f := float32(v); !math.IsNaN(v) && !math.IsInf(float64(f), 0) {
			out[i] = &f
		}
	}
	return out
}

// queueRecords writes stretches and excursions. A stretch that is there already
// stays as it is: two rules may read one series.
func queueRecords(batch *pgx.Batch, stretches []Stretch, excursions []Excursion) {
	for _, s := range stretches {
		batch.Queue(`INSERT INTO regdata (toolspec_id, metric, from_at, step, values) VALUES ($1, $2, $3, $4::float8 * interval '1 second', $5)
			ON CONFLICT DO NOTHING`, s.ToolspecID, s.Metric, s.From, s.Step.Seconds(), reals(s.Values))
		if s.Forecast != nil {
			batch.Queue(`INSERT INTO hwgraphs (toolspec_id, rule, from_at, step, forecast, low, high) VALUES ($1, $2, $3, $4::float8 * interval '1 second', $5, $6, $7)
				ON CONFLICT DO NOTHING`, s.ToolspecID, s.Rule, s.From, s.Step.Seconds(), reals(s.Forecast), reals(s.Low), reals(s.High))
		}
	}
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
