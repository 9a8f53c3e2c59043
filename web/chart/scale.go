package chart

import (
	"math"
	"slices"
	"time"

	"sonde/analysis"
)

// quantile gives the q-quantile of values, NaN of none. The slice is sorted.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	at := q * float64(len(values)-1)
	i := int(at)
	if i+1 >= len(values) {
		return values[len(values)-1]
	}
	return values[i] + (at-float64(i))*(values[i+1]-values[i])
}

// top is the upper end of the scale. A single wild sample must not press the
// rest flat, so the outer band may be cut off; medians, quartiles and forecasts
// never are, and a band of what is expected not below twice the data.
func top(buckets []Bucket, expected []Expected) float64 {
	var most []float64
	inner := 0.0
	for _, b := range buckets {
		for _, v := range []float64{b.Median, b.High} {
			if v > inner {
				inner = v
			}
		}
		if !math.IsNaN(b.Max) {
			most = append(most, b.Max)
		}
	}
	high := max(inner, quantile(most, 0.97))
	if math.IsNaN(high) {
		high = inner
	}
	for _, e := range expected {
		for _, v := range []float64{e.Forecast, min(e.High, 2*high)} {
			if v > high {
				high = v
			}
		}
	}
	// A scale beyond any network would have no round numbers.
	if !(high > 1e-6) {
		return 1
	}
	return min(high, 1e15) * 1.08
}

// valueTicks gives round numbers from 0 to high, about n of them.
func valueTicks(high float64, n int) []float64 {
	step := math.Pow(10, math.Floor(math.Log10(high/float64(n))))
	for _, m := range []float64{1, 2, 5, 10} {
		if high/(step*m) <= float64(n) {
			step *= m
			break
		}
	}
	var ticks []float64
	for i := 0; float64(i)*step <= high && i < 20; i++ {
		ticks = append(ticks, float64(i)*step)
	}
	return ticks
}

// Number writes a value as messages do; NaN, no value, is a dash.
func Number(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return analysis.Number(v, "")
}

var timeSteps = []time.Duration{
	time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
}

var daySteps = []int{1, 2, 7, 14}
var monthSteps = []int{1, 2, 3, 6, 12, 24, 60, 120}

type timeTick struct {
	At    time.Time
	Label string
}

// timeTicks gives at most n moments that are round on the wall clock of the zone.
func timeTicks(from, until time.Time, zone *time.Location, n int) []timeTick {
	span := until.Sub(from)
	var ticks []timeTick
	for _, step := range timeSteps {
		if span/step > time.Duration(n) {
			continue
		}
		// Steps are counted from the local midnight and go by the wall clock, so
		// that they stay round after a change of the clock.
		local := from.In(zone)
		y, m, d := local.Date()
		for i := 0; ; i++ {
			t := time.Date(y, m, d, 0, 0, i*int(step/time.Second), 0, zone)
			if t.After(until) {
				return ticks
			}
			if t.Before(from) || len(ticks) > 0 && !t.After(ticks[len(ticks)-1].At) {
				continue
			}
			label := t.Format("15:04")
			switch {
			case t.Hour() == 0 && t.Minute() == 0 && t.Second() == 0:
				label = t.Format("Mon 2 Jan")
			case step < time.Minute:
				label = t.Format("15:04:05")
			}
			ticks = append(ticks, timeTick{t, label})
		}
	}
	for _, step := range daySteps {
		if span/(time.Duration(step)*24*time.Hour) > time.Duration(n) {
			continue
		}
		y, m, d := from.In(zone).Date()
		for i := 0; ; i += step {
			t := time.Date(y, m, d+i, 0, 0, 0, 0, zone)
			if t.After(until) {
				return ticks
			}
			if !t.Before(from) {
				ticks = append(ticks, timeTick{t, t.Format("2 Jan")})
			}
		}
	}
	for _, step := range monthSteps {
		if span/(time.Duration(step)*30*24*time.Hour) > time.Duration(n) && step != monthSteps[len(monthSteps)-1] {
			continue
		}
		y, m, _ := from.In(zone).Date()
		for i := 0; ; i += step {
			t := time.Date(y, m+time.Month(i), 1, 0, 0, 0, 0, zone)
			if t.After(until) {
				return ticks
			}
			if !t.Before(from) {
				ticks = append(ticks, timeTick{t, t.Format("Jan 2006")})
			}
		}
	}
	return ticks
}
