package store

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/measure"
)

// PageRoute is one of the routes a spec has seen.
type PageRoute struct {
	Number          int
	Hops            []*netip.Addr // by TTL; nil is a silent hop, or one before the first TTL that was asked
	Reached         bool
	FirstSeen, Last time.Time
	Times           int64
	Share           float64 // percent of all runs that saw a route
}

// Routes gives the routes of a spec, the one seen last first, and how many there are.
func (r *Reading) Routes(ctx context.Context, spec int64, most int) (list []PageRoute, all int, err error) {
	rows, err := r.tx.Query(ctx, `SELECT route_no, first_ttl, hops, reached, first_seen_at, last_seen_at, times_seen,
			(100.0 * times_seen / nullif(sum(times_seen) OVER (), 0))::float8, (count(*) OVER ())::int
		FROM routeno WHERE toolspec_id = $1 ORDER BY last_seen_at DESC, route_no DESC LIMIT $2`, spec, most)
	if err != nil {
		return nil, 0, fmt.Errorf("read routes: %w", err)
	}
	list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (PageRoute, error) {
		var p PageRoute
		var first int
		var hops []*netip.Prefix
		err := row.Scan(&p.Number, &first, &hops, &p.Reached, &p.FirstSeen, &p.Last, &p.Times, &p.Share, &all)
		p.Hops = measure.ByTTL(first, plainAddresses(hops))
		return p, err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read routes: %w", err)
	}
	return list, all, nil
}

// Route gives one route by its number, or ErrNone.
func (r *Reading) Route(ctx context.Context, spec int64, number int) (PageRoute, error) {
	p := PageRoute{Number: number}
	var first int
	var hops []*netip.Prefix
	err := r.tx.QueryRow(ctx, `SELECT first_ttl, hops, reached, first_seen_at, last_seen_at, times_seen FROM routeno WHERE toolspec_id = $1 AND route_no = $2`,
		spec, number).Scan(&first, &hops, &p.Reached, &p.FirstSeen, &p.Last, &p.Times)
	if err == pgx.ErrNoRows {
		return p, fmt.Errorf("route %d of spec %d: %w", number, spec, ErrNone)
	}
	if err != nil {
		return p, fmt.Errorf("read route %d: %w", number, err)
	}
	p.Hops = measure.ByTTL(first, plainAddresses(hops))
	return p, nil
}

// PageRouteRun is one run of a tool that finds routes.
type PageRouteRun struct {
	DueAt           time.Time
	Outcome, Reason string
	Number          *int
	Hops            *int // up to the end, from TTL 1
	Reached         *bool
	RTT             *float64
	EndReason       string
	Method          string
	Confidence      *float64 // that all load-balanced paths were found; nil when that was not asked
	MTU, MTUHop     *int     // of the path; nil when not asked or not found
}

// RouteRuns gives the newest runs due in [from, until], newest first.
func (r *Reading) RouteRuns(ctx context.Context, spec int64, from, until time.Time, most int) ([]PageRouteRun, error) {
	return collect[PageRouteRun](ctx, r, "runs of a route", `SELECT due_at, outcome, coalesce(reason, ''), route_no, hop_count + greatest(coalesce(first_ttl, 1), 1) - 1, reached, rtt_ms, coalesce(end_reason, ''), coalesce(method, ''), confidence, mtu, mtu_hop
		FROM routedata WHERE toolspec_id = $1 AND due_at >= $2 AND due_at <= $3 ORDER BY due_at DESC LIMIT $4`, spec, from, until, most)
}

// PageRouteSpan is a stretch of time through which one route was seen, as far as runs tell.
type PageRouteSpan struct {
	From, Until time.Time
	Number      int // 0: no route was found
	Runs        int
}

