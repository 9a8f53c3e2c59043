package anomaly

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"sonde/analysis"
	"sonde/analysis/analysistest"
	"sonde/internal/measure"
)

func TestExamination(t *testing.T) {
	for _, kind := range []string{"rtt", "counter", "unknown"} {
		t.Run(kind, func(t *testing.T) { analysistest.Examine(t, Method(), `{"interval": "1m", "kind": "`+kind+`"}`) })
	}
}

func TestBadDataAreEndured(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(kind, func(t *testing.T) { analysistest.Endure(t, Method(), `{"interval": "5m", "kind": "`+kind+`"}`) })
	}
}

// Of unknown kind a state holds most.
func FuzzState(f *testing.F) {
	analysistest.FuzzState(f, Method(), `{"interval": "1m", "kind": "unknown"}`)
}

// A series is bytes: what each sample is, how long after the one before, its value.
func FuzzSeries(f *testing.F) {
	f.Add(uint8(0), []byte("0123456789abcdefghijklmnopqrstuvwxyz"))
	f.Add(uint8(4), []byte{0, 0, 0, 255, 255, 255, 7, 7, 7, 9, 200, 1, 8, 3, 3})
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		params := `{"interval": "5m", "kind": "` + Kinds[int(which)%len(Kinds)] + `"}`
		d := analysistest.New(t, Method(), params)
		at := analysistest.Start
		for ; len(data) >= 3; data = data[3:] {
			at = at.Add(time.Duration(int8(data[1])) * time.Minute)
			v := float64(data[2])
			switch data[0] % 16 {
			case 0:
				v = math.NaN()
			case 1:
				v = math.Inf(1 - 2*int(data[2]%2))
			case 2:
				v = -math.Pow(10, v-100)
			case 3:
				v = math.Pow(10, v-100)
			case 4:
				at = at.AddDate(0, int(int8(data[2])), 0)
			}
			for range 1 + int(data[0])/16*4 {
				at = at.Add(5 * time.Minute)
				for _, said := range d.Feed(measure.Sample{RunKey: measure.RunKey{DueAt: at}, Outcome: measure.OK, Value: v}) {
					if _, err := json.Marshal(said.Evidence); err != nil || said.Text == "" || said.Since.IsZero() || said.Since.After(said.At) {
						t.Fatalf("said %+v: %v", said, err)
					}
				}
				if score := d.(analysis.Scorer).Score(); !(score >= 0 && score <= 1) {
					t.Fatalf("a score of %v", score)
				}
			}
		}
		saved, err := d.Save()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Method().New(analysistest.Params(t, Method(), params), saved); err != nil {
			t.Fatalf("its own state is refused: %v", err)
		}
	})
}

// series feeds a detector and keeps what it says.
type series struct {
	t     *testing.T
	d     analysis.Detector
	at    time.Time
	step  time.Duration
	said  []measure.Verdict
	noise *rand.Rand
}

func newSeries(t *testing.T, params string, step time.Duration) *series {
	return &series{t: t, d: analysistest.New(t, Method(), params), at: analysistest.Start, step: step, noise: rand.New(rand.NewPCG(1, 2))}
}

// feed gives values for so long; value is asked for each sample.
func (s *series) feed(length time.Duration, value func() float64) *series {
	for end := s.at.Add(length); s.at.Before(end); s.at = s.at.Add(s.step) {
		s.said = append(s.said, s.d.Feed(measure.Sample{RunKey: measure.RunKey{DueAt: s.at}, Outcome: measure.OK, Value: value()})...)
	}
	return s
}

func (s *series) about(v float64) func() float64 {
	return func() float64 { return v + s.noise.NormFloat64() }
}

// daily is about v, and more by day.
func (s *series) daily(v, more float64) func() float64 {
	return func() float64 {
		hour := float64(s.at.Hour()) + float64(s.at.Minute())/60
		return v + more*(1-math.Cos(2*math.Pi*hour/24))/2 + s.noise.NormFloat64()
	}
}

