package plan

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

var randomFields = [5]struct {
	lo, hi int
	names  []string
}{
	{0, 59, nil}, {0, 23, nil}, {1, 31, nil},
	{1, 12, strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec")},
	{0, 6, strings.Fields("sun mon tue wed thu fri sat")},
}

// randomRight gives an expression that the parser takes; it may never fire.
func randomRight(r *rand.Rand) string {
	out := make([]string, 5)
	for i := range out {
		f := randomFields[i]
		value := func(least int) (int, string) {
			v := least + r.IntN(f.hi-least+1)
			if f.names != nil && r.IntN(3) == 0 {
				name := f.names[v-f.lo]
				if r.IntN(2) == 0 {
					name = strings.ToUpper(name[:1]) + name[1:]
				}
				return v, name
			}
			return v, fmt.Sprint(v)
		}
		var parts []string
		for n := 1 + r.IntN(2)*r.IntN(3); n > 0; n-- {
			switch r.IntN(7) {
			case 0, 1, 2:
				parts = append(parts, []string{"*", "*", "?"}[r.IntN(3)])
			case 3:
				parts = append(parts, fmt.Sprintf("*/%d", 1+r.IntN(40)))
			case 4:
				_, s := value(f.lo)
				parts = append(parts, s)
			case 5:
				v, s := value(f.lo)
				_, e := value(v)
				parts = append(parts, s+"-"+e)
			case 6:
				v, s := value(f.lo)
				_, e := value(v)
				parts = append(parts, fmt.Sprintf("%s-%s/%d", s, e, 1+r.IntN(9)))
			}
		}
		out[i] = strings.Join(parts, ",")
	}
	return strings.Join(out, " ")
}

var (
	randomPieces = []string{
		"*", "?", "/", "-", ",", "0", "1", "5", "7", "31", "60", "+3", "-1", "*/0", "*/2", "5-1", "1-2-3", "*-5", "*-x", "*-5/3", "/5", "1,,2",
		",", "jan", "FEB", "Sun", "monday", "frİ", "9223372036854775807", "9223372036854775808", "00000000000000000000000000000005", "1e1", "0x5", "1_0", "٣", "५", "５",
		"@every 1m", "@daily", "TZ=UTC", "CRON_TZ=Europe/Berlin ", "L", "W", "#", "é", "ſun", "\\d", "'", "%",
	}
	randomSpaces = []string{" ", " ", " ", " ", "  ", "\t", "\n", "\v", "\f", "\r", "\u0085", "\u00a0", "\u1680", "\u2003", "\u200b", "\u2028", "\u202f", "\u205f", "\u3000", "\ufeff", "\x1c", ""}
)

// randomExpression gives right ones, nearly right ones and garbage.
func randomExpression(r *rand.Rand) string {
	expr := randomRight(r)
	switch r.IntN(4) {
	case 0:
		return expr
	case 1, 2: // a few small changes
		for range 1 + r.IntN(3) {
			runes := []rune(expr)
			at := r.IntN(len(runes) + 1)
			piece := randomPieces[r.IntN(len(randomPieces))]
			if r.IntN(4) == 0 {
				piece = randomSpaces[r.IntN(len(randomSpaces))]
			}
			cut := min(len(runes), at+r.IntN(3))
			expr = string(runes[:at]) + piece + string(runes[cut:])
		}
		return expr
	default:
		var b strings.Builder
		for i := range 3 + r.IntN(4) {
			if i > 0 || r.IntN(9) == 0 {
				b.WriteString(randomSpaces[r.IntN(len(randomSpaces))])
			}
			if r.IntN(20) == 0 {
				b.WriteRune(rune(1 + r.IntN(0xd7ff)))
			}
			for range 1 + r.IntN(1+r.IntN(3)) {
				b.WriteString(randomPieces[r.IntN(len(randomPieces))])
			}
		}
		return b.String()
	}
}
