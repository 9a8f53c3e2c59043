package web

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"sort"
	"strings"

	"sonde/internal/measure"
)

// routesOf finds the routes before and after in evidence. What is no address there is silent.
func routesOf(raw []byte) (before, after measure.Route, some bool) {
	var e struct {
		Before, After []string
		BeforeNo      int  `json:"before_route_no"`
		AfterNo       int  `json:"after_route_no"`
		BeforeReached bool `json:"before_reached"`
		AfterReached  bool `json:"after_reached"`
	}
	if json.Unmarshal(raw, &e) != nil || len(e.Before) == 0 || len(e.After) == 0 {
		return before, after, false
	}
	hops := func(names []string) []measure.Hop {
		list := make([]measure.Hop, len(names))
		for i, name := range names {
			list[i].Address, _ = netip.ParseAddr(name) // the zero Addr is silent
		}
		return list
	}
	return measure.Route{Number: e.BeforeNo, Reached: e.BeforeReached, Hops: hops(e.Before)},
		measure.Route{Number: e.AfterNo, Reached: e.AfterReached, Hops: hops(e.After)}, true
}

// fact is one line of evidence.
type fact struct{ Name, Value string }

const factsShown = 200

// facts flattens evidence into lines, in the order of names.
func facts(raw []byte) []fact {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return nil
	}
	var out []fact
	var walk func(name string, v any)
	walk = func(name string, v any) {
		if len(out) >= factsShown {
			return
		}
		switch x := v.(type) {
		case map[string]any:
			names := make([]string, 0, len(x))
			for n := range x {
				names = append(names, n)
			}
			sort.Strings(names)
			for _, n := range names {
				full := n
				if name != "" {
					full = name + "." + n
				}
				walk(full, x[n])
			}
		case []any:
			words := make([]string, 0, len(x))
			for _, e := range x {
				switch e.(type) {
				case map[string]any, []any:
					raw, err := json.Marshal(e)
					if err != nil {
						continue
					}
					words = append(words, string(raw))
				default:
					words = append(words, scalar(e))
				}
			}
			out = append(out, fact{name, strings.Join(words, ", ")})
		default:
			out = append(out, fact{name, scalar(v)})
		}
	}
	walk("", v)
	return out
}

func scalar(v any) string {
	switch x := v.(type) {
	case nil:
		return "–"
	case float64:
		if x == float64(int64(x)) && x < 1e15 && x > -1e15 {
			return fmt.Sprint(int64(x))
		}
		return fmt.Sprintf("%.6g", x)
	case string:
		return x
	}
	return fmt.Sprint(v)
}
