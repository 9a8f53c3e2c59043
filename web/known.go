package web

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sonde/analysis/route"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// known is what is known of addresses: names and ASes.
type known map[netip.Addr]store.PageAddress

// known looks up the addresses of these hops.
func (q request) known(lists ...[]*netip.Addr) (known, error) {
	seen := map[netip.Addr]bool{}
	var all []netip.Addr
	for _, list := range lists {
		for _, a := range list {
			if a != nil && !seen[*a] {
				seen[*a] = true
				all = append(all, *a)
			}
		}
	}
	if len(all) == 0 {
		return known{}, nil
	}
	found, err := q.r.Addresses(q.ctx, all)
	return found, err
}

// hop gives an address with what is known of it; nil is a silent hop.
func (k known) hop(a *netip.Addr) measure.Hop {
	if a == nil {
		return measure.Hop{}
	}
	i := k[*a]
	return measure.Hop{Address: *a, AS: uint32(i.ASN), ASName: i.AS, Name: i.Name}
}

// route gives a route with what is known of its hops.
func (k known) route(number int, hops []*netip.Addr, reached bool) measure.Route {
	r := measure.Route{Number: number, Reached: reached, Hops: make([]measure.Hop, len(hops))}
	for i, h := range hops {
		r.Hops[i] = k.hop(h)
	}
	return r
}

// named gives a route with what is known of its hops added.
func (k known) named(r measure.Route) measure.Route {
	r.Hops = slices.Clone(r.Hops)
	for i := range r.Hops {
		if h := &r.Hops[i]; !h.Silent() {
			n := k.hop(&h.Address)
			h.AS, h.ASName, h.Name = n.AS, n.ASName, n.Name
		}
	}
	return r
}

// durations gives the round trips that are known, which are in µs.
func durations(us []*int32) []time.Duration {
	var list []time.Duration
	for _, v := range us {
		if v != nil {
			list = append(list, time.Duration(*v)*time.Microsecond)
		}
	}
	return list
}

// seen gives a route with the round trips of the newest run that saw it.
func (k known) seen(s store.PageSeen) measure.Route {
	r := k.route(s.Number, s.Hops, s.Reached)
	for i := range r.Hops {
		if i < len(s.RTTs) {
			r.Hops[i].RTT = measure.Median(durations(s.RTTs[i]))
		}
		if i < len(s.Addresses) {
			for _, a := range s.Addresses[i] {
				if a != nil && !slices.Contains(r.Hops[i].Arms, *a) {
					r.Hops[i].Arms = append(r.Hops[i].Arms, *a)
				}
			}
		}
	}
	if s.RTT != nil {
		r.RTT = time.Duration(*s.RTT * float64(time.Millisecond))
	}
	return r
}

// asPath writes the AS path of a route with the names of the ASes.
func (k known) asPath(r measure.Route) string {
	names := map[uint32]string{}
	for _, h := range r.Hops {
		names[h.AS] = h.ASName
	}
	path := route.ASPathOf(r)
	if !path.Known() {
		return "unknown"
	}
	var words []string
	for i, as := range path {
		switch {
		case as != 0:
			words = append(words, strings.TrimSpace(fmt.Sprintf("%d %s", as, short(24, names[as]))))
		case i > 0: // the gap before the first is one's own network
			words = append(words, "?")
		}
	}
	return strings.Join(words, " → ")
}

// asText writes AS 680 DFN, DE; "" when no AS is known.
func asText(a store.PageAddress) string {
	if a.ASN == 0 {
		return ""
	}
	text := fmt.Sprintf("AS %d", a.ASN)
	if a.AS != "" {
		text += " " + a.AS
	}
	if a.Country != "" && !strings.HasSuffix(a.AS, a.Country) {
		text += ", " + a.Country
	}
	return text
}

// place is an address on a page.
type place struct {
	Address netip.Addr // the zero Addr is a silent hop
	Name    string
	AS      string // AS 680 DFN, DE
	Href    string // its page
}

// Text is the address, or * for a silent hop.
func (p place) Text() string {
	if !p.Address.IsValid() {
		return "*"
	}
	return p.Address.String()
}

func (q request) place(k known, a *netip.Addr) place {
	if a == nil {
		return place{}
	}
	return place{Address: *a, Name: k[*a].Name, AS: asText(k[*a]), Href: q.L.Hop(*a, "")}
}
