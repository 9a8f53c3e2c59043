package changepoint

import (
	"math"
	"math/rand/v2"
	"testing"
)

// What a run foretells, value after value, must multiply to the probability of
// all its values, which the normal-gamma prior has in closed form.
func TestARunForetellsWhatItsPriorSays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	h := hypothesis{beta: beta0}
	sum, n := 0.0, 40
	for range n {
		x := 3 + 2*r.NormFloat64()
		sum += math.Log(h.density(x))
		h.take(x)
	}
	gamma := func(a float64) float64 { v, _ := math.Lgamma(a); return v }
	a := alpha0 + float64(n)/2
	want := gamma(a) - gamma(alpha0) + alpha0*math.Log(beta0) - a*math.Log(h.beta) +
		(math.Log(kappa0)-math.Log(kappa0+float64(n)))/2 - float64(n)/2*math.Log(2*math.Pi)
	if math.Abs(sum-want) > 1e-9 {
		t.Errorf("ln p is %v, want %v", sum, want)
	}
}

func TestTheProbableRunBeganAtTheChange(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var all []hypothesis
	for i := range 400 {
		x := r.NormFloat64()
		if i >= 380 {
			x += 8
		}
		all = weigh(all, x, 1.0/500, 50)
		if len(all) > 50 {
			t.Fatalf("%d hypotheses", len(all))
		}
		sum := 0.0
		for _, h := range all {
			sum += h.p
		}
		if math.Abs(sum-1) > 1e-6 {
			t.Fatalf("value %d: the probabilities sum to %v", i, sum)
		}
	}
	likely := all[0]
	for _, h := range all {
		if h.p > likely.p {
			likely = h
		}
	}
	if likely.length != 20 || likely.p < 0.9 || math.Abs(likely.mean-8) > 1 {
		t.Errorf("the probable run is %+v", likely)
	}
}

func TestARunLongerThanTheLongestForgets(t *testing.T) {
	var all []hypothesis
	for i := range 5 * longest {
		all = weigh(all, float64(i%3)-1, 1.0/1000000, 50)
	}
	for _, h := range all {
		if h.length > longest || !(h.beta > 0) || h.beta > 1000 {
			t.Errorf("run %+v", h)
		}
	}
}
