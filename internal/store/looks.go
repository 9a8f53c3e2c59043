package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/measure"
)

// Path is the way to a node as a monitoring host saw it last when it was reached.
type Path struct {
	Monhost, Node string
	Hops          [][]netip.Addr // the nearest first; one that stayed silent has none, one behind a load balancer several
}

// pathAge is how long a path is taken as known. A node that is out is not reached,
// and its path must be known as long as its outage lasts.
const pathAge = "30 days"

// Paths reads the way to each node that an enabled spec traces, and what is
// known of the routers on it, in words: "AS 680 DFN".
func (j Judging) Paths(ctx context.Context) ([]Path, map[netip.Addr]string, error) {
	rows, err := j.tx.Query(ctx, `SELECT s.monhost, s.node, `+routeColumns+` FROM toolspecs s JOIN nodes n ON n.name = s.node AND n.enabled JOIN tools t ON t.name = s.tool AND t.table_name = 'routedata'
		CROSS JOIN LATERAL (SELECT * FROM routedata d WHERE d.toolspec_id = s.id AND d.outcome = 'ok' AND d.reached AND d.due_at > now() - interval '`+pathAge+`'
			ORDER BY d.due_at DESC LIMIT 1) r WHERE s.enabled ORDER BY s.id`)
	if err != nil {
		return nil, nil, fmt.Errorf("read the paths to all nodes: %w", err)
	}
	var list []Path
	var routes []*measure.Route
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		var p Path
		var found routeRow
		if err := row.Scan(append([]any{&p.Monhost, &p.Node}, found.into()...)...); err != nil {
			return struct{}{}, err
		}
		r := found.route()
		for _, h := range r.Hops {
			arms := h.Arms
			if !h.Silent() && !slices.Contains(arms, h.Address) {
				arms = append([]netip.Addr{h.Address}, arms...)
			}
			p.Hops = append(p.Hops, arms)
		}
		list, routes = append(list, p), append(routes, r)
		return struct{}{}, nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read the paths to all nodes: %w", err)
	}
	if err := knowHops(ctx, j.tx, routes); err != nil {
		return nil, nil, err
	}
	names := map[netip.Addr]string{}
	for _, r := range routes {
		for _, h := range r.Hops {
			if h.AS != 0 {
				names[h.Address] = fmt.Sprintf("AS %d %s", h.AS, h.ASName)
			}
		}
	}
	return list, names, nil
}

// OrderRun makes a run of a spec due now, as a person does with INSERT INTO
// schedule. False says that it is not to be had: the spec is disabled, or loads
// the path and runs alone.
func (j Judging) OrderRun(ctx context.Context, spec int64) (time.Time, bool, error) {
	var due time.Time
	err := j.tx.QueryRow(ctx, `INSERT INTO schedule (toolspec_id) SELECT s.id FROM toolspecs s JOIN nodes n ON n.name = s.node
		WHERE s.id = $1 AND s.enabled AND n.enabled AND s.test_type = 'background' ON CONFLICT DO NOTHING RETURNING due_at`, spec).Scan(&due)
	if errors.Is(err, pgx.ErrNoRows) {
		return due, false, nil
	}
	if err != nil {
		return due, false, fmt.Errorf("order a run of spec %d: %w", spec, err)
	}
	return due.UTC(), true, nil
}

// OtherView gives a spec with the same tool to the same node from another
// monitoring host that reports, 0 when there is none.
func (j Judging) OtherView(ctx context.Context, spec int64) (id int64, monhost string, err error) {
	err = j.tx.QueryRow(ctx, `SELECT o.id, o.monhost FROM toolspecs s JOIN toolspecs o ON o.node = s.node AND o.tool = s.tool AND o.monhost <> s.monhost
		JOIN monhosts m ON m.name = o.monhost AND m.last_seen_at > clock_timestamp() - interval '2 minutes'
		WHERE s.id = $1 AND o.enabled AND o.test_type = 'background' ORDER BY o.label <> s.label, o.id LIMIT 1`, spec).Scan(&id, &monhost)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", fmt.Errorf("look for another view than that of spec %d: %w", spec, err)
	}
	return id, monhost, nil
}

// LookRun is how one run ended that was ordered.
type LookRun struct {
	Outcome  measure.Outcome
	Reason   string
	Value    *float64 // of the series; nil for none
	Sent     *int64   // packets, where the tool counts them
	Received *int64
}

// LookRun reads a run, false when it has not ended. column is the series', "" for none.
func (j Judging) LookRun(ctx context.Context, table, column string, spec int64, due time.Time) (LookRun, bool, error) {
	var r LookRun
	err := j.tx.QueryRow(ctx, `SELECT outcome, coalesce(reason, ''), CASE jsonb_typeof(x -> $3) WHEN 'number' THEN (x ->> $3)::float8 WHEN 'boolean' THEN (x ->> $3)::boolean::int::float8 END,
		(x ->> 'sent')::bigint, (x ->> 'received')::bigint
		FROM (SELECT outcome, reason, to_jsonb(d) AS x FROM `+sanitized(table)+` d WHERE toolspec_id = $1 AND due_at = $2) y`, spec, due, column).
		Scan(&r.Outcome, &r.Reason, &r.Value, &r.Sent, &r.Received)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("read the run of spec %d at %s: %w", spec, due.Format(time.RFC3339Nano), err)
	}
	return r, true, nil
}

// Mean gives the mean of a series from one instant to another, 0 when there is nothing.
func (j Judging) Mean(ctx context.Context, table, column string, spec int64, from, to time.Time) (float64, error) {
	var mean float64
	err := j.tx.QueryRow(ctx, `SELECT coalesce(avg(`+sanitized(column)+`), 0)::float8 FROM `+sanitized(table)+`
		WHERE toolspec_id = $1 AND due_at >= $2 AND due_at <= $3 AND outcome = 'ok'`, spec, from, to).Scan(&mean)
	if err != nil {
		return 0, fmt.Errorf("read the mean of spec %d: %w", spec, err)
	}
	return mean, nil
}

// leastUsual is how many values say what is usual.
const leastUsual = 10

// Usual gives the range of nine tenths of a series in the day before, false when too little is known.
func (j Judging) Usual(ctx context.Context, table, column string, spec int64, before time.Time) (low, high float64, known bool, err error) {
	number, err := numberOf(ctx, j.tx, table, column)
	if err != nil {
		return 0, 0, false, fmt.Errorf("read what is usual for spec %d: %w", spec, err)
	}
	var n int
	err = j.tx.QueryRow(ctx, `SELECT count(`+sanitized(column)+`)::int, coalesce(percentile_cont(0.05) WITHIN GROUP (ORDER BY `+number+`), 0)::float8,
		coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY `+number+`), 0)::float8
		FROM `+sanitized(table)+` WHERE toolspec_id = $1 AND due_at >= $2::timestamptz - interval '1 day' AND due_at < $2 AND outcome = 'ok'`, spec, before).Scan(&n, &low, &high)
	if err != nil {
		return 0, 0, false, fmt.Errorf("read what is usual for spec %d: %w", spec, err)
	}
	return low, high, n >= leastUsual, nil
}
