package analyst

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"sonde/analysis"
)

func packState(s savedState) []byte {
	p := analysis.Pack(0)
	s.pack(p)
	return p.Packed()
}

// Whatever stands in detectors.state, it is read or refused, and what is read is
// all that stands there.
func FuzzState(f *testing.F) {
	f.Add(packState(savedState{}))
	f.Add(packState(savedState{Well: time.Unix(1e9, 5).UTC(), Rules: []savedDetector{{"delay", "anomaly rtt_median_ms {}", time.Minute, []byte{3, 1}}, {Rule: "no data"}}}))
	f.Add([]byte(`{"rules":{}}`))
	f.Fuzz(func(t *testing.T, packed []byte) {
		s, err := readState(packed)
		if err != nil || len(packed) == 0 {
			if !reflect.DeepEqual(s, savedState{}) {
				t.Errorf("refused, and yet %+v", s)
			}
			return
		}
		if again := packState(s); !bytes.Equal(packed, again) {
			t.Errorf("%x was read as %+v, which is %x", packed, s, again)
		}
	})
}
