package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/measure"
)

// How far around a change it is looked.
const (
	leastAround   = time.Hour       // of a series …
	runsAround    = 6               // … or so many of its intervals …
	mostAround    = 24 * time.Hour  // … at most
	alertBefore   = 5 * time.Minute // an alert may have begun so long before the last run of the old route
	sharedWithin  = 10 * time.Minute
	routeLookBack = 30 * 24 * time.Hour
	mostSharers   = 200
)

// RouteChangeEffects tells what came with a change of the route of a spec: at is
// when the new route was seen first (or earlier: then it is the first run after).
// What lies behind the next change of the route, or is not measured yet, is left
// out. ErrNone says that there is no route before or after.
func (s *Store) RouteChangeEffects(ctx context.Context, spec int64, at time.Time) (measure.RouteChange, error) {
	return routeChange(ctx, s.pool, spec, at)
}

// RouteChangeEffects is that of Store.
func (r *Reading) RouteChangeEffects(ctx context.Context, spec int64, at time.Time) (measure.RouteChange, error) {
	return routeChange(ctx, r.tx, spec, at)
}

// RouteChangeEffects is that of Store.
func (j Judging) RouteChangeEffects(ctx context.Context, spec int64, at time.Time) (measure.RouteChange, error) {
	return routeChange(ctx, j.tx, spec, at)
}

func routeChange(ctx context.Context, q querier, spec int64, at time.Time) (measure.RouteChange, error) {
	c := measure.RouteChange{ToolspecID: spec}
	fail := func(err error) (measure.RouteChange, error) {
		if errors.Is(err, pgx.ErrNoRows) {
			err = ErrNone
		}
		return c, fmt.Errorf("what came with a change of the route of spec %d at %s: %w", spec, at.UTC().Format(time.RFC3339), err)
	}
	if err := q.QueryRow(ctx, `SELECT monhost, node, tool, label FROM toolspecs WHERE id = $1`, spec).Scan(&c.Monhost, &c.Node, &c.Tool, &c.Label); err != nil {
		return fail(err)
	}
	find := func(due *time.Time, into *measure.Route, which string, args ...any) error {
		var found routeRow
		err := q.QueryRow(ctx, `SELECT due_at, `+routeColumns+` FROM routedata WHERE toolspec_id = $1 AND outcome = 'ok' AND route_no IS NOT NULL AND `+which, args...).
			Scan(append([]any{due}, found.into()...)...)
		if err == nil {
			*due, *into = due.UTC(), *found.route()
		}
		return err
	}
	if err := find(&c.At, &c.After, `due_at >= $2 AND due_at <= $3 ORDER BY due_at LIMIT 1`, spec, at, at.Add(routeLookBack)); err != nil {
		return fail(err)
	}
	if err := find(&c.Last, &c.Before, `due_at < $2 AND due_at >= $3 ORDER BY due_at DESC LIMIT 1`, spec, c.At, c.At.Add(-routeLookBack)); err != nil {
		return fail(err)
	}
	// A path that was lost for some runs and came back another way changed from what it
	// was before it was lost.
	if c.After.Reached && !c.Before.Reached {
		var last time.Time
		var whole measure.Route
		err := find(&last, &whole, `due_at < $2 AND due_at >= $3 AND reached ORDER BY due_at DESC LIMIT 1`, spec, c.At, c.At.Add(-routeLookBack))
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fail(err)
		}
		if err == nil && whole.Number != c.After.Number {
			c.Last, c.Before = last, whole
		}
	}
	if err := knowHops(ctx, q, []*measure.Route{&c.Before, &c.After}); err != nil {
		return fail(err)
	}
	// From the first run of the old route to the last of the new one.
	var from, until time.Time
	if err := q.QueryRow(ctx, `WITH near AS (SELECT due_at, route_no FROM routedata WHERE toolspec_id = $1 AND due_at >= $2 AND due_at <= $3 AND outcome = 'ok' AND route_no IS NOT NULL)
		SELECT coalesce((SELECT min(due_at) FROM near WHERE due_at > (SELECT max(due_at) FROM near WHERE due_at < $4 AND route_no <> $5)), $2),
			coalesce((SELECT max(due_at) FROM near WHERE due_at < (SELECT min(due_at) FROM near WHERE due_at > $6 AND route_no <> $7)), $3)`,
		spec, c.Last.Add(-mostAround), c.At.Add(mostAround), c.Last, c.Before.Number, c.At, c.After.Number).Scan(&from, &until); err != nil {
		return fail(err)
	}
	var err error
	if c.Effects, err = effects(ctx, q, c, from, until); err != nil {
		return fail(err)
	}
	rows, err := q.Query(ctx, `SELECT id, tool, rule, severity, text, began_at, coalesce(ended_at, closed_at, '0001-01-01 00:00:00+00') FROM alerts
		WHERE node = $1 AND monhost = $2 AND toolspec_id <> $3 AND began_at >= $4 AND began_at <= $5 AND began_at < $6 AND NOT shadow ORDER BY began_at, id LIMIT 20`,
		c.Node, c.Monhost, spec, c.Last.Add(-alertBefore), c.At.Add(leastAround), until)
	if err != nil {
		return fail(err)
	}
	if c.Alerts, err = pgx.CollectRows(rows, pgx.RowToStructByPos[measure.RelatedAlert]); err != nil {
		return fail(err)
	}
	for i := range c.Alerts {
		c.Alerts[i].BeganAt, c.Alerts[i].EndedAt = c.Alerts[i].BeganAt.UTC(), c.Alerts[i].EndedAt.UTC()
	}
	if c.Sharers, err = sharers(ctx, q, c); err != nil {
		return fail(err)
	}
	return c, nil
}

