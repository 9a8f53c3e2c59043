package ping

import (
	"log/slog"
	"testing"
	"time"

	goping "github.com/go-ping/ping"
)

func TestRoundTripTimeIsMonotonic(t *testing.T) {
	ms := time.Millisecond
	at := func(steady, wall time.Duration) clock { return clock{steady: steady, wall: int64(wall)} }
	for name, c := range map[string]struct {
		told      time.Duration
		sent, got clock
		want      time.Duration
	}{
		"both clocks agree":                      {21 * ms, at(0, 0), at(20*ms, 20*ms), 21 * ms},
		"wall clock stepped an hour ahead":       {time.Hour + 21*ms, at(0, 0), at(20*ms, time.Hour+20*ms), 21 * ms},
		"wall clock stepped an hour back":        {-time.Hour + 21*ms, at(0, time.Hour), at(20*ms, 20*ms), 21 * ms},
		"target changed the time stamp":          {9 * time.Hour, at(0, 0), at(20*ms, 20*ms), 20 * ms},
		"target says it answered before we sent": {-9 * time.Hour, at(0, 0), at(20*ms, 20*ms), 20 * ms},
		"zero is no time":                        {0, at(0, 0), at(1, 1), 1},
	} {
		if got := honest(c.told, c.sent, c.got); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestReplyAfterTheReplyToALaterPacketIsReordered(t *testing.T) {
	r := &run{plan: plan{count: 10, timeout: time.Hour}, log: slog.Default(), latest: -1, clock: readClock, p: goping.New(""), sample: sample{ttls: map[int]int{}}}
	for seq := range 5 {
		r.onSend(&goping.Packet{Seq: seq})
	}
	for _, seq := range []int{0, 2, 1, 4, 3} {
		r.onRecv(&goping.Packet{Seq: seq, Rtt: time.Millisecond, Ttl: -1})
	}
	r.onRecv(&goping.Packet{Seq: 5})
	r.onRecv(&goping.Packet{Seq: -1})
	if r.reordered != 2 || r.stats().received != 5 || len(r.ttls) != 0 {
		t.Errorf("reordered %d, received %d, ttls %v; want 2, 5, none", r.reordered, r.stats().received, r.ttls)
	}
}
