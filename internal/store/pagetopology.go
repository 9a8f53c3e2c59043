package store

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"sonde/internal/measure"
)

// PageSeen is a route with the answers of the newest run that saw it. Lists of hops are by TTL.
type PageSeen struct {
	ToolspecID    int64
	Monhost, Node string
	Number        int
	Hops          []*netip.Addr // one a hop; nil is silence. Those at the end are left out
	Reached       bool
	LastSeen      time.Time
	Target        *netip.Addr     // the address that was measured
	Addresses     [][]*netip.Addr // of hops × probes, more hops where other paths are longer; of a hop that the run did not ask those of the newest run that did
	RTTs          [][]*int32      // µs, as Addresses
	Runs          int64
	Now           bool // it is the route this spec saw last
	RTT           *float64
}

// answers are what one run was answered, hop by hop.
type answers struct {
	firstTTL  int
	asked     []*int32
	addresses [][]*netip.Prefix
	rtts      [][]*int32
}

// fill enters what a run was answered at hops of which nothing is known yet.
func (s *PageSeen) fill(a answers) {
	addresses, rtts, asked := measure.ByTTL(a.firstTTL, a.addresses), measure.ByTTL(a.firstTTL, a.rtts), measure.ByTTL(a.firstTTL, a.asked)
	for i, list := range addresses {
		for len(s.Addresses) <= i {
			s.Addresses, s.RTTs = append(s.Addresses, nil), append(s.RTTs, nil)
		}
		if s.Addresses[i] != nil || i < len(asked) && asked[i] != nil && *asked[i] == 0 {
			continue
		}
		s.Addresses[i], s.RTTs[i] = plainAddresses(list), row(rtts, i)
	}
}

// Seen gives the routes that specs saw since an instant, of each spec the newest
// perSpec at most, by spec and with the newest first. A spec that has seen none
// since is not in it.
func (r *Reading) Seen(ctx context.Context, specs []int64, since time.Time, perSpec int) ([]PageSeen, error) {
	rows, err := r.tx.Query(ctx, `
		SELECT n.toolspec_id, s.monhost, s.node, n.route_no, n.first_ttl, n.hops, n.reached, n.last_seen_at, d.address, n.times_seen, n.place = 1, d.rtt_ms,
			coalesce(a.first_ttl, 1), a.hop_asked, a.hop_addresses, a.hop_rtts_us
		FROM (SELECT *, row_number() OVER (PARTITION BY toolspec_id ORDER BY last_seen_at DESC, route_no DESC) AS place
			FROM routeno WHERE toolspec_id = ANY($1) AND last_seen_at >= $2) n
		JOIN toolspecs s ON s.id = n.toolspec_id
		LEFT JOIN routedata d ON d.toolspec_id = n.toolspec_id AND d.due_at = n.last_seen_at AND d.due_at >= $2
		LEFT JOIN LATERAL (SELECT d.due_at, d.first_ttl, d.hop_asked, d.hop_addresses, d.hop_rtts_us
			UNION ALL (SELECT e.due_at, e.first_ttl, e.hop_asked, e.hop_addresses, e.hop_rtts_us`+earlierRuns+`)) a ON true
		WHERE n.place <= $3 ORDER BY n.toolspec_id, n.place, a.due_at DESC`, specs, since, perSpec)
	if err != nil {
		return nil, fmt.Errorf("read the routes seen: %w", err)
	}
	defer rows.Close()
	var list []PageSeen
	for rows.Next() {
		var s PageSeen
		var first int
		var hops []*netip.Prefix
		var target *netip.Prefix
		var a answers
		if err := rows.Scan(&s.ToolspecID, &s.Monhost, &s.Node, &s.Number, &first, &hops, &s.Reached, &s.LastSeen, &target, &s.Runs, &s.Now, &s.RTT,
			&a.firstTTL, &a.asked, &a.addresses, &a.rtts); err != nil {
			return nil, fmt.Errorf("read the routes seen: %w", err)
		}
		if n := len(list); n == 0 || list[n-1].ToolspecID != s.ToolspecID || list[n-1].Number != s.Number {
			s.Hops, s.Target = measure.ByTTL(first, plainAddresses(hops)), plainAddresses([]*netip.Prefix{target})[0]
			list = append(list, s)
		}
		list[len(list)-1].fill(a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the routes seen: %w", err)
	}
	return list, nil
}
