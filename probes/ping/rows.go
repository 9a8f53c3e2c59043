package ping

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"sonde/internal/measure"
	"sonde/probes"
)

func columns() []string {
	return []string{
		"size_bytes", "sent", "received", "duplicates", "reordered", "loss_pct", "rtts_us",
		"rtt_min_ms", "rtt_median_ms", "rtt_mean_ms", "rtt_max_ms", "rtt_stddev_ms", "ttl",
		"ipdv_mean_ms", "ipdv_iqr_ms", "clp_pct", "icmp_errors", "corrupted", "user_stamped", "addresses",
	}
}

// rowOf gives the sample in the order of columns. All values are such that
// JSON and PostgreSQL read them the same: numbers, arrays, nil for NULL.
func rowOf(plans []plan, s sample) []any {
	st := s.stats()
	rtts := make([]*int32, len(s.rtts))
	for i, rtt := range s.rtts {
		if rtt != lost {
			// An int holds 35 minutes of microseconds, which only a reply to one of
			// the first of very many packets can pass.
			us := int32(min(rtt.Microseconds(), math.MaxInt32))
			rtts[i] = &us
		}
	}
	var ttl any
	if s.ttl > 0 {
		ttl = int64(s.ttl)
	}
	var addresses any
	if len(plans) > 1 {
		all := make([]netip.Addr, len(plans))
		for i, p := range plans {
			all[i] = p.to.WithZone("")
		}
		addresses = all
	}
	return []any{
		int64(plans[0].size), int64(len(s.rtts)), int64(st.received), int64(s.duplicates), int64(s.reordered), orNull(st.lossPct), rtts,
		orNull(st.min), orNull(st.median), orNull(st.mean), orNull(st.max), orNull(st.stddev), ttl,
		orNull(st.ipdvMean), orNull(st.ipdvIQR), orNull(st.clpPct), probes.Errnos(s.errors), int64(s.corrupted), int64(s.userStamped), addresses,
	}
}

func orNull(f float64) any {
	if math.IsNaN(f) {
		return nil
	}
	return f
}

// describe says what a run will do, for sonde check. 28 bytes are the ICMP and IPv4 headers.
func describe(o measure.Options) string {
	count, every := "packets", ", "+measure.FormatDuration(o.Duration("interval"))+" apart"
	if o.Int("count") == 1 {
		count, every = "packet", ""
	}
	text := fmt.Sprintf("%d %s of %d bytes%s", o.Int("count"), count, o.Int("size")+28, every)
	if n := o.Int("dscp"); n > 0 {
		text += fmt.Sprintf(", DSCP %d", n)
	}
	if o.Text("addresses") == "each" {
		text += ", to each address of the name"
	}
	if device := o.Text("device"); device != "" {
		text += ", through " + device
	}
	return text
}

// fields gives a row by column name.
func fields(row []any) map[string]any { return probes.Fields(columns(), row) }

func printRow(row []any) string {
	f := fields(row)
	var b strings.Builder
	fmt.Fprintf(&b, "packets     %d sent, %d received, %.4g%% lost", f["sent"], f["received"], f["loss_pct"])
	if n, _ := f["duplicates"].(int64); n > 0 {
		fmt.Fprintf(&b, ", %d duplicates", n)
	}
	if n, _ := f["reordered"].(int64); n > 0 {
		fmt.Fprintf(&b, ", %d reordered", n)
	}
	if n, _ := f["corrupted"].(int64); n > 0 {
		fmt.Fprintf(&b, ", %d corrupted replies", n)
	}
	if f["clp_pct"] != nil {
		fmt.Fprintf(&b, ", %.4g%% after a lost one", f["clp_pct"])
	}
	fmt.Fprintf(&b, "\npayload     %d bytes\n", f["size_bytes"])
	if f["rtt_min_ms"] != nil {
		fmt.Fprintf(&b, "rtt         min %.3f, median %.3f, mean %.3f, max %.3f ms", f["rtt_min_ms"], f["rtt_median_ms"], f["rtt_mean_ms"], f["rtt_max_ms"])
		if f["rtt_stddev_ms"] != nil {
			fmt.Fprintf(&b, ", stddev %.3f ms", f["rtt_stddev_ms"])
		}
		b.WriteByte('\n')
		if f["ipdv_mean_ms"] != nil {
			fmt.Fprintf(&b, "ipdv        mean %.3f, interquartile range %.3f ms\n", f["ipdv_mean_ms"], f["ipdv_iqr_ms"])
		}
		if n, _ := f["user_stamped"].(int64); n > 0 {
			fmt.Fprintf(&b, "            the kernel did not stamp %d of them: tens of microseconds too long\n", n)
		}
	}
	if rtts, _ := f["rtts_us"].([]*int32); len(rtts) > 0 {
		const most = 20
		words := make([]string, 0, most+1)
		for i, us := range rtts {
			switch {
			case i == most:
				words = append(words, fmt.Sprintf("… %d more", len(rtts)-most))
			case us == nil:
				words = append(words, "-")
			default:
				words = append(words, fmt.Sprintf("%.3f", float64(*us)/1000))
			}
			if i == most {
				break
			}
		}
		fmt.Fprintf(&b, "each (ms)   %s\n", strings.Join(words, " "))
	}
	if all, ok := f["addresses"].([]netip.Addr); ok {
		fmt.Fprintf(&b, "addresses   %s\n", strings.Trim(fmt.Sprint(all), "[]"))
	}
	if f["ttl"] != nil {
		fmt.Fprintf(&b, "reply ttl   %d\n", f["ttl"])
	}
	if refused := probes.Refusals(f["icmp_errors"]); refused != "" {
		fmt.Fprintf(&b, "errors      %s\n", refused)
	}
	return b.String()
}

// perf is the row as a Nagios check: no reply is CRITICAL, some loss WARNING.
func perf(row []any) (state int, text, perfdata string) {
	f := fields(row)
	loss, _ := f["loss_pct"].(float64)
	text = fmt.Sprintf("%d of %d packets lost", f["sent"].(int64)-f["received"].(int64), f["sent"])
	switch {
	case loss >= 100:
		state, text = 2, "no answer, "+text
	case loss > 0:
		state = 1
	}
	rta := "U" // the plugin guidelines' word for: could not be determined
	if mean, ok := f["rtt_mean_ms"].(float64); ok {
		text += fmt.Sprintf(", rta %.3g ms", mean)
		rta = fmt.Sprintf("%.3gms", mean)
	}
	if refused := probes.Refusals(f["icmp_errors"]); refused != "" {
		text += ", " + refused
	}
	return state, text, fmt.Sprintf("'rta'=%s;;;0 'pl'=%.4g%%;;;0;100", rta, loss)
}
