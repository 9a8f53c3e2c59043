package measure

import (
	"slices"
	"testing"
	"time"
)

func TestHopsBeforeTheFirstTTLAreNotKnown(t *testing.T) {
	for first, want := range map[int][]int{-1: {7, 8}, 0: {7, 8}, 1: {7, 8}, 2: {0, 7, 8}, 4: {0, 0, 0, 7, 8}} {
		if got := ByTTL(first, []int{7, 8}); !slices.Equal(got, want) {
			t.Errorf("from TTL %d on: %v, want %v", first, got, want)
		}
	}
	if n := len(ByTTL(1<<30, []int{7})); n != 255 {
		t.Errorf("%d hops: there are no more than 255", n)
	}
}

func TestMedianOfNoneIsNone(t *testing.T) {
	if Median(nil) != 0 || Median([]time.Duration{5, 1, 2}) != 2 || Median([]time.Duration{5, 1, 3, 2}) != 2 || Median([]time.Duration{4, 2}) != 3 {
		t.Error("wrong")
	}
}
