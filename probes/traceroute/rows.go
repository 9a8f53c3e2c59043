package traceroute

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sonde/internal/measure"
	"sonde/probes"
)

func columns() []string {
	return []string{
		"method", "first_ttl", "hops", "hop_addresses", "hop_rtts_us", "hop_codes",
		"hop_count", "reached", "rtt_ms", "end_reason", "icmp_errors", "hop_ttls", "hop_labels",
		"hop_interfaces", "hop_notes", "hop_asked", "confidence", "mtu", "mtu_hop",
	}
}

// rowOf gives the path in the order of columns. All values are such that JSON
// and PostgreSQL read them the same: numbers, arrays of one length, nil for NULL.
//
// Arrays by hop and flow have a row more than the route has hops where another path
// is longer, and columns for as many flows as any hop was asked with.
func rowOf(p plan, found *path) []any {
	hops := make([]*netip.Addr, found.sure)
	for i := range hops {
		hops[i] = addrOrNull(found.address(i))
	}
	g := grid{len(found.hops), found.flows()}
	each := func(i, j int) slot { return found.at(i, j) }
	var rtt, confidence any
	if d, ok := found.rtt(); ok {
		rtt = float64(d) / float64(time.Millisecond)
	}
	if p.all && found.confidence > 0 {
		confidence = found.confidence
	}
	return []any{
		p.method.String(), int64(p.firstTTL), hops,
		byFlow(g, func(i, j int) *netip.Addr { return addrOrNull(each(i, j).from) }),
		byFlow(g, func(i, j int) *int32 {
			if s := each(i, j); s.from.IsValid() {
				us := int32(min(s.rtt.Microseconds(), math.MaxInt32))
				return &us
			}
			return nil
		}),
		byFlow(g, func(i, j int) *string { return textOrNull(each(i, j).code) }),
		int64(found.sure), found.reached, rtt, found.reason, probes.Errnos(found.errnos),
		byFlow(g, func(i, j int) *int32 {
			if ttl := int32(each(i, j).ttl); ttl > 0 {
				return &ttl
			}
			return nil
		}),
		unlessEmpty(byFlow(g, func(i, j int) *string { return textOrNull(each(i, j).labels) })),
		unlessEmpty(byFlow(g, func(i, j int) *string { return textOrNull(each(i, j).interfaces) })),
		unlessEmpty(byFlow(g, func(i, j int) *string {
			notes := each(i, j).notes
			if found.hops[i].perPacket && j == 0 {
				notes = strings.TrimPrefix(notes+",per-packet", ",")
			}
			return textOrNull(notes)
		})),
		found.asked(), confidence, numberOrNull(found.mtu), numberOrNull(found.mtuHop),
	}
}

// grid is so many hops by so many flows.
type grid struct{ hops, flows int }

func byFlow[T any](g grid, value func(i, j int) *T) [][]*T {
	out := make([][]*T, g.hops)
	for i := range out {
		out[i] = make([]*T, g.flows)
		for j := range out[i] {
			out[i][j] = value(i, j)
		}
	}
	return out
}

// unlessEmpty is NULL for what most routes have nothing of.
func unlessEmpty(of [][]*string) any {
	for _, hop := range of {
		for _, text := range hop {
			if text != nil {
				return of
			}
		}
	}
	return nil
}

func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func numberOrNull(n int) any {
	if n == 0 {
		return nil
	}
	return int64(n)
}

func addrOrNull(a netip.Addr) *netip.Addr {
	if !a.IsValid() {
		return nil
	}
	return &a
}

