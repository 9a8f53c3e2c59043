package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
)

// Mesh reads one column of many specs at even instants: a row a step from from
// on, a column a spec in the order given, each the mean of the results due in
// that step, NaN where there is none.
func (j Judging) Mesh(ctx context.Context, table, column string, specs []int64, from, until time.Time, step time.Duration) ([][]float64, error) {
	place := make(map[int64]int, len(specs))
	for i, id := range specs {
		place[id] = i
	}
	out := make([][]float64, int(until.Sub(from)/step))
	for i := range out {
		out[i] = make([]float64, len(specs))
		for k := range out[i] {
			out[i][k] = math.NaN()
		}
	}
	number, err := numberOf(ctx, j.tx, table, column)
	if err != nil {
		return nil, fmt.Errorf("read %s of %d specs: %w", column, len(specs), err)
	}
	rows, err := j.tx.Query(ctx, `SELECT toolspec_id, floor(extract(epoch FROM due_at - $2::timestamptz)::float8 / $4)::int, avg(`+number+`)
		FROM `+sanitized(table)+` WHERE toolspec_id = ANY ($1) AND due_at >= $2 AND due_at < $3 AND outcome = 'ok' AND `+sanitized(column)+` IS NOT NULL GROUP BY 1, 2`,
		specs, from, until, step.Seconds())
	if err != nil {
		return nil, fmt.Errorf("read %s of %d specs: %w", column, len(specs), err)
	}
	var id int64
	var n int
	var mean float64
	_, err = pgx.ForEachRow(rows, []any{&id, &n, &mean}, func() error {
		if n >= 0 && n < len(out) {
			out[n][place[id]] = mean
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s of %d specs: %w", column, len(specs), err)
	}
	return out, nil
}
