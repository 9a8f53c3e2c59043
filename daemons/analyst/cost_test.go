package analyst

import (
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"sonde/analysis/catalog"
	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/probes"
	"sonde/probes/ping"
)

// BenchmarkPing is what a ping costs the analyst by the rules that come with the
// program, in processor time and memory, without the database: to feed its
// detectors a sample, to save what they know, and to restore it.
func BenchmarkPing(b *testing.B) {
	const specs, samples = 2000, 100
	s := usualSession(b)
	watched := map[int64]store.Watched{}
	var err error
	for id := range int64(specs) {
		watched[id] = store.Watched{ID: id, Tool: "ping", RunInterval: time.Minute, Usual: time.Minute}
	}
	at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	took := func(name string, n int, f func()) {
		runtime.GC()
		began := processorTime()
		f()
		b.ReportMetric(float64((processorTime()-began).Nanoseconds())/float64(n), "ns_"+name)
	}
	b.ReportMetric(0, "ns/op")
	for b.Loop() {
		before := heap()
		p := &pass{session: s, now: at}
		clear(s.specs)
		for id, w := range watched {
			sp := &spec{Watched: w, source: s.sources["ping"]}
			if err := p.fit(sp); err != nil {
				b.Fatal(err)
			}
			s.specs[id] = sp
		}
		random := rand.New(rand.NewPCG(1, 2))
		feed := func(samples int) {
			for range samples {
				at = at.Add(time.Minute)
				for id := range int64(specs) {
					r := store.Run{Values: []float64{0, 12, 12.4 + random.Float64(), 12.5, 13, 0.1, 0.2}}
					r.ToolspecID, r.DueAt, r.Outcome = id, at, measure.OK
					sp := s.specs[id]
					for _, one := range sp.judge(&r) {
						p.keepRecords(sp, one)
					}
					sp.noteJudging()
				}
				p.found.Stretches = nil
			}
		}
		feed(samples)
		p.found = found{}
		b.ReportMetric((heap()-before)/specs, "B_memory")
		took("feed", specs*samples, func() { feed(samples) })
		states := make([]store.DetectorState, specs)
		took("save", specs, func() {
			for id := range int64(specs) {
				if states[id], err = s.save(s.specs[id], true); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.ReportMetric(float64(len(states[1].State)), "B_state")
		took("restore", specs, func() {
			for _, state := range states {
				if r := s.revive(state, watched); r == nil || len(r.watches) != 6 {
					b.Fatalf("spec %d came back as %+v", state.ToolspecID, r)
				}
			}
		})
	}
}

// A machine that judges thousands of pings a second has no time to collect garbage of
// each: a sample that nothing is said of leaves none.
func TestAUsualPingLeavesNoGarbage(t *testing.T) {
	s := usualSession(t)
	at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	p := &pass{session: s, now: at}
	sp := &spec{Watched: store.Watched{ID: 1, Tool: "ping", RunInterval: time.Minute, Usual: time.Minute}, source: s.sources["ping"]}
	if err := p.fit(sp); err != nil {
		t.Fatal(err)
	}
	l := letter{sp, make([]store.Run, 1)}
	r := &l.runs[0]
	r.ToolspecID, r.Outcome, r.Values = sp.ID, measure.OK, []float64{0, 12, 12.4, 12.5, 13, 0.1, 0.2}
	feed := func() {
		at = at.Add(time.Minute)
		r.DueAt = at
		p.feed(l)
	}
	for range 121 { // an hour's end is a row of its own
		feed()
	}
	if n := testing.AllocsPerRun(30, feed); n > 0 {
		t.Errorf("%v pieces of memory for a sample", n)
	}
}

// usualSession is one with the rules that come with the program, without a database.
func usualSession(t testing.TB) *session {
	t.Helper()
	s := newSession(&Analyst{Tools: []probes.Tool{ping.Tool()}, Methods: catalog.All(), Log: slog.New(slog.DiscardHandler)}, nil, nil)
	for _, r := range catalog.Rules() {
		if r.Options == nil {
			r.Options = json.RawMessage(`{}`)
		}
		s.config.Rules = append(s.config.Rules, store.Rule{Name: r.Name, Method: r.Method, Tool: r.Tool, Metric: r.Metric, Options: r.Options})
	}
	var err error
	if s.prints, err = prints(s.config); err != nil {
		t.Fatal(err)
	}
	return s
}

// processorTime of this process.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
