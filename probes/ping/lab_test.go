package ping

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	goping "github.com/go-ping/ping"

	"sonde/internal/lab"
	"sonde/probes"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// from makes one run on a host of the lab, with each kind of socket, which must
// agree in what must not differ. It gives what the raw one saw. Sockets belong to
// the network of the thread that opens them.
func from(t *testing.T, h *lab.Host, to netip.Addr, spec string) (f map[string]any) {
	t.Helper()
	var second map[string]any
	h.Do(func() {
		_, f = measureOnce(t, to.String(), spec, raw)
		_, second = measureOnce(t, to.String(), spec, datagram)
	})
	for _, name := range []string{"sent", "received", "loss_pct", "ttl", "duplicates", "icmp_errors", "user_stamped"} {
		if fmt.Sprintf("%s", f[name]) != fmt.Sprintf("%s", second[name]) {
			t.Errorf("%s of %s with %s: %s on raw sockets, %s on datagram sockets", name, to, spec, f[name], second[name])
		}
	}
	return f
}

// fping gives the losses that fping counts on the same path.
func fping(t *testing.T, h *lab.Host, to netip.Addr, count int) (lost int) {
	t.Helper()
	// fping ends with 1 when a packet was lost; its line tells the rest.
	out, _ := h.Command("fping", "-q", "-c", strconv.Itoa(count), "-p", "10", "-t", "500", to.String()).CombinedOutput()
	m := regexp.MustCompile(`= (\d+)/(\d+)/`).FindStringSubmatch(string(out))
	if m == nil || m[1] != strconv.Itoa(count) {
		t.Fatalf("fping said %q", out)
	}
	received, _ := strconv.Atoi(m[2])
	return count - received
}

func TestLossIsWhatTheNetworkLostAndWhatFpingSees(t *testing.T) {
	src, routers, dst := lab.New(t).Chain(2)
	for _, v6 := range []bool{false, true} {
		to, match := lab.Uplink(dst, v6), "icmp type echo-request"
		if v6 {
			match = "icmpv6 type echo-request"
		}
		routers[0].LoseEvery(4, match)
		const count = 40
		f := from(t, src, to, fmt.Sprintf(`{"count": %d, "interval": "10ms", "timeout": "500ms"}`, count))
		second := fping(t, src, to, count)
		routers[0].Heal()
		if lost := f["sent"].(int64) - f["received"].(int64); lost != 10 || second != 10 {
			t.Errorf("%s: lost %d, fping lost %d, the network lost 10", to, lost, second)
		}
		if f["loss_pct"] != 25.0 {
			t.Errorf("%s: loss_pct %v", to, f["loss_pct"])
		}
		for i, us := range f["rtts_us"].([]*int32) {
			if dropped := i%4 == 3; dropped != (us == nil) {
				t.Errorf("%s: packet %d dropped %v, but its round-trip time is %v", to, i, dropped, us)
			}
		}
		// Two routers stand between; the target answers with 64.
		if f["ttl"] != int64(62) {
			t.Errorf("%s: ttl %v, want 62", to, f["ttl"])
		}
	}
}

func TestLossOfRepliesIsLossToo(t *testing.T) {
	src, routers, dst := lab.New(t).Chain(1)
	routers[0].LoseEvery(2, "icmp type echo-reply")
	f := from(t, src, lab.Uplink(dst, false), `{"count": 6, "interval": "10ms", "timeout": "300ms"}`)
	if f["received"] != int64(3) || f["loss_pct"] != 50.0 {
		t.Errorf("received %v of 6, loss %v", f["received"], f["loss_pct"])
	}
}

func TestSilentPeerIsLossNotError(t *testing.T) {
	src, _, dst := lab.New(t).Chain(0)
	dst.Silence()
	began := time.Now()
	f := from(t, src, dst.V4(), `{"count": 3, "interval": "20ms", "timeout": "300ms"}`)
	if took := time.Since(began); took < 340*time.Millisecond {
		t.Errorf("gave up after %s, before timeout had passed since the last packet", took)
	}
	if f["sent"] != int64(3) || f["received"] != int64(0) || f["loss_pct"] != 100.0 || f["icmp_errors"] != nil {
		t.Errorf("got %v", f)
	}
	for _, name := range []string{"rtt_min_ms", "rtt_median_ms", "rtt_mean_ms", "rtt_max_ms", "rtt_stddev_ms", "ttl"} {
		if f[name] != nil {
			t.Errorf("%s is %v without any reply; want NULL", name, f[name])
		}
	}
}