// RouteSpans gives the stretches of one route each, oldest first. The newest most runs are looked at.
func (r *Reading) RouteSpans(ctx context.Context, spec int64, from, until time.Time, most int) ([]PageRouteSpan, error) {
	return collect[PageRouteSpan](ctx, r, "stretches of routes", `
		SELECT min(due_at), max(due_at), n, count(*)::int FROM (
			SELECT due_at, coalesce(route_no, 0) AS n, row_number() OVER (ORDER BY due_at) - row_number() OVER (PARTITION BY coalesce(route_no, 0) ORDER BY due_at) AS island
			FROM (SELECT due_at, route_no FROM routedata WHERE toolspec_id = $1 AND due_at >= $2 AND due_at <= $3 AND outcome = 'ok' ORDER BY due_at DESC LIMIT $4) x) y
		GROUP BY n, island ORDER BY min(due_at)`, spec, from, until, most)
}

// PageRouteDay counts a day's runs by route.
type PageRouteDay struct {
	Day           string // local date
	Runs, OK, Bad int
	Numbers       []int // in order of their first run of the day; 0 is none
	Counts        []int
	Changes       int
}

// RouteDays gives a row a local day, newest first.
func (r *Reading) RouteDays(ctx context.Context, spec int64, from, until time.Time, zone string) ([]PageRouteDay, error) {
	return collect[PageRouteDay](ctx, r, "days of routes", `
		WITH runs AS (SELECT due_at, to_char(due_at AT TIME ZONE $4, 'YYYY-MM-DD') AS day, outcome, coalesce(route_no, 0) AS n
				FROM routedata WHERE toolspec_id = $1 AND due_at >= $2 AND due_at <= $3),
			changed AS (SELECT *, lag(n) OVER (ORDER BY due_at) AS before FROM runs WHERE outcome = 'ok'),
			counted AS (SELECT day, n, min(due_at) AS first, count(*)::int AS times FROM changed GROUP BY day, n)
		SELECT d.day, d.runs, d.ok, d.runs - d.ok,
			ARRAY(SELECT n FROM counted c WHERE c.day = d.day ORDER BY first LIMIT 20), ARRAY(SELECT times FROM counted c WHERE c.day = d.day ORDER BY first LIMIT 20),
			(SELECT count(*)::int FROM changed c WHERE c.day = d.day AND c.before IS NOT NULL AND c.before <> c.n)
		FROM (SELECT day, count(*)::int AS runs, count(*) FILTER (WHERE outcome = 'ok')::int AS ok FROM runs GROUP BY day) d ORDER BY d.day DESC`, spec, from, until, zone)
}

// PageRouteShare says how much of a span a route was seen.
type PageRouteShare struct {
	Number      int // 0: no route was found
	Runs        int
	Held        time.Duration // until the next run, two intervals at most
	First, Last time.Time     // within the span
	RTT         *float64      // median to the target, in ms
}

