package kolmogorov_test

import (
	"testing"

	"sonde/analysis/analysistest"
	"sonde/analysis/kolmogorov"
)

func TestTheMethodSitsTheExamination(t *testing.T) {
	for _, params := range []string{`{}`, `{"season":"none"}`} {
		t.Run(params, func(t *testing.T) { analysistest.Examine(t, kolmogorov.Method(), params) })
	}
}

func TestBadDataAreEndured(t *testing.T) { analysistest.Endure(t, kolmogorov.Method(), `{}`) }

func FuzzState(f *testing.F) { analysistest.FuzzState(f, kolmogorov.Method(), `{"season":"none"}`) }
