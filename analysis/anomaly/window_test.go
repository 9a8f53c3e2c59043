package anomaly

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTheWindowInOrderIsTheRingSorted(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, width := range []int{2, 5, 24, 25} {
		var w window
		ring, at, n := make([]float32, width), int64(0), int64(0)
		var all []float32
		for range 500 {
			v := float64(r.IntN(40)-20) / 4 // many are equal
			switch r.IntN(60) {
			case 0: // a pause
				n, all = 0, nil
			case 1: // a restart
				w = window{}
				w.restore(ring, at, n)
			}
			got, full := w.add(ring, &at, &n, v)
			all = append(all, float32(v))
			if len(all) < width {
				if full {
					t.Fatalf("full with %d of %d", len(all), width)
				}
				continue
			}
			want := slices.Clone(all[len(all)-width:])
			slices.Sort(want)
			if !full || float32(got) != weaker(want) {
				t.Fatalf("width %d: %v (full %v), sorted anew %v", width, got, full, weaker(want))
			}
		}
	}
}
