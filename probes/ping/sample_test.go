package ping

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"sonde/internal/measure"
)

func TestStatsOfASample(t *testing.T) {
	ms := time.Millisecond
	for name, c := range map[string]struct {
		rtts []time.Duration
		want stats
	}{
		"odd number, a hole":  {[]time.Duration{30 * ms, lost, 10 * ms, 20 * ms}, stats{3, 25, 10, 20, 20, 30, 10}},
		"even number":         {[]time.Duration{10 * ms, 20 * ms, 30 * ms, 60 * ms}, stats{4, 0, 10, 25, 30, 60, math.Sqrt(1400. / 3)}},
		"one reply":           {[]time.Duration{lost, 7 * ms}, stats{1, 50, 7, 7, 7, 7, math.NaN()}},
		"no reply":            {[]time.Duration{lost, lost}, stats{0, 100, math.NaN(), math.NaN(), math.NaN(), math.NaN(), math.NaN()}},
		"shorter than the µs": {[]time.Duration{500, 500}, stats{2, 0, 0.0005, 0.0005, 0.0005, 0.0005, 0}},
	} {
		got := sample{rtts: c.rtts}.stats()
		for _, pair := range [][2]float64{
			{float64(got.received), float64(c.want.received)}, {got.lossPct, c.want.lossPct}, {got.min, c.want.min},
			{got.median, c.want.median}, {got.mean, c.want.mean}, {got.max, c.want.max}, {got.stddev, c.want.stddev},
		} {
			if math.Abs(pair[0]-pair[1]) > 1e-9 || math.IsNaN(pair[0]) != math.IsNaN(pair[1]) {
				t.Errorf("%s: got %+v, want %+v", name, got, c.want)
				break
			}
		}
	}
}

func TestTTLIsThatOfMostReplies(t *testing.T) {
	if got := (sample{ttls: map[int]int{63: 2, 57: 7, 255: 1}}).ttl(); got != 57 {
		t.Errorf("got %d, want 57", got)
	}
	if got := (sample{}).ttl(); got != 0 {
		t.Errorf("without replies got %d", got)
	}
}

// A row goes to the spool as JSON when the database is away, and must come
// back with the same meaning.
func TestRowSurvivesJSON(t *testing.T) {
	s := sample{rtts: []time.Duration{1500 * time.Microsecond, lost}, errnos: map[string]int{"EPERM": 1}}
	b, err := json.Marshal(rowOf(plan{size: 56}, s))
	if err != nil {
		t.Fatal(err)
	}
	const want = `[56,2,1,0,0,50,[1500,null],1.5,1.5,1.5,1.5,null,null,null,null,null,{"EPERM":1}]`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func TestNagiosStateFollowsTheLoss(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		rtts  []time.Duration
		state int
		text  string
		perf  string
	}{
		{[]time.Duration{2 * ms, 2 * ms}, 0, "0 of 2 packets lost, rta 2 ms", "'rta'=2ms;;;0 'pl'=0%;;;0;100"},
		{[]time.Duration{2 * ms, lost}, 1, "1 of 2 packets lost, rta 2 ms", "'rta'=2ms;;;0 'pl'=50%;;;0;100"},
		{[]time.Duration{lost, lost}, 2, "no answer, 2 of 2 packets lost", "'rta'=U;;;0 'pl'=100%;;;0;100"},
	} {
		state, text, perfdata := perf(rowOf(plan{}, sample{rtts: c.rtts}))
		if state != c.state || text != c.text || perfdata != c.perf {
			t.Errorf("got %d, %q, %q; want %d, %q, %q", state, text, perfdata, c.state, c.text, c.perf)
		}
	}
}

func TestDescribeTellsThePackets(t *testing.T) {
	for spec, want := range map[string]string{
		`{}`:                                  "10 packets of 84 bytes, 1s apart",
		`{"count": 1, "size": 100}`:           "1 packet of 128 bytes",
		`{"count": 600, "interval": "100ms"}`: "600 packets of 84 bytes, 100ms apart",
	} {
		o, err := measure.ReadOptions(options(), []byte(spec))
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(o); got != want {
			t.Errorf("%s: %q, want %q", spec, got, want)
		}
	}
}
