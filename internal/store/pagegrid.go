package store

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/measure"
)

// PageGridRun is a run of a tool that finds routes, as the grid of a day marks it.
type PageGridRun struct {
	ToolspecID      int64
	DueAt           time.Time
	Outcome, Reason string
	Number          int           // of the route; 0 when none was seen
	Hops            []*netip.Addr // by TTL
	Reached         bool
	Codes           []string // distinct codes of the answers
	RTT             *float64
}

const gridRun = `d.due_at, d.outcome, coalesce(d.reason, ''), coalesce(d.route_no, 0), coalesce(d.first_ttl, 1), coalesce(d.hops, '{}'), coalesce(d.reached, false),
	ARRAY(SELECT DISTINCT c FROM unnest(d.hop_codes) c WHERE c IS NOT NULL ORDER BY c), d.rtt_ms`

// GridRuns gives the runs of specs due in [from, until), by spec and time.
func (r *Reading) GridRuns(ctx context.Context, specs []int64, from, until time.Time) ([]PageGridRun, error) {
	return r.gridRuns(ctx, `SELECT d.toolspec_id, `+gridRun+`
		FROM routedata d WHERE d.toolspec_id = ANY($1) AND d.due_at >= $2 AND d.due_at < $3 ORDER BY d.toolspec_id, d.due_at`, specs, from, until)
}

// GridBefore gives of each spec the last run that saw a route before an instant, looked for through eight days.
func (r *Reading) GridBefore(ctx context.Context, specs []int64, before time.Time) ([]PageGridRun, error) {
	return r.gridRuns(ctx, `SELECT i.id, l.* FROM unnest($1::bigint[]) AS i (id) CROSS JOIN LATERAL (
		SELECT `+gridRun+` FROM routedata d WHERE d.toolspec_id = i.id AND d.due_at >= $2::timestamptz - interval '8 days' AND d.due_at < $2
			AND d.outcome = 'ok' AND d.route_no IS NOT NULL ORDER BY d.due_at DESC LIMIT 1) l`, specs, before)
}

func (r *Reading) gridRuns(ctx context.Context, sql string, args ...any) ([]PageGridRun, error) {
	rows, err := r.tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read runs of a day: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (PageGridRun, error) {
		var g PageGridRun
		var first int
		var hops []*netip.Prefix
		err := row.Scan(&g.ToolspecID, &g.DueAt, &g.Outcome, &g.Reason, &g.Number, &first, &hops, &g.Reached, &g.Codes, &g.RTT)
		g.Hops = measure.ByTTL(first, plainAddresses(hops))
		return g, err
	})
	if err != nil {
		return nil, fmt.Errorf("read runs of a day: %w", err)
	}
	return list, nil
}

// GridGaps gives the gaps of specs that touch [from, until), less what was measured inside them all the same.
func (r *Reading) GridGaps(ctx context.Context, specs []int64, from, until time.Time) ([]PageGap, error) {
	return collect[PageGap](ctx, r, "gaps of a day", `SELECT toolspec_id, due_at, until_at, runs, reason FROM runs
		WHERE toolspec_id = ANY($1) AND until_at IS NOT NULL AND due_at < $3 AND until_at >= $2 ORDER BY toolspec_id, due_at LIMIT 5000`, specs, from, until)
}
