// Package analysistest is the examination every method of analysis sits: the
// same samples give the same verdicts, a detector saved and restored at any
// point goes on as if nothing had happened, and a nonsense state is an error or
// a detector that still works, never a panic.
package analysistest

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"sonde/analysis"
	"sonde/internal/measure"
)

// Start is when the series of this package begin.
var Start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// Event is a sample, or a tick when Tick is set.
type Event struct {
	measure.Sample
	Tick time.Time
}

// Params reads params as a rule's row would have them, defaults in place.
func Params(t testing.TB, m analysis.Method, params string) measure.Options {
	t.Helper()
	o, err := measure.ReadOptions(m.Options, json.RawMessage(params))
	if err != nil {
		t.Fatalf("%s: %v", m.Name, err)
	}
	return o
}

// New builds a fresh detector.
func New(t testing.TB, m analysis.Method, params string) analysis.Detector {
	t.Helper()
	d, err := m.New(Params(t, m, params), nil)
	if err != nil {
		t.Fatalf("%s: %v", m.Name, err)
	}
	return d
}

// Give feeds one event.
func Give(d analysis.Detector, e Event) []measure.Verdict {
	if !e.Tick.IsZero() {
		return d.Tick(e.Tick)
	}
	return d.Feed(e.Sample)
}

// Random makes a series of all that can come: values around two levels, full
// loss, failures, missed runs, gaps, ticks, values that are none, routes.
func Random(seed uint64, n int) []Event {
	r := rand.New(rand.NewPCG(seed, 1))
	at, level := Start, 20.0
	events := make([]Event, 0, n)
	for range n {
		at = at.Add(time.Duration(1+r.IntN(90)) * time.Second)
		e := Event{Sample: measure.Sample{RunKey: measure.RunKey{ToolspecID: 7, DueAt: at}, Outcome: measure.OK, Value: level + 2*r.Float64()}}
		if r.IntN(60) == 0 {
			level = 10 + 90*r.Float64()
		}
		switch r.IntN(12) {
		case 0:
			e.Value = 100
		case 1:
			e.Value = math.NaN()
		case 2:
			e.Outcome, e.Reason, e.Value = measure.Fail, "name does not resolve", math.NaN()
		case 3:
			e.Outcome, e.Reason, e.Value = measure.Missed, "worker down", math.NaN()
		case 4:
			e.Outcome, e.Reason, e.Value, e.Gap, e.Runs = measure.Missed, "scheduler down", math.NaN(), true, 1+r.IntN(5)
		case 5:
			e = Event{Tick: at}
		case 6:
			e.Value = math.Inf(1)
		}
		if e.Tick.IsZero() && e.Outcome == measure.OK {
			e.Route = route(r)
		}
		events = append(events, e)
	}
	return events
}

func route(r *rand.Rand) *measure.Route {
	out := &measure.Route{Reached: r.IntN(8) > 0}
	for i := range 2 + r.IntN(4) {
		hop := netip.AddrFrom4([4]byte{192, 0, byte(i), byte(1 + r.IntN(2))})
		switch r.IntN(10) {
		case 0:
			hop = netip.Addr{}
		case 1:
			hop = netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
		}
		out.Hops = append(out.Hops, measure.Hop{Address: hop})
	}
	return out
}

// Examine asks of a method what the platform relies on.
func Examine(t *testing.T, m analysis.Method, params string) {
	t.Helper()
	t.Run("SavedAndRestoredAtAnyPointItSaysTheSame", func(t *testing.T) {
		o := Params(t, m, params)
		for seed := range uint64(20) {
			events := Random(seed, 400)
			whole, again := New(t, m, params), New(t, m, params)
			for i, e := range events {
				saved, err := again.Save()
				if err != nil {
					t.Fatalf("seed %d, event %d: save: %v", seed, i, err)
				}
				if again, err = m.New(o, saved); err != nil {
					t.Fatalf("seed %d, event %d: restore %s: %v", seed, i, saved, err)
				}
				want, got := Give(whole, e), Give(again, e)
				if !reflect.DeepEqual(want, got) {
					t.Fatalf("seed %d, event %d:\n  never saved: %+v\n  restored:    %+v", seed, i, want, got)
				}
			}
		}
	})
	t.Run("EveryVerdictSaysWhatAndSinceWhen", func(t *testing.T) {
		for seed := range uint64(20) {
			d, last := New(t, m, params), time.Time{}
			for _, e := range Random(seed, 400) {
				now := e.Tick
				if now.IsZero() {
					now = e.DueAt
				}
				for _, v := range Give(d, e) {
					if v.Text == "" || v.Kind == "" || !v.At.Equal(now) || v.Since.IsZero() || v.Since.After(v.At) {
						t.Fatalf("seed %d: an incomplete verdict: %+v", seed, v)
					}
					if v.At.Before(last) {
						t.Fatalf("seed %d: a verdict at %v after one at %v", seed, v.At, last)
					}
					if _, err := json.Marshal(v.Evidence); err != nil {
						t.Fatalf("seed %d: evidence %v: %v", seed, v.Evidence, err)
					}
					last = v.At
				}
			}
		}
	})
	t.Run("ATickThatSaysNothingLeavesNoTrace", func(t *testing.T) {
		for seed := range uint64(5) {
			d, now := New(t, m, params), Start
			d.Tick(now)
			for i, e := range Random(seed, 400) {
				if now = e.Tick; now.IsZero() {
					now = e.DueAt
				}
				Give(d, e)
				before, err := d.Save()
				if err != nil {
					t.Fatal(err)
				}
				if len(d.Tick(now.Add(time.Second))) > 0 {
					continue
				}
				if after, err := d.Save(); err != nil || !bytes.Equal(before, after) {
					t.Fatalf("seed %d, event %d: a tick that said nothing changed the state, %v\n  from %s\n  to   %s", seed, i, err, before, after)
				}
			}
		}
	})
	t.Run("ItsOptionsHaveDefaultsThatMakeADetector", func(t *testing.T) {
		if m.Name == "" || m.Meaning == "" {
			t.Errorf("method %+v has no name or no meaning", m)
		}
		New(t, m, "")
		for _, o := range m.Options {
			if o.Meaning == "" {
				t.Errorf("option %s.%s has no meaning", m.Name, o.Name)
			}
		}
	})
}

// FuzzState feeds garbage to New as a saved state.
func FuzzState(f *testing.F, m analysis.Method, params string) {
	f.Helper()
	o := Params(f, m, params)
	d := New(f, m, params)
	for _, e := range Random(3, 200) {
		Give(d, e)
	}
	saved, err := d.Save()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(saved))
	f.Add([]byte(`{}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`[1,2`))
	f.Add([]byte(`{"count":-5,"bad":true,"history":[1e308,1e308,-1e308],"separation":-1,"window":[1,2]}`))
	events := Random(5, 60)
	f.Fuzz(func(t *testing.T, state []byte) {
		d, err := m.New(o, state)
		if err != nil {
			return
		}
		for _, e := range events {
			for _, v := range Give(d, e) {
				if _, err := json.Marshal(v.Evidence); err != nil {
					t.Fatalf("evidence that JSON cannot hold: %v", err)
				}
			}
		}
		if _, err := d.Save(); err != nil {
			t.Fatalf("a state that was accepted cannot be saved: %v", err)
		}
	})
}
