package anomaly

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

// made is a series of six weeks with two events, the first after two weeks.
type made struct {
	kind   string
	step   time.Duration
	value  []float64
	events [2]int // where they begin; each lasts four hours
}

const eventHours = 4

// makeSeries draws a level, a day and a week, wandering, heavy tails, single
// spikes, lost answers, a hole, a day that shifts by an hour (clocks are changed)
// and two events, in proportions a probe sees.
func makeSeries(kind string, seed uint64) made {
	r := rand.New(rand.NewPCG(seed, 77))
	m := made{kind: kind, step: []time.Duration{2, 5, 10}[r.IntN(3)] * time.Minute}
	perHour := int(time.Hour / m.step)
	n := 6 * 7 * 24 * perHour
	level := math.Exp(1.5 + 3.5*r.Float64())
	more, noise, wander := 0.15*r.Float64()*level+0.5, 0.02*level+0.1, 0.0
	if kind == "throughput" {
		more = -more
	}
	shift := n/2 + r.IntN(n/4)
	for i := range n {
		hour := float64(i)/float64(perHour) + 24
		if i > shift {
			hour++
		}
		share := math.Pow((1-math.Cos(2*math.Pi*(math.Mod(hour, 24)-4)/24))/2, 1.5)
		if int(hour/24)%7 >= 5 {
			share *= 0.6
		}
		wander = 0.999*wander + 0.02*noise*r.NormFloat64()
		v := level + more*share + wander
		away := noise * (0.5 + share) * r.NormFloat64()
		if !settingOf(kind).points { // heavy tails and spikes; of a count one spike is news
			away = math.Abs(away) * (0.3 + r.ExpFloat64())
			if r.IntN(300) == 0 {
				away += level * (0.5 + r.Float64())
			}
		}
		if more < 0 {
			away = -min(away, 0.9*v)
		}
		if v += away; r.IntN(500) == 0 {
			v = math.NaN()
		}
		m.value = append(m.value, v)
	}
	size := 0.1*level + 0.6*math.Abs(more) + 4*noise
	for k := range m.events {
		m.events[k] = n/3 + k*n/3 + r.IntN(n/4)
		for i := m.events[k]; i < m.events[k]+eventHours*perHour; i++ {
			if more < 0 {
				m.value[i] = max(0.05*level, m.value[i]-size)
			} else {
				m.value[i] += size
			}
		}
	}
	return m
}

// TestWhatIsFoundAndWhatIsNot guards the setting: it is loose, the figures of
// docs/detection.md are what counts.
func TestWhatIsFoundAndWhatIsNot(t *testing.T) {
	for _, kind := range []string{"rtt", "latency", "throughput", "count"} {
		found, events, wrong, alerts, weeks := 0, 0, 0, 0, 0.0
		for seed := range uint64(8) {
			m := makeSeries(kind, seed)
			d := analysistest.New(t, Method(), fmt.Sprintf(`{"kind": %q, "interval": %q}`, kind, measure.FormatDuration(m.step)))
			var last time.Time
			hit := [len(m.events)]bool{}
			for i, v := range m.value {
				at := analysistest.Start.Add(time.Duration(i) * m.step)
				d.Feed(measure.Sample{RunKey: measure.RunKey{DueAt: at}, Outcome: measure.OK, Value: v})
				if i < len(m.value)/3 || d.(analysis.Scorer).Score() < measure.AlertScore {
					continue
				}
				again := at.Sub(last) <= time.Hour
				last = at
				inside := false
				for k, from := range m.events {
					since := time.Duration(i-from) * m.step
					inside = inside || since >= 0 && since <= 24*time.Hour // its end, and what was learnt of it
					hit[k] = hit[k] || since >= 0 && since <= eventHours*time.Hour
				}
				switch {
				case again:
				case inside:
					alerts++
				default:
					wrong++
				}
			}
			for _, h := range hit {
				events++
				if h {
					found++
				}
			}
			weeks += 4
		}
		recall, rate := float64(found)/float64(events), float64(wrong)/weeks
		t.Logf("%s: %.2f found, %.3f false a week, %.2f alerts an event", kind, recall, rate, float64(alerts)/float64(max(1, found)))
		if recall < 0.85 || rate > 0.3 || float64(alerts) > 2*float64(found) {
			t.Errorf("%s: %d of %d events found in %d alerts, %.2f false a week", kind, found, events, alerts, rate)
		}
	}
}

func TestADayThatComesAnHourLaterIsNoNews(t *testing.T) {
	s := newSeries(t, rtt5, 5*time.Minute)
	s.feed(21*24*time.Hour, s.daily(50, 30))
	s.said = nil
	later := s.at.Add(3 * 24 * time.Hour)
	s.feed(3*24*time.Hour, func() float64 {
		hour := float64(s.at.Hour()) + float64(s.at.Minute())/60 - 1
		return 50 + 15*(1-math.Cos(2*math.Pi*hour/24)) + s.noise.NormFloat64()
	})
	if len(s.said) != 0 || !s.at.Equal(later) {
		t.Errorf("said of clocks that were changed: %+v", s.said)
	}
}

func TestWhatComesAndGoesIsSaidOnce(t *testing.T) {
	s := newSeries(t, rtt5, 5*time.Minute)
	s.feed(14*24*time.Hour, s.about(50))
	for range 8 {
		s.feed(35*time.Minute, s.about(80)).feed(35*time.Minute, s.about(50))
	}
	if s.turns() != "b" {
		t.Errorf("verdicts %q of a path that flaps for nine hours: %+v", s.turns(), s.said)
	}
}

func TestASeriesThatAlwaysStoodStillHasChanged(t *testing.T) {
	for _, kind := range []string{"rtt", "latency", "count", "unknown"} {
		s := newSeries(t, `{"interval": "5m", "kind": "`+kind+`"}`, 5*time.Minute)
		s.feed(7*24*time.Hour, func() float64 { return 20 }).feed(2*time.Hour, func() float64 { return 60 })
		if s.turns() != "b" {
			t.Errorf("%s: verdicts %q of a constant that became another: %+v", kind, s.turns(), s.said)
		}
	}
}
