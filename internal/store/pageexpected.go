package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
)

// PageExpected is what a detector expected in a stretch of time; NaN where it did not say.
type PageExpected struct {
	From, Until         time.Time
	Forecast, Low, High float64
}

// stretchMost is how long a row of hwgraphs is at most.
const stretchMost = "8 days"

// Expected gives what the detector of a rule expected of a spec in [from, until), in steps
// of at least width: the mean of the forecasts of each, within the widest band.
func (r *Reading) Expected(ctx context.Context, spec int64, rule string, from, until time.Time, width time.Duration) ([]PageExpected, error) {
	rows, err := r.tx.Query(ctx, `
		SELECT min(at), max(at + step), avg(forecast)::float8, min(low)::float8, max(high)::float8 FROM (
			SELECT h.step, h.from_at + (v.n - 1) * h.step AS at, v.forecast, v.low, v.high
			FROM hwgraphs h, unnest(h.forecast, h.low, h.high) WITH ORDINALITY v (forecast, low, high, n)
			WHERE h.toolspec_id = $1 AND h.rule = $2 AND h.from_at >= $3::timestamptz - interval '`+stretchMost+`' AND h.from_at < $4) x
		WHERE at >= $3 AND at < $4 AND (forecast IS NOT NULL OR low IS NOT NULL OR high IS NOT NULL)
		GROUP BY floor(extract(epoch FROM at) * 1e6 / $5::bigint) ORDER BY 1`, spec, rule, from, until, width.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("read what was expected of spec %d: %w", spec, err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (PageExpected, error) {
		var e PageExpected
		var forecast, low, high *float64
		err := row.Scan(&e.From, &e.Until, &forecast, &low, &high)
		e.From, e.Until, e.Forecast, e.Low, e.High = e.From.UTC(), e.Until.UTC(), orNaN(forecast), orNaN(low), orNaN(high)
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("read what was expected of spec %d: %w", spec, err)
	}
	return list, nil
}

func orNaN(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

// Drawn makes a spec's chart one of this metric, where it would be of another:
// the delay of pings and routes, the first metric of other tools.
func (r *Reading) Drawn(ctx context.Context, s PageSpec, metric string) (PageSpec, error) {
	shown := s.Metric
	switch s.Table {
	case "pingdata":
		shown = "rtt_median_ms"
	case "routedata":
		shown = "rtt_ms"
	}
	if metric == "" || metric == shown {
		return s, nil
	}
	var only, unit string
	err := r.tx.QueryRow(ctx, `SELECT quote_ident(m ->> 'column') || CASE y.typcategory WHEN 'B' THEN '::int' ELSE '' END, coalesce(m ->> 'unit', '')
		FROM tools t CROSS JOIN jsonb_array_elements(t.metrics) m
		JOIN pg_attribute a ON a.attrelid = to_regclass(quote_ident(t.table_name)) AND a.attname = m ->> 'column' JOIN pg_type y ON y.oid = a.atttypid AND y.typcategory IN ('N', 'B')
		WHERE t.name = $1 AND m ->> 'name' = $2`, s.Tool, metric).Scan(&only, &unit)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, nil // a metric of another version
	}
	if err != nil {
		return s, fmt.Errorf("look for metric %q of %s: %w", metric, s.Tool, err)
	}
	s.Metric, s.Unit, s.Only = metric, unit, only
	return s, nil
}
