package holtwinters

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"sonde/analysis"
	"sonde/analysis/analysistest"
	"sonde/internal/measure"
)

const fiveMinutes = `{"interval":"5m"}`

func TestTheMethodSitsTheExamination(t *testing.T) {
	for _, params := range []string{`{}`, fiveMinutes, `{"seasons":"none","interval":"10s"}`, `{"seasons":"day and week","interval":"6h","season":"multiplicative"}`} {
		t.Run(params, func(t *testing.T) { analysistest.Examine(t, Method(), params) })
	}
}

func FuzzState(f *testing.F) {
	analysistest.FuzzState(f, Method(), `{"seasons":"none","interval":"30s"}`)
}
func FuzzStateOfTwoSeasons(f *testing.F) {
	analysistest.FuzzState(f, Method(), `{"seasons":"day and week","interval":"6h"}`)
}

// days is a series of five-minute values with a daily season and noise; change
// may alter the value of step i.
func days(n int, change func(i int, v float64) float64) []float64 {
	r := rand.New(rand.NewPCG(11, 12))
	out := make([]float64, n*288)
	for i := range out {
		out[i] = 100 + 20*math.Sin(2*math.Pi*float64(i)/288) + r.NormFloat64()
		if change != nil {
			out[i] = change(i, out[i])
		}
	}
	return out
}

// watch feeds values five minutes apart, NaN is a hole, and gives the verdicts
// and the steps at which they came.
func watch(t *testing.T, params string, values []float64) (all []measure.Verdict, steps []int, d analysis.Detector) {
	t.Helper()
	d = analysistest.New(t, Method(), params)
	for i, v := range values {
		if math.IsNaN(v) {
			continue
		}
		at := analysistest.Start.Add(time.Duration(i) * 5 * time.Minute)
		for _, v := range d.Feed(measure.Sample{RunKey: measure.RunKey{ToolspecID: 1, DueAt: at}, Outcome: measure.OK, Value: v}) {
			all, steps = append(all, v), append(steps, i)
		}
	}
	return all, steps, d
}

func wantNothing(t *testing.T, all []measure.Verdict) {
	t.Helper()
	for _, v := range all {
		t.Errorf("unexpected: %s %s %s", v.At.Format("2 Jan 15:04"), v.Kind, v.Text)
	}
}

func TestARiseIsFoundWithinTheWindowAndItsEndToo(t *testing.T) {
	from, to := 10*288, 10*288+60
	all, steps, _ := watch(t, fiveMinutes, days(12, func(i int, v float64) float64 {
		if i >= from && i < to {
			v += 40
		}
		return v
	}))
	if len(all) < 2 || all[0].Kind != measure.Bad || all[len(all)-1].Kind != measure.Good {
		t.Fatalf("verdicts %+v", all)
	}
	if found := steps[0] - from; found > 5 {
		t.Errorf("found after %d values", found)
	}
	if want := analysistest.Start.Add(time.Duration(from) * 5 * time.Minute); !all[0].Since.Equal(want) {
		t.Errorf("since %v, want %v", all[0].Since, want)
	}
	if over := steps[len(steps)-1] - to; over > 12 {
		t.Errorf("over after %d values", over)
	}
	for _, name := range []string{"value", "forecast", "low", "high", "score", "rule", "violations"} {
		if _, ok := all[0].Evidence[name]; !ok {
			t.Errorf("no %q in %v", name, all[0].Evidence)
		}
	}
}

func TestTheSeasonItselfIsNoNews(t *testing.T) {
	all, _, _ := watch(t, fiveMinutes, days(20, nil))
	wantNothing(t, all)
}

