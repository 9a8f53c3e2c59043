package analysis_test

import (
	"encoding/json"
	"math"
	"testing"

	"sonde/analysis"
)

func TestPackedNumbersComeBackAsTheyWere(t *testing.T) {
	type state struct {
		Wide analysis.Packed64
		Half analysis.Packed32
		None analysis.Packed32 `json:",omitempty"`
	}
	want := state{Wide: analysis.Packed64{0.1, math.NaN(), math.Inf(-1), 5e-324}, Half: analysis.Packed32{0.1, float32(math.NaN()), 1e38}}
	text, err := json.Marshal(want)
	var got state
	if err == nil {
		err = analysis.Load(text, &got)
	}
	if err != nil || len(got.Wide) != 4 || len(got.Half) != 3 || got.None != nil {
		t.Fatalf("%s came back as %+v, %v", text, got, err)
	}
	for i := range want.Wide {
		if math.Float64bits(want.Wide[i]) != math.Float64bits(got.Wide[i]) {
			t.Errorf("number %d: %v, was %v", i, got.Wide[i], want.Wide[i])
		}
	}
	for i := range want.Half {
		if math.Float32bits(want.Half[i]) != math.Float32bits(got.Half[i]) {
			t.Errorf("number %d: %v, was %v", i, got.Half[i], want.Half[i])
		}
	}
	for _, broken := range []string{`{"Wide":"AAAA"}`, `{"Half":"?"}`, `{"Half":[1]}`} {
		if analysis.Load(json.RawMessage(broken), &got) == nil {
			t.Errorf("%s was taken", broken)
		}
	}
}