// RouteShares gives the routes of [from, until] with how often and how long each was seen, the longest first.
func (r *Reading) RouteShares(ctx context.Context, spec int64, from, until time.Time, interval time.Duration) ([]PageRouteShare, error) {
	rows, err := r.tx.Query(ctx, `
		SELECT n, count(*)::int, sum(held)::float8, min(due_at), max(due_at), percentile_cont(0.5) WITHIN GROUP (ORDER BY rtt_ms) FROM (
			SELECT coalesce(route_no, 0) AS n, outcome, due_at, rtt_ms,
				least(extract(epoch FROM lead(due_at, 1, greatest($3, due_at)) OVER (ORDER BY due_at) - due_at)::float8, $4::float8) AS held
			FROM routedata WHERE toolspec_id = $1 AND due_at >= $2 AND due_at <= $3) x
		WHERE outcome = 'ok' GROUP BY n ORDER BY 3 DESC, n`, spec, from, until, (2 * interval).Seconds())
	if err != nil {
		return nil, fmt.Errorf("read shares of routes: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (PageRouteShare, error) {
		var s PageRouteShare
		var held float64
		err := row.Scan(&s.Number, &s.Runs, &held, &s.First, &s.Last, &s.RTT)
		s.Held = seconds(held)
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("read shares of routes: %w", err)
	}
	return list, nil
}

// PageHop sums up the answers of one hop over some runs.
type PageHop struct {
	TTL              int
	Addresses        []*netip.Addr // those that answered, the most frequent first; else whom other runs met there
	Probes, Answered int           // flows that asked there
	Min, Median      *float64      // ms
	Labels           []string      // MPLS
	Codes            []string
	Interfaces       []string // RFC 5837
	Notes            []string // nat, qttl=0, …
	ReplyTTL         *int     // with which answers arrived most often
}

// RouteHops sums up the hops of the newest runs of one route due in [from, until], and says how many runs there were.
func (r *Reading) RouteHops(ctx context.Context, spec int64, number int, from, until time.Time, most int) (list []PageHop, runs int, err error) {
	rows, err := r.tx.Query(ctx, `
		WITH runs AS (SELECT * FROM routedata WHERE toolspec_id = $1 AND route_no = $2 AND due_at >= $3 AND due_at <= $4 AND hop_addresses IS NOT NULL ORDER BY due_at DESC LIMIT $5),
			probes AS (SELECT coalesce(r.first_ttl, 1) + (u.ord - 1) / array_length(r.hop_addresses, 2) AS ttl, u.*,
					r.hops[1 + (u.ord - 1) / array_length(r.hop_addresses, 2)] AS told,
					CASE WHEN (u.ord - 1) % array_length(r.hop_addresses, 2) = 0
						THEN coalesce(r.hop_asked[1 + (u.ord - 1) / array_length(r.hop_addresses, 2)], array_length(r.hop_addresses, 2)) END AS asked
				FROM runs r CROSS JOIN LATERAL unnest(r.hop_addresses, r.hop_rtts_us, r.hop_codes, r.hop_ttls, r.hop_labels, r.hop_interfaces, r.hop_notes)
					WITH ORDINALITY AS u (a, rtt, code, back, label, face, note, ord))
		SELECT ttl::int, coalesce(nullif(ARRAY(SELECT a FROM probes q WHERE q.ttl = p.ttl AND a IS NOT NULL GROUP BY a ORDER BY count(*) DESC, a LIMIT 16), '{}'),
				ARRAY(SELECT DISTINCT told FROM probes q WHERE q.ttl = p.ttl AND told IS NOT NULL)),
			coalesce(sum(asked), 0)::int, count(a)::int, min(rtt) / 1000.0::float8, percentile_cont(0.5) WITHIN GROUP (ORDER BY rtt) / 1000.0,
			ARRAY(SELECT DISTINCT label FROM probes q WHERE q.ttl = p.ttl AND label IS NOT NULL ORDER BY label LIMIT 4),
			ARRAY(SELECT DISTINCT code FROM probes q WHERE q.ttl = p.ttl AND code IS NOT NULL ORDER BY code LIMIT 4),
			ARRAY(SELECT DISTINCT face FROM probes q WHERE q.ttl = p.ttl AND face IS NOT NULL ORDER BY face LIMIT 4),
			ARRAY(SELECT DISTINCT note FROM probes q WHERE q.ttl = p.ttl AND note IS NOT NULL ORDER BY note LIMIT 4),
			mode() WITHIN GROUP (ORDER BY back), (SELECT count(*) FROM runs)::int
		FROM probes p GROUP BY ttl ORDER BY ttl`, spec, number, from, until, most)
	if err != nil {
		return nil, 0, fmt.Errorf("read hops: %w", err)
	}
	list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (PageHop, error) {
		var h PageHop
		var addresses []*netip.Prefix
		err := row.Scan(&h.TTL, &addresses, &h.Probes, &h.Answered, &h.Min, &h.Median, &h.Labels, &h.Codes, &h.Interfaces, &h.Notes, &h.ReplyTTL, &runs)
		h.Addresses = plainAddresses(addresses)
		return h, err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read hops: %w", err)
	}
	return list, runs, nil
}
