package cusum_test

import (
	"testing"
	"time"

	"sonde/analysis/analysistest"
	"sonde/analysis/cusum"
	"sonde/internal/measure"
)

func TestTheMethodSitsTheExamination(t *testing.T) {
	for _, params := range []string{`{}`, `{"season":"none"}`} {
		t.Run(params, func(t *testing.T) { analysistest.Examine(t, cusum.Method(), params) })
	}
}

func TestBadDataAreEndured(t *testing.T) { analysistest.Endure(t, cusum.Method(), `{}`) }

func FuzzState(f *testing.F) { analysistest.FuzzState(f, cusum.Method(), `{"season":"none"}`) }

func TestAChangedLevelIsFound(t *testing.T) { analysistest.Level(t, cusum.Method(), 6) }

// What is left of the sum when an episode ends goes on, and what follows is news of its own.
func TestTheNextEpisodeHasABeginningOfItsOwn(t *testing.T) {
	d := analysistest.New(t, cusum.Method(), `{}`)
	var began []time.Time
	good := false
	for i, v := range analysistest.Days(9, 0, 0, 0) {
		if i >= 6*288 && i < 6*288+12 || good && len(began) == 1 {
			v += 40
		}
		at := analysistest.Start.Add(time.Duration(i) * analysistest.Step)
		for _, v := range d.Feed(measure.Sample{RunKey: measure.RunKey{ToolspecID: 1, DueAt: at}, Outcome: measure.OK, Value: v}) {
			if good = v.Kind == measure.Good; v.Kind == measure.Bad {
				began = append(began, v.Since)
			}
		}
	}
	if len(began) != 2 || !began[1].After(began[0]) {
		t.Errorf("episodes began at %v", began)
	}
}

// A shift of s scales is found after about h / (s - k) values.
func TestASmallShiftTakesItsTime(t *testing.T) {
	for shift, most := range map[float64]int{6: 8, 10: 4} {
		_, at := analysistest.Watch(t, cusum.Method(), `{"least_pct":0,"least":0.5,"k":2,"h":20}`, analysistest.Days(9, 6*288+72, 96, shift*1.7)) // the scale of an hour with its slope
		if len(at) == 0 || at[0]-6*288-72 > 2*most {
			t.Errorf("a shift of %v was found at %v", shift, at)
		}
	}
}

func TestNonsenseParametersAreRefusedInWords(t *testing.T) {
	m := cusum.Method()
	if _, err := m.New(analysistest.Params(t, m, `{"k":9}`), nil); err == nil {
		t.Error("a clip below k was taken")
	}
}
