package ping

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"sonde/internal/measure"
)

func TestStatsOfASample(t *testing.T) {
	ms, none := time.Millisecond, math.NaN()
	for name, c := range map[string]struct {
		rtts []time.Duration
		want stats
	}{
		"odd number, a hole":  {[]time.Duration{30 * ms, lost, 10 * ms, 20 * ms}, stats{3, 25, 10, 20, 20, 30, 10, 15, 5, none}},
		"even number":         {[]time.Duration{10 * ms, 20 * ms, 30 * ms, 60 * ms}, stats{4, 0, 10, 25, 30, 60, math.Sqrt(1400. / 3), 50. / 3, 10, none}},
		"one reply":           {[]time.Duration{lost, 7 * ms}, stats{1, 50, 7, 7, 7, 7, none, none, none, none}},
		"no reply":            {[]time.Duration{lost, lost}, stats{0, 100, none, none, none, none, none, none, none, 100}},
		"shorter than the µs": {[]time.Duration{500, 500}, stats{2, 0, 0.0005, 0.0005, 0.0005, 0.0005, 0, 0, 0, none}},
		// Losses 1, 2, 4, 5 and 6: three of the four after the first follow a lost packet.
		"losses in bursts": {[]time.Duration{ms, lost, lost, ms, lost, lost, lost, ms}, stats{3, 62.5, 1, 1, 1, 1, 0, 0, 0, 75}},
	} {
		got := sample{rtts: c.rtts}.stats()
		for _, pair := range [][2]float64{
			{float64(got.received), float64(c.want.received)}, {got.lossPct, c.want.lossPct}, {got.min, c.want.min},
			{got.median, c.want.median}, {got.mean, c.want.mean}, {got.max, c.want.max}, {got.stddev, c.want.stddev},
			{got.ipdvMean, c.want.ipdvMean}, {got.ipdvIQR, c.want.ipdvIQR}, {got.clpPct, c.want.clpPct},
		} {
			if math.Abs(pair[0]-pair[1]) > 1e-9 || math.IsNaN(pair[0]) != math.IsNaN(pair[1]) {
				t.Errorf("%s: got %+v, want %+v", name, got, c.want)
				break
			}
		}
	}
}

func TestTTLIsThatOfMostReplies(t *testing.T) {
	var s sample
	for _, ttl := range []int{63, 57, 255, 57, 0, 57, 63, 57, 57} {
		s.sawTTL(ttl)
	}
	if s.ttl != 57 {
		t.Errorf("got %d, want 57", s.ttl)
	}
}

// A row goes to the spool as JSON when the database is away, and must come
// back with the same meaning.
func TestRowSurvivesJSON(t *testing.T) {
	s := sample{rtts: []time.Duration{1500 * time.Microsecond, lost}, errors: map[string]int{"EPERM": 1}}
	b, err := json.Marshal(rowOf([]plan{{size: 56}}, s))
	if err != nil {
		t.Fatal(err)
	}
	const want = `[56,2,1,0,0,50,[1500,null],1.5,1.5,1.5,1.5,null,null,null,null,null,{"EPERM":1},0,0,null]`
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
		state, text, perfdata := perf(rowOf([]plan{{}}, sample{rtts: c.rtts}))
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
		`{"count": 1, "dscp": 46, "addresses": "each", "device": "eth1"}`: "1 packet of 84 bytes, DSCP 46, to each address of the name, through eth1",
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
