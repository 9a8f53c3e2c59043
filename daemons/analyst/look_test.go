package analyst

import (
	"testing"

	"sonde/internal/alert"
	"sonde/internal/measure"
	"sonde/internal/store"
)

func TestTheLeastCertainFindingsGetASecondLook(t *testing.T) {
	for score, wanted := range map[float64]bool{0: false, 0.2: true, 0.6: true, 0.9: false} { // 0: its detector says none
		p := &pass{session: &session{}}
		p.session.platform.prepare()
		w := &watch{hand: &hand{}, rule: &store.Rule{Name: "delay"}, alert: 3, episode: alert.Episode{Score: score}}
		p.doubt(w, measure.Decision{Action: measure.Raise}, nil, false)
		if l := p.session.platform.Looks[3]; (l != nil) != wanted {
			t.Errorf("of a finding with a score of %v: a second look %v, wanted %v", score, l, wanted)
		}
	}
}
