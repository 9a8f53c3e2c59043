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
	durationUnits = regexp.MustCompile(`^(?:\d+(?:\.\d+)?[ ]*[a-zA-Zµ]+[ ]*)+$`)
	durationUnit  = regexp.MustCompile(`(\d+(?:\.\d+)?)[ ]*([a-zA-Zµ]+)[ ]*`)
	// 00:05:00, "1 day 02:00:00", "3 days 00:00:01.5"
	durationClock = regexp.MustCompile(`^(?:(\d+) days? )?(\d{1,6}):([0-5]\d):([0-5]\d(?:\.\d+)?)$`)
	// PT5M, P1DT2H, P2W
	durationISO = regexp.MustCompile(`^P(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?$`)
)

// plainNumber is what a person writes who forgot the unit.
var plainNumber = regexp.MustCompile(`^\d+(?:\.\d+)?$`)

// unitMicros is how many microseconds, the grain of PostgreSQL's intervals, a unit has.
var unitMicros = map[string]float64{
	"us": 1, "µs": 1, "usec": 1, "microsecond": 1, "microseconds": 1,
	"ms": 1e3, "msec": 1e3, "millisecond": 1e3, "milliseconds": 1e3,
	"s": 1e6, "sec": 1e6, "secs": 1e6, "second": 1e6, "seconds": 1e6,
	"m": 60e6, "min": 60e6, "mins": 60e6, "minute": 60e6, "minutes": 60e6,
	"h": 3600e6, "hr": 3600e6, "hrs": 3600e6, "hour": 3600e6, "hours": 3600e6,
	"d": 86400e6, "day": 86400e6, "days": 86400e6,
	"w": 604800e6, "week": 604800e6, "weeks": 604800e6,
}

// longest keeps every duration within what int64 nanoseconds and float64 microseconds hold exactly.
const longest = 100 * 365 * 86400e6

// ParseDuration reads a duration as people write it ("100ms", "1h30m", "7d"),
// as PostgreSQL prints it ("1 day 02:00:00") and as ISO 8601 does ("PT5M"). A
// day is 24 hours. Bare numbers, signs, months and years are refused: the first
// says no unit, the last no length. What is finer than a microsecond is rounded.
// sonde_duration in the database agrees.
func ParseDuration(s string) (time.Duration, error) {
	micros, err := durationMicros(s)
	if err != nil {
		return 0, err
	}
	if micros > longest {
		return 0, fmt.Errorf("duration %q is longer than a hundred years", clip([]byte(s)))
	}
	return time.Duration(micros) * time.Microsecond, nil
}

// durationMicros rounds each part to whole microseconds, so that the sum is exact.
func durationMicros(s string) (float64, error) {
	if m := durationClock.FindStringSubmatch(s); m != nil {
		return part(m[1], 86400e6) + part(m[2], 3600e6) + part(m[3], 60e6) + part(m[4], 1e6), nil
	}
	if m := durationISO.FindStringSubmatch(s); m != nil && strings.ContainsAny(s, "0123456789") && !strings.HasSuffix(s, "T") {
		return part(m[1], 604800e6) + part(m[2], 86400e6) + part(m[3], 3600e6) + part(m[4], 60e6) + part(m[5], 1e6), nil
	}
	if !durationUnits.MatchString(s) {
		if plainNumber.MatchString(s) {
			return 0, fmt.Errorf("duration %q has no unit: write \"%ss\" or \"%sms\"", clip([]byte(s)), clip([]byte(s)), clip([]byte(s)))
		}
		return 0, fmt.Errorf("%q is no duration: write it like \"100ms\", \"5m\", \"1h30m\" or \"PT5M\"", clip([]byte(s)))
	}
	total := 0.0
	for _, m := range durationUnit.FindAllStringSubmatch(s, -1) {
		unit, known := unitMicros[strings.ToLower(m[2])]
		if !known || m[2] == "M" {
			return 0, fmt.Errorf("duration %q: %q is no unit: use us, ms, s, m, h, d or w (months and years have no fixed length)", clip([]byte(s)), clip([]byte(m[2])))
		}
		total += part(m[1], unit)
	}
	return total, nil
}

// part reads digits that a pattern has already vetted; "" is 0. More digits
// than a float64 holds give infinity, which is longer than a hundred years.
func part(digits string, unit float64) float64 {
	f, _ := strconv.ParseFloat(digits, 64)
	return math.Round(f * unit)
}

// FormatDuration writes a duration as short as ParseDuration reads it: "1h30m",
// "100ms". Only for negative ones and parts of microseconds there is no way back.
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
