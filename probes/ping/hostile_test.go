package ping

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sonde/internal/lab"
	"sonde/probes"
)

// answering plays a wire whose far end is us: answer gives what comes back for a packet.
func answering(t *testing.T, answer func(packet []byte) [][]byte) (src *lab.Host, to netip.Addr) {
	t.Helper()
	network := lab.New(t)
	src = network.Host("src")
	to = netip.MustParseAddr("10.99.0.1")
	src.Do(func() {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		req, err := unix.NewIfreq("far0")
		if err != nil {
			t.Fatal(err)
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			t.Fatal(err)
		}
		far := os.NewFile(uintptr(fd), "far0")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			buf := make([]byte, 1<<16)
			for {
				n, err := far.Read(buf)
				if err != nil {
					return
				}
				if n < 28 || buf[0]>>4 != 4 || buf[9] != 1 {
					continue
				}
				for _, b := range answer(buf[:n]) {
					_, _ = far.Write(b)
				}
			}
		}()
		t.Cleanup(func() {
			far.Close()
			<-ended
		})
	})
	src.Run("ip", "address", "add", "10.99.0.2/32", "dev", "far0")
	src.Run("ip", "link", "set", "far0", "up")
	src.Run("ip", "route", "add", "10.99.0.0/24", "dev", "far0")
	return src, to
}

// replyTo turns a request of IPv4 without options into its reply.
func replyTo(packet []byte) []byte {
	b := append([]byte(nil), packet...)
	copy(b[12:16], packet[16:20])
	copy(b[16:20], packet[12:16])
	b[20] = echoReply4
	return sealed(b)
}

// sealed makes both checksums right.
func sealed(b []byte) []byte {
	b[10], b[11], b[22], b[23] = 0, 0, 0, 0
	put := func(at int, sum uint16) { b[at], b[at+1] = byte(sum>>8), byte(sum) }
	put(10, ^fold(sumOf(b[:20])))
	put(22, ^fold(sumOf(b[20:])))
	return b
}

func changed(b []byte, at int) []byte {
	b = append([]byte(nil), b...)
	b[at] ^= 0x55
	return b
}

func TestOnlyTheTrueReplyCounts(t *testing.T) {
	from := func(b []byte, last byte) []byte {
		b = append([]byte(nil), b...)
		b[15] = last
		return sealed(b)
	}
	for name, c := range map[string]struct {
		answer    func(reply []byte) [][]byte
		received  int
		corrupted int64
		duplicate int64
	}{
		"the reply":                         {func(r []byte) [][]byte { return [][]byte{r} }, 3, 0, 0},
		"another address repeats it":        {func(r []byte) [][]byte { return [][]byte{from(r, 77)} }, 0, 0, 0},
		"another address first":             {func(r []byte) [][]byte { return [][]byte{from(r, 77), r} }, 3, 0, 0},
		"a wrong checksum":                  {func(r []byte) [][]byte { return [][]byte{changed(r, 22)} }, 0, 3, 0},
		"a damaged payload, checksum right": {func(r []byte) [][]byte { return [][]byte{sealed(changed(r, 60))} }, 0, 3, 0},
		"a damaged token, checksum right":   {func(r []byte) [][]byte { return [][]byte{sealed(changed(r, 40))} }, 0, 3, 0},
		"damaged, then whole":               {func(r []byte) [][]byte { return [][]byte{changed(r, 50), r} }, 3, 3, 0},
		"cut short":                         {func(r []byte) [][]byte { return [][]byte{sealed(shorter(r, 8))} }, 0, 3, 0},
		"hardly begun":                      {func(r []byte) [][]byte { return [][]byte{sealed(shorter(r, len(r)-28))} }, 0, 3, 0},
		"twice":                             {func(r []byte) [][]byte { return [][]byte{r, r} }, 3, 0, 2}, // nobody hears the last one
	} {
		src, to := answering(t, func(packet []byte) [][]byte { return c.answer(replyTo(packet)) })
		src.Do(func() {
			_, f := measureOnce(t, to.String(), `{"count": 3, "interval": "20ms", "timeout": "200ms"}`, raw)
			if f["received"] != int64(c.received) || f["corrupted"] != c.corrupted || f["duplicates"] != c.duplicate {
				t.Errorf("%s: received %v, corrupted %v, duplicates %v; want %d, %d, %d", name, f["received"], f["corrupted"], f["duplicates"], c.received, c.corrupted, c.duplicate)
			}
		})
	}
}

