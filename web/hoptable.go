package web

import (
	"net/netip"
	"time"

	"sonde/internal/store"
	"sonde/web/chart"
)

// hopRow is one hop of a route.
type hopRow struct {
	store.PageHop
	Places  []place
	Forward int
	Back    int // hops of the way back, by the TTL of the answers; 0 when not known
}

// Lost is the share of the probes without answer, in percent; "" where none is known to have been sent.
func (h hopRow) Lost() string {
	if h.Probes == 0 {
		return ""
	}
	return chart.Number(100 * float64(h.Probes-h.Answered) / float64(h.Probes))
}

// Unequal reports whether the way back has another length.
func (h hopRow) Unequal() bool { return h.Back > 0 && h.Back != h.Forward }

// hopTable are the hops of a route with what its runs tell of them.
type hopTable struct {
	Number int
	Runs   int // that it sums up
	Rows   []hopRow
}

// hopRuns is how many runs of a route its table of hops sums up at most.
const hopRuns = 200

// hopTable sums up the hops of a route.
func (q request) hopTable(k known, spec int64, number int, from, until time.Time, most int) (hopTable, error) {
	t := hopTable{Number: number}
	hops, runs, err := q.r.RouteHops(q.ctx, spec, number, from, until, most)
	if err != nil {
		return t, err
	}
	var arms []*netip.Addr
	for _, h := range hops {
		for _, a := range h.Addresses {
			if _, ok := k[*a]; !ok {
				arms = append(arms, a)
			}
		}
	}
	more, err := q.known(arms)
	if err != nil {
		return t, err
	}
	t.Runs = runs
	for _, h := range hops {
		row := hopRow{PageHop: h, Forward: h.TTL}
		for _, a := range h.Addresses {
			p := q.place(k, a)
			if _, ok := more[*a]; ok {
				p = q.place(more, a)
			}
			row.Places = append(row.Places, p)
		}
		if h.ReplyTTL != nil {
			row.Back = wayBack(*h.ReplyTTL)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

// wayBack tells how many hops an answer came by the time to live it has left:
// hosts and routers start at 64, 128 or 255, and each router between takes one.
func wayBack(ttl int) int {
	for _, start := range []int{64, 128, 255} {
		if ttl <= start {
			return start - ttl + 1
		}
	}
	return 0
}
