package analysis_test

import (
	"math"
	"testing"
	"time"

	"sonde/analysis"
)

// packed is one of everything that can be packed.
type packed struct {
	Number, None float64
	Count        int
	Flag         bool
	At, Never    time.Time
	Text         string
	Piece        []byte
	Singles      []float32
	Hole         float32
	Shorts       []uint16
	Bytes        []byte
}

func (s *packed) pack(p *analysis.Packing) {
	p.Version(7)
	p.Number(&s.Number)
	p.Any(&s.None)
	p.Count(&s.Count)
	p.Flags(&s.Flag)
	p.Instants(&s.At, &s.Never)
	p.Text(&s.Text)
	p.Piece(&s.Piece)
	if n := p.Length(len(s.Singles), 4); p.Reading() {
		s.Singles = make([]float32, n)
	}
	p.Singles(s.Singles)
	p.Holes(&s.Hole)
	if p.Reading() {
		s.Shorts, s.Bytes = make([]uint16, 2), make([]byte, 2)
	}
	p.Shorts(s.Shorts)
	p.Bytes(s.Bytes)
}

func example() (packed, []byte) {
	s := packed{Number: 0.1, None: math.Inf(-1), Count: -5, Flag: true, At: time.Date(2026, 3, 2, 1, 2, 3, 4005, time.UTC), Text: "über", Piece: []byte{1, 2},
		Singles: []float32{0.1, 1e38}, Hole: float32(math.NaN()), Shorts: []uint16{0, 65535}, Bytes: []byte{7, 255}}
	p := analysis.Pack(0)
	s.pack(p)
	return s, p.Packed()
}

func TestWhatIsPackedComesBackAsItWas(t *testing.T) {
	s, saved := example()
	var back packed
	p := analysis.Unpack(saved)
	if back.pack(p); p.Err() != nil {
		t.Fatal(p.Err())
	}
	if back.Hole == back.Hole || !back.Never.IsZero() || back.At != s.At || back.None != s.None || back.Text != s.Text || back.Count != s.Count || !back.Flag ||
		string(back.Piece) != string(s.Piece) || back.Singles[1] != s.Singles[1] || back.Shorts[1] != 65535 || back.Bytes[1] != 255 || back.Number != s.Number {
		t.Errorf("%+v came back as %+v", s, back)
	}
}

func TestAPackedStateThatIsBrokenIsRefused(t *testing.T) {
	_, saved := example()
	for n := range saved {
		p := analysis.Unpack(saved[:n])
		if new(packed).pack(p); p.Err() == nil {
			t.Errorf("a state of %d bytes was taken that ends after %d", len(saved), n)
		}
	}
	nan := packed{Number: math.NaN(), Shorts: make([]uint16, 2), Bytes: make([]byte, 2)}
	w := analysis.Pack(0)
	nan.pack(w)
	other := append([]byte(nil), saved...)
	other[0] = 6
	for name, broken := range map[string][]byte{"something follows": append(append([]byte(nil), saved...), 0), "no number": w.Packed(), "another version": other} {
		p := analysis.Unpack(broken)
		if new(packed).pack(p); p.Err() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Whatever comes, what is taken packs to the same bytes again.
func FuzzPacking(f *testing.F) {
	_, saved := example()
	f.Add(saved)
	f.Add(saved[:20])
	f.Add([]byte{7})
	f.Fuzz(func(t *testing.T, saved []byte) {
		var s packed
		p := analysis.Unpack(saved)
		if s.pack(p); p.Err() != nil {
			return
		}
		again := analysis.Pack(0)
		s.pack(again)
		flag := 1 + 8 + 8 + 8 // any byte but nought is yes
		if got := again.Packed(); string(got[:flag])+string(got[flag+1:]) != string(saved[:flag])+string(saved[flag+1:]) {
			t.Errorf("%x packed again is %x", saved, got)
		}
	})
}
