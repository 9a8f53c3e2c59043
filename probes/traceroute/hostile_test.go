package traceroute

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sonde/internal/lab"
	"sonde/internal/measure"
	"sonde/probes"
)

// forged is a time exceeded from a router that does not exist, about a packet that
// somebody who knows our flows guesses: all is right but the numbers that change.
func forged(net *lab.Internet, to string, m method) []byte {
	p := packet{from: net.V4, to: ip(to), ttl: 1, size: leastSize, flow: flowOf(ip(to), m, 33434, 0), seq: uint16(rand.Uint32()), id: uint16(rand.Uint32())}
	quote := p.bytes()[:header4+transport]
	b := append([]byte{0x45, 0, 0, byte(header4 + transport + len(quote)), 0, 0, 0, 0, 64, protoICMP, 0, 0, 10, 66, 6, 6}, net.V4.AsSlice()...)
	sum := ^fold(add(0, b))
	b[10], b[11] = byte(sum>>8), byte(sum)
	message := append([]byte{11, 0, 0, 0, 0, 0, 0, 0}, quote...)
	sum = ^fold(add(0, message))
	message[2], message[3] = byte(sum>>8), byte(sum)
	return append(b, message...)
}

// flood injects forged answers until it is stopped, and tells how many a second.
func flood(t *testing.T, net *lab.Internet, to string, m method) (stop func() float64) {
	t.Helper()
	var packets [][]byte
	for range 1 << 14 {
		packets = append(packets, forged(net, to, m))
	}
	var n atomic.Int64
	end, ended := make(chan struct{}), make(chan struct{})
	began := time.Now()
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			default:
			}
			if err := net.Inject(packets[i%len(packets)]); err != nil {
				t.Error(err)
				return
			}
			n.Add(1)
		}
	}()
	return func() float64 {
		close(end)
		<-ended
		return float64(n.Load()) / time.Since(began).Seconds()
	}
}

// What it costs is time: runs are right or missed, and nothing piles up.
func TestFloodOfForgedAnswersChangesNoRoute(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), &lab.Router{V4: "10.1.2.1", Quote: 28}, lab.At("10.1.3.1"))
	const to, want = "198.18.7.7", "10.1.1.1 10.1.2.1 10.1.3.1 198.18.7.7"
	right, busy := 0, 0
	for _, m := range []method{icmp, udp} {
		src.Do(func() {
			e, err := open(discard)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			stop := flood(t, net, to, m)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			until := time.Now().Add(2 * time.Second)
			for time.Now().Before(until) {
				p, err := Tool().New(json.RawMessage(`{"method":"`+m.String()+`","timeout":"5s"}`), probes.Env{Log: discard, Engine: e})
				if err != nil {
					t.Fatal(err)
				}
				r, err := p.Run(t.Context(), measure.Target{Address: to, Log: discard})
				switch {
				case errors.Is(err, probes.ErrBusy):
					busy++
				case err != nil:
					t.Fatal(err)
				default:
					right++
					if s := read(t, r); strings.Join(s.hops, " ") != want || slices.Contains(addressesOf(s), "10.66.6.6") {
						t.Errorf("%v: %v over %v", m, s.hops, addressesOf(s))
					}
				}
			}
			rate := stop()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 20<<20 {
				t.Errorf("%d bytes more are in use", grown)
			}
			if n := underWay(e); n != 0 {
				t.Errorf("%d packets are still waited for", n)
			}
			t.Logf("%v: %.0f forged answers a second", m, rate)
		})
	}
	t.Logf("%d runs right, %d missed", right, busy)
	if right == 0 {
		t.Error("no run came through")
	}
}

// An 8-byte quotation proves nothing but by numbers that only who saw the packet knows.
func TestGuessedAnswerIsNotBelievedWhileSomebodyGuesses(t *testing.T) {
	e := &engine{waiting: map[uint16]*probeSent{}, ids: map[uint16]*probeSent{}, asked: map[asking]int{}, random: rand.NewChaCha8([32]byte{})}
	s := &probeSent{packet: packet{from: near4, to: far4, flow: flowOf(far4, icmp, 0, 0)}}
	if err := e.expect(s); err != nil {
		t.Fatal(err)
	}
	now := testStart
	guess := answer{kind: exceeded, from: near4, to: far4, flow: s.flow, seq: s.seq, id: s.id + 1, sum: s.flow.two}
	believed := func(a answer, after time.Duration) bool {
		got, _ := e.find(&a, now.Add(after))
		return got == s
	}
	if !believed(guess, 0) {
		t.Error("a router that rewrites identifications is not heard")
	}
	elsewhere, ping := guess, guess
	elsewhere.to = near4
	ping.kind, ping.seq = reply, s.seq+1
	believed(elsewhere, 0)
	believed(ping, 0)
	if !believed(guess, time.Second) {
		t.Error("what belongs to other programs made us careful")
	}
	wrong := guess
	wrong.seq = s.seq + 1
	believed(wrong, 0)
	if believed(guess, time.Second) {
		t.Error("a guess was believed while somebody guesses")
	}
	proof := guess
	proof.id = s.id
	if !believed(proof, time.Second) {
		t.Error("a proof was not")
	}
	if !believed(guess, careful+2*time.Second) {
		t.Error("caution did not end")
	}
}