// People come to work at eight, whatever the sun does. On 29 March 2026 clocks go
// forward in Berlin, on 25 October back.
func TestASeasonKeepsItsPlaceWhenClocksChange(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{40, 250} {
		work := days(n, func(i int, v float64) float64 {
			v -= 20 * math.Sin(2*math.Pi*float64(i)/288) // that is the sun
			if hour := analysistest.Start.Add(time.Duration(i) * 5 * time.Minute).In(berlin).Hour(); hour >= 8 && hour < 17 {
				v += 80
			}
			return v
		})
		for _, seasons := range []string{"day", "day and week"} {
			all, _, _ := watch(t, fmt.Sprintf(`{"interval":"5m","seasons":%q,"time_zone":"Europe/Berlin"}`, seasons), work)
			wantNothing(t, all)
		}
		if all, _, _ := watch(t, fiveMinutes, work); len(all) == 0 {
			t.Error("by UTC the change of clocks is news: this test shows nothing")
		}
	}
	if _, err := Method().New(analysistest.Params(t, Method(), `{"time_zone":"Mars"}`), nil); err == nil {
		t.Error("a time zone that is not there was taken")
	}
}

func TestAnOddFirstDayLeavesNoTrace(t *testing.T) {
	odd := days(12, func(i int, v float64) float64 {
		if i < 288 {
			return 3*v + 50*math.Sin(float64(i)/10)
		}
		return v
	})
	all, _, d := watch(t, fiveMinutes, odd)
	wantNothing(t, all)
	_, _, plain := watch(t, fiveMinutes, days(12, nil))
	a, b := d.(*detector).state.Model, plain.(*detector).state.Model
	for i := range a.Season {
		if diff := math.Abs(a.Level + float64(a.Season[i].Season) - b.Level - float64(b.Season[i].Season)); diff > 6 {
			t.Fatalf("slot %d is off by %v nine days later", i, diff)
		}
	}
}

func TestAFlatSeriesIsJudgedAndForgiven(t *testing.T) {
	all, _, _ := watch(t, fiveMinutes, days(8, func(int, float64) float64 { return 7 }))
	wantNothing(t, all)
	all, _, _ = watch(t, fiveMinutes, days(8, func(i int, _ float64) float64 {
		if i > 6*288 {
			return 8
		}
		return 7
	}))
	if len(all) == 0 || all[0].Kind != measure.Bad {
		t.Errorf("a step of a flat series gave %+v", all)
	}
}

func TestAYearOfHolesInventsNothing(t *testing.T) {
	d := analysistest.New(t, Method(), fiveMinutes).(*detector)
	values := days(10, nil)
	feed := func(from time.Time) (all []measure.Verdict) {
		for i, v := range values {
			at := from.Add(time.Duration(i) * 5 * time.Minute)
			all = append(all, d.Feed(measure.Sample{RunKey: measure.RunKey{DueAt: at}, Outcome: measure.OK, Value: v})...)
		}
		return all
	}
	wantNothing(t, feed(analysistest.Start))
	before := len(d.Record())
	wantNothing(t, feed(analysistest.Start.Add(371*24*time.Hour)))
	if got := len(d.Record()); got > before+1 {
		t.Errorf("%d stretches after a year of holes, %d before it", got, before)
	}
}

func TestWhatIsRecordedIsWhatWasMeasuredAndForetold(t *testing.T) {
	values := days(6, nil)
	for i := 4 * 288; i < 4*288+7; i++ {
		values[i] = math.NaN()
	}
	_, _, d := watch(t, fiveMinutes, values)
	at, foretold, holes := analysistest.Start, 0, 0
	index := func(at time.Time) int { return int(at.Sub(analysistest.Start) / (5 * time.Minute)) }
	for _, s := range d.(analysis.Recorder).Record() {
		for i := index(at); i < index(s.From); i++ {
			if holes++; !math.IsNaN(values[i]) {
				t.Fatalf("value %d is in no stretch", i)
			}
		}
		if s.Step != 5*time.Minute || s.Forecast != nil && (len(s.Forecast) != len(s.Values) || len(s.Low) != len(s.Values) || len(s.High) != len(s.Values)) {
			t.Fatalf("stretch %+v", s)
		}
		for i, v := range s.Values {
			if want := values[index(s.From)+i]; math.IsNaN(v) {
				holes++
				if !math.IsNaN(want) {
					t.Fatal("a value became a hole")
				}
			} else if v != want {
				t.Fatalf("%v was recorded, %v measured", v, want)
			} else if s.Forecast != nil {
				foretold++
				if math.Abs(s.Forecast[i]-v) > 8 || s.Low[i] >= s.Forecast[i] || s.High[i] <= s.Forecast[i] {
					t.Errorf("foretold %v (%v to %v), came %v", s.Forecast[i], s.Low[i], s.High[i], v)
				}
			}
		}
		at = s.From.Add(time.Duration(len(s.Values)) * s.Step)
	}
	if foretold < 2*288 || holes != 7 {
		t.Errorf("%d values foretold, %d holes", foretold, holes)
	}
}

