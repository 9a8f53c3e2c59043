package bench

import (
	"encoding/binary"
	"errors"
	"math"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sonde/internal/lab"
)

// capture hears the requests and replies that pass a link. The kernel keeps what
// it hears, with the instant it passed, until somebody reads: nothing of ours runs
// while a program is measured.
type capture []*tap

// tap is one socket that hears what passes one end.
type tap struct {
	fd       int
	arrivals bool // and not what leaves
}

// echo names one packet on the wire, wherever its identifier comes from.
type echo struct {
	id, seq uint16
	far     netip.Addr
}

// heard is what a capture heard of one ask.
type heard struct {
	asked    map[netip.Addr][]echo // by target, in the order of sending
	sent     map[echo]time.Time
	answered map[echo]time.Time
}

// onTheWire hears each packet where it has crossed a veth: requests as they come to
// its far end, replies as they come to the near one. A tap that hears what leaves
// would lie between the program's stamps and the wire: the kernel stamps a packet
// for it, hands it a copy, and only then gives the packet to the device, which
// stamps it for its sender. That work of one or two microseconds, at times ten,
// would count as the program's error.
func onTheWire(b *testing.B, k *lab.Link) capture {
	b.Helper()
	return tapped(b, k, capture{listenTo(b, k.A, true), listenTo(b, k.B, true)})
}

// onOwnEnd hears all at the near end, as tcpdump on the sending host does.
func onOwnEnd(b *testing.B, k *lab.Link) capture {
	b.Helper()
	return tapped(b, k, capture{listenTo(b, k.A, false)})
}

// tapped waits until what comes is stamped. The kernel begins to stamp packets a
// moment after the first socket wants it (net_enable_timestamp leaves it to a
// worker), and what has no stamp gets that of the reading; hence a tap is
// ready when a packet comes with a stamp from before it is read.
func tapped(b *testing.B, k *lab.Link, c capture) capture {
	b.Helper()
	for range 100 {
		fping(b).run(b, k.A.Host, ask{1, 1, 0})
		before, waiting := time.Now(), false
		for _, t := range c {
			h := heard{map[netip.Addr][]echo{}, map[echo]time.Time{}, map[echo]time.Time{}}
			t.read(b, h)
			early := false
			for _, times := range []map[echo]time.Time{h.sent, h.answered} {
				for _, at := range times {
					early = early || at.Before(before)
				}
			}
			waiting = waiting || !early
		}
		if !waiting {
			return c
		}
	}
	b.Fatal("capture: packets have no stamps")
	return nil
}

func listenTo(b *testing.B, e *lab.End, arrivals bool) *tap {
	b.Helper()
	t := &tap{-1, arrivals}
	var err error
	e.Host.Do(func() {
		var dev *net.Interface
		if dev, err = net.InterfaceByName(e.Name); err != nil {
			return
		}
		// Datagrams begin with the IP header on whatever device.
		if t.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return
		}
		if arrivals {
			err = unix.SetsockoptInt(t.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
		}
		// What leaves is shown only to those who want all protocols.
		all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL})
		err = errors.Join(err,
			unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1),
			unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 512<<20),
			unix.Bind(t.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: dev.Index}))
	})
	if err != nil {
		b.Fatalf("capture on %s: %v", e.Name, err)
	}
	b.Cleanup(func() { unix.Close(t.fd) })
	return t
}

// read takes what has been heard since the last time.
func (c capture) read(b *testing.B) heard {
	b.Helper()
	h := heard{map[netip.Addr][]echo{}, map[echo]time.Time{}, map[echo]time.Time{}}
	for _, t := range c {
		t.read(b, h)
	}
	return h
}