// Who is asked himself learns nothing of the numbers of packets to others.
func TestOneTargetsPacketsTellNothingOfAnothers(t *testing.T) {
	src, net := internet(t)
	const evil, victim = "198.18.66.6", "198.18.7.7"
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), &lab.Router{V4: "10.1.2.1", Delay: 20 * time.Millisecond})
	net.Path(evil, lab.At("10.66.1.1"))
	type numbers struct{ seq, id uint16 }
	var seen []numbers
	net.Watch(func(p *lab.Packet) {
		if p.Dst == ip(evil) {
			seen = append(seen, numbers{binary.BigEndian.Uint16(p.Transport()[6:]), binary.BigEndian.Uint16(p.Bytes[4:])})
		}
	})
	e := engineOn(t, src)
	runs(t, e, src, `{"share":"0s"}`, []string{evil}, 1)
	net.Watch(nil)
	// The next ones, if both were linear.
	odd := (seen[1].id - seen[0].id) * (seen[1].seq - seen[0].seq)
	last := seen[len(seen)-1]
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for d := uint16(1); ; d = d%40 + 1 {
			select {
			case <-stop:
				return
			default:
			}
			b := forged(net, victim, icmp)
			binary.BigEndian.PutUint16(b[header4+transport+4:], last.id+d*odd)
			binary.BigEndian.PutUint16(b[header4+transport+header4+6:], last.seq+d)
			b[header4+2], b[header4+3] = 0, 0
			sum := ^fold(add(0, b[header4:]))
			b[header4+2], b[header4+3] = byte(sum>>8), byte(sum)
			if err := net.Inject(b); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	s := runs(t, e, src, `{"share":"0s"}`, []string{victim}, 1)[victim]
	close(stop)
	<-stopped
	if slices.Contains(addressesOf(s), "10.66.6.6") {
		t.Errorf("a forged hop: %v", s.hops)
	}
}

// The kernel counts ICMPv6 with a wrong checksum as dropped, as it does an overflow.
func TestWrongChecksumsOfOthersAreNoOverflow(t *testing.T) {
	src, net := internet(t)
	for _, p := range []string{"0.0.0.0/0", "::/0"} {
		net.Path(p, lab.At("10.1.1.1", "2001:db8:1::1"), &lab.Router{}, lab.At("10.1.3.1", "2001:db8:3::1"))
	}
	e := engineOn(t, src)
	message := func(wrong uint16) []byte {
		b := make([]byte, header6, 60)
		b[0], b[5], b[6], b[7] = 6<<4, 8, protoICMPv6, 64
		copy(b[8:], ip("2001:db8:66::6").AsSlice())
		copy(b[24:], net.V6.AsSlice())
		body := []byte{129, 0, 0, 0, 1, 2, 3, 4}
		sum := ^fold(add(0, b[8:40])+protoICMPv6+8+add(0, body)) + wrong
		body[2], body[3] = byte(sum>>8), byte(sum)
		return append(b, body...)
	}
	net.Watch(func(p *lab.Packet) { // while the run waits for the silent one
		if p.N%10 == 5 {
			go func() {
				net.Inject(message(1))
				net.Inject(message(0))
			}()
		}
	})
	for _, to := range []string{"198.18.7.7", "2001:db8:7::7"} {
		if s, err := runOn(t.Context(), t, e, src, `{"timeout":"1s","share":"0s"}`, to); err != nil || len(s.hops) != 4 {
			t.Errorf("%s: %v, %v", to, s.hops, err)
		}
	}
}

func TestEngineRefusesWhatItCannotNumber(t *testing.T) {
	e := &engine{waiting: map[uint16]*probeSent{}, ids: map[uint16]*probeSent{}, asked: map[asking]int{}, random: rand.NewChaCha8([32]byte{})}
	all := make([]probeSent, mostUnderWay)
	for i := range all {
		all[i].packet = packet{from: near4, to: far4}
		if err := e.expect(&all[i]); err != nil {
			t.Fatal(err)
		}
	}
	one := &probeSent{packet: packet{from: near4, to: far4}}
	if err := e.expect(one); !errors.Is(err, probes.ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	e.forget(&all[7])
	if err := e.expect(one); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
}

// capture writes what the host sends into a file as tcpdump would, until the test ends.
func capture(t *testing.T, net *lab.Internet) (file string, packets *atomic.Int64) {
	t.Helper()
	file, packets = filepath.Join(t.TempDir(), "sent.pcap"), new(atomic.Int64)
	const rawIP = 101 // the link type of packets without a link
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, rawIP, 0, 0, 0)
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	net.Watch(func(p *lab.Packet) {
		b := make([]byte, 8, 16+len(p.Bytes))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p.Bytes)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p.Bytes)))
		if _, err := f.Write(append(b, p.Bytes...)); err != nil {
			t.Error(err)
		}
		packets.Add(1)
	})
	return file, packets
}