func TestStateIsSmall(t *testing.T) {
	for _, c := range []struct {
		params string
		most   int
	}{
		{fiveMinutes, 5 << 10},
		{`{"seasons":"day and week","interval":"5m"}`, 16 << 10},
		{`{"seasons":"week","interval":"5m"}`, 34 << 10}, // while it learns; 23 KiB after
	} {
		d := analysistest.New(t, Method(), c.params)
		largest := 0
		for i, v := range days(26, nil) {
			d.Feed(measure.Sample{RunKey: measure.RunKey{DueAt: analysistest.Start.Add(time.Duration(i) * 5 * time.Minute)}, Outcome: measure.OK, Value: v})
			if i%509 < 3 {
				s, err := d.Save()
				if err != nil {
					t.Fatal(err)
				}
				largest = max(largest, len(s))
			}
		}
		last, _ := d.Save()
		t.Logf("%s: at most %d bytes, %d at the end", c.params, largest, len(last))
		if largest > c.most {
			t.Errorf("%s: a state of %d bytes, want at most %d", c.params, largest, c.most)
		}
	}
}

func TestADetectorOfAWeekIsRestoredBitForBit(t *testing.T) {
	for _, seasons := range []string{"day", "week", "day and week", "none"} {
		params := fmt.Sprintf(`{"interval":"1h","seasons":%q}`, seasons)
		o := analysistest.Params(t, Method(), params)
		whole, again := analysistest.New(t, Method(), params), analysistest.New(t, Method(), params)
		for i, v := range days(6, nil) {
			s := measure.Sample{RunKey: measure.RunKey{DueAt: analysistest.Start.Add(time.Duration(i) * time.Hour)}, Outcome: measure.OK, Value: v}
			whole.Feed(s)
			again.Feed(s)
			a, _ := whole.Save()
			b, err := again.Save()
			if err != nil || string(a) != string(b) {
				t.Fatalf("%s, value %d:\n%s\n%s", seasons, i, a, b)
			}
			if again, err = Method().New(o, b); err != nil {
				t.Fatalf("%s, value %d: %v", seasons, i, err)
			}
		}
	}
}

func TestWhatCannotBeJudgedIsSaidOnce(t *testing.T) {
	d := analysistest.New(t, Method(), fiveMinutes)
	notes := 0
	for i := range 200 {
		for _, v := range d.Feed(measure.Sample{RunKey: measure.RunKey{DueAt: analysistest.Start.Add(time.Duration(i) * 7 * 24 * time.Hour)}, Outcome: measure.OK, Value: 5}) {
			if v.Kind != measure.Note {
				t.Errorf("a verdict %+v on one value a week", v)
			}
			notes++
		}
	}
	if notes != 1 {
		t.Errorf("%d notes", notes)
	}
}

func TestNonsenseParametersAreRefusedInWords(t *testing.T) {
	m := Method()
	for _, params := range []string{`{"window_length":5,"failure_threshold":6}`, `{"clear":5}`} {
		if _, err := m.New(analysistest.Params(t, m, params), nil); err == nil {
			t.Errorf("%s was taken", params)
		}
	}
}

func TestBadDataAreEndured(t *testing.T) {
	for _, params := range []string{fiveMinutes, `{"interval":"5m","seasons":"day and week","season":"multiplicative","fit":true}`} {
		t.Run(params, func(t *testing.T) { analysistest.Endure(t, Method(), params) })
	}
}
