package plan

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var epoch = time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC)

// anySpec gives specs of all kinds, near each other in time.
func anySpec(r *rand.Rand) Spec {
	s := Spec{
		ID:         r.Int64N(1 << 40),
		Since:      epoch.Add(time.Duration(r.Int64N(int64(72 * time.Hour)))).Truncate(time.Microsecond),
		Together:   r.IntN(20000),
		Background: r.IntN(2) == 0,
		TimeToRun:  time.Duration(r.IntN(20)) * time.Second,
	}
	if r.IntN(2) == 0 {
		s.RunAt = []string{"*/15 * * * *", "30 2 * * *", "0 */2 * * *", "* * * * *", "7 1-3 * * 0,1", "0 12 29 2 *"}[r.IntN(6)]
		s.TimeZone = []string{"", "UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York"}[r.IntN(5)]
	} else {
		s.RunInterval = []time.Duration{time.Second, 1500 * time.Millisecond, 7 * time.Second, time.Minute, time.Hour, 25 * time.Hour}[r.IntN(6)]
	}
	return s
}

func collect(s Spec, from, to time.Time) []time.Time {
	return slices.Collect(Between(s, from, to))
}

func TestAdjacentWindowsNeitherMissNorDouble(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		s := anySpec(r)
		from := epoch.Add(time.Duration(r.Int64N(int64(72 * time.Hour))))
		middle := from.Add(time.Duration(r.Int64N(int64(2 * time.Hour))))
		to := middle.Add(time.Duration(r.Int64N(int64(2 * time.Hour))))
		whole := collect(s, from, to)
		parts := append(collect(s, from, middle), collect(s, middle, to)...)
		if !slices.Equal(whole, parts) {
			t.Fatalf("%+v (%s, %s, %s]: %v, in parts %v", s, from, middle, to, whole, parts)
		}
		if n := Count(s, from, to); n != len(whole) {
			t.Fatalf("%+v (%s, %s]: Count %d, instants %d", s, from, to, n, len(whole))
		}
		if !slices.IsSortedFunc(whole, func(a, b time.Time) int {
			if a.Before(b) {
				return -1
			}
			return 1
		}) {
			t.Fatalf("%+v: not in ascending order without doubles: %v", s, whole)
		}
		for _, at := range whole {
			if !at.After(s.Since) || !at.After(from) || at.After(to) {
				t.Fatalf("%+v (%s, %s]: %s lies outside", s, from, to, at)
			}
		}
	}
}

func TestPhasesOfTenThousandSpecsAreSpreadEvenly(t *testing.T) {
	var buckets [60]int
	for id := range int64(10000) {
		p := Phase(id+1, time.Minute)
		if p < 0 || p >= time.Minute || p%time.Microsecond != 0 {
			t.Fatalf("phase of %d is %s", id, p)
		}
		buckets[p/time.Second]++
	}
	for second, n := range buckets {
		if n < 110 || n > 230 {
			t.Errorf("second %d of the minute has %d of 10000 specs", second, n)
		}
	}
}

// Hosts of all versions share one grid: these numbers must never change.
func TestGridIsTheSameForever(t *testing.T) {
	for id, want := range map[int64]time.Duration{1: 33993694, 2: 35471384, 7: 23389784, 1 << 40: 7468361} {
		if got := Phase(id, time.Minute); got != want*time.Microsecond {
			t.Errorf("phase of %d on a minute is %s, was %s", id, got, want*time.Microsecond)
		}
	}
	s := Spec{ID: 7, RunInterval: time.Minute, Since: epoch}
	at, ok := Next(s, epoch)
	if !ok || at.UnixMicro()%int64(time.Minute/time.Microsecond) != Phase(7, time.Minute).Microseconds() {
		t.Errorf("first instant %s is not on the grid that begins at the epoch", at)
	}
}

