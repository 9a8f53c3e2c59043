package anomaly

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"sonde/analysis/analysistest"
	"sonde/analysis/regular"
)

// fill gives every number below v a value of its own.
func fill(v reflect.Value, r *rand.Rand) {
	if !v.CanSet() { // a field that is not exported
		v = reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		if at, ok := v.Addr().Interface().(*time.Time); ok {
			*at = time.Unix(r.Int64N(1<<33), r.Int64N(1e9)).UTC()
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), r)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			fill(v.Elem(), r)
		}
	case reflect.String:
		v.SetString("level")
	case reflect.Array, reflect.Slice:
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

// A detector in which every number has a value of its own comes back the same:
// whatever is added to it must be named in pack.
func TestAStateHoldsAllThatWasLearnt(t *testing.T) {
	for _, params := range []string{`{"kind":"throughput","interval":"5m"}`, `{"kind":"loss","interval":"5m"}`, `{"kind":"unknown","interval":"5m"}`} {
		r := rand.New(rand.NewPCG(3, 4))
		fresh := func() *detector { return analysistest.New(t, Method(), params).(*detector) }
		d, again := fresh(), fresh()
		fill(reflect.ValueOf(&d.core.learnt).Elem(), r)
		d.core.WindowN, d.core.MissRate = int64(d.core.width), 0.5
		if l := d.core.levels; l != nil {
			fill(reflect.ValueOf(l).Elem(), r)
			l.Hours.At = 7
			l.window = window{} // made of the ring
			l.window.restore(l.Window[:d.core.width], l.WindowAt, d.core.WindowN)
		}
		step, counter := d.reader.Step, d.reader.Counter
		fill(reflect.ValueOf(&d.reader).Elem(), r)
		d.reader.Step, d.reader.Counter = step, counter
		fill(reflect.ValueOf(&d.episode).Elem(), r)
		d.apart, d.after = 5, time.Hour
		d.grid.Add(regular.Point{At: analysistest.Start, Value: 1}, 2, math.NaN(), 4)
		d.grid.Add(regular.Point{At: analysistest.Start.Add(10 * time.Minute), Value: math.NaN()}, 5, 6, 7)
		saved, err := d.Save()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.load(saved); err != nil {
			t.Fatalf("%s: %v", params, err)
		}
		if second, err := again.Save(); err != nil || !bytes.Equal(saved, second) {
			t.Errorf("%s: saved again it is another state, %v", params, err)
		}
		if !reflect.DeepEqual(d.core, again.core) || d.reader != again.reader || d.episode != again.episode || d.apart != again.apart || d.after != again.after {
			t.Errorf("%s: saved\n  %+v\nrestored\n  %+v", params, d, again)
		}
		for n := range saved {
			if fresh().load(saved[:n]) == nil && n > 0 {
				t.Fatalf("%s: a state of %d bytes was taken that ends after %d", params, len(saved), n)
			}
		}
		if fresh().load(append(saved, 0)) == nil {
			t.Errorf("%s: a state that something follows was taken", params)
		}
	}
}
