package holtwinters

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// reference is one run of another program; see testdata/README.md.
type reference struct {
	Name           string
	Multiplicative bool
	Params         Params
	Level, Trend   float64
	Day, Week      []float64
	Data, Fitted   []float64
	Ahead          []float64
	SSE            float64
}

func references(t *testing.T, file string) []reference {
	t.Helper()
	var all []reference
	text, err := os.ReadFile("testdata/" + file)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil || len(all) == 0 {
		t.Fatalf("%s: %d cases, %v", file, len(all), err)
	}
	for i := range all {
		all[i].Params.Multiplicative = all[i].Multiplicative
	}
	return all
}

func startOf[F Real](r reference, p Params) *Model[F] {
	m := &Model[F]{Params: p, Level: r.Level, Trend: r.Trend}
	for _, s := range r.Day {
		m.Season = append(m.Season, Slot[F]{Season: F(s)})
	}
	if m.Season == nil {
		m.Season = []Slot[F]{{Season: F(p.Neutral())}}
		m.Gamma = 0
	}
	for _, s := range r.Week {
		m.Long = append(m.Long, F(s))
	}
	return m
}

// off is the largest difference, as a share of the value.
func off[F Real](r reference, m *Model[F]) (worst float64) {
	for i, y := range r.Data {
		worst = max(worst, math.Abs(m.Forecast(1)-r.Fitted[i])/math.Abs(y))
		m.Update(y)
	}
	for h, want := range r.Ahead {
		worst = max(worst, math.Abs(m.Forecast(h+1)-want)/math.Abs(want))
	}
	return worst
}

func TestForecastsAreThoseOfRAndStatsmodels(t *testing.T) {
	for _, file := range []string{"reference_r.json", "reference_statsmodels.json"} {
		for _, r := range references(t, file) {
			if d := off(r, startOf[float64](r, r.Params)); d > 1e-12 {
				t.Errorf("%s: %s: off by %.2g", file, r.Name, d)
			}
			if d := off(r, startOf[float32](r, r.Params)); d > 1e-6 {
				t.Errorf("%s: %s: off by %.2g with seasons in single precision", file, r.Name, d)
			}
		}
	}
}

func TestFitIsAsGoodAsThatOfR(t *testing.T) {
	for _, r := range references(t, "reference_r.json") {
		free := Free{Alpha: true, Beta: true, Gamma: len(r.Day) > 0, Omega: len(r.Week) > 0, AR: r.Params.AR > 0}
		p := r.Params
		p.Alpha, p.Beta, p.Gamma, p.Omega = 0.3, 0.1, 0.1, 0.1
		fitted, sse := Fit(p, free, r.Data, func(p Params) *Model[float64] { return startOf[float64](r, p) })
		if sse > r.SSE*(1+1e-6) {
			t.Errorf("%s: sum of squares %v with %+v, R finds %v with %+v", r.Name, sse, fitted, r.SSE, r.Params)
		}
	}
}

// RRDtool starts with the first value as level and the first season as it was.
func TestBandsAndFailuresAreThoseOfRRDtool(t *testing.T) {
	var r struct {
		Season                      int
		Alpha, Beta, Gamma          float64
		Data                        []float64
		Predict, Deviation, Failure []*float64
		Failures                    []*float64
	}
	text, err := os.ReadFile("testdata/reference_rrdtool.json")
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := Model[float64]{Params: Params{Alpha: r.Alpha, Beta: r.Beta, Gamma: r.Gamma, Phi: 1, GammaDeviation: r.Gamma}, Level: r.Data[0]}
	for _, y := range r.Data[:r.Season] {
		m.Season = append(m.Season, Slot[float64]{Season: y - r.Data[0], Deviation: math.NaN()})
	}
	rule := violations{Window: 9, Threshold: 7}
	judged, failures := 0, 0
	for i, y := range r.Data[r.Season:] {
		i += r.Season
		forecast, deviation := m.Forecast(1), m.Deviation()
		if d := math.Abs(forecast - *r.Predict[i]); d > 1e-6 {
			t.Fatalf("value %d: forecast %v, RRDtool's %v", i, forecast, *r.Predict[i])
		}
		if want := r.Deviation[i]; (want == nil) != math.IsNaN(deviation) || want != nil && math.Abs(deviation-*want) > 1e-6 {
			t.Fatalf("value %d: deviation %v, RRDtool's %v", i, deviation, want)
		}
		if !math.IsNaN(deviation) {
			judged++
			failed := rule.add(math.Abs(y-forecast) > 2*deviation)
			if failed != (*r.Failures[i] == 1) {
				t.Errorf("value %d: failure %v, RRDtool's %v", i, failed, *r.Failures[i])
			}
			if failed {
				failures++
			}
		}
		m.Update(y)
	}
	if judged != len(r.Data)-2*r.Season || failures == 0 {
		t.Errorf("%d judged, %d failures: nothing was compared", judged, failures)
	}
}
