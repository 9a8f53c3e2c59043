package analysistest

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"sonde/analysis"
	"sonde/internal/measure"
)

// fewTurns is how often a detector may change its mind over one of the trials:
// three episodes, begun and over.
const fewTurns = 6

// Endure gives a method what bad data there are: it must come through without
// a panic and without a storm of alerts, its evidence must be JSON, and its
// state must stay small and be taken back. params are those for a series that
// is measured every five minutes and is usually 30, up and down by a tenth with
// the day.
func Endure(t *testing.T, m analysis.Method, params string) {
	t.Helper()
	o := Params(t, m, params)
	for _, trial := range trials() {
		t.Run(trial.name, func(t *testing.T) {
			d := New(t, m, params)
			var said []measure.Verdict
			bad := false
			turns := 0
			trial.feed(func(at time.Time, value float64) {
				s := measure.Sample{RunKey: measure.RunKey{ToolspecID: 7, DueAt: at}, Outcome: measure.OK, Value: value}
				for _, v := range d.Feed(s) {
					if v.Kind != measure.Note && bad != (v.Kind == measure.Bad) {
						bad = !bad
						turns++
						said = append(said, v)
					}
					if _, err := json.Marshal(v.Evidence); err != nil {
						t.Fatalf("evidence that JSON cannot hold: %v", err)
					}
					if v.Text == "" || v.Since.IsZero() || v.Since.After(v.At) {
						t.Fatalf("an incomplete verdict: %+v", v)
					}
				}
				if r, ok := d.(analysis.Recorder); ok {
					for _, stretch := range r.Record() {
						if len(stretch.Values) == 0 || stretch.Step <= 0 || len(stretch.Values) > 10000 {
							t.Fatalf("a stretch of %d values, %v apart", len(stretch.Values), stretch.Step)
						}
					}
				}
			})
			if turns > fewTurns {
				text := ""
				for _, v := range said[:min(len(said), 12)] {
					text += fmt.Sprintf("\n  %s %s: %s", v.At.Format("2006-01-02 15:04:05"), v.Kind, v.Text)
				}
				t.Errorf("%d turns, at most %d are no storm:%s", turns, fewTurns, text)
			}
			saved, err := d.Save()
			if err != nil {
				t.Fatalf("save: %v", err)
			}
			if len(saved) > 64<<10 {
				t.Errorf("a state of %d bytes", len(saved))
			}
			if _, err := m.New(o, saved); err != nil {
				t.Errorf("its own state is refused: %v", err)
			}
		})
	}
}

type trial struct {
	name string
	feed func(give func(at time.Time, value float64))
}

func trials() []trial {
	const step, perDay = 5 * time.Minute, 288
	usual := func(r *rand.Rand, i int) float64 {
		return 30 + 3*math.Sin(2*math.Pi*float64(i)/perDay) + 0.3*r.NormFloat64()
	}
	// days runs n days; from the tenth on, change makes another value of the usual one.
	days := func(n int, change func(r *rand.Rand, i int, v float64) float64) func(func(time.Time, float64)) {
		return func(give func(time.Time, float64)) {
			r := rand.New(rand.NewPCG(21, 22))
			for i := range n * perDay {
				v := usual(r, i)
				if i >= 10*perDay {
					v = change(r, i-10*perDay, v)
				}
				give(Start.Add(time.Duration(i)*step), v)
			}
		}
	}
	always := func(v float64) func(func(time.Time, float64)) {
		return func(give func(time.Time, float64)) {
			for i := range 14 * perDay {
				give(Start.Add(time.Duration(i)*step), v)
			}
		}
	}
	return []trial{
		{"NothingHappens", days(20, func(_ *rand.Rand, _ int, v float64) float64 { return v })},
		{"NotANumber", days(20, func(r *rand.Rand, i int, v float64) float64 {
			if i < perDay || r.IntN(5) == 0 {
				return math.NaN()
			}
			return v
		})},
		{"InfiniteAndHuge", days(20, func(r *rand.Rand, _ int, v float64) float64 {
			switch r.IntN(400) {
			case 0:
				return math.Inf(1)
			case 1:
				return math.Inf(-1)
			case 2:
				return math.MaxFloat64
			case 3:
				return -1e149
			case 4:
				return 1e29
			case 5:
				return math.SmallestNonzeroFloat64
			}
			return v
		})},
		{"NothingButInfinity", always(math.Inf(1))},
		{"NothingButNaN", always(math.NaN())},
		{"AllZero", always(0)},
		{"AllEqual", always(7)},
		{"AllHuge", always(1e149)},
		{"OneValueAWeek", func(give func(time.Time, float64)) {
			r := rand.New(rand.NewPCG(23, 24))
			for i := range 200 {
				give(Start.Add(time.Duration(i)*7*24*time.Hour), usual(r, 0))
			}
		}},
		{"AMillionValuesAtOnce", func(give func(time.Time, float64)) {
			r := rand.New(rand.NewPCG(25, 26))
			for i := range 10 * perDay {
				give(Start.Add(time.Duration(i)*step), usual(r, i))
			}
			at := Start.Add(10 * perDay * step)
			for i := range 1_000_000 {
				give(at.Add(time.Duration(i)*time.Microsecond), usual(r, 0))
			}
		}},
		{"TimeGoesBackwards", func(give func(time.Time, float64)) {
			r := rand.New(rand.NewPCG(27, 28))
			at := Start
			for i := range 20 * perDay {
				switch {
				case i == 10*perDay:
					at = at.Add(-3 * 24 * time.Hour) // the clock was set back
				case i == 12*perDay:
					at = at.AddDate(80, 0, 0) // and went far ahead for an hour
				case i == 12*perDay+12:
					at = at.AddDate(-80, 0, 0)
				}
				at = at.Add(step)
				shown := at
				if i%50 == 7 {
					shown = at.Add(-2 * step) // and some come late
				}
				give(shown, usual(r, int(at.Sub(Start)/step)%perDay))
			}
		}},
		{"AlwaysBackwards", func(give func(time.Time, float64)) {
			r := rand.New(rand.NewPCG(29, 30))
			for i := range 10 * perDay {
				give(Start.Add(-time.Duration(i)*step), usual(r, 0))
			}
		}},
		{"TheUnitChanges", days(30, func(_ *rand.Rand, _ int, v float64) float64 { return 1000 * v })},
		{"TheUnitChangesTheOtherWay", days(30, func(_ *rand.Rand, _ int, v float64) float64 { return v / 1000 })},
		{"TheSeasonVanishes", days(30, func(r *rand.Rand, _ int, v float64) float64 { return 30 + 0.3*r.NormFloat64() })},
		{"TheLevelDoublesForGood", days(30, func(_ *rand.Rand, _ int, v float64) float64 { return 2 * v })},
		{"TheSeriesStandsStill", days(30, func(*rand.Rand, int, float64) float64 { return 30 })},
		{"AYearOfHoles", func(give func(time.Time, float64)) {
			r := rand.New(rand.NewPCG(31, 32))
			for i := range 24 * perDay {
				at := Start.Add(time.Duration(i) * step)
				if i >= 10*perDay {
					at = at.Add(365 * 24 * time.Hour)
				}
				give(at, usual(r, i))
			}
		}},
	}
}
