package route

import (
	"net/netip"
	"time"

	"sonde/internal/measure"
)

// evidence of a change. Round-trip times are in ms; "*" is a silent hop, AS 0 is not known.
func evidence(class Class, changes []Change, before, now measure.Route, beforeSince time.Time) map[string]any {
	list := make([]map[string]any, len(changes))
	for i, c := range changes {
		list[i] = map[string]any{"hop": c.Hop, "from": name(c.From.Address), "to": name(c.To.Address), "class": string(c.Class),
			"from_as": c.From.AS, "to_as": c.To.AS}
		if c.From.RTT > 0 && c.To.RTT > 0 {
			list[i]["rtt_before_ms"], list[i]["rtt_after_ms"] = ms(c.From.RTT), ms(c.To.RTT)
		}
	}
	e := map[string]any{
		"class": string(class), "changes": list,
		"before": printed(before.Hops), "after": printed(now.Hops),
		"before_as": numbers(before.Hops), "after_as": numbers(now.Hops),
		"before_as_path": ASPathOf(before).String(), "after_as_path": ASPathOf(now).String(),
		"before_reached": before.Reached, "after_reached": now.Reached,
		"before_route_no": before.Number, "after_route_no": now.Number,
		"before_since": beforeSince,
	}
	if before.RTT > 0 && now.RTT > 0 {
		e["target_rtt_before_ms"], e["target_rtt_after_ms"] = ms(before.RTT), ms(now.RTT)
	}
	return e
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func name(a netip.Addr) string {
	if !a.IsValid() {
		return "*"
	}
	return a.String()
}

func printed(hops []measure.Hop) []string {
	out := make([]string, len(hops))
	for i, h := range hops {
		out[i] = name(h.Address)
	}
	return out
}

func numbers(hops []measure.Hop) []uint32 {
	out := make([]uint32, len(hops))
	for i, h := range hops {
		out[i] = h.AS
	}
	return out
}
