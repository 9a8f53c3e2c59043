package holtwinters

import (
	"testing"
	"time"

	"sonde/analysis/analysistest"
	"sonde/internal/measure"
)

// Values that no slot can hold make it learn anew: its own state is never refused.
func TestValuesBeyondMeasureLeaveAStateThatIsTaken(t *testing.T) {
	for _, options := range []string{`{"interval":"6h","season":"multiplicative","alpha":0,"clip":0}`, `{"interval":"6h","season":"multiplicative","alpha":0,"seasons":"day and week","clip":0}`} {
		d := analysistest.New(t, Method(), options)
		for i := range 400 {
			v := []float64{1e-15, 2e-15, 3e-15, 4e-15}[i%4]
			if i > 120 {
				v = []float64{1e30, 0, 0, 1e30, 1e-30, 0}[i%6]
			}
			d.Feed(measure.Sample{RunKey: measure.RunKey{DueAt: analysistest.Start.Add(time.Duration(i) * 6 * time.Hour)}, Outcome: measure.OK, Value: v})
			saved, err := d.Save()
			if err == nil {
				_, err = Method().New(analysistest.Params(t, Method(), options), saved)
			}
			if err != nil {
				t.Fatalf("after value %d: %v", i, err)
			}
		}
	}
}