func TestNoPacketIsMalformed(t *testing.T) {
	src, net := internet(t)
	net.Path("0.0.0.0/0", lab.At("10.1.1.1"), &lab.Router{V4: "10.1.2.1", MTU: 1400})
	net.Path("::/0", lab.At("10.1.1.1", "2001:db8:1::1"), &lab.Router{V6: "2001:db8:2::1", MTU: 1400})
	file, packets := capture(t, net)
	everyMethod(func(spec, to string) {
		for _, more := range []string{``, `,"size":1201`, `,"mtu":true`, `,"paths":"all"`} {
			trace(t, src, `{`+spec+more+`}`, ip(to))
		}
	})
	read := func(filter string) (lines []string) {
		// Our payloads belong to no protocol; tshark would guess one.
		cmd := exec.Command("tshark", "-r", file, "-d", "udp.port==1-65535,data", "-d", "tcp.port==1-65535,data", "-o", "udp.try_heuristic_first:FALSE", "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE",
			"-Y", filter, "-T", "fields", "-e", "frame.number", "-e", "_ws.col.Info")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("tshark: %v", err)
		}
		return slices.Collect(strings.Lines(string(out)))
	}
	if n := len(read("ip || ipv6")); n < 300 || n != int(packets.Load()) {
		t.Errorf("tshark reads %d packets of %d", n, packets.Load())
	}
	const bad = `_ws.malformed || ip.checksum.status == "Bad" || udp.checksum.status == "Bad" || tcp.checksum.status == "Bad" || icmp.checksum.status == "Bad" || icmpv6.checksum.status == "Bad"`
	if lines := read(bad); len(lines) > 0 {
		t.Errorf("%d packets are wrong, the first: %s", len(lines), lines[0])
	}
}

// scamper gives the hops by CAIDA's prober, "*" for silence.
func scamper(t *testing.T, from *lab.Host, args, target string) (hops []string) {
	t.Helper()
	out := from.Run("scamper", "-c", "trace -w 1 -q 1 -g 5 "+args, "-i", target)
	for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
		if f := strings.Fields(line); len(f) > 1 {
			hops = append(hops, f[1])
		}
	}
	return hops
}

func TestSameHopsAsScamperAndTraceroute(t *testing.T) {
	src, net := internet(t)
	for name, way := range map[string][]lab.Hop{
		"a chain":   {lab.At("10.1.1.1", "2001:db8:1::1"), lab.At("10.1.2.1", "2001:db8:2::1"), lab.At("10.1.3.1", "2001:db8:3::1")},
		"silence":   {lab.At("10.1.1.1", "2001:db8:1::1"), &lab.Router{}, &lab.Router{}, lab.At("10.1.3.1", "2001:db8:3::1")},
		"a stutter": {&lab.Router{V4: "10.1.1.1", V6: "2001:db8:1::1", ZeroTTL: true}, lab.At("10.1.2.1", "2001:db8:2::1")},
		"short":     {lab.At("10.1.1.1", "2001:db8:1::1"), &lab.Router{V4: "10.1.2.1", V6: "2001:db8:2::1", Quote: 48}},
		"no one":    {},
		"a refusal": {lab.At("10.1.1.1", "2001:db8:1::1"), &lab.Router{V4: "10.1.2.1", V6: "2001:db8:2::1", Refuse: lab.Unreachable(13, 1)}},
	} {
		net.Path("0.0.0.0/0", way...)
		net.Path("::/0", way...)
		for _, to := range []string{"198.18.7.7", "2001:db8:7::7"} {
			for _, m := range []struct{ spec, flag, scamper string }{
				{`"method":"icmp"`, "-I", "-P icmp-paris"}, {`"method":"udp"`, "-U", "-P udp-paris"}, {`"method":"tcp","port":80`, "-T", ""},
			} {
				s := trace(t, src, `{"timeout":"300ms",`+m.spec+`}`, ip(to))
				theirs := others(t, src, m.flag, "-w", "0.3", "-q", "1", "-m", fmt.Sprint(len(s.hops)), to)
				var first []string
				for _, h := range theirs {
					first = append(first, h[0])
				}
				if !slices.Equal(s.hops, first) {
					t.Errorf("%s, %s to %s: %v, traceroute finds %v", name, m.spec, to, s.hops, first)
				}
				if m.scamper == "" {
					continue // it sends a SYN by Ethernet alone
				}
				if got := scamper(t, src, m.scamper, to); !slices.Equal(s.hops, got) {
					t.Errorf("%s, %s to %s: %v, scamper finds %v", name, m.spec, to, s.hops, got)
				}
			}
		}
	}
}