// effects compares what the other tools of the pair measured before and after, by the metrics they declare.
func effects(ctx context.Context, q querier, c measure.RouteChange, from, until time.Time) ([]measure.Effect, error) {
	type series struct {
		measure.Effect
		table, column, kind string
		interval            float64
	}
	rows, err := q.Query(ctx, `SELECT s.id, s.tool, s.label, t.table_name, coalesce(extract(epoch FROM s.run_interval)::float8, 86400), m ->> 'name', m ->> 'column', coalesce(m ->> 'unit', ''), y.typcategory::text,
			EXISTS (SELECT FROM rules r WHERE r.enabled AND r.tool = s.tool AND r.metric = m ->> 'name' AND coalesce(r.node, s.node) = s.node)
		FROM toolspecs s JOIN tools t ON t.name = s.tool CROSS JOIN jsonb_array_elements(t.metrics) WITH ORDINALITY AS e (m, n)
		JOIN pg_attribute a ON a.attrelid = to_regclass(quote_ident(t.table_name)) AND a.attname = m ->> 'column' JOIN pg_type y ON y.oid = a.atttypid AND y.typcategory IN ('N', 'B')
		WHERE s.monhost = $1 AND s.node = $2 AND s.tool <> $3 ORDER BY s.id, n`, c.Monhost, c.Node, c.Tool)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (series, error) {
		var s series
		return s, row.Scan(&s.ToolspecID, &s.Tool, &s.Label, &s.table, &s.interval, &s.Metric, &s.column, &s.Unit, &s.kind, &s.Watched)
	})
	if err != nil {
		return nil, err
	}
	var out []measure.Effect
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].ToolspecID == list[0].ToolspecID {
			n++
		}
		one := list[:n]
		list = list[n:]
		around := min(max(leastAround, time.Duration(runsAround*one[0].interval*float64(time.Second))), mostAround)
		columns := make([]string, n)
		for i, s := range one {
			column := sanitized(s.column)
			if s.kind == "B" {
				column += "::int"
			}
			// A median says nothing of loss: one packet in fifty leaves it at zero.
			value := `percentile_cont(0.5) WITHIN GROUP (ORDER BY ` + column + `)`
			if s.Unit == "%" {
				value = `avg(` + column + `)`
			}
			columns[i] = `count(` + column + `)::int, coalesce((` + value + `)::float8, 0)`
		}
		rows, err := q.Query(ctx, `SELECT due_at >= $3, `+strings.Join(columns, ", ")+` FROM `+sanitized(one[0].table)+`
			WHERE toolspec_id = $1 AND outcome = 'ok' AND due_at >= $4 AND due_at <= $5 AND (due_at <= $2 OR due_at >= $3) GROUP BY 1`,
			one[0].ToolspecID, c.Last, c.At, later(from, c.Last.Add(-around)), earlier(until, c.At.Add(around)))
		if err != nil {
			return nil, err
		}
		counts, values := make([]int, n), make([]float64, n)
		var after bool
		into := []any{&after}
		for i := range one {
			into = append(into, &counts[i], &values[i])
		}
		if _, err := pgx.ForEachRow(rows, into, func() error {
			for i := range one {
				if after {
					one[i].RunsAfter, one[i].After = counts[i], values[i]
				} else {
					one[i].RunsBefore, one[i].Before = counts[i], values[i]
				}
			}
			return nil
		}); err != nil {
			return nil, err
		}
		for _, s := range one {
			out = append(out, s.Effect)
		}
	}
	return out, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// sharers gives the other specs that ran over the hops that went, or run over
