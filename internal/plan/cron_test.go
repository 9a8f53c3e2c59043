package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/robfig/cron/v3"
)

func times(t *testing.T, expr, zone string, from, to string) []string {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	begin, err := time.ParseInLocation("2006-01-02 15:04", from, loc)
	if err != nil {
		t.Fatal(err)
	}
	end, err := time.ParseInLocation("2006-01-02 15:04", to, loc)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for at := range Between(Spec{RunAt: expr, TimeZone: zone}, begin, end) {
		out = append(out, at.In(loc).Format("02 15:04 MST"))
	}
	return out
}

func TestClockChanges(t *testing.T) {
	for _, c := range []struct {
		expr, zone, from, to string
		want                 []string
	}{
		{"30 2 * * *", "Europe/Berlin", "2026-03-28 12:00", "2026-03-30 12:00", []string{"29 03:00 CEST", "30 02:30 CEST"}},
		{"30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", "2026-10-26 12:00", []string{"25 02:30 CEST", "26 02:30 CET"}},
		{"*/20 2 * * *", "Europe/Berlin", "2026-03-29 00:00", "2026-03-29 12:00", []string{"29 03:00 CEST"}},
		{"0 2,3 * * *", "Europe/Berlin", "2026-03-29 00:00", "2026-03-29 12:00", []string{"29 03:00 CEST"}},
		{"0 */2 * * *", "Europe/Berlin", "2026-10-25 00:00", "2026-10-25 06:00", []string{"25 02:00 CEST", "25 04:00 CET", "25 06:00 CET"}},
		{"*/30 * * * *", "Europe/Berlin", "2026-10-25 01:30", "2026-10-25 03:00",
			[]string{"25 02:00 CEST", "25 02:30 CEST", "25 02:00 CET", "25 02:30 CET", "25 03:00 CET"}},
		{"*/30 * * * *", "Europe/Berlin", "2026-03-29 01:00", "2026-03-29 04:00",
			[]string{"29 01:30 CET", "29 03:00 CEST", "29 03:30 CEST", "29 04:00 CEST"}},
		// Midnight does not exist in Santiago on that day.
		{"0 0 6 9 *", "America/Santiago", "2026-09-05 00:00", "2026-09-07 00:00", []string{"06 01:00 -03"}},
		// A whole day was left out when Samoa crossed the date line.
		{"0 12 * * *", "Pacific/Apia", "2011-12-29 00:00", "2011-12-31 18:00", []string{"29 12:00 -10", "31 00:00 +14", "31 12:00 +14"}},
		{"0 0 29 2 *", "UTC", "2096-03-01 00:00", "2104-03-01 00:00", []string{"29 00:00 UTC"}},
	} {
		if got := times(t, c.expr, c.zone, c.from, c.to); !slices.Equal(got, c.want) {
			t.Errorf("%q in %s from %s to %s:\n got %q\nwant %q", c.expr, c.zone, c.from, c.to, got, c.want)
		}
	}
}

// Go gives the last day of a leap year that no zone file knows any more an end
// before its beginning. It must not be looked for for ever.
func TestLastDayOfALeapYearEnds(t *testing.T) {
	ended := make(chan string, 1)
	go func() {
		for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Sydney"} {
			for _, expr := range []string{"0 5 * * *", "0 4 * * 0", "0 0 1 * *", "0 0 1 1 *", "0 0 29 2 *"} {
				s := Spec{RunAt: expr, TimeZone: zone}
				if usual := Usual(s); usual < 23*time.Hour {
					ended <- fmt.Sprintf("%q in %s is usually run %s apart", expr, zone, usual)
					return
				}
				for _, year := range []int{2028, 2040, 2096} {
					from := time.Date(year, 12, 30, 12, 0, 0, 0, time.UTC)
					to := from.AddDate(0, 0, 400)
					n := int64(0)
					for range Between(s, from, to) {
						n++
					}
					if counted := Count(s, from, to); int64(counted) != n {
						ended <- fmt.Sprintf("%q in %s from %s: %d instants, counted %d", expr, zone, from, n, counted)
						return
					}
				}
			}
		}
		ended <- ""
	}()
	select {
	case problem := <-ended:
		if problem != "" {
			t.Error(problem)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it looks for ever")
	}
}

