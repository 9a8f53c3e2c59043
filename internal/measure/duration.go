package measure

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	// 1h30m, 100ms, 7d, "5 minutes", "1 day 2 hours"
	durationUnits = regexp.MustCompile(`^(?:\d+(?:\.\d+)?\s*[a-zA-Zµ]+\s*)+$`)
	durationUnit  = regexp.MustCompile(`(\d+(?:\.\d+)?)\s*([a-zA-Zµ]+)\s*`)
	// 00:05:00, "1 day 02:00:00", "3 days 00:00:01.5"
	durationClock = regexp.MustCompile(`^(?:(\d+) days? )?(\d{1,6}):([0-5]\d):([0-5]\d(?:\.\d+)?)$`)
	// PT5M, P1DT2H, P2W
	durationISO = regexp.MustCompile(`^P(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?$`)
)

var unitSeconds = map[string]float64{
	"us": 1e-6, "µs": 1e-6, "usec": 1e-6, "microsecond": 1e-6, "microseconds": 1e-6,
	"ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3,
	"s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1,
	"m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
	"h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600,
	"d": 86400, "day": 86400, "days": 86400,
	"w": 604800, "week": 604800, "weeks": 604800,
}

// ParseDuration reads a duration as people write it ("100ms", "1h30m", "7d"),
// as PostgreSQL prints it ("1 day 02:00:00") and as ISO 8601 does ("PT5M"). A
// day is 24 hours. Bare numbers, signs, months and years are refused: the first
// says no unit, the last no length. sonde_duration in the database agrees.
func ParseDuration(s string) (time.Duration, error) {
	secs, err := durationSeconds(strings.TrimSpace(s))
	if err != nil {
		return 0, err
	}
	if secs > 100*365*86400 {
		return 0, fmt.Errorf("duration %q is longer than a hundred years", s)
	}
	return time.Duration(math.Round(secs*1e6)) * time.Microsecond, nil
}

func durationSeconds(s string) (float64, error) {
	if m := durationClock.FindStringSubmatch(s); m != nil {
		return number(m[1])*86400 + number(m[2])*3600 + number(m[3])*60 + number(m[4]), nil
	}
	if m := durationISO.FindStringSubmatch(s); m != nil && strings.ContainsAny(s, "0123456789") && !strings.HasSuffix(s, "T") {
		return number(m[1])*604800 + number(m[2])*86400 + number(m[3])*3600 + number(m[4])*60 + number(m[5]), nil
	}
	if !durationUnits.MatchString(s) {
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return 0, fmt.Errorf("duration %q has no unit: write \"%ss\" or \"%sms\"", s, s, s)
		}
		return 0, fmt.Errorf("%q is no duration: write it like \"100ms\", \"5m\", \"1h30m\" or \"PT5M\"", s)
	}
	total := 0.0
	for _, m := range durationUnit.FindAllStringSubmatch(s, -1) {
		unit, known := unitSeconds[strings.ToLower(m[2])]
		if !known || m[2] == "M" {
			return 0, fmt.Errorf("duration %q: %q is no unit: use us, ms, s, m, h, d or w (months and years have no fixed length)", s, m[2])
		}
		total += number(m[1]) * unit
	}
	return total, nil
}

// number reads digits that a pattern has already vetted; "" is 0.
func number(s string) float64 {
	f, _ := strconv.ParseFloat(s, 64)
	return f
}

// FormatDuration writes a duration as short as ParseDuration reads it: "1h30m", "100ms".
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	if d < 0 {
		b.WriteByte('-')
		d = -d
	}
	for _, u := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= u.size {
			fmt.Fprintf(&b, "%d%s", d/u.size, u.name)
			d %= u.size
		}
	}
	if d > 0 {
		b.WriteString(d.String())
	}
	return b.String()
}
