package analyst

import (
	"fmt"
	"testing"
	"time"

	"sonde/internal/store"
)

func TestAnInboxGivesEachSpecItsRunsInOrder(t *testing.T) {
	var in inbox
	a, b := &spec{Watched: store.Watched{ID: 1}}, &spec{Watched: store.Watched{ID: 2}}
	put := func(sp *spec, second int64, reason string) {
		r := store.Run{}
		r.ToolspecID, r.DueAt, r.Reason = sp.ID, time.Unix(second, 0), reason
		in.put(sp, r)
	}
	for range 2 { // the second time in the same memory
		put(b, 5, "late")
		put(a, 9, "last")
		put(b, 1, "run")
		put(b, 1, "gap of the same instant")
		put(a, 3, "first")
		got := ""
		for _, l := range in.sort() {
			got += fmt.Sprintf("%d:", l.spec.ID)
			for _, r := range l.runs {
				got += " " + r.Reason + ","
			}
		}
		if want := "1: first, last,2: run, gap of the same instant, late,"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		in.empty(8)
		if cap(in.came) == 0 || in.came[:1][0].Reason != "" || in.to[:1][0] != nil {
			t.Errorf("kept for the next pass: %+v", in)
		}
	}
	for range 9 {
		put(a, 1, "after an outage")
	}
	in.sort()
	if in.empty(8); cap(in.came) != 0 {
		t.Errorf("memory for %d runs is kept", cap(in.came))
	}
}
