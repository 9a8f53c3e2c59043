package regular

import (
	"math"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func at(minutes float64) time.Time { return start.Add(time.Duration(minutes * float64(time.Minute))) }

// values reads a counter every five minutes, or when the pair says.
func values(r *Reader, readings ...[2]float64) []float64 {
	var out []float64
	for _, v := range readings {
		out = append(out, r.Next(at(v[0]), v[1]).Value)
	}
	return out
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func TestCountersBecomeRates(t *testing.T) {
	hole := math.NaN()
	for name, c := range map[string]struct {
		readings [][2]float64
		want     []float64
	}{
		"the first reading is no rate":           {[][2]float64{{0, 3000}, {5, 6000}}, []float64{hole, 10}},
		"over the wrap of 32 bits":               {[][2]float64{{0, 1<<32 - 6000}, {5, 1<<32 - 3000}, {10, 0}, {15, 3000}}, []float64{hole, 10, 10, 10}},
		"over the wrap of 53 bits":               {[][2]float64{{0, 1<<53 - 6000}, {5, 1<<53 - 3000}, {10, 0}}, []float64{hole, 10, 10}},
		"a reset is a hole":                      {[][2]float64{{0, 6000}, {5, 9000}, {10, 500}, {15, 3500}}, []float64{hole, 10, hole, 10}},
		"a reset before any rate is a hole":      {[][2]float64{{0, 9000}, {5, 500}, {10, 3500}}, []float64{hole, hole, 10}},
		"a pause is a hole":                      {[][2]float64{{0, 3000}, {5, 6000}, {65, 42000}, {70, 45000}}, []float64{hole, 10, hole, 10}},
		"one reading missing is half the wait":   {[][2]float64{{0, 3000}, {5, 6000}, {15, 12000}}, []float64{hole, 10, 10}},
		"a clock that jumps back gives no rate":  {[][2]float64{{0, 3000}, {5, 6000}, {2, 9000}, {7, 12000}}, []float64{hole, 10, hole, 10}},
		"no value is a hole, and not a reading":  {[][2]float64{{0, 3000}, {5, hole}, {10, 9000}}, []float64{hole, hole, 10}},
		"a counter that stands still has rate 0": {[][2]float64{{0, 3000}, {5, 3000}}, []float64{hole, 0}},
	} {
		got := values(&Reader{Step: 5 * time.Minute, Counter: true}, c.readings...)
		for i := range c.want {
			if !same(got[i], c.want[i]) {
				t.Errorf("%s: rates %v, want %v", name, got, c.want)
				break
			}
		}
	}
}

func TestPausesAndClocksAreSeen(t *testing.T) {
	r := Reader{Step: 5 * time.Minute}
	for _, c := range []struct {
		minute        float64
		v             float64
		again, broken bool
		lost          bool
	}{
		{0, 1, false, true, false},
		{5, 2, false, false, false},
		{5, 2, true, false, false},
		{10, math.NaN(), false, false, true},
		{15, math.Inf(1), false, false, true},
		{55, 3, false, false, false},  // 40 minutes are no pause
		{120, 4, false, true, false},  // 65 are
		{110, 5, false, false, false}, // put right by ten minutes
		{50, 6, false, true, false},   // an hour back
	} {
		p := r.Next(at(c.minute), c.v)
		if p.Again != c.again || p.Broken != c.broken || p.Lost != c.lost || p.Lost != math.IsNaN(p.Value) {
			t.Errorf("minute %v: %+v, want again %v broken %v lost %v", c.minute, p, c.again, c.broken, c.lost)
		}
	}
}

func TestHolesOfTheGridStayHoles(t *testing.T) {
	g := NewGrid(5 * time.Minute)
	add := func(minute, v float64) { g.Add(Point{At: at(minute), Value: v}, v+1, v-2, v+2) }
	add(0.4, 10)
	add(10.2, 30)
	add(13, 99) // the step has its value
	add(20, math.NaN())
	if s := g.Whole(); s != nil {
		t.Fatalf("a stretch that grows was given away: %v", s)
	}
	add(61, 70)
	add(59, 80) // its stretch is gone
	s := g.Whole()
	if len(s) != 1 || !s[0].From.Equal(start) || s[0].Step != 5*time.Minute || len(s[0].Values) != 12 {
		t.Fatalf("stretches %v", s)
	}
	for i, v := range s[0].Values {
		want, forecast := math.NaN(), math.NaN()
		switch i {
		case 0:
			want, forecast = 10, 11
		case 2:
			want, forecast = 30, 31
		}
		if !same(v, want) || i < 4 && !same(s[0].Forecast[i], forecast) {
			t.Errorf("step %d: %v forecast %v, want %v and %v", i, v, s[0].Forecast[i], want, forecast)
		}
	}
	if g.Whole() != nil {
		t.Error("a stretch was given away twice")
	}
}

func TestSeasonsFollowTheClockOnTheWall(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	c := NewCalendar(berlin)
	for _, day := range []int{27, 28, 29, 30} { // the clocks change on 29 March 2026
		eight := time.Date(2026, 3, day, 8, 30, 0, 0, berlin)
		if got := c.Day(eight, 24); got != 8 {
			t.Errorf("%v lies in hour %d of the day", eight, got)
		}
		if got, want := c.Week(eight, 168), (int(eight.Weekday())+6)%7*24+8; got != want {
			t.Errorf("%v lies in hour %d of the week, want %d", eight, got, want)
		}
	}
	utc := NewCalendar(nil)
	if got := utc.Day(time.Date(1969, 12, 31, 23, 59, 0, 0, time.UTC), 288); got != 287 {
		t.Errorf("before 1970 the last slot is %d", got)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(int64(0), 1.0, int64(300e6), 2.0, int64(1), 1e308, true)
	f.Fuzz(func(t *testing.T, a int64, x float64, b int64, y float64, c int64, z float64, counter bool) {
		r := Reader{Step: time.Second, Counter: counter}
		g := NewGrid(time.Second)
		for _, s := range []struct {
			at int64
			v  float64
		}{{a, x}, {b, y}, {c, z}, {a, z}} {
			p := r.Next(time.UnixMicro(s.at%(1<<50)), s.v)
			if math.IsInf(p.Value, 0) || p.Value < 0 && counter || p.Lost && !math.IsNaN(p.Value) {
				t.Fatalf("%v at %v became %+v", s.v, s.at, p)
			}
			g.Add(p, p.Value, p.Value, p.Value)
		}
	})
}
