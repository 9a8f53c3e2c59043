package cusum_test

import (
	"testing"

	"sonde/analysis/analysistest"
	"sonde/analysis/cusum"
)

func TestTheMethodSitsTheExamination(t *testing.T) {
	for _, params := range []string{`{}`, `{"season":"none"}`} {
		t.Run(params, func(t *testing.T) { analysistest.Examine(t, cusum.Method(), params) })
	}
}

func TestBadDataAreEndured(t *testing.T) { analysistest.Endure(t, cusum.Method(), `{}`) }

func FuzzState(f *testing.F) { analysistest.FuzzState(f, cusum.Method(), `{"season":"none"}`) }
