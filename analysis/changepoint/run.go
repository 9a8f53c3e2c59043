package changepoint

import (
	"fmt"
	"math"
	"slices"

	"sonde/analysis"
)

// hypothesis says that the present run has had so many values.
type hypothesis struct {
	length int
	p      float64 // its probability
	mean   float64
	beta   float64 // of the gamma prior: half of the summed squares around the mean
}

// longest is the length at which runs stop to grow and begin to forget.
const longest = 500

// improbable runs are dropped. That one of them was right after all costs a new
// run, which comes with the next value.
const improbable = 1e-9

// The prior of a new run, in scales: it may be anywhere near, and spread as usual.
const (
	kappa0 = 0.05
	alpha0 = 1
	beta0  = 1
)

// gammas are lnΓ(α+½) - lnΓ(α) of each length, which all series share.
var gammas = func() (all [longest + 1]float64) {
	for n := range all {
		a := alpha0 + float64(n)/2
		high, _ := math.Lgamma(a + 0.5)
		low, _ := math.Lgamma(a)
		all[n] = high - low
	}
	return all
}()

// density of x under the Student distribution that the run foretells.
func (h *hypothesis) density(x float64) float64 {
	alpha, kappa := alpha0+float64(h.length)/2, kappa0+float64(h.length)
	spread := h.beta * (kappa + 1) / (alpha * kappa)
	d := x - h.mean
	return math.Exp(gammas[h.length] - math.Log(2*math.Pi*alpha*spread)/2 - (alpha+0.5)*math.Log1p(d*d/(2*alpha*spread)))
}

// take makes x a value of the run.
func (h *hypothesis) take(x float64) {
	kappa := kappa0 + float64(h.length)
	if h.length == longest {
		kappa--
		h.beta *= float64(longest-1) / longest
	}
	d := x - h.mean
	h.beta += kappa * d * d / (2 * (kappa + 1))
	h.mean += d / (kappa + 1)
	h.length = min(h.length+1, longest)
}

// weigh takes a value, in scales: the hypotheses after it, at most `most`.
func weigh(all []hypothesis, x, hazard float64, most int) []hypothesis {
	if len(all) == 0 {
		all = []hypothesis{{p: 1, beta: beta0}}
	}
	begins := 0.0
	for i := range all {
		h := &all[i]
		h.p *= h.density(x)
		begins += h.p * hazard
		h.p *= 1 - hazard
		h.take(x)
	}
	// Two that have come to the longest length are one.
	for i := 1; i < len(all); i++ {
		if all[i].length == longest && all[i-1].length == longest {
			if all[i].p > all[i-1].p {
				all[i-1].mean, all[i-1].beta = all[i].mean, all[i].beta
			}
			all[i-1].p += all[i].p
			all = slices.Delete(all, i, i+1)
			i--
		}
	}
	all = append(all, hypothesis{p: begins, beta: beta0})
	for len(all) > most {
		least := 0
		for i := range all[:len(all)-1] { // the new one is given a chance
			if all[i].p < all[least].p {
				least = i
			}
		}
		all = slices.Delete(all, least, least+1)
	}
	sum := 0.0
	for _, h := range all {
		sum += h.p
	}
	if !(sum > 0) {
		return nil // nothing foretold this: all begins anew
	}
	for i := range all {
		all[i].p /= sum
	}
	fresh := all[len(all)-1]
	all = slices.DeleteFunc(all[:len(all)-1], func(h hypothesis) bool { return h.p < improbable })
	return append(all, fresh)
}

// pack and unpack carry hypotheses into the state and back.
func pack(all []hypothesis) (out analysis.Packed64) {
	for _, h := range all {
		out = append(out, float64(h.length), h.p, h.mean, h.beta)
	}
	return out
}

func unpack(packed analysis.Packed64) ([]hypothesis, error) {
	var all []hypothesis
	for ; len(packed) >= 4; packed = packed[4:] {
		h := hypothesis{int(packed[0]), packed[1], packed[2], packed[3]}
		if !(packed[0] >= 0 && packed[0] <= longest) || !(h.p >= 0 && h.p <= 1) || !analysis.Finite(h.mean) || !(h.beta > 0 && h.beta < 1e100) {
			return nil, fmt.Errorf("saved state of a detector: the run %+v cannot be", h)
		}
		all = append(all, h)
	}
	if len(packed) > 0 {
		return nil, fmt.Errorf("saved state of a detector: a part of a run")
	}
	return all, nil
}
