package store

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/measure"
)

// PageCrossing is a route that leads over an address.
type PageCrossing struct {
	ToolspecID           int64
	Monhost, Node, Label string
	Number               int
	Hops                 []*netip.Addr // by TTL
	Reached              bool
	FirstSeen, LastSeen  time.Time
	Times                int64
	Place                int           // TTL of the address, 0 when that is not known
	Arm                  bool          // only other flows than the first crossed it
	Now                  bool          // it is the route this spec saw last
	Interval             time.Duration // of the spec; 0 for a cron expression
}

// Crossings gives the routes that lead over an address, the one seen last first,
// and how many there are. That an address is crossed
// by other flows than the first is looked for in the newest run of each route
// seen within a day, and where that did not ask each hop in those before it.
func (r *Reading) Crossings(ctx context.Context, address netip.Addr, most int) (list []PageCrossing, all int, err error) {
	rows, err := r.tx.Query(ctx, `
		WITH seen AS MATERIALIZED (
			SELECT toolspec_id, route_no, NULL::int AS arm FROM routeno WHERE hops @> ARRAY[$1::inet]
			UNION ALL
			SELECT n.toolspec_id, n.route_no, min(x.arm) FROM routeno n JOIN routedata d ON d.toolspec_id = n.toolspec_id AND d.due_at = n.last_seen_at
			CROSS JOIN LATERAL (SELECT d.hop_addresses UNION ALL (SELECT e.hop_addresses`+earlierRuns+`)) AS a (list)
			CROSS JOIN LATERAL (SELECT (min(ord) - 1)::int / array_length(a.list, 2) FROM unnest(a.list) WITH ORDINALITY u (a, ord) WHERE u.a = $1) AS x (arm)
			WHERE n.last_seen_at >= $3::timestamptz - interval '1 day' AND d.due_at >= $3::timestamptz - interval '1 day' AND d.due_at <= $3
				AND NOT n.hops @> ARRAY[$1::inet] AND $1 = ANY(a.list) GROUP BY 1, 2)
		SELECT n.toolspec_id, s.monhost, s.node, s.label, n.route_no, n.first_ttl, n.hops, n.reached, n.first_seen_at, n.last_seen_at, n.times_seen,
			n.first_ttl - 1 + coalesce(array_position(n.hops, $1), seen.arm + 1, 1 - n.first_ttl), seen.arm IS NOT NULL,
			NOT EXISTS (SELECT FROM routeno o WHERE o.toolspec_id = n.toolspec_id AND o.last_seen_at > n.last_seen_at),
			coalesce(extract(epoch FROM s.run_interval)::float8, 0), (count(*) OVER ())::int
		FROM seen JOIN routeno n USING (toolspec_id, route_no) JOIN toolspecs s ON s.id = n.toolspec_id
		ORDER BY n.last_seen_at DESC, n.toolspec_id, n.route_no LIMIT $2`, address, most, r.Now)
	if err != nil {
		return nil, 0, fmt.Errorf("read who crosses %s: %w", address, err)
	}
	list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (PageCrossing, error) {
		var c PageCrossing
		var first int
		var hops []*netip.Prefix
		var interval float64
		err := row.Scan(&c.ToolspecID, &c.Monhost, &c.Node, &c.Label, &c.Number, &first, &hops, &c.Reached, &c.FirstSeen, &c.LastSeen, &c.Times, &c.Place, &c.Arm, &c.Now, &interval, &all)
		c.Hops, c.Interval = measure.ByTTL(first, plainAddresses(hops)), seconds(interval)
		return c, err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read who crosses %s: %w", address, err)
	}
	return list, all, nil
}

// RouteTimes gives how often each of some specs has seen any route.
func (r *Reading) RouteTimes(ctx context.Context, specs []int64) (map[int64]int64, error) {
	rows, err := r.tx.Query(ctx, `SELECT toolspec_id, sum(times_seen)::bigint FROM routeno WHERE toolspec_id = ANY($1) GROUP BY 1`, specs)
	if err != nil {
		return nil, fmt.Errorf("count runs of routes: %w", err)
	}
	out := map[int64]int64{}
	var id, times int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &times}, func() error { out[id] = times; return nil }); err != nil {
		return nil, fmt.Errorf("count runs of routes: %w", err)
	}
	return out, nil
}

