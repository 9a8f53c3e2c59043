package replay

import (
	"testing"
	"time"
)

func alertOf(spec int64, began, raised, ended int) *Alert {
	at := func(minute int) time.Time { return time.Unix(int64(minute)*60, 0).UTC() }
	a := &Alert{ToolspecID: spec, Began: at(began), Raised: at(raised)}
	if ended > 0 {
		e := at(ended)
		a.Ended = &e
	}
	return a
}

func TestWhatTwoSettingsShareStandsAtTheSameTimeOnTheSameSpec(t *testing.T) {
	now := []*Alert{alertOf(1, 10, 15, 30), alertOf(1, 100, 105, 120), alertOf(2, 10, 15, 30), alertOf(3, 10, 12, 0)}
	then := []*Alert{alertOf(1, 10, 12, 25), alertOf(1, 26, 28, 40), alertOf(2, 31, 33, 50), alertOf(3, 200, 205, 210)}
	d := Compare(now, then)
	if len(d.Both) != 2 || d.Both[0].Now != now[0] || d.Both[0].Then != then[0] || d.Both[0].Later != -3*time.Minute || d.Both[1].Now != now[3] || d.Both[1].Then != then[3] {
		t.Errorf("both: %+v", d.Both)
	}
	if len(d.OnlyNow) != 2 || d.OnlyNow[0] != now[1] || d.OnlyNow[1] != now[2] {
		t.Errorf("only now: %+v", d.OnlyNow)
	}
	if len(d.OnlyThen) != 2 || d.OnlyThen[0] != then[1] || d.OnlyThen[1] != then[2] {
		t.Errorf("only then: %+v", d.OnlyThen)
	}
}
