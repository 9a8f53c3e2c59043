package measure

import (
	"strings"
	"testing"
	"time"
)

func TestDurationsAsPeopleDatabasesAndISOWriteThem(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"100ms": 100 * time.Millisecond, "5m": 5 * time.Minute, "1h30m": 90 * time.Minute, "7d": 7 * day, "2w": 14 * day,
		"250us": 250 * time.Microsecond, "250µs": 250 * time.Microsecond, "1.5s": 1500 * time.Millisecond, "0s": 0,
		"5 minutes": 5 * time.Minute, "1 day 2 hours": 26 * time.Hour, "1 hour 1 min 1 sec": 3661 * time.Second, "5 MINUTES": 5 * time.Minute,
		"00:05:00": 5 * time.Minute, "1 day 02:00:00": 26 * time.Hour, "3 days 00:00:01.5": 3*day + 1500*time.Millisecond, "100:00:00": 100 * time.Hour,
		"PT5M": 5 * time.Minute, "P1DT2H": 26 * time.Hour, "P2W": 14 * day, "PT0.5S": 500 * time.Millisecond,
		"36500d": 36500 * day, "0.0000004s": 0, "1us": time.Microsecond,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestWrongDurationsAreRefusedByASentence(t *testing.T) {
	for text, word := range map[string]string{
		"":                                   "is no duration",
		"5":                                  "has no unit",
		"0.5":                                "has no unit",
		"-5s":                                "is no duration",
		"-5":                                 "is no duration",
		"1e3s":                               `"e" is no unit`,
		"5M":                                 "months and years have no fixed length",
		"1 month":                            "months and years have no fixed length",
		"1 mon":                              "months and years have no fixed length",
		"1 year 2 days":                      "months and years have no fixed length",
		"P1M":                                "is no duration",
		"P1Y":                                "is no duration",
		"P":                                  "is no duration",
		"PT":                                 "is no duration",
		"P1DT":                               "is no duration",
		"5 parsecs":                          "is no unit",
		"1h 30":                              "is no duration",
		"m5":                                 "is no duration",
		"00:60:00":                           "is no duration",
		"1:2:3":                              "is no duration",
		"inf":                                "is no duration",
		"NaN":                                "is no duration",
		"100ns":                              `"ns" is no unit`,
		"36501d":                             "longer than a hundred years",
		strings.Repeat("9", 400):             "has no unit",
		strings.Repeat("9", 400) + "s":       "longer than a hundred years",
		"P" + strings.Repeat("9", 400) + "W": "longer than a hundred years",
		strings.Repeat("9", 400) + " days 00:00:00": "longer than a hundred years",
		"5m\x00":                        "is no duration",
		"5m\n":                          "is no duration",
		" 5m":                           "is no duration",
		"5\tm":                          "is no duration",
		"'5m'; DROP TABLE nodes":        "is no duration",
		strings.Repeat("x", 5000):       "…",
		strings.Repeat("1s ", 5) + "٣s": "is no duration", // digits of other scripts are none
	} {
		got, err := ParseDuration(text)
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%.40q gave %v, %v; want an error with %q", text, got, err, word)
		} else if len(err.Error()) > 400 {
			t.Errorf("%.40q gave an error of %d bytes", text, len(err.Error()))
		}
	}
}

func TestDurationsAreWrittenShort(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "100ms": 100 * time.Millisecond, "1h30m": 90 * time.Minute, "1d": 24 * time.Hour, "10d1h": 241 * time.Hour,
		"59.5s": 59500 * time.Millisecond, "1m1s": 61 * time.Second, "-5m": -5 * time.Minute,
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v is written %q, want %q", d, got, want)
		}
	}
}

func FuzzDurationIsReadBackAsWritten(f *testing.F) {
	for _, s := range []string{"100ms", "1h30m", "1 day 02:00:00", "PT5M", "36499d23h59m59.999999s", "0.1us 0.1us", "5M", "", "µs", "1e9s", "99999999:59:59"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if d < 0 || d > 36500*24*time.Hour || d%time.Microsecond != 0 {
			t.Fatalf("%q is %d ns", s, d)
		}
		again, err := ParseDuration(FormatDuration(d))
		if err != nil || again != d {
			t.Fatalf("%q is %v, written %q, read back %v, %v", s, d, FormatDuration(d), again, err)
		}
	})
}

func FuzzEveryDurationSurvivesBeingWritten(f *testing.F) {
	for _, us := range []int64{0, 1, 999_999, 86_400_000_000, 36500*86_400_000_000 - 1} {
		f.Add(us)
	}
	f.Fuzz(func(t *testing.T, us int64) {
		d := time.Duration(uint64(us)%(36500*86_400_000_000)) * time.Microsecond
		if got, err := ParseDuration(FormatDuration(d)); err != nil || got != d {
			t.Fatalf("%v is written %q and read back as %v, %v", d, FormatDuration(d), got, err)
		}
	})
}
