package holtwinters

import (
	"math"
	"testing"
)

// A hundred thousand series with a daily season of 288 slots, each updated in
// its turn: the memory is larger than any cache, as in the analyst.
func BenchmarkUpdateOfOneAmongHundredThousandSeries(b *testing.B) {
	const series, period = 100_000, 288
	slots := make([]Slot[float32], series*period)
	for i := range slots {
		slots[i] = Slot[float32]{Season: float32(i % 7), Deviation: 1}
	}
	models := make([]Model[float32], series)
	for i := range models {
		models[i] = Model[float32]{
			Params: Params{Alpha: 0.1, Beta: 0.0035, Gamma: 0.1, Phi: 0.98, GammaDeviation: 0.1, Clip: 2},
			Level:  100, Variance: 1, Season: slots[i*period : (i+1)*period],
		}
	}
	values := make([]float64, 1024)
	for i := range values {
		values[i] = 100 + 3*math.Sin(float64(i*i))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		models[i].Update(values[i%len(values)])
		if i++; i == series {
			i = 0
		}
	}
}

func BenchmarkUpdateOfOneSeries(b *testing.B) {
	m := Model[float32]{
		Params: Params{Alpha: 0.1, Beta: 0.0035, Gamma: 0.1, Phi: 0.98, GammaDeviation: 0.1, Clip: 2},
		Level:  100, Variance: 1, Season: make([]Slot[float32], 288),
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		m.Update(100 + float64(i%5))
		i++
	}
}
