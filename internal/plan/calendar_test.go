package plan

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

type run struct {
	id int64
	at int64
}

func sortRuns(runs []run) {
	slices.SortFunc(runs, func(a, b run) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return int(a.id - b.id)
	})
}

func TestCalendarGivesWhatEachSpecGives(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	c, specs := NewCalendar(), map[int64]Spec{}
	now := epoch
	for step := range 300 {
		for range 3 {
			s := anySpec(r)
			s.ID = r.Int64N(60)
			if r.IntN(3) == 0 {
				c.Remove(s.ID)
				delete(specs, s.ID)
				continue
			}
			if err := c.Put(s, now); err != nil {
				t.Fatal(err)
			}
			specs[s.ID] = s
		}
		to := now.Add(time.Duration(r.Int64N(int64(10 * time.Minute))))
		if step%50 == 49 { // the clock is set back
			now = now.Add(-3 * time.Minute)
			c.Jump(now)
		}
		var got, want []run
		c.Through(to, func(id int64, at time.Time) { got = append(got, run{id, at.UnixMicro()}) })
		for id, s := range specs {
			for at := range Between(s, now, to) {
				want = append(want, run{id, at.UnixMicro()})
			}
		}
		sortRuns(want)
		if !slices.Equal(got, want) {
			t.Fatalf("step %d (%s, %s]: %d runs, want %d", step, now, to, len(got), len(want))
		}
		now = to
	}
}

func TestNewSpecIsPlannedBehindTheMark(t *testing.T) {
	c := NewCalendar()
	c.Through(epoch.Add(10*time.Second), func(int64, time.Time) { t.Error("an empty calendar has nothing") })
	s := Spec{ID: 5, RunInterval: time.Minute, Since: epoch, Background: true}
	if err := c.Put(s, s.Since); err != nil {
		t.Fatal(err)
	}
	n := 0
	c.Through(epoch.Add(10*time.Second), func(int64, time.Time) { n++ })
	if n == 0 {
		t.Error("the soon run of a new spec was taken for planned")
	}
}

func TestCalendarKeepsNoSpecOfWrongTiming(t *testing.T) {
	c := NewCalendar()
	if err := c.Put(Spec{ID: 1, RunInterval: time.Second}, epoch); err != nil {
		t.Fatal(err)
	}
	if err := c.Put(Spec{ID: 1, RunAt: "nonsense"}, epoch); err == nil {
		t.Error("nonsense passes")
	}
	if _, ok := c.Next(); ok || c.Len() != 0 {
		t.Error("the spec still runs by its old timing")
	}
}

// A hundred thousand specs at one minute: planning a minute must be a small
// part of the core-second that scheduler and database have together.
func BenchmarkMinuteOfHundredThousandSpecs(b *testing.B) {
	c := NewCalendar()
	for id := range int64(100000) {
		if err := c.Put(Spec{ID: id, RunInterval: time.Minute, Since: epoch}, epoch); err != nil {
			b.Fatal(err)
		}
	}
	now := epoch
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Minute)
		c.Through(now, func(int64, time.Time) {})
	}
}
