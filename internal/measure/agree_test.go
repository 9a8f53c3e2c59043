package measure_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"sonde/internal/measure"
	"sonde/internal/pgtest"
)

// agreed holds options of every type with every kind of limit.
var agreed = []measure.Option{
	{Name: "count", Type: measure.IntOption, Default: 10, Min: 1, Max: 10000, Meaning: "packets"},
	{Name: "free", Type: measure.IntOption, Meaning: "any number"},
	{Name: "ratio", Type: measure.FloatOption, Min: 0.5, Max: 2, Meaning: "a ratio"},
	{Name: "level", Type: measure.FloatOption, Min: -3, Meaning: "a level"},
	{Name: "deep", Type: measure.BoolOption, Default: false, Meaning: "whether"},
	{Name: "family", Type: measure.EnumOption, Default: "auto", Values: []string{"auto", "4", "6"}, Meaning: "which"},
	{Name: "wait", Type: measure.DurationOption, Default: "1s", Min: "10ms", Max: "1m", Meaning: "how long"},
	{Name: "age", Type: measure.DurationOption, Max: "30d", Meaning: "how old"},
	{Name: "source", Type: measure.AddressOption, Meaning: "from where"},
	{Name: "words", Type: measure.TextOption, Meaning: "what"},
	{Name: "user", Type: measure.TextOption, Requires: []string{"password"}, Meaning: "who"},
	{Name: "password", Type: measure.TextOption, Secret: true, Excludes: []string{"token"}, Meaning: "secret"},
	{Name: "token", Type: measure.TextOption, Secret: true, Meaning: "secret"},
}

// fragments are values as people write them: right, nearly right, wrong.
var fragments = strings.Fields(`null true false 0 1 10 -1 10000 10001 3.5 1e3 1.0 100e-1 1e400 -0 0.5 0.49 2 2.01 9007199254740992 9007199254740993
	-9007199254740992 -9007199254740993 1e15 123456789012345678901234567890 10.00000000000000000000001 0e5 [] {} [1] {"a":1}
	"" "1" "true" "null" "NaN" "auto" "4" "6" "5" "Auto" "100ms" "10ms" "9ms" "9999us" "1m" "60s" "60.000001s" "61s" "1h30m" "PT5M" "PT0.5S" "pt5m" "P1D" "P1M" "PT" "P" "P1DT"
	"5M" "5m" "5_m" "1.5s" "1.s" ".5s" "1e3s" "-5s" "+5s" "30d" "31d" "4w" "5w" "00:00:01" "00:00:60" "24:00:00" "1:2:3" "1ns" "1us" "1µs" "99999999999999999999d" "36500d" "inf"
	"127.0.0.1" "::1" "::" "fe80::1%eth0" "10.0.0.0/8" "10.1" "127.1" "010.0.0.1" "1.2.3.04" "1.2.3.256" "1.2.3.4.5" "::ffff:1.2.3.4" "2001:db8::g" "1:2:3:4:5:6:7:8" "1:2:3:4:5:6:7:8:9" ":::" "::1." "2001:DB8::1" "01:2::3" "00001::" "::1.2.3.04" "::01.2.3.4" "::ffff:1.02.3.4" "0:0::1" "::0" "0::" "0.0.0.0" "00.0.0.0" "1.2.3" "1.2.3.4." "255.255.255.255" "1.2.3.256" "12345::1" "1:::2" "::1:" ":1::" "::1/128" "[::1]" "::1.2.3.4:5" "1:2:3:4:5:6:7::" "1:2:3:4:5:6:7::8" "::2:3:4:5:6:7:8" "1:2:3:4:5:6:7:1.2.3.4" "1:2:3:4:5:6:1.2.3.4" "::FFFF:1.2.3.4" "0x1::1" "1e3::" "1::2::3" "localhost" "１.2.3.4"
	"file:/x" "file:x" "env:A" "env:a_1" "env:1" "env:" "file:/" "hunter2" "ÿ" "日本"`)

// More than Fields can hold: blanks and control characters.
var blanks = []string{`"1 day 02:00:00"`, `"1 day"`, `"2 days 00:00:01.5"`, `"5 minutes"`, `"1 month"`, `"1 hour 1 min"`, `"5 m "`, `" 5m"`, `"5\tm"`, `"5m\n"`, `"5\u00a0m"`,
	`" 127.0.0.1"`, `"127.0.0.1 "`, `"127.0.0.1\n"`, `"a\nb"`, `"env:A\n"`, `"file:/a\nb"`, `"\u0001"`, `" "`, `"1 day 1:00:00"`, `"1 days -01:00:00"`, `"0.05s 5ms"`, `"1h 30"`, `"5 MINUTES"`, `"5 Ms"`}

func randomOptions(r *rand.Rand) string {
	names := []string{"cuont", "Count", ""}
	for _, o := range agreed {
		names = append(names, o.Name, o.Name, o.Name)
	}
	var b strings.Builder
	b.WriteByte('{')
	for i := range r.IntN(3) + 1 {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(names[r.IntN(len(names))])
		fmt.Fprintf(&b, "%s:%s", name, randomValue(r))
	}
	b.WriteByte('}')
	return b.String()
}

func randomValue(r *rand.Rand) string {
	switch r.IntN(8) {
	case 0:
		return blanks[r.IntN(len(blanks))]
	case 1:
		return fmt.Sprint(r.IntN(20001) - 5000)
	case 2:
		return fmt.Sprintf("%.*f", r.IntN(8), r.Float64()*4-1)
	case 3:
		return `"` + randomDuration(r) + `"`
	default:
		return fragments[r.IntN(len(fragments))]
	}
}