func shorter(b []byte, by int) []byte {
	b = append([]byte(nil), b[:len(b)-by]...)
	b[2], b[3] = byte(len(b)>>8), byte(len(b))
	return b
}

func TestLateReplyIsLossAndDoesNotMeetTheNextRun(t *testing.T) {
	var kept [][]byte
	src, to := answering(t, func(packet []byte) [][]byte {
		kept = append(kept, replyTo(packet))
		if len(kept) == 4 {
			return kept // all at once, the first two for a run that has ended
		}
		return nil
	})
	src.Do(func() {
		e := started(t, raw)
		p := plan{to: to, count: 2, size: 56, interval: 10 * time.Millisecond, timeout: 150 * time.Millisecond, ttl: usualTTL}
		for _, want := range []int{0, 2} {
			s, err := e.measure(t.Context(), p)
			if got := s.stats().received; err != nil || got != want {
				t.Errorf("received %d, %v; want %d", got, err, want)
			}
		}
		e.Close()
		if e.strange.late != 2 {
			t.Errorf("%d late replies were counted, want 2", e.strange.late)
		}
	})
}

// An error can be sent by anybody: it is told, and ends no waiting.
func TestErrorOfARouterIsToldWithItsSender(t *testing.T) {
	src, to := answering(t, func(packet []byte) [][]byte {
		said := header4(0, append([]byte{3, 1, 0, 0, 0, 0, 0, 0}, packet...))
		copy(said[12:], []byte{10, 99, 0, 66, 10, 99, 0, 2})
		said[2], said[3] = byte(len(said)>>8), byte(len(said))
		return [][]byte{sealed(said), sealed(shorter(said, len(said)-20-8-28)), replyTo(packet)}
	})
	f := from(t, src, to, `{"count": 2, "interval": "10ms", "timeout": "200ms"}`)
	if f["received"] != int64(2) {
		t.Errorf("received %v of 2", f["received"])
	}
	if got := string(asJSON(f["icmp_errors"])); got != `{"host_unreachable 10.99.0.66":4}` {
		t.Errorf("errors are %s", got)
	}
}

func TestFloodOfForgedRepliesChangesNothing(t *testing.T) {
	src, to := answering(t, func(packet []byte) [][]byte {
		reply := replyTo(packet)
		forged := make([][]byte, 0, 4001)
		for i := range 4000 {
			b := append([]byte(nil), reply...)
			b[44+i%8] ^= byte(i>>3) | 1
			forged = append(forged, sealed(b))
		}
		return append(forged, reply)
	})
	src.Do(func() {
		_, f := measureOnce(t, to.String(), `{"count": 20, "interval": "20ms", "timeout": "2s"}`, raw)
		if f["received"] != int64(20) || f["duplicates"] != int64(0) {
			t.Errorf("received %v of 20, %v duplicates", f["received"], f["duplicates"])
		}
	})
}

