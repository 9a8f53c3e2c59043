package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

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
