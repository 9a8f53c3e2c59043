package traceroute

import (
	"context"
	"testing"
	"time"

	"sonde/internal/lab"
)

// whole is the packets that must not be cut: those that look for the MTU.
func whole(p *lab.Packet) bool { return p.Bytes[6]&0x40 != 0 }

func TestMTUSearchEndsWithTheTruth(t *testing.T) {
	for _, told := range []bool{true, false} {
		for mtu := 60; mtu <= 9001; mtu += 7 {
			s := newMTUSearch(60, 9000)
			tries := 0
			for ; s.low < s.high; tries++ {
				size, hint := s.next(), 0
				if size <= s.low || size > s.high {
					t.Fatalf("%d between %d and %d", size, s.low, s.high)
				}
				if told && size > mtu {
					hint = mtu
				}
				s.learn(size, size <= mtu, hint)
			}
			if s.low != min(mtu, 9000) || tries > 20 || told && tries > 3 {
				t.Fatalf("MTU %d, told %v: %d after %d sizes", mtu, told, s.low, tries)
			}
		}
	}
}

// A router may say anything.
func TestMTUSearchIsNotLedAstray(t *testing.T) {
	for _, hint := range []int{1, 59, 60, 68, 1333, 1400, 1499, 1500, 65535} {
		s := newMTUSearch(60, 1500)
		for n := 0; s.low < s.high; n++ {
			size := s.next()
			s.learn(size, size <= 1400, hint)
			if n > 30 {
				t.Fatalf("hint %d: between %d and %d after %d sizes", hint, s.low, s.high, n)
			}
		}
		if s.low != 1400 {
			t.Errorf("hint %d: %d", hint, s.low)
		}
	}
}

func TestRouteIsKeptWhenTimeEndsTheSearchOfTheMTU(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), &lab.Router{V4: "10.1.2.1", MTU: 1333, BlackHole: true})
	e := engineOn(t, src)
	for _, allowed := range []time.Duration{1500 * time.Millisecond, 2 * time.Second, 2500 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), allowed)
		s, err := runOn(ctx, t, e, src, `{"mtu":true}`, "198.18.7.7")
		cancel()
		if err != nil || !s.reached || len(s.hops) != 3 {
			t.Errorf("in %s: %v, %v", allowed, s.hops, err)
		}
	}
}

func TestMTUThatCannotBeToldIsUnknown(t *testing.T) {
	src, net := internet(t)
	// It answers nothing any more.
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), lab.At("10.1.2.1"), &lab.Target{Silent: whole})
	e := engineOn(t, src)
	if s := runs(t, e, src, `{"mtu":true}`, []string{"198.18.7.7"}, 1)["198.18.7.7"]; fields(s.row)["mtu"] != nil || !s.reached {
		t.Errorf("no packet was answered, and the MTU is %v", fields(s.row)["mtu"])
	}
	// A firewall of our own.
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), lab.At("10.1.2.1"))
	src.Forbid("ip length > 100")
	if s := runs(t, e, src, `{"mtu":true}`, []string{"198.18.7.7"}, 1)["198.18.7.7"]; fields(s.row)["mtu"] != nil || !s.reached {
		t.Errorf("we do not send, and the MTU is %v", fields(s.row)["mtu"])
	}
}

func TestTargetThatLimitsItsAnswersIsNoNarrowPath(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), lab.At("10.1.2.1"), &lab.Target{Limit: &lab.Limit{PerSecond: 1, Burst: 6}})
	s := trace(t, src, `{"mtu":true,"method":"udp"}`, ip("198.18.7.7"))
	if mtu := fields(s.row)["mtu"]; mtu != int64(1500) && mtu != nil {
		t.Errorf("MTU %v behind hop %v", mtu, fields(s.row)["mtu_hop"])
	}
}

// Its reader had taken it out of those waited for when the size before was given up.
func TestAnswerOfTheSizeBeforeIsNotCounted(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), &lab.Router{V4: "10.1.2.1", MTU: 1333, BlackHole: true})
	e := engineOn(t, src)
	src.Do(func() {
		p, err := newProbe([]byte(`{}`), envOf(e))
		if err != nil {
			t.Fatal(err)
		}
		r := newRun(e, p.plan, ip("198.18.7.7"))
		r.source, r.timer = net.V4, time.NewTimer(0)
		if err := r.find(t.Context()); err != nil {
			t.Fatal(err)
		}
		old := r.packet(question{0, 0})
		old.done, old.size = true, 1500
		r.heard <- heard{probeSent: old, answer: answer{kind: reply}, from: r.to}
		if got, err := r.fits(t.Context(), 1500, 60); err != nil || got.fits {
			t.Errorf("1500 bytes through 1333: %+v, %v", got, err)
		}
	})
}