// turns are the verdicts, a letter each.
func (s *series) turns() string {
	var b strings.Builder
	for _, v := range s.said {
		b.WriteString(string(v.Kind)[:1])
	}
	return b.String()
}

const rtt5 = `{"interval": "5m", "kind": "rtt", "unit": "ms"}`

func TestDelayThatRoseIsSaidOnceAndItsEndToo(t *testing.T) {
	s := newSeries(t, rtt5, 5*time.Minute)
	s.feed(7*24*time.Hour, s.about(50))
	if len(s.said) != 0 {
		t.Fatalf("found in a quiet week: %+v", s.said)
	}
	rose := s.at
	s.feed(2*time.Hour, s.about(80)).feed(6*time.Hour, s.about(50))
	if s.turns() != "bg" {
		t.Fatalf("verdicts %q of a rise and its end: %+v", s.turns(), s.said)
	}
	bad, good := s.said[0], s.said[1]
	if bad.At.Sub(rose) > 25*time.Minute || bad.Since.Before(rose) || bad.Since.Sub(rose) > 25*time.Minute {
		t.Errorf("it rose at %v, said at %v to have begun at %v", rose, bad.At, bad.Since)
	}
	if end := rose.Add(2 * time.Hour); good.Since.Before(end) || good.Since.Sub(end) > 30*time.Minute {
		t.Errorf("it ended at %v, said to have been well since %v", end, good.Since)
	}
	for _, name := range []string{"value", "forecast", "low", "high", "score", "rule", "basis", "off_spreads", "asked_spreads"} {
		if _, ok := bad.Evidence[name]; !ok {
			t.Errorf("the evidence lacks %s: %v", name, bad.Evidence)
		}
	}
	low, high, value := bad.Evidence["low"].(float64), bad.Evidence["high"].(float64), bad.Evidence["value"].(float64)
	if f := bad.Evidence["forecast"].(float64); !(low < f && f < high && high < value) || f < 45 || f > 55 {
		t.Errorf("value %v, forecast %v (%v to %v)", value, f, low, high)
	}
	if bad.Text == "" || !strings.Contains(bad.Text, "ms") {
		t.Errorf("said in words: %q", bad.Text)
	}
}

func TestSingleSpikesOfDelayAreNoNews(t *testing.T) {
	s := newSeries(t, rtt5, 5*time.Minute)
	n := 0
	s.feed(21*24*time.Hour, func() float64 {
		if n++; n%97 == 0 {
			return 400
		}
		return s.about(50)()
	})
	if len(s.said) != 0 {
		t.Errorf("said of single spikes: %+v", s.said)
	}
}

func TestWhatHappensEveryDayIsExpected(t *testing.T) {
	for _, kind := range []string{"count", "throughput", "latency", "unknown"} {
		s := newSeries(t, `{"interval": "5m", "kind": "`+kind+`"}`, 5*time.Minute)
		s.feed(7*24*time.Hour, s.daily(100, 60))
		s.said = nil
		s.feed(21*24*time.Hour, s.daily(100, 60))
		if len(s.said) > 1 {
			t.Errorf("%s: said of a usual day: %+v", kind, s.said)
		}
	}
}

func TestAFallIsBadForThroughputAlone(t *testing.T) {
	for kind, want := range map[string]bool{"rtt": false, "latency": true, "throughput": true, "count": true} {
		s := newSeries(t, `{"interval": "5m", "kind": "`+kind+`"}`, 5*time.Minute)
		s.feed(7*24*time.Hour, s.about(100)).feed(3*time.Hour, s.about(40))
		if got := strings.Contains(s.turns(), "b"); got != want {
			t.Errorf("%s fell from 100 to 40: found %v, want %v (%+v)", kind, got, want, s.said)
		}
	}
}

