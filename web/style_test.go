package web

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	palette  = regexp.MustCompile(`(?:(@media \(prefers-color-scheme:dark\))\{)?(:root|\.chart|\.topology)\{([^}]*)\}`)
	variable = regexp.MustCompile(`--([a-z0-9]+):(#[0-9a-f]{3,6})`)
)

// luminance is that of WCAG 2.1, https://www.w3.org/TR/WCAG21/#dfn-relative-luminance.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	hex := strings.TrimPrefix(colour, "#")
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	n, err := strconv.ParseUint(hex, 16, 24)
	if err != nil {
		t.Fatalf("%q: %v", colour, err)
	}
	part := func(shift uint) float64 {
		c := float64(n>>shift&255) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
}

func TestWhatIsWrittenCanBeRead(t *testing.T) {
	seen := 0
	for _, m := range palette.FindAllStringSubmatch(Style, -1) {
		colours := map[string]string{}
		for _, v := range variable.FindAllStringSubmatch(m[3], -1) {
			colours[v[1]] = v[2]
		}
		if len(colours) == 0 {
			continue
		}
		seen++
		contrast := func(text, ground string, least float64) {
			if colours[text] == "" || colours[ground] == "" {
				return
			}
			a, b := luminance(t, colours[text]), luminance(t, colours[ground])
			if got := (max(a, b) + 0.05) / (min(a, b) + 0.05); got < least {
				t.Errorf("%s%s: --%s on --%s has a contrast of %.2f, least %.1f", m[1], m[2], text, ground, got, least)
			}
		}
		for _, text := range []string{"ink", "faint", "link", "bad", "warn", "stale", "note", "ok", "code"} {
			if m[2] != ".chart" { // there bad and warn are areas
				contrast(text, "ground", 4.5)
			}
		}
		for i := range 8 {
			n := strconv.Itoa(i)
			contrast("ink", "f"+n, 4.5)
			contrast("faint", "f"+n, 4.5)
			contrast("c"+n, "f"+n, 3) // an outline
		}
	}
	if seen != 6 {
		t.Errorf("%d palettes, want three by day and three by night", seen)
	}
}