// slowly finds the instants of an expression by looking at every minute.
func slowly(t *testing.T, expr string, loc *time.Location, from, to time.Time) []time.Time {
	t.Helper()
	s, err := fields.Parse(expr)
	if err != nil {
		t.Fatal(err)
	}
	spec := s.(*cron.SpecSchedule)
	fits := func(wall time.Time) bool {
		dom, dow := spec.Dom>>wall.Day()&1 == 1, spec.Dow>>wall.Weekday()&1 == 1
		day := dom && dow
		if (spec.Dom|spec.Dow)>>63 == 0 {
			day = dom || dow
		}
		return day && spec.Month>>wall.Month()&1 == 1 && spec.Hour>>wall.Hour()&1 == 1 && spec.Minute>>wall.Minute()&1 == 1
	}
	wallOf := func(at time.Time) time.Time {
		_, offset := at.In(loc).Zone()
		return at.Add(time.Duration(offset) * time.Second).UTC()
	}
	every := spec.Hour&allHours == allHours
	found := map[int64]bool{}
	latest := wallOf(from.Add(-26 * time.Hour)) // the latest wall time there was
	for at := from.Add(-26 * time.Hour).Truncate(time.Minute); !at.After(to); at = at.Add(time.Minute) {
		wall := wallOf(at)
		if every {
			if fits(wall) {
				found[at.Unix()] = true
			}
			continue
		}
		for latest.Before(wall) {
			latest = latest.Add(time.Minute)
			if fits(latest) {
				found[at.Unix()] = true
			}
		}
	}
	var out []time.Time
	for sec := range found {
		if at := time.Unix(sec, 0).UTC(); at.After(from) && !at.After(to) {
			out = append(out, at)
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}

func TestInstantsAreThoseOfLookingAtEveryMinute(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	zones := []string{"UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca", "Pacific/Apia", "Asia/Kathmandu"}
	days := []string{"2026-03-29", "2026-10-25", "2026-04-05", "2026-10-04", "2026-09-06", "2026-02-15", "2011-12-30", "2024-02-29"}
	for range 400 {
		loc, err := time.LoadLocation(zones[r.IntN(len(zones))])
		if err != nil {
			t.Fatal(err)
		}
		day, err := time.ParseInLocation("2006-01-02", days[r.IntN(len(days))], loc)
		if err != nil {
			t.Fatal(err)
		}
		from := day.Add(-time.Duration(r.IntN(2880)) * time.Minute).UTC()
		to := day.Add(time.Duration(r.IntN(4320)) * time.Minute).UTC()
		expr := randomRight(r)
		if _, err := ParseCron(expr); err != nil {
			continue // never fires
		}
		want := slowly(t, expr, loc, from, to)
		s := Spec{RunAt: expr, TimeZone: loc.String()}
		if got := collect(s, from, to); !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%q in %s (%s, %s]:\n got %v\nwant %v", expr, loc, from, to, got, want)
		}
		if n := Count(s, from, to); n != len(want) {
			t.Fatalf("%q in %s (%s, %s]: Count %d, instants %d", expr, loc, from, to, n, len(want))
		}
	}
}

func TestUsualDistance(t *testing.T) {
	for _, c := range []struct {
		expr, zone string
		want       time.Duration
	}{
		{"* * * * *", "", time.Minute},
		{"*/10 * * * *", "", 10 * time.Minute},
		{"*/7 * * * *", "", 7 * time.Minute},
		{"0 * * * *", "Europe/Berlin", time.Hour},
		{"0 3 * * *", "Europe/Berlin", 24 * time.Hour}, // two days of the year are an hour shorter or longer
		{"30 2 * * *", "America/New_York", 24 * time.Hour},
		{"0 3 * * 1-5", "", 24 * time.Hour},
		{"0 3 * * 1-4", "", 24 * time.Hour},
		{"*/10 8-17 * * 1-5", "Europe/Berlin", 10 * time.Minute},
		{"0 3 * * 0", "", 7 * 24 * time.Hour},
		{"0,1 */6 * * *", "", 6*time.Hour - time.Minute}, // two of a kind are one time, not a distance
		{"0 0 1 * *", "", 31 * 24 * time.Hour},
		{"0 12 29 2 *", "", 4*365*24*time.Hour + 24*time.Hour},
	} {
		if got := Usual(Spec{RunAt: c.expr, TimeZone: c.zone}); got != c.want {
			t.Errorf("%s in %q: usually %s apart, wanted %s", c.expr, c.zone, got, c.want)
		}
	}
	if got := Usual(Spec{RunInterval: time.Minute}); got != time.Minute {
		t.Errorf("every minute: usually %s apart", got)
	}
	if got := Usual(Spec{RunAt: "0 0 30 2 *"}); got != 0 {
		t.Errorf("never: usually %s apart", got)
	}
}

func TestExpressionThatNeverFiresIsRefused(t *testing.T) {
	for expr, right := range map[string]bool{
		"0 0 30 2 *": false, "0 0 31 4,6,9,11 *": false, "0 0 29 2 *": true, "0 0 30 2 1": true, // or on Mondays
		"0 0 30 2 */2": true, "0 0 30 2 */1": false, "0 0 31 2-4 *": true, ", * * * *": false, "* , * * *": false,
		"* * , * *": false, "* * , * 1": true, "* * * , *": false, "* * * * ,": false, "0 0 * * 7": false,
		"TZ=": false, "TZ=UTC 0 0 * * *": false, "CRON_TZ=UTC 0 0 * * *": false, "@daily": false, "@every 1m": false, "": false,
	} {
		if _, err := ParseCron(expr); (err == nil) != right {
			t.Errorf("%q: %v", expr, err)
		}
	}
}

// What robfig/cron itself never sees fire within its five years, we refuse,
// and nothing else but for 29 February around 2100.
func TestNeverFiresAgreesWithLooking(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		expr := randomRight(r)
		s, err := fields.Parse(expr)
		if err != nil {
			t.Fatalf("%q: %v", expr, err)
		}
		_, err = ParseCron(expr)
		if fires := !s.Next(epoch).IsZero(); fires != (err == nil) {
			t.Errorf("%q: robfig/cron sees it fire: %v; we say %v", expr, fires, err)
		}
	}
}

func FuzzParseCron(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 50 {
		f.Add(randomExpression(r))
	}
	for _, s := range []string{"TZ=", "CRON_TZ=", "@", "*-x * * * *", "1-2-3 * * * *", "*/0 * * * *", "٣ * * * *"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		if _, err := ParseCron(expr); err != nil {
			return
		}
		if _, ok := Next(Spec{RunAt: expr, TimeZone: "Europe/Berlin"}, epoch); !ok {
			t.Errorf("%q is right and has no instant", expr)
		}
	})
}