// What this machine did not read is no loss of the network.
func TestRunWhoseRepliesFoundNoRoomIsBusyNotLossy(t *testing.T) {
	src, to := answering(t, func(packet []byte) [][]byte {
		reply := replyTo(packet)
		var many [][]byte
		for range 200 {
			many = append(many, reply)
		}
		return append(many, reply)
	})
	src.Do(func() {
		e := started(t, raw)
		if err := unix.SetsockoptInt(e.v4.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
			t.Fatal(err)
		}
		// The first of each packet's 201 replies is heard, and of the second packet none comes.
		p := plan{to: to, count: 1, size: 56, timeout: 200 * time.Millisecond, ttl: usualTTL}
		if _, err := e.measure(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		src.Run("nft", "add table ip deaf")
		src.Run("nft", "add chain ip deaf out { type filter hook output priority 0 ; }")
		src.Run("nft", "add rule ip deaf out icmp type echo-request numgen inc mod 2 == 1 drop")
		p.count, p.interval = 2, time.Millisecond
		if s, err := e.measure(t.Context(), p); !errors.Is(err, probes.ErrBusy) {
			t.Errorf("%d of 2 received, %v; want ErrBusy", s.stats().received, err)
		}
		src.Run("nft", "flush table ip deaf")
		src.Run("nft", "add rule ip deaf out icmp type echo-request drop")
		if s, err := e.measure(t.Context(), p); err != nil || s.stats().received != 0 {
			t.Errorf("%d of 2 received, %v; a run without drops is what the network says", s.stats().received, err)
		}
	})
}

// One packet of somebody who never heard of us must not hide an outage: the
// kernel counts its wrong checksum among what our sockets dropped.
func TestForeignPacketsDoNotMakeALossyRunBusy(t *testing.T) {
	src, _, dst := lab.New(t).Chain(0)
	dst.Silence()
	var e *engine
	src.Do(func() { e = started(t, raw) })
	sent := make(chan struct{})
	time.AfterFunc(100*time.Millisecond, func() {
		defer close(sent)
		dst.Do(func() {
			fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
			if err != nil {
				t.Error(err)
				return
			}
			defer unix.Close(fd)
			p := make([]byte, 48)
			p[0], p[5], p[6], p[7] = 0x60, 8, 58, 64
			a, b := dst.V6().As16(), src.V6().As16()
			copy(p[8:], a[:])
			copy(p[24:], b[:])
			p[40], p[42], p[43] = echoRequest6, 0xde, 0xad
			if err := unix.Sendto(fd, p, 0, &unix.SockaddrInet6{Addr: b}); err != nil {
				t.Error(err)
			}
		})
	})
	for _, to := range []netip.Addr{dst.V4(), dst.V6()} {
		s, err := e.measure(t.Context(), plan{to: to, count: 2, size: 56, interval: 300 * time.Millisecond, timeout: 300 * time.Millisecond, ttl: usualTTL})
		if err != nil || s.stats().received != 0 {
			t.Errorf("%s: received %d, %v; it is silent", to, s.stats().received, err)
		}
		<-sent
	}
}

// Dead neighbours hold the send buffer. Without CAP_NET_ADMIN it is as small as here.
func TestDeadNeighboursDoNotSpoilTheLivingOnes(t *testing.T) {
	network := lab.New(t)
	src, dst := network.Host("src"), network.Host("dst")
	link := network.Connect(src, dst)
	src.Run("ip", "route", "add", "10.77.0.0/16", "dev", link.A.Name)
	dst.Run("ip", "address", "add", "10.77.99.99/32", "dev", link.B.Name)
	var e *engine
	src.Do(func() {
		e = started(t, raw)
		e.v4.addSpares()
	})
	for _, s := range append([]*socket{e.v4}, e.v4.more...) {
		for _, option := range []int{unix.SO_SNDBUF, unix.SO_RCVBUF} {
			if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, option, 106496); err != nil { // the kernel doubles it
				t.Fatal(err)
			}
		}
	}
	p := plan{count: 4, size: 56, interval: time.Second, timeout: time.Second, ttl: usualTTL}
	ctx, cancel := context.WithCancel(t.Context())
	var dead sync.WaitGroup
	for i := range 400 {
		to := p
		to.to = netip.AddrFrom4([4]byte{10, 77, byte(i >> 8), byte(i)})
		dead.Go(func() { e.measure(ctx, to) })
	}
	p.to = netip.MustParseAddr("10.77.99.99")
	began := time.Now()
	s, err := e.measure(t.Context(), p)
	if took := time.Since(began); err != nil || s.stats().received != 4 || took > 6*time.Second {
		t.Errorf("the living one: received %d of 4, %v, %v, in %s", s.stats().received, s.errors, err, took)
	}
	cancel()
	dead.Wait()
}

