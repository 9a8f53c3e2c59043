package meandiff_test

import (
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
