package analyst

import (
	"testing"
	"time"

	"sonde/internal/measure"
	"sonde/internal/store"
)

func TestAnEndWithoutNumbersEndsTheExcursionToo(t *testing.T) {
	p, at := &pass{}, time.Unix(1e9, 0)
	sp, w := &spec{Watched: store.Watched{ID: 7}}, &watch{rule: &store.Rule{Name: "delay"}}
	p.excursion(sp, w, measure.Verdict{Kind: measure.Bad, At: at, Since: at}) // nothing is foretold of silence
	p.excursion(sp, w, measure.Verdict{Kind: measure.Good, At: at, Since: at})
	if e := p.found.Excursions; len(e) != 1 || e[0].ToolspecID != 7 || e[0].Rule != "delay" || !e[0].Ended.Equal(at) {
		t.Errorf("excursions of a beginning and an end without numbers: %+v", e)
	}
}
