package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/measure"
)

// routeColumns are the columns of routedata that a route is made of; routeRow reads them.
const routeColumns = `hops, coalesce(reached, false), coalesce(route_no, 0), coalesce(first_ttl, 1), coalesce(rtt_ms, 0), hop_addresses, hop_rtts_us, hop_labels`

// routeRow takes prefixes for addresses: a row that a person inserted may have
// an inet with a mask, and must not stop all alerts.
type routeRow struct {
	hops      []*netip.Prefix
	reached   bool
	number    int
	firstTTL  int
	rtt       float64
	addresses [][]*netip.Prefix // hops × probes, as the next two
	rtts      [][]*int32
	labels    [][]*string
}

func (r *routeRow) into() []any {
	return []any{&r.hops, &r.reached, &r.number, &r.firstTTL, &r.rtt, &r.addresses, &r.rtts, &r.labels}
}

func (r *routeRow) route() *measure.Route {
	out := &measure.Route{Number: r.number, Reached: r.reached, RTT: time.Duration(r.rtt * float64(time.Millisecond))}
	hops := make([]measure.Hop, 0, len(r.hops))
	for i, address := range r.hops {
		var h measure.Hop
		if address != nil {
			h.Address = address.Addr()
		}
		var rtts []time.Duration
		for j, from := range row(r.addresses, i) {
			if from == nil {
				continue
			}
			if !slices.Contains(h.Arms, from.Addr()) {
				h.Arms = append(h.Arms, from.Addr())
			}
			if from.Addr() != h.Address {
				continue
			}
			if list := row(r.rtts, i); j < len(list) && list[j] != nil {
				rtts = append(rtts, time.Duration(*list[j])*time.Microsecond)
			}
			if list := row(r.labels, i); j < len(list) && list[j] != nil && h.Labels == "" {
				h.Labels = *list[j]
			}
		}
		h.RTT = measure.Median(rtts)
		hops = append(hops, h)
	}
	out.Hops = measure.ByTTL(r.firstTTL, hops)
	return out
}

// earlierRuns selects of the newest runs e that saw the route of run d before it, none
// where d asked every hop itself: with the option share a run asks a hop itself every five
// minutes at least, and else has no answers there.
const earlierRuns = ` FROM routedata e WHERE 0 = ANY(d.hop_asked) AND e.toolspec_id = d.toolspec_id AND e.route_no = d.route_no
	AND e.due_at < d.due_at AND e.due_at >= d.due_at - interval '2 hours' ORDER BY e.due_at DESC LIMIT 8`

func row[T any](table [][]T, i int) []T {
	if i < len(table) {
		return table[i]
	}
	return nil
}

// knowHops adds what has been looked up of the hops of routes; what has not stays zero.
func knowHops(ctx context.Context, q querier, routes []*measure.Route) error {
	hops := map[netip.Addr][]*measure.Hop{}
	var addresses []netip.Addr
	for _, r := range routes {
		for i := range r.Hops {
			if h := &r.Hops[i]; !h.Silent() {
				if hops[h.Address] == nil {
					addresses = append(addresses, h.Address)
				}
				hops[h.Address] = append(hops[h.Address], h)
			}
		}
	}
	if len(addresses) == 0 {
		return nil
	}
	rows, err := q.Query(ctx, `SELECT a.address, coalesce(a.asn, 0), coalesce(i.name, ''), coalesce(a.name, '')
		FROM asn a LEFT JOIN asninfo i ON i.asn = a.asn WHERE a.address = ANY ($1::inet[])`, addresses)
	if err != nil {
		return fmt.Errorf("read who hops belong to: %w", err)
	}
	var address netip.Prefix
	var as int64
	var asName, name string
	if _, err := pgx.ForEachRow(rows, []any{&address, &as, &asName, &name}, func() error {
		for _, h := range hops[address.Addr()] {
			h.AS, h.ASName, h.Name = uint32(min(max(as, 0), 1<<32-1)), asName, name
		}
		return nil
	}); err != nil {
		return fmt.Errorf("read who hops belong to: %w", err)
	}
	return nil
}
