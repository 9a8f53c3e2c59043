package traceroute

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"sonde/internal/measure"
	"sonde/probes"
)

func columns() []string {
	return []string{
		"method", "first_ttl", "hops", "hop_addresses", "hop_rtts_us", "hop_codes",
		"hop_count", "reached", "rtt_ms", "end_reason", "icmp_errors", "hop_ttls", "hop_labels",
	}
}

// rowOf gives the path in the order of columns. All values are such that JSON
// and PostgreSQL read them the same: numbers, arrays of one length, nil for NULL.
func rowOf(p plan, found *path) []any {
	n := len(found.hops)
	hops := make([]*netip.Addr, n)
	addresses := make([][]*netip.Addr, n)
	rtts := make([][]*int32, n)
	codes := make([][]*string, n)
	ttls := make([][]*int32, n)
	labels := make([][]*string, n)
	labelled := false
	for i, h := range found.hops {
		hops[i] = addrOrNull(found.address(i))
		addresses[i] = make([]*netip.Addr, len(h.slots))
		rtts[i] = make([]*int32, len(h.slots))
		codes[i] = make([]*string, len(h.slots))
		ttls[i] = make([]*int32, len(h.slots))
		labels[i] = make([]*string, len(h.slots))
		for j, s := range h.slots {
			addresses[i][j] = addrOrNull(s.from)
			if s.from.IsValid() {
				us := int32(min(s.rtt.Microseconds(), math.MaxInt32))
				rtts[i][j] = &us
			}
			if s.code != "" {
				codes[i][j] = &s.code
			}
			if s.ttl > 0 {
				ttl := int32(s.ttl)
				ttls[i][j] = &ttl
			}
			if s.labels != "" {
				labels[i][j], labelled = &s.labels, true
			}
		}
	}
	method := "icmp"
	if p.udp {
		method = "udp"
	}
	var rtt any
	if d, ok := found.rtt(); ok {
		rtt = float64(d) / float64(time.Millisecond)
	}
	var stacks any // most routes have none
	if labelled {
		stacks = labels
	}
	return []any{
		method, int64(p.firstTTL), hops, addresses, rtts, codes,
		int64(n), found.reached, rtt, found.reason, probes.Errnos(found.errnos), ttls, stacks,
	}
}

func addrOrNull(a netip.Addr) *netip.Addr {
	if !a.IsValid() {
		return nil
	}
	return &a
}

// describe says what a run will do, for sonde check.
func describe(o measure.Options) string {
	method := "ICMP"
	if o.Text("method") == "udp" {
		method = fmt.Sprintf("UDP to port %d", o.Int("port"))
	}
	return fmt.Sprintf("%s, TTL %d to %d, %s of %d bytes each, %s at a time, ends after %s",
		method, o.Int("first_ttl"), o.Int("max_ttl"), plural(o.Int("probes"), "packet"), o.Int("size"),
		plural(o.Int("parallel"), "hop"), plural(o.Int("max_silent"), "silent hop"))
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
	labels, _ := f["hop_labels"].([][]*string)
	first, _ := f["first_ttl"].(int64)
	var b strings.Builder
	for i := range addresses {
		fmt.Fprintf(&b, "%2d ", int(first)+i)
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
			if i < len(rtts) && j < len(rtts[i]) && rtts[i][j] != nil {
				fmt.Fprintf(&b, "  %.3f ms", float64(*rtts[i][j])/1000)
			}
			if i < len(codes) && j < len(codes[i]) && codes[i][j] != nil {
				b.WriteString(" " + *codes[i][j])
			}
			if i < len(labels) && j < len(labels[i]) && labels[i][j] != nil {
				b.WriteString(" <MPLS:" + *labels[i][j] + ">")
			}
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "ended: %s\n", f["end_reason"])
	if refused := probes.Refusals(f["icmp_errors"]); refused != "" {
		fmt.Fprintf(&b, "refused by our own kernel: %s\n", refused)
	}
	return b.String()
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
