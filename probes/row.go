package probes

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

// Fields gives the values of a Result's Row by column.
func Fields(columns []string, row []any) map[string]any {
	out := map[string]any{}
	for i, name := range columns {
		if i < len(row) {
			out[name] = row[i]
		}
	}
	return out
}

// Errnos is the column icmp_errors: packets that our own kernel refused, by
// errno. NULL when there were none.
func Errnos(counts map[string]int) any {
	if len(counts) == 0 {
		return nil
	}
	b, _ := json.Marshal(counts) // a map of names to numbers always marshals
	return json.RawMessage(b)
}

// Refusals says that column in words: "10 ENETUNREACH, 1 EPERM", or "".
func Refusals(column any) string {
	raw, _ := column.(json.RawMessage)
	counts := map[string]int{}
	if json.Unmarshal(raw, &counts) != nil {
		return ""
	}
	words := make([]string, 0, len(counts))
	for name, n := range counts {
		words = append(words, fmt.Sprintf("%d %s", n, name))
	}
	sort.Strings(words)
	return strings.Join(words, ", ")
}
