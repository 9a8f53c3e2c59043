package store

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"
)

// PageSeen is a route with the answers of the newest run that saw it.
type PageSeen struct {
	ToolspecID    int64
	Monhost, Node string
	Number        int
	Hops          []*netip.Addr // one a hop; nil is silence. Those at the end are left out
	Reached       bool
	FirstTTL      int
	LastSeen      time.Time
	Target        *netip.Addr     // the address that was measured
	Addresses     [][]*netip.Addr // of hops × probes
	RTTs          [][]*int32      // µs, hops × probes
	Runs          int64
	Now           bool // it is the route this spec saw last
	RTT           *float64
}

// Seen gives the routes that specs saw since an instant, of each spec the newest
// perSpec at most, by spec and with the newest first. A spec that has seen none
// since is not in it.
func (r *Reading) Seen(ctx context.Context, specs []int64, since time.Time, perSpec int) ([]PageSeen, error) {
	rows, err := r.tx.Query(ctx, `
		SELECT n.toolspec_id, s.monhost, s.node, n.route_no, n.hops, n.reached, coalesce(d.first_ttl, 1), n.last_seen_at, d.address, d.hop_addresses, d.hop_rtts_us, n.times_seen, n.place = 1, d.rtt_ms
		FROM (SELECT *, row_number() OVER (PARTITION BY toolspec_id ORDER BY last_seen_at DESC, route_no DESC) AS place
			FROM routeno WHERE toolspec_id = ANY($1) AND last_seen_at >= $2) n
		JOIN toolspecs s ON s.id = n.toolspec_id
		LEFT JOIN routedata d ON d.toolspec_id = n.toolspec_id AND d.due_at = n.last_seen_at AND d.due_at >= $2
		WHERE n.place <= $3 ORDER BY n.toolspec_id, n.place`, specs, since, perSpec)
	if err != nil {
		return nil, fmt.Errorf("read the routes seen: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (PageSeen, error) {
		var s PageSeen
		var hops []*netip.Prefix
		var target *netip.Prefix
		var addresses [][]*netip.Prefix
		err := row.Scan(&s.ToolspecID, &s.Monhost, &s.Node, &s.Number, &hops, &s.Reached, &s.FirstTTL, &s.LastSeen, &target, &addresses, &s.RTTs, &s.Runs, &s.Now, &s.RTT)
		s.Hops, s.Target = plainAddresses(hops), plainAddresses([]*netip.Prefix{target})[0]
		for _, a := range addresses {
			s.Addresses = append(s.Addresses, plainAddresses(a))
		}
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the routes seen: %w", err)
	}
	return list, nil
}