func randomDuration(r *rand.Rand) string {
	units := []string{"us", "µs", "ms", "s", "sec", "m", "min", "h", "d", "days", "w", "weeks", "M", "y", "mon", "S", "Hours", "ns", ""}
	var b strings.Builder
	for range r.IntN(3) + 1 {
		if r.IntN(2) == 0 {
			fmt.Fprintf(&b, "%d", r.IntN(3000))
		} else {
			fmt.Fprintf(&b, "%.*f", r.IntN(7), r.Float64()*100)
		}
		b.WriteString([]string{"", "", " "}[r.IntN(3)] + units[r.IntN(len(units))])
	}
	return b.String()
}

// The database refuses a wrong row by the rules by which the program would
// refuse to run it: what one lets pass and the other does not would be a spec
// that fails for ever, or one that nobody can insert.
func TestDatabaseAndProgramAgreeOnOptions(t *testing.T) {
	const most = 20_000
	r := rand.New(rand.NewPCG(5, 6))
	var given []string
	for _, value := range append(append([]string{}, fragments...), blanks...) {
		for _, o := range agreed {
			given = append(given, fmt.Sprintf(`{%q: %s}`, o.Name, value)) // each value for each option
		}
	}
	given = append(given, `null`, `[]`, `1`, `"count"`, `{"count": 1, "count": "x"}`, `{"count": "x", "count": 1}`)
	for len(given) < most {
		given = append(given, randomOptions(r))
	}
	known, err := json.Marshal(agreed)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := pgtest.New(t).Query(t.Context(),
		"SELECT coalesce(sonde_options_problem($1::jsonb, g::jsonb), '') FROM unnest($2::text[]) WITH ORDINALITY u(g, n) ORDER BY n", string(known), given)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n, accepted, wrong := 0, 0, 0
	for ; rows.Next(); n++ {
		var problem string
		if err := rows.Scan(&problem); err != nil {
			t.Fatal(err)
		}
		_, err := measure.ReadOptions(agreed, json.RawMessage(given[n]))
		if err == nil {
			accepted++
		}
		if (err == nil) != (problem == "") && wrong < 30 {
			wrong++
			t.Errorf("%s: the program says %v, the database %q", given[n], err, problem)
		}
	}
	if err := rows.Err(); err != nil || n != len(given) {
		t.Fatalf("%d of %d were judged: %v", n, len(given), err)
	}
	if accepted < most/20 || accepted > most*19/20 {
		t.Errorf("%d of %d are right: too one-sided to tell anything", accepted, n)
	}
}

func TestDatabaseAndProgramReadTheSameLengthOfADuration(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var given []string
	for _, value := range append(append([]string{}, fragments...), blanks...) {
		var text string
		if json.Unmarshal([]byte(value), &text) == nil {
			given = append(given, text)
		}
	}
	for len(given) < 10_000 {
		given = append(given, randomDuration(r))
	}
	rows, err := pgtest.New(t).Query(t.Context(), "SELECT sonde_duration(g) FROM unnest($1::text[]) WITH ORDINALITY u(g, n) ORDER BY n", given)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n, read := 0, 0
	for ; rows.Next(); n++ {
		var secs *float64
		if err := rows.Scan(&secs); err != nil {
			t.Fatal(err)
		}
		d, err := measure.ParseDuration(given[n])
		if (err == nil) != (secs != nil) {
			t.Errorf("%q: the program says %v, %v, the database %v", given[n], d, err, secs)
			continue
		}
		// Both round to microseconds, the program each part: three parts may differ by one or two.
		if err == nil {
			read++
			if math.Abs(d.Seconds()-*secs) > 2.5e-6 {
				t.Errorf("%q: the program says %v, the database %v s", given[n], d, *secs)
			}
		}
	}
	if err := rows.Err(); err != nil || n != len(given) || read < 1000 {
		t.Fatalf("%d of %d were judged, %d right: %v", n, len(given), read, err)
	}
}

func TestDatabaseAndProgramAgreeOnTheLeastTimeOfARun(t *testing.T) {
	known, err := json.Marshal(agreed)
	if err != nil {
		t.Fatal(err)
	}
	pool := pgtest.New(t)
	for _, expression := range []string{"", "(count - 1) * wait + age", "count / 4 * wait", "greatest(wait, age, 0.5) + least(count, 3) + ceil(ratio)", "deep + 1.5", "-(2 - count) * wait"} {
		for _, given := range []string{`{}`, `{"count": 7, "wait": "250ms", "age": "1h"}`, `{"deep": true, "ratio": 1.25}`} {
			o, err := measure.ReadOptions(agreed, json.RawMessage(given))
			if err != nil {
				t.Fatal(err)
			}
			want, err := measure.LeastTime(expression, agreed, o)
			if err != nil {
				t.Fatal(err)
			}
			var secs float64
			if err := pool.QueryRow(t.Context(), "SELECT sonde_least_time($1, $2::jsonb, $3::jsonb)", expression, string(known), given).Scan(&secs); err != nil {
				t.Fatalf("%q: %v", expression, err)
			}
			if math.Abs(want.Seconds()-secs) > float64(time.Microsecond)/1e9 {
				t.Errorf("%q with %s: the program says %v, the database %v s", expression, given, want, secs)
			}
		}
	}
}