func (t *tap) read(b *testing.B, h heard) {
	b.Helper()
	packet, control := make([]byte, 2048), make([]byte, 256)
	for {
		n, oobn, _, from, err := unix.Recvmsg(t.fd, packet, control, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			b.Fatalf("capture: %v", err)
		}
		p := packet[:n]
		if n < 20 || p[0]>>4 != 4 || p[9] != unix.IPPROTO_ICMP || n < int(p[0]&15)*4+8 {
			continue
		}
		icmp := p[int(p[0]&15)*4:]
		e := echo{id: binary.BigEndian.Uint16(icmp[4:]), seq: binary.BigEndian.Uint16(icmp[6:])}
		out := from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING
		switch at := stampOf(b, control[:oobn]); {
		case out != t.arrivals && icmp[0] == 8:
			e.far = netip.AddrFrom4([4]byte(p[16:20]))
			if _, again := h.sent[e]; again {
				b.Fatalf("%s was asked twice under one number", e.far)
			}
			h.sent[e] = at
			h.asked[e.far] = append(h.asked[e.far], e)
		case !out && icmp[0] == 0:
			e.far = netip.AddrFrom4([4]byte(p[12:16]))
			h.answered[e] = at
		}
	}
	stats, err := unix.GetsockoptTpacketStats(t.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil || stats.Drops > 0 {
		b.Fatalf("capture: %d packets of %d were not kept, %v", stats.Drops, stats.Packets, err)
	}
}

func stampOf(b *testing.B, control []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		b.Fatalf("capture: %v", err)
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS_NEW {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
	b.Fatal("capture: a packet has no stamp")
	return time.Time{}
}

// slow is a host on a veth, with a far one 20 ms of round trip behind its other end.
func slow(b *testing.B) *lab.Link {
	b.Helper()
	l := lab.New(b)
	near, gate, far := l.Host("near"), l.Router("gate"), l.Host("far")
	k := l.Connect(near, gate)
	opposite(l.Wire(gate, far, lab.Delayed(10*time.Millisecond, 10*time.Millisecond)))
	l.Route()
	near.Via(pingTargets, k.B.V4)
	return k
}

// BenchmarkPingError compares the round-trip time that a program prints of a
// packet with that of a capture on the wire, where the kernel stamps the request
// and the reply as they come out of it. The difference is what the program and the
// way between it and the wire add: its own clock readings, waking up, and rounding.
// 400 packets at 200 a second, three times each by turns; mean and 99th percentile
// of the absolute error of all of them. own-end is the same with a capture as
// people have it, on the near end alone, which is itself part of what it shows.
//
// fping prints three digits: at 20 ms the last one is worth 100 µs, and
// rounding alone makes a mean error of 25 µs. On the veth it prints whole
// microseconds, so there it shows what it can.
func BenchmarkPingError(b *testing.B) {
	pingers := []pinger{sonde(b), fping(b), proBing(b)}
	for _, path := range []struct {
		name   string
		link   func(*testing.B) *lab.Link
		listen func(*testing.B, *lab.Link) capture
	}{{"20ms", slow, onTheWire}, {"veth", veth, onTheWire}, {"own-end", slow, onOwnEnd}} {
		b.Run(path.name, func(b *testing.B) {
			k := path.link(b)
			c := path.listen(b, k)
			wrong := make([][]float64, len(pingers))
			for b.Loop() {
				for range 3 {
					for i, p := range pingers {
						wrong[i] = append(wrong[i], errorsOf(b, k.A.Host, c, p, ask{targets: 20, count: 20, rate: 200})...)
					}
				}
			}
			var mean, p99 [3]float64
			for i, p := range pingers {
				bias := slices.Sorted(slices.Values(wrong[i]))[len(wrong[i])/2]
				for j, us := range wrong[i] {
					wrong[i][j] = math.Abs(us)
					mean[i] += wrong[i][j] / float64(len(wrong[i]))
				}
				slices.Sort(wrong[i])
				p99[i] = wrong[i][len(wrong[i])*99/100]
				b.Logf("%s: mean error %.2f µs, half within %.2f, 99 %% within %.2f, greatest %.2f; half of the times are too long by more than %.2f (%d packets)",
					p.name, mean[i], wrong[i][len(wrong[i])/2], p99[i], wrong[i][len(wrong[i])-1], bias, len(wrong[i]))
			}
			b.ReportMetric(mean[0], "error_us")
			b.ReportMetric(p99[0], "error_us_p99")
			b.ReportMetric(mean[1], "fping_error_us")
			b.ReportMetric(p99[1], "fping_error_us_p99")
			b.ReportMetric(mean[2], "probing_error_us")
			b.ReportMetric(p99[2], "probing_error_us_p99")
			b.ReportMetric(mean[1]/mean[0], "x_fping")
			b.ReportMetric(mean[2]/mean[0], "x_probing")
		})
	}
}

// errorsOf gives by how many microseconds each round-trip time that the program
// prints is longer than the one on the wire.
func errorsOf(b *testing.B, from *lab.Host, c capture, p pinger, a ask) (us []float64) {
	b.Helper()
	t := p.run(b, from, a)
	h := c.read(b)
	for i, rtt := range t.rtts {
		sent := h.asked[target(i/a.count)]
		if len(sent) != a.count {
			b.Fatalf("%s asked %s %d times instead of %d", p.name, target(i/a.count), len(sent), a.count)
		}
		e := sent[i%a.count]
		at, answered := h.answered[e]
		if !answered || rtt == 0 {
			b.Fatalf("%s: packet %d to %s was lost (on the wire: %v) where nothing gets lost", p.name, i%a.count, e.far, !answered)
		}
		us = append(us, float64(rtt-at.Sub(h.sent[e]))/1000)
	}
	return us
}

// BenchmarkPingFalseLoss counts replies that came and were not told.
//
// fresh: 100 processes one after the other ask 20 targets once, as fast as they
// can, over the veth that loses nothing: what is late in opening, or gone
// before the last reply, shows here.
//
// lossy: the far host drops every hundredth request. The capture knows which
// replies came, packet by packet: *false* came and were not told, *invented* did
// not come and were told.
//
// slow: 60,000 targets once at 20,000 a second on the path of 20 ms, with 400
// packets under way. This process plays the wire on the same cores; on two of
// them it bears 40,000 a second and loses some at 60,000, which the capture
// would tell apart. fping gets as far as its sleeps let it, some 12,000.
func BenchmarkPingFalseLoss(b *testing.B) {
	ours, theirs, library := sonde(b), fping(b), proBing(b)
	b.Run("fresh", func(b *testing.B) {
		near := veth(b).A.Host
		missing := map[string]int{}
		for b.Loop() {
			for range 100 {
				for _, p := range []pinger{ours, theirs, library} {
					missing[p.name] += p.run(b, near, ask{targets: 20, count: 1}).missing()
				}
			}
		}
		b.ReportMetric(float64(missing[ours.name]), "missing")
		b.ReportMetric(float64(missing[theirs.name]), "fping_missing")
		b.ReportMetric(float64(missing[library.name]), "probing_missing")
	})
	b.Run("lossy", func(b *testing.B) {
		k := veth(b)
		c := onTheWire(b, k)
		for b.Loop() {
			for _, p := range []pinger{ours, theirs, library} {
				k.B.Host.LoseEvery(100, "icmp type echo-request")
				reportLoss(b, k, c, p, ask{targets: 500, count: 20, rate: 5_000})
				k.B.Host.Heal()
			}
		}
	})
	b.Run("slow", func(b *testing.B) {
		k := slow(b)
		c := onTheWire(b, k)
		for b.Loop() {
			for _, p := range []pinger{ours, theirs} {
				reportLoss(b, k, c, p, ask{targets: 60_000, count: 1, rate: 20_000})
			}
		}
	})
}

// reportLoss has a program ping and reports what the network lost, and what of
// the rest is false.
func reportLoss(b *testing.B, k *lab.Link, c capture, p pinger, a ask) {
	b.Helper()
	t := p.run(b, k.A.Host, a)
	h := c.read(b)
	var lost, untold, invented int
	for i, rtt := range t.rtts {
		sent := h.asked[target(i/a.count)]
		if len(sent) != a.count {
			b.Fatalf("%s asked %s %d times instead of %d", p.name, target(i/a.count), len(sent), a.count)
		}
		_, answered := h.answered[sent[i%a.count]]
		switch {
		case !answered:
			lost++
			if rtt != 0 {
				invented++
			}
		case rtt == 0:
			untold++
		}
	}
	b.Logf("%s: %s; the network lost %d, %d came and were not told, %d were told and did not come", p.name, t, lost, untold, invented)
	prefix := map[string]string{"sonde": "", "fping": "fping_", "pro-bing": "probing_"}[p.name]
	b.ReportMetric(float64(lost), prefix+"lost")
	b.ReportMetric(float64(untold), prefix+"false")
	b.ReportMetric(float64(invented), prefix+"invented")
	b.ReportMetric(t.perSecond(), prefix+"packets/s")
}
