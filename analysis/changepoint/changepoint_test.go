package changepoint_test

import (
	"testing"

	"sonde/analysis/analysistest"
	"sonde/analysis/changepoint"
)

func TestTheMethodSitsTheExamination(t *testing.T) {
	for _, params := range []string{`{}`, `{"season":"none"}`} {
		t.Run(params, func(t *testing.T) { analysistest.Examine(t, changepoint.Method(), params) })
	}
}

func TestBadDataAreEndured(t *testing.T) { analysistest.Endure(t, changepoint.Method(), `{}`) }

func FuzzState(f *testing.F) { analysistest.FuzzState(f, changepoint.Method(), `{"season":"none"}`) }

func TestAChangedLevelIsFound(t *testing.T) { analysistest.Level(t, changepoint.Method(), 7) }

func TestNonsenseParametersAreRefusedInWords(t *testing.T) {
	m := changepoint.Method()
	if _, err := m.New(analysistest.Params(t, m, `{"shift":30}`), nil); err == nil {
		t.Error("a clip below the shift was taken")
	}
}
