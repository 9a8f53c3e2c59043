package meandiff_test

import (
	"math"
	"testing"

	"sonde/analysis/analysistest"
	"sonde/analysis/meandiff"
)

func TestTheMethodSitsTheExamination(t *testing.T) {
	for _, params := range []string{`{}`, `{"season":"none"}`} {
		t.Run(params, func(t *testing.T) { analysistest.Examine(t, meandiff.Method(), params) })
	}
}

func TestBadDataAreEndured(t *testing.T) { analysistest.Endure(t, meandiff.Method(), `{}`) }

func FuzzState(f *testing.F) { analysistest.FuzzState(f, meandiff.Method(), `{"season":"none"}`) }

func TestAChangedLevelIsFound(t *testing.T) { analysistest.Level(t, meandiff.Method(), 8) }

// IEPM's pages print these means, deviations and F1s.
func TestF1IsThePublishedOne(t *testing.T) {
	for _, row := range []struct{ mean, sd, mean2, sd2, want float64 }{
		{1000, 0, 540.34, 55.0129, 11.82},
		{1000, 0, 659.22, 273.1441, 1.76},
		{987.34, 80.7157, 633.01, 285.5772, 1.69},
	} {
		if got := meandiff.F1(row.mean, row.sd, row.mean2, row.sd2); math.Abs(got-row.want) > 0.005 {
			t.Errorf("%+v: %v", row, got)
		}
	}
}