func TestSilenceIsFoundByTheThirdAnswerThatDoesNotCome(t *testing.T) {
	s := newSeries(t, rtt5, 5*time.Minute)
	s.feed(3*24*time.Hour, s.about(50))
	began := s.at
	s.feed(2*time.Hour, func() float64 { return math.NaN() }).feed(3*time.Hour, s.about(50))
	// It is said again as often as it has doubled.
	if turns := strings.TrimLeft(s.turns(), "b"); turns != "g" || len(s.said) > 5 || s.said[0].At.Sub(began) != 10*time.Minute || !s.said[0].Since.Equal(began) {
		t.Errorf("silence from %v: %+v", began, s.said)
	}
	s = newSeries(t, `{"interval": "5m", "kind": "rtt", "silence": false}`, 5*time.Minute)
	s.feed(3*24*time.Hour, s.about(50)).feed(2*time.Hour, func() float64 { return math.NaN() }).feed(3*time.Hour, s.about(50))
	if len(s.said) != 0 {
		t.Errorf("silence is for another rule, and was found: %+v", s.said)
	}
}

func TestALittleLossForLongIsFoundAndOneBadSampleIsNot(t *testing.T) {
	s := newSeries(t, `{"interval": "1m", "kind": "loss", "unit": "%"}`, time.Minute)
	n := 0
	s.feed(7*24*time.Hour, func() float64 {
		switch n++; {
		case n%700 == 0:
			return 60
		case n%90 == 0:
			return 10
		}
		return 0
	})
	if len(s.said) != 0 {
		t.Fatalf("found in usual loss: %+v", s.said)
	}
	began := s.at
	s.feed(6*time.Hour, func() float64 { n++; return float64(10 * (n % 2)) }).feed(6*time.Hour, func() float64 { return 0 })
	if !strings.HasPrefix(s.turns(), "b") || !strings.HasSuffix(s.turns(), "g") || s.said[0].At.Sub(began) > time.Hour {
		t.Errorf("5 %% of loss from %v: %+v", began, s.said)
	}
}

func TestFullLossCanBeLeftToAnotherRule(t *testing.T) {
	s := newSeries(t, `{"interval": "1m", "kind": "loss", "silence": false}`, time.Minute)
	s.feed(24*time.Hour, func() float64 { return 0 }).feed(6*time.Hour, func() float64 { return 100 }).feed(6*time.Hour, func() float64 { return 0 })
	if len(s.said) != 0 {
		t.Errorf("full loss was found: %+v", s.said)
	}
}

func TestThroughputThatDeclinesFromDayToDayIsFound(t *testing.T) {
	s := newSeries(t, `{"interval": "1h", "kind": "throughput", "unit": "Mbps"}`, time.Hour)
	s.feed(21*24*time.Hour, func() float64 { return 900 + 10*s.noise.NormFloat64() })
	if len(s.said) != 0 {
		t.Fatalf("found in steady throughput: %+v", s.said)
	}
	v := 900.0
	s.feed(10*24*time.Hour, func() float64 { v *= 0.997; return v + 10*s.noise.NormFloat64() })
	if !strings.Contains(s.turns(), "b") {
		t.Error("throughput fell by half in ten days and nothing was said")
	}
}

func TestALastingLevelIsTakenAsUsualInTheEnd(t *testing.T) {
	s := newSeries(t, rtt5, 5*time.Minute)
	s.feed(7*24*time.Hour, s.about(50)).feed(4*24*time.Hour, s.about(90))
	if s.turns() != "bg" {
		t.Fatalf("verdicts %q of a level that stays: %+v", s.turns(), s.said)
	}
	if text := s.said[1].Text; !strings.Contains(text, "taken as usual") {
		t.Errorf("the end of a level that stayed is told as %q", text)
	}
}

func TestItSaysWhyItDoesNotJudge(t *testing.T) {
	s := newSeries(t, rtt5, 5*time.Minute)
	d := s.d.(*detector)
	if d.Declines() == "" {
		t.Error("a series without samples is judged")
	}
	s.feed(6*time.Hour, s.about(50))
	if why := d.Declines(); !strings.Contains(why, "learnt") {
		t.Errorf("after six hours: %q", why)
	}
	s.feed(7*time.Hour, s.about(50))
	if why := d.Declines(); why != "" {
		t.Errorf("after thirteen hours: %q", why)
	}
}