func TestPacketsOurKernelRefusesAreSentAndLost(t *testing.T) {
	spec := `{"count": 4, "interval": "10ms", "timeout": "300ms"}`
	want := func(t *testing.T, f map[string]any, received int64, errnos map[string]int) {
		t.Helper()
		got := map[string]int{}
		if raw, ok := f["icmp_errors"].(json.RawMessage); ok {
			if err := json.Unmarshal(raw, &got); err != nil {
				t.Fatal(err)
			}
		}
		if f["sent"] != int64(4) || f["received"] != received || fmt.Sprint(got) != fmt.Sprint(errnos) {
			t.Errorf("sent %v, received %v, errors %v; want 4, %d, %v", f["sent"], f["received"], got, received, errnos)
		}
	}
	t.Run("no route", func(t *testing.T) {
		alone := lab.New(t).Host("alone")
		want(t, from(t, alone, netip.MustParseAddr("192.0.2.1"), spec), 0, map[string]int{"ENETUNREACH": 4})
		want(t, from(t, alone, netip.MustParseAddr("2001:db8::1"), spec), 0, map[string]int{"ENETUNREACH": 4})
	})
	t.Run("routes that refuse", func(t *testing.T) {
		alone := lab.New(t).Host("alone")
		for route, errno := range map[string]string{"unreachable": "EHOSTUNREACH", "prohibit": "EACCES", "blackhole": "EINVAL"} {
			alone.Refuse(route, netip.MustParsePrefix("192.0.2.1/32"))
			want(t, from(t, alone, netip.MustParseAddr("192.0.2.1"), spec), 0, map[string]int{errno: 4})
		}
	})
	t.Run("firewall", func(t *testing.T) {
		src, _, dst := lab.New(t).Chain(0)
		src.Forbid("icmp type echo-request")
		want(t, from(t, src, dst.V4(), spec), 0, map[string]int{"EPERM": 4})
	})
	t.Run("firewall opens on the way", func(t *testing.T) {
		src, _, dst := lab.New(t).Chain(0)
		// Packets 0, 1 and 3 of each run are refused.
		src.Forbid("icmp type echo-request numgen inc mod 4 != 2")
		f := from(t, src, dst.V4(), spec)
		want(t, f, 1, map[string]int{"EPERM": 3})
		for i, us := range f["rtts_us"].([]*int32) {
			if (i == 2) != (us != nil) {
				t.Errorf("packet %d has the round-trip time %v", i, us)
			}
		}
	})
}

func TestDuplicatesAreNotReplies(t *testing.T) {
	src, _, dst := lab.New(t).Chain(0)
	// The target answers each packet twice.
	dst.Run("nft", "add table ip twice")
	dst.Run("nft", "add chain ip twice out { type filter hook output priority 0 ; }")
	dst.Run("nft", "add rule ip twice out icmp type echo-reply dup to "+src.V4().String())
	f := from(t, src, dst.V4(), `{"count": 5, "interval": "50ms", "timeout": "300ms"}`)
	if f["received"] != int64(5) || f["loss_pct"] != 0.0 {
		t.Errorf("received %v of 5", f["received"])
	}
	// The run ends with the first reply to its last packet.
	if f["duplicates"] != int64(4) {
		t.Errorf("%v duplicates of 5 replies, want 4", f["duplicates"])
	}
}

func TestCancelEndsTheRunAtOnceWithASilentPeer(t *testing.T) {
	src, _, dst := lab.New(t).Chain(0)
	dst.Silence()
	var p probes.Probe
	src.Do(func() { p = probeOf(t, `{"count": 2, "interval": "10ms", "timeout": "1m"}`) })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	var err error
	src.Do(func() { _, err = p.Run(ctx, target(t, dst.V4().String())) })
	if took := time.Since(began); took > time.Second || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ended after %s with %v", took, err)
	}
}

func TestWithoutAnySocketOneLineSaysWhatToDo(t *testing.T) {
	for groups, want := range map[string]error{"0 0": nil, "1 0": probes.ErrLocal} {
		alone := lab.New(t).Host("alone")
		alone.Sysctl("net/ipv4/ping_group_range", groups)
		alone.Do(func() {
			e, err := open(slog.Default(), usualPace, datagram)
			if err == nil {
				e.Close()
			}
			if !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), "CAP_NET_RAW") {
				t.Errorf("range %q: %v", groups, err)
			}
		})
	}
}