func TestNewBackgroundSpecRunsSoonAndThenOnItsGrid(t *testing.T) {
	for id := range int64(5000) {
		s := Spec{ID: id, RunInterval: time.Minute, Since: epoch, Together: 5000, Background: true, TimeToRun: 15 * time.Second}
		got := collect(s, epoch, epoch.Add(3*time.Minute))
		if soon := got[0].Sub(epoch); soon <= 0 || soon > 10*time.Second {
			t.Fatalf("spec %d runs %s after its insert", id, soon)
		}
		if first, ok := First(s); !ok || !first.Equal(got[0]) {
			t.Fatalf("First says %s, Between %s", first, got[0])
		}
		if wait := got[1].Sub(got[0]); wait <= 15*time.Second || wait > 75*time.Second {
			t.Fatalf("spec %d: the run after the soon one comes %s after it", id, wait)
		}
		for _, at := range got[1:] {
			if at.UnixMicro()%60e6 != Phase(id, time.Minute).Microseconds() {
				t.Fatalf("spec %d: %s is not on its grid", id, at)
			}
		}
		if got[2].Sub(got[1]) != time.Minute {
			t.Fatalf("spec %d: %v", id, got)
		}
	}
	for _, s := range []Spec{
		{ID: 1, RunInterval: time.Hour, Since: epoch},
		{ID: 1, RunAt: "0 0 * * *", Since: epoch, Background: true},
	} {
		if at, ok := First(s); ok {
			t.Errorf("%+v runs soon, at %s", s, at)
		}
	}
}

func TestSoonRunOfShortIntervalComesWithinIt(t *testing.T) {
	for id := range int64(1000) {
		at, _ := First(Spec{ID: id, RunInterval: time.Second, Since: epoch, Together: 1, Background: true})
		if d := at.Sub(epoch); d <= 0 || d > time.Second {
			t.Fatalf("spec %d runs %s after its insert", id, d)
		}
	}
}

func TestIntervalsAllocateNothing(t *testing.T) {
	s := Spec{ID: 42, RunInterval: time.Second, Since: epoch, Background: true}
	dst := make([]time.Time, 0, 100)
	if n := testing.AllocsPerRun(100, func() { dst = Append(dst[:0], s, epoch, epoch.Add(time.Minute)) }); n != 0 {
		t.Errorf("a minute of instants allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { Count(s, epoch, epoch.Add(10000*time.Hour)) }); n != 0 {
		t.Errorf("Count allocates %v times", n)
	}
}

func TestWeekOfSleepIsCountedAtOnce(t *testing.T) {
	begun := time.Now()
	for id := range int64(10000) {
		s := Spec{ID: id, RunInterval: time.Millisecond, Since: epoch}
		if n := Count(s, epoch, epoch.Add(7*24*time.Hour)); n != 7*24*3600*1000 {
			t.Fatalf("%d instants", n)
		}
		s = Spec{ID: id, RunAt: "* * * * *", TimeZone: "Europe/Berlin", Since: epoch}
		if n := Count(s, epoch, epoch.Add(7*24*time.Hour)); n != 7*24*60 {
			t.Fatalf("%d instants", n)
		}
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("counting took %s", took)
	}
}

func TestWrongTimingHasASentenceAndNoInstants(t *testing.T) {
	for _, s := range []Spec{
		{},
		{RunInterval: -time.Second},
		{RunInterval: time.Minute, RunAt: "* * * * *"},
		{RunAt: "0 0 30 2 *"},
		{RunAt: "0 0 * * *", TimeZone: "Europe/Bonn"},
		{RunAt: "0 0 * * *", TimeZone: "Local"},
	} {
		if err := Check(s); err == nil {
			t.Errorf("%+v passes", s)
		}
		if at, ok := Next(s, epoch); ok {
			t.Errorf("%+v runs at %s", s, at)
		}
		if n := Count(s, epoch, epoch.Add(time.Hour)); n != 0 {
			t.Errorf("%+v runs %d times", s, n)
		}
	}
}

func TestInstantThatComesAgainGetsAKeyOfItsOwn(t *testing.T) {
	at := epoch
	r := Repeats{
		{From: epoch.Add(-time.Hour), Until: epoch},
		{From: epoch.Add(-time.Minute), Until: epoch.Add(time.Minute)},
		{From: epoch, Until: epoch.Add(time.Hour)},
	}
	if got := r.Shift(at); got.Sub(at) != 2*time.Microsecond {
		t.Errorf("shifted by %s", got.Sub(at))
	}
	if got := r.Shift(at.Add(-2 * time.Hour)); !got.Equal(at.Add(-2 * time.Hour)) {
		t.Errorf("an instant that came once is shifted to %s", got)
	}
}