// HopRTTs gives the least round trip to an address in the newest run that saw each of these
// routes, or where that did not ask it in the newest that did, in ms, by spec.
func (r *Reading) HopRTTs(ctx context.Context, address netip.Addr, crossings []PageCrossing, since time.Time) (map[int64]float64, error) {
	ids, at := make([]int64, len(crossings)), make([]time.Time, len(crossings))
	for i, c := range crossings {
		ids[i], at[i] = c.ToolspecID, c.LastSeen
	}
	rows, err := r.tx.Query(ctx, `
		SELECT DISTINCT ON (d.toolspec_id) d.toolspec_id, min(u.v) / 1000.0::float8 FROM unnest($2::bigint[], $3::timestamptz[]) AS n (id, at)
		JOIN routedata d ON d.toolspec_id = n.id AND d.due_at = n.at AND d.due_at >= $4
		CROSS JOIN LATERAL (SELECT d.due_at, d.hop_addresses, d.hop_rtts_us UNION ALL (SELECT e.due_at, e.hop_addresses, e.hop_rtts_us`+earlierRuns+`)) AS l (due_at, addresses, rtts)
		CROSS JOIN LATERAL unnest(l.addresses, l.rtts) AS u (a, v) WHERE u.a = $1 AND u.v IS NOT NULL GROUP BY d.toolspec_id, l.due_at ORDER BY d.toolspec_id, l.due_at DESC`, address, ids, at, since)
	if err != nil {
		return nil, fmt.Errorf("read round trips to %s: %w", address, err)
	}
	out := map[int64]float64{}
	var id int64
	var ms float64
	if _, err := pgx.ForEachRow(rows, []any{&id, &ms}, func() error { out[id] = ms; return nil }); err != nil {
		return nil, fmt.Errorf("read round trips to %s: %w", address, err)
	}
	return out, nil
}

// HopSeries sums up the least round trip of each run to an address over all
// these crossings, due in [from, until), in buckets of width.
func (r *Reading) HopSeries(ctx context.Context, address netip.Addr, crossings []PageCrossing, from, until time.Time, width time.Duration) ([]PageBucket, error) {
	var specs []int64
	var routes, places []int32
	for _, c := range crossings {
		if c.Place > 0 {
			specs, routes, places = append(specs, c.ToolspecID), append(routes, int32(c.Number)), append(places, int32(c.Place))
		}
	}
	rows, err := r.tx.Query(ctx, `
		SELECT floor(extract(epoch FROM due_at) * 1e6 / $7::bigint)::bigint, count(*)::int, count(rtt)::int, min(rtt), percentile_cont(0.25) WITHIN GROUP (ORDER BY rtt),
			percentile_cont(0.5) WITHIN GROUP (ORDER BY rtt), percentile_cont(0.75) WITHIN GROUP (ORDER BY rtt), max(rtt)
		FROM (SELECT d.due_at, (SELECT min(v) / 1000.0::float8 FROM unnest(d.hop_addresses[at.n:at.n][:], d.hop_rtts_us[at.n:at.n][:]) AS u (a, v) WHERE a = $6) AS rtt
			FROM unnest($1::bigint[], $2::int[], $3::int[]) AS x (id, route, ttl)
			JOIN routedata d ON d.toolspec_id = x.id AND d.route_no = x.route AND d.due_at >= $4 AND d.due_at < $5
			CROSS JOIN LATERAL (SELECT x.ttl - greatest(coalesce(d.first_ttl, 1), 1) + 1) AS at (n)
			WHERE coalesce(d.hop_asked[at.n], 1) > 0 OFFSET 0) y -- without OFFSET 0 the planner computes rtt once for each aggregate
		GROUP BY 1 ORDER BY 1`, specs, routes, places, from, until, address, width.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("read the round trips to %s: %w", address, err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (PageBucket, error) {
		var b PageBucket
		var n int64
		var v [5]*float64
		err := row.Scan(&n, &b.Runs, &b.OK, &v[0], &v[1], &v[2], &v[3], &v[4])
		b.At = time.UnixMicro(n * width.Microseconds()).UTC()
		b.setValues(v)
		return b, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the round trips to %s: %w", address, err)
	}
	return list, nil
}

// PageHopChange is a noted change of a route.
type PageHopChange struct {
	ToolspecID    int64
	Monhost, Node string
	At            time.Time
	Text          string
	Evidence      []byte
}

// HopChanges gives the noted changes of these specs since an instant in which an address came or went, newest first. An
// alarm tells of a change once more that was noted when it began.
func (r *Reading) HopChanges(ctx context.Context, address netip.Addr, specs []int64, since time.Time, most int) ([]PageHopChange, error) {
	return collect[PageHopChange](ctx, r, "changes at a hop", `SELECT toolspec_id, monhost, node, at, text, evidence FROM newalerts f
		WHERE toolspec_id = ANY($2) AND at >= $3 AND at <= $4
			AND (kind = 'note' OR NOT EXISTS (SELECT FROM newalerts n WHERE n.toolspec_id = f.toolspec_id AND n.kind = 'note' AND n.rule = f.rule AND n.at = f.since)) AND (evidence -> 'changes' @> jsonb_build_array(jsonb_build_object('from', $1::text)) OR evidence -> 'changes' @> jsonb_build_array(jsonb_build_object('to', $1::text)))
		ORDER BY at DESC, id DESC LIMIT $5`, address.String(), specs, since, r.Now, most)
}
