package anomaly

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"sonde/analysis/regular"
)

// fill gives every number below v a value of its own.
func fill(v reflect.Value, r *rand.Rand) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), r)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), r)
		}
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(float32(r.Float64())))
	case reflect.Int64:
		v.SetInt(r.Int64N(1 << 40))
	case reflect.Uint8, reflect.Uint16:
		v.SetUint(r.Uint64N(200) + 1)
	case reflect.Bool:
		v.SetBool(true)
	}
}

func TestAStateHoldsAllThatWasLearnt(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var l, again learnt
	fill(reflect.ValueOf(&l).Elem(), r)
	if err := again.numbers(nil).unpack(l.numbers(nil).pack()); err != nil || !reflect.DeepEqual(l, again) {
		t.Errorf("learnt and packed:\n  %+v\nunpacked (%v):\n  %+v", l, err, again)
	}
	var in, out regular.Reader
	fill(reflect.ValueOf(&in).Elem(), r)
	if err := readerNumbers(&out).unpack(readerNumbers(&in).pack()); err != nil || in != out {
		t.Errorf("reader %+v, unpacked (%v) %+v", in, err, out)
	}
	packed := l.numbers(nil).pack()
	if again.numbers(nil).unpack(packed[1:]) == nil || again.numbers(nil).unpack(append(packed, 0)) == nil {
		t.Error("a state that is too short, or too long, was taken")
	}
}
