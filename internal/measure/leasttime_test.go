package measure

import (
	"strings"
	"testing"
	"time"
)

var timed = []Option{
	{Name: "count", Type: IntOption, Default: 10}, {Name: "interval", Type: DurationOption, Default: "1s"},
	{Name: "timeout", Type: DurationOption, Default: "2s"}, {Name: "twice", Type: BoolOption, Default: true},
	{Name: "unset", Type: IntOption},
}

func TestLeastTimeOfARun(t *testing.T) {
	o, err := ReadOptions(timed, nil)
	if err != nil {
		t.Fatal(err)
	}
	for expression, want := range map[string]time.Duration{
		"":                                 0,
		"(count - 1) * interval + timeout": 11 * time.Second,
		"count / 4 * interval":             2500 * time.Millisecond,
		"1 + twice":                        2 * time.Second,
		"greatest(interval, timeout, 0.5) + least(count, 3) + ceil(0.1)": 6 * time.Second,
		"unset - 5":           0, // no run takes less than nothing
		"-(2 - 3) * timeout":  2 * time.Second,
		"count * count * 1e0": 0, // e0 is no option, see below
	} {
		got, err := LeastTime(expression, timed, o)
		if strings.Contains(expression, "1e0") {
			if err == nil {
				t.Errorf("%q is %v", expression, got)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", expression, got, err, want)
		}
	}
	for _, expression := range []string{"count +", "(count", "count)", "hops * 2", "1 / 0", "count count", "greatest(1, 2", "ceil(1, 2)", ")", "'a'", "pg_sleep(10)"} {
		if got, err := LeastTime(expression, timed, o); err == nil {
			t.Errorf("%q is %v, want an error", expression, got)
		}
	}
}

func FuzzLeastTimeEnds(f *testing.F) {
	for _, s := range []string{"(count - 1) * interval + timeout", strings.Repeat("(", 1000), strings.Repeat("-", 1000) + "1", "greatest(1,", "9/0", "1e400"} {
		f.Add(s)
	}
	o, err := ReadOptions(timed, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		if d, err := LeastTime(expression, timed, o); err == nil && d < 0 {
			t.Fatalf("%q is %v", expression, d)
		}
	})
}
