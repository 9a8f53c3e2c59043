package holtwinters

import (
	"math"
	"slices"
)

// Start makes a model of several seasons: values holds whole seasons one after
// another, NaN where there is none; its length is a multiple of period, and
// period 1 means that there is no season. An odd season among three, be it the
// first, leaves no trace, because each slot starts with the median of its
// values. The model stands at the end of the values.
//
// It starts without a trend: what three seasons show of one is mostly the
// difference between their weathers.
func Start[F Real](p Params, values []float64, period int) *Model[F] {
	m := fromMedians[F](p, values, period)
	for _, y := range values {
		if math.IsNaN(y) {
			m.Skip(1)
		} else {
			m.Update(y)
		}
	}
	return m
}

// fromMedians is the start of Start, before it has run over the values.
func fromMedians[F Real](p Params, values []float64, period int) *Model[F] {
	m := &Model[F]{Params: p, Season: make([]Slot[F], period)}
	seasons := len(values) / period
	levels := make([]float64, seasons)
	for s := range levels {
		levels[s] = median(values[s*period : (s+1)*period])
	}
	if m.Multiplicative && !(slices.Min(levels) > 0) {
		m.Multiplicative = false // shares of nothing, or of less
	}
	whole := median(values)
	if period == 1 {
		levels = []float64{whole}
	}
	season := make([]float64, period)
	for i := range season {
		season[i] = m.Neutral()
		if period > 1 {
			season[i] = m.slotMedian(values, levels, i)
		}
	}
	bridge(season)
	// Seasons are told from the level by their mean.
	mean := 0.0
	for _, v := range season {
		mean += v / float64(period)
	}
	for i, v := range season {
		if m.Multiplicative {
			v /= apart(mean)
		} else {
			v -= mean
		}
		m.Season[i].Season = F(v)
	}
	errors := make([]float64, 0, len(values))
	clean := make([]float64, 0, len(values))
	for i, y := range values {
		if math.IsNaN(y) {
			continue
		}
		d := float64(m.Season[i%period].Season)
		if m.Multiplicative {
			clean = append(clean, y/apart(d))
		} else {
			clean = append(clean, y-d)
		}
		errors = append(errors, 0)
	}
	m.Level = median(clean[:min(len(clean), period+24)])
	around := median(clean)
	for i, v := range clean {
		errors[i] = math.Abs(v - around)
	}
	least := max(math.Abs(whole)/1000, resolution(values)/2)
	scale := max(least, 1.4826*median(errors))
	m.Least, m.Variance = least*least, scale*scale
	for i := range m.Season {
		// The mean of absolute normal errors is 0.8 of their deviation.
		m.Season[i].Deviation = F(0.8 * scale)
	}
	return m
}

// slotMedian is what slot i is apart from the levels of its seasons.
func (m *Model[F]) slotMedian(values, levels []float64, i int) float64 {
	period := len(m.Season)
	apartFrom := make([]float64, len(levels))
	for s, level := range levels {
		y := values[s*period+i]
		if m.Multiplicative {
			apartFrom[s] = y / level
		} else {
			apartFrom[s] = y - level
		}
	}
	return median(apartFrom)
}

// median of what is a number; NaN of none.
func median(values []float64) float64 {
	there := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(there) == 0 {
		return math.NaN()
	}
	slices.Sort(there)
	half := len(there) / 2
	if len(there)%2 == 1 {
		return there[half]
	}
	return there[half-1]/2 + there[half]/2
}

// bridge draws a line over slots of which no season had a value.
func bridge(season []float64) {
	first := slices.IndexFunc(season, func(v float64) bool { return !math.IsNaN(v) })
	if first < 0 {
		for i := range season {
			season[i] = 0
		}
		return
	}
	n, last := len(season), first
	for i := first + 1; i <= first+n; i++ {
		if math.IsNaN(season[i%n]) {
			continue
		}
		from, to := season[last%n], season[i%n]
		for k := last + 1; k < i; k++ {
			season[k%n] = from + (to-from)*float64(k-last)/float64(i-last)
		}
		last = i
	}
}

// resolution is the smallest difference between two values, 0 if all are equal.
func resolution(values []float64) float64 {
	there := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	slices.Sort(there)
	least := 0.0
	for i := 1; i < len(there); i++ {
		if d := there[i] - there[i-1]; d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}