// As many as a worker makes at once, on both kinds of socket.
func TestManyRunsAtOnceLoseNothing(t *testing.T) {
	src, _ := crowd(t)
	for _, k := range []kind{raw, datagram} {
		var e *engine
		src.Do(func() { e = started(t, k) })
		const runs = 5000
		ends := make(chan string, runs)
		for i := range runs {
			to := netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)})
			go func() {
				s, err := e.measure(t.Context(), plan{to: to, count: 5, size: 56, interval: 300 * time.Millisecond, timeout: 2 * time.Second, ttl: usualTTL})
				ends <- fmt.Sprint(s.stats().received, " ", s.userStamped, " ", err)
			}()
		}
		for range runs {
			if got := <-ends; got != "5 0 <nil>" {
				t.Fatalf("%d runs at once on %s sockets: %s, want 5 0 <nil>", runs, k, got)
			}
		}
	}
}

func TestSizeAndTTLAreOnTheWire(t *testing.T) {
	src, routers, dst := lab.New(t).Chain(2)
	to := lab.Uplink(dst, false)
	for _, c := range []struct {
		spec string
		drop string // what the first router drops
		loss float64
	}{
		{`"size": 100`, "icmp type echo-request ip length 128", 100},
		{`"size": 101`, "icmp type echo-request ip length 128", 0},
		{`"size": 4000`, "icmp type echo-request ip length 128", 0}, // in fragments
		{`"ttl": 9`, "icmp type echo-request ip ttl 9", 100},
		{`"ttl": 2`, "icmp type echo-request ip ttl 9", 100}, // ends at the second router
		{`"ttl": 3`, "icmp type echo-request ip ttl 9", 0},
		{`"dscp": 46`, "icmp type echo-request ip dscp ef", 100},
		{`"dscp": 0`, "icmp type echo-request ip dscp != 0", 0},
		{`"source": "` + src.V4().String() + `"`, "icmp type echo-request ip saddr " + src.V4().String(), 100},
	} {
		routers[0].Drop(c.drop)
		f := from(t, src, to, `{"count": 2, "interval": "10ms", "timeout": "150ms", `+c.spec+`}`)
		routers[0].Heal()
		if f["loss_pct"] != c.loss {
			t.Errorf("%s with %q dropped: loss %v, want %v", c.spec, c.drop, f["loss_pct"], c.loss)
		}
	}
}

func TestDeviceChoosesTheWayOut(t *testing.T) {
	network := lab.New(t)
	src, _, dst := network.Chain(1)
	to := lab.Uplink(dst, false)
	// The other way leads nowhere.
	other := network.Connect(src, network.Host("other"))
	for link, want := range map[*lab.Link]float64{network.Links()[0]: 0, other: 100} {
		f := from(t, src, to, `{"count": 3, "interval": "10ms", "timeout": "150ms", "device": "`+link.A.Name+`"}`)
		if f["loss_pct"] != want {
			t.Errorf("through %s: loss %v, want %v", link.A.Name, f["loss_pct"], want)
		}
	}
	src.Do(func() {
		_, err := probeOf(t, `{"device": "nosuch0"}`).Run(t.Context(), target(t, to.String()))
		if !errors.Is(err, probes.ErrLocal) || !strings.Contains(err.Error(), "nosuch0") {
			t.Errorf("a device that is not there gave %v", err)
		}
	})
}

func asJSON(v any) []byte {
	b, _ := json.Marshal(v)
	return b
}

// go-ping is the second opinion: another's sockets, another's clock.
func TestGoPingSeesTheSame(t *testing.T) {
	network := lab.New(t)
	src, dst := network.Host("src"), network.Host("dst")
	network.Wire(src, dst, func(forth bool, n int, _ []byte) []time.Duration {
		if forth && n%5 == 3 {
			return nil
		}
		return []time.Duration{10 * time.Millisecond}
	})
	src.Do(func() {
		_, f := measureOnce(t, dst.V4().String(), `{"count": 10, "interval": "20ms", "timeout": "300ms"}`, raw)
		p := goping.New(dst.V4().String())
		p.Count, p.Interval, p.Timeout = 10, 20*time.Millisecond, time.Second
		p.SetPrivileged(true)
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		theirs, ours := p.Statistics(), f["rtt_min_ms"].(float64)
		if f["received"] != int64(theirs.PacketsRecv) {
			t.Errorf("received %v, go-ping %d", f["received"], theirs.PacketsRecv)
		}
		if their := theirs.MinRtt.Seconds() * 1000; ours < 20 || ours > their+5 { // the wire is played by a process
			t.Errorf("the least round-trip time is %.3f ms, go-ping says %.3f", ours, their)
		}
	})
}