func TestStateIsSmall(t *testing.T) {
	for _, kind := range Kinds {
		s := newSeries(t, `{"interval": "5m", "kind": "`+kind+`"}`, 5*time.Minute)
		s.feed(30*24*time.Hour, s.daily(50, 10))
		for range 3 { // an episode is open, and about to end
			saved, err := s.d.Save()
			if err != nil {
				t.Fatal(err)
			}
			if len(saved) > 5*1024 {
				t.Errorf("%s: the state of a series at five minutes takes %d bytes", kind, len(saved))
			}
			t.Logf("%s: %d bytes", kind, len(saved))
			s.feed(time.Hour, s.daily(50+450, 10)).feed(30*time.Minute, s.daily(50, 10))
		}
	}
}

func BenchmarkSave(b *testing.B) {
	d := analysistest.New(b, Method(), rtt5)
	for _, e := range analysistest.Random(1, 1000) {
		analysistest.Give(d, e)
	}
	for b.Loop() {
		if _, err := d.Save(); err != nil {
			b.Fatal(err)
		}
	}
}

// A sample takes 3 µs at most, seasons, forecasts and rarity included; of unknown kind it costs most.
func BenchmarkSample(b *testing.B) {
	for name, params := range map[string]string{"rtt, 5m": rtt5, "rtt, 1m": `{"kind": "rtt", "interval": "1m"}`, "unknown, 5m": unknown5} {
		b.Run(name, func(b *testing.B) {
			d := analysistest.New(b, Method(), params)
			step := d.(*detector).reader.Step
			r := rand.New(rand.NewPCG(1, 2))
			values := make([]float64, 4096)
			for i := range values {
				values[i] = 50 + r.NormFloat64()
			}
			at := analysistest.Start
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				d.Feed(measure.Sample{RunKey: measure.RunKey{DueAt: at}, Outcome: measure.OK, Value: values[i%len(values)]})
				if at = at.Add(step); i%1000 == 0 {
					d.(analysis.Recorder).Record() // as the analyst does
				}
			}
		})
	}
}

func TestSilenceAloneIsNoValueToLearnFrom(t *testing.T) {
	s := newSeries(t, rtt5, 5*time.Minute)
	d := s.d.(*detector)
	for _, want := range []struct {
		length time.Duration
		value  func() float64
		text   string
	}{
		{0, nil, "0 of 30 samples"},
		{10 * time.Hour, func() float64 { return math.NaN() }, "no value has come yet"},
		{10 * time.Hour, s.about(50), "learnt for 2h more"},
		{3 * time.Hour, s.about(50), ""},
	} {
		s.feed(want.length, want.value)
		if got := d.Declines(); want.text == "" && got != "" || !strings.Contains(got, want.text) {
			t.Errorf("at %v: %q, wanted %q", s.at, got, want.text)
		}
	}
}

func TestIntervalsOfADayAndMoreAreJudgedToo(t *testing.T) {
	for _, step := range []time.Duration{24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour} {
		for _, kind := range Kinds {
			if kind == "loss" || kind == "counter" {
				continue
			}
			s := newSeries(t, `{"interval": "`+measure.FormatDuration(step)+`", "kind": "`+kind+`"}`, step)
			s.feed(300*step, s.about(50))
			if turns := s.turns(); len(turns) > 4 {
				t.Errorf("%s, every %v: verdicts %q of 300 usual values", kind, step, turns)
			}
			s.said = nil
			worse := 150.0
			if kind == "throughput" {
				worse = 5
			}
			s.feed(10*step, s.about(worse))
			if !strings.HasPrefix(s.turns(), "b") {
				t.Errorf("%s, every %v: verdicts %q of what is three times worse", kind, step, s.turns())
			}
			if f := s.d.(*detector).core.F.Base; !(f > 0 && f < 160) {
				t.Errorf("%s, every %v: a level of %v", kind, step, f)
			}
		}
	}
}