// those that came, and whether their routes changed at about the same time.
func sharers(ctx context.Context, q querier, c measure.RouteChange) ([]measure.Sharer, error) {
	gone, come := only(c.Before, c.After), only(c.After, c.Before)
	rows, err := q.Query(ctx, `SELECT s.id, s.monhost, s.node, s.label,
			coalesce((SELECT x FROM unnest(b.hops) x WHERE x = ANY ($2::inet[]) LIMIT 1), (SELECT x FROM unnest(coalesce(a.hops, b.hops)) x WHERE x = ANY ($3::inet[]) LIMIT 1)),
			b.hops && $2::inet[], coalesce(a.due_at, '0001-01-01 00:00:00+00')
		FROM (SELECT DISTINCT toolspec_id FROM routeno WHERE hops && ($2::inet[] || $3::inet[]) AND toolspec_id <> $1 AND last_seen_at >= $4::timestamptz - interval '1 day') o
		JOIN toolspecs s ON s.id = o.toolspec_id
		CROSS JOIN LATERAL (SELECT d.hops, d.route_no, d.reached FROM routedata d WHERE d.toolspec_id = s.id AND d.due_at <= $4 AND d.due_at >= $4::timestamptz - interval '2 days'
			AND d.outcome = 'ok' AND d.route_no IS NOT NULL ORDER BY d.due_at DESC LIMIT 1) b
		LEFT JOIN LATERAL (SELECT d.hops, d.due_at FROM routedata d WHERE d.toolspec_id = s.id AND d.due_at > $4
			AND d.due_at <= $5::timestamptz + greatest(make_interval(secs => $6), 2 * coalesce(s.run_interval, '0')) AND d.outcome = 'ok' AND d.route_no <> b.route_no
			AND (b.hops && $2::inet[] AND NOT d.hops && $2::inet[] AND (d.reached OR NOT b.reached) OR d.hops && $3::inet[] AND NOT b.hops && $3::inet[]) ORDER BY d.due_at LIMIT 1) a ON true
		WHERE b.hops && $2::inet[] OR coalesce(a.hops, b.hops) && $3::inet[] ORDER BY s.id LIMIT $7`,
		c.ToolspecID, gone, come, c.Last, c.At, sharedWithin.Seconds(), mostSharers)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (measure.Sharer, error) {
		var s measure.Sharer
		var address netip.Prefix
		err := row.Scan(&s.ToolspecID, &s.Monhost, &s.Node, &s.Label, &address, &s.Gone, &s.ChangedAt)
		s.Address, s.ChangedAt = address.Addr(), s.ChangedAt.UTC()
		return s, err
	})
}

// only gives the addresses of a that b has not.
func only(a, b measure.Route) []netip.Addr {
	out := []netip.Addr{}
	for _, h := range a.Hops {
		if !h.Silent() && !slices.ContainsFunc(b.Hops, func(x measure.Hop) bool { return x.Address == h.Address }) {
			out = append(out, h.Address)
		}
	}
	return out
}