// describe says what a run will do, for sonde check.
func describe(o measure.Options) string {
	method := map[method]string{icmp: "ICMP", udp: "UDP to port %d", tcp: "TCP SYN to port %d"}[methodOf(o)]
	if methodOf(o) != icmp {
		method = fmt.Sprintf(method, portOf(o))
	}
	text := fmt.Sprintf("%s, TTL %d to %d, %s of %d bytes each, %s at a time, ends after %s",
		method, o.Int("first_ttl"), o.Int("max_ttl"), plural(o.Int("probes"), "packet"), o.Int("size"),
		plural(o.Int("parallel"), "hop"), plural(o.Int("max_silent"), "silent hop"))
	if o.Text("paths") == "all" {
		text += fmt.Sprintf("; then as many flows as it takes to find all paths with a confidence of %.4g, of %d packets a hop at most", o.Float("confidence"), mostFlows)
	}
	if o.Bool("mtu") {
		text += "; then packets of up to the link's MTU to find that of the path"
	}
	return text
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// fields gives a row by column name.
func fields(row []any) map[string]any { return probes.Fields(columns(), row) }

// printRow prints the hops as traceroute -n does: an address, and the round
// trips from there until another address has its turn.
func printRow(row []any) string {
	f := fields(row)
	addresses, _ := f["hop_addresses"].([][]*netip.Addr)
	rtts, _ := f["hop_rtts_us"].([][]*int32)
	codes, _ := f["hop_codes"].([][]*string)
	remarks := []struct {
		of     [][]*string
		format string
	}{{codes, " %s"}, {texts(f["hop_labels"]), " <MPLS:%s>"}, {texts(f["hop_interfaces"]), " <%s>"}, {texts(f["hop_notes"]), " [%s]"}}
	first, _ := f["first_ttl"].(int64)
	sure, explored := f["confidence"].(float64) // many flows, of which some were not asked everywhere
	var b strings.Builder
	remarkOn := func(i, j int) (text string) {
		for _, r := range remarks {
			if t := value(r.of, i, j); t != nil {
				text += fmt.Sprintf(r.format, *t)
			}
		}
		return text
	}
	for i := range addresses {
		fmt.Fprintf(&b, "%2d ", int(first)+i)
		if explored {
			standing := routers(addresses[i], at(rtts, i))
			if len(standing) == 0 {
				b.WriteString(" *")
			}
			for _, r := range standing {
				fmt.Fprintf(&b, " %s  %.3f ms%s%s", r.from, float64(r.medianUS)/1000, r.share, remarkOn(i, r.firstFlow))
			}
			b.WriteByte('\n')
			continue
		}
		var last netip.Addr
		for j, a := range addresses[i] {
			if a == nil {
				b.WriteString(" *")
				continue
			}
			if *a != last {
				fmt.Fprintf(&b, " %s", a)
				last = *a
			}
			if us := value(rtts, i, j); us != nil {
				fmt.Fprintf(&b, "  %.3f ms", float64(*us)/1000)
			}
			b.WriteString(remarkOn(i, j))
		}
		b.WriteByte('\n')
	}
	if explored {
		fmt.Fprintf(&b, "all paths, with a confidence of %.1f %%\n", 100*sure)
	}
	if mtu, ok := f["mtu"].(int64); ok {
		fmt.Fprintf(&b, "path MTU %d", mtu)
		if hop, ok := f["mtu_hop"].(int64); ok {
			fmt.Fprintf(&b, ", larger packets end behind hop %d", hop)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "ended: %s\n", f["end_reason"])
	if refused := probes.Refusals(f["icmp_errors"]); refused != "" {
		fmt.Fprintf(&b, "refused by our own kernel: %s\n", refused)
	}
	return b.String()
}

// standing is a router at a hop.
type standing struct {
	from      netip.Addr
	firstFlow int
	flows     []int32 // round trips
	medianUS  int32
	share     string // of the flows, where it is not all
}

// routers gives who stands at a hop, in the order of their first flow.
func routers(addresses []*netip.Addr, rtts []*int32) (out []standing) {
	answered := 0
	for j, a := range addresses {
		if a == nil || j >= len(rtts) || rtts[j] == nil {
			continue
		}
		answered++
		i := slices.IndexFunc(out, func(s standing) bool { return s.from == *a })
		if i < 0 {
			i = len(out)
			out = append(out, standing{from: *a, firstFlow: j})
		}
		out[i].flows = append(out[i].flows, *rtts[j])
	}
	for i := range out {
		s := &out[i]
		slices.Sort(s.flows)
		s.medianUS = s.flows[len(s.flows)/2]
		if len(out) > 1 {
			s.share = fmt.Sprintf(" (%d %%)", 100*len(s.flows)/answered)
		}
	}
	return out
}

func texts(v any) [][]*string {
	t, _ := v.([][]*string)
	return t
}

func at[T any](of [][]*T, i int) []*T {
	if i < len(of) {
		return of[i]
	}
	return nil
}

func value[T any](of [][]*T, i, j int) *T {
	if row := at(of, i); j < len(row) {
		return row[j]
	}
	return nil
}

// perf is the row as a Nagios check: a target that is not reached is CRITICAL.
func perf(row []any) (state int, text, perfdata string) {
	f := fields(row)
	reached, _ := f["reached"].(bool)
	hops, _ := f["hop_count"].(int64)
	if !reached {
		text = fmt.Sprintf("target not reached, ended after %s: %s", plural(int(hops), "hop"), f["end_reason"])
		if refused := probes.Refusals(f["icmp_errors"]); refused != "" {
			text += " (" + refused + ")"
		}
		return 2, text, fmt.Sprintf("hops=%d reached=0 rta=U", hops)
	}
	rtt, _ := f["rtt_ms"].(float64)
	text = fmt.Sprintf("target reached, %s, rta %.3g ms", plural(int(hops), "hop"), rtt)
	return 0, text, fmt.Sprintf("hops=%d reached=1 rta=%.3fms", hops, rtt)
}