// Stamps are made by the wall clock. One that was made on the other side of a
// step is not believed, and the step is followed.
func TestStepOfTheWallClockMovesNoRoundTripTime(t *testing.T) {
	e := started(t, raw)
	e.Close() // its loop is over; what follows is ours
	for _, step := range []time.Duration{time.Hour, -time.Hour, 500 * time.Microsecond} {
		if e.v4.emptied = e.now(); !e.believed(e.v4) {
			t.Error("without a step stamps are not believed")
		}
		e.wall += int64(step)
		if e.believed(e.v4) {
			t.Errorf("after a step of %s stamps are believed that may have been made before", step)
		}
		if ahead := time.Now().UnixNano() - e.now() - e.wall; ahead < -int64(grace) || ahead > int64(grace) {
			t.Errorf("after a step of %s the wall clock is taken to be %s off", step, time.Duration(ahead))
		}
	}
	sent := e.now()
	e.table = []*run{{course: &course{plan: plan{count: 1, size: 56}}, no: 9, next: 1, to: netip.MustParseAddr("10.0.0.2"), sample: sample{rtts: []time.Duration{stampedByUs(sent)}}}}
	r := e.table[0]
	packet := func() []byte {
		var b [headSize]byte
		e.key.put(&b, false, e.v4.id, token{slot: 0, run: 9, k: 0, size: 56}, sumOf(pattern[:32]))
		return append(b[:], pattern[:32]...)
	}()
	e.stamped(e.v4, header4(0, packet), sent+int64(time.Hour), sent+1000)
	if r.sample.rtts[0] != stampedByUs(sent) {
		t.Error("a stamp from the other side of a step was believed")
	}
	e.stamped(e.v4, header4(0, packet), sent+500, sent+1000)
	if r.sample.rtts[0] != stampedByKernel(sent+500) {
		t.Error("a good stamp was not believed")
	}
	packet[0] = echoReply4
	r.total, r.each = 2, nil
	e.replied(e.v4, r.to, packet, 64, sent-int64(time.Hour), sent+20_000_000, false)
	if got := rttOf(r.sample.rtts[0]); got < 19*time.Millisecond || got > 21*time.Millisecond || r.sample.userStamped != 1 {
		t.Errorf("the round-trip time is %s, %d stamped by us", got, r.sample.userStamped)
	}
}

// A busy machine hands a reply on long after it stamped it, and takes the
// processor away in the middle of a batch.
func TestBusyMachineCostsNoStamp(t *testing.T) {
	src, _ := crowd(t)
	var over atomic.Bool
	defer over.Store(true)
	for range 2 * runtime.NumCPU() {
		go func() {
			for n := 0; !over.Load(); n++ {
			}
		}()
	}
	for i := range 20 {
		k := []kind{raw, datagram}[i%2]
		var e *engine
		src.Do(func() { e = started(t, k) })
		plans := make([]plan, batch)
		for j := range plans {
			plans[j] = plan{to: netip.AddrFrom4([4]byte{10, 200, byte(i), byte(j)}), count: 2, size: 56, interval: 5 * time.Millisecond, timeout: 2 * time.Second, ttl: usualTTL}
		}
		s, err := e.measure(t.Context(), plans...)
		e.Close()
		if err != nil || s.stats().received != 2*batch || s.userStamped != 0 {
			t.Fatalf("engine %d, %s sockets: %d of %d received, %d stamped by us, %v", i, k, s.stats().received, 2*batch, s.userStamped, err)
		}
	}
}

// The worker opens another engine when Down is closed.
func TestEngineWhoseSocketFailsSaysSoAndEndsItsRuns(t *testing.T) {
	src, _, dst := lab.New(t).Chain(0)
	dst.Silence()
	var e *engine
	src.Do(func() { e = started(t, raw) })
	p := plan{to: dst.V4(), count: 2, size: 56, interval: 10 * time.Millisecond, timeout: time.Minute, ttl: usualTTL}
	ended := make(chan error, 1)
	go func() {
		_, err := e.measure(t.Context(), p)
		ended <- err
	}()
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer nothing.Close()
	if err := unix.Dup3(int(nothing.Fd()), e.v4.fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	second, err := e.newRun(p)
	if err != nil {
		t.Fatal(err)
	}
	second.ended = func(*run) {}
	e.add(second) // the loop notices when it sends or reads next
	<-e.Down()
	if err := <-ended; !errors.Is(err, probes.ErrLocal) {
		t.Errorf("its run ended with %v", err)
	}
	if _, err := e.measure(t.Context(), p); !errors.Is(err, probes.ErrLocal) || !strings.Contains(err.Error(), "socket") {
		t.Errorf("the next one ended with %v; it must say what failed", err)
	}
}
