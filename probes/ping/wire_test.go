package ping

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const ourID = 0x1234

var ourKey = key(maphash.MakeSeed())

// echo is an echo request of ours, or the reply to it, as golang.org/x/net reads and writes it.
func echo(t testing.TB, v6, reply bool, size int) []byte {
	t.Helper()
	var b [headSize]byte
	ourKey.put(&b, v6, ourID, token{slot: 7, run: 9, k: 70000, size: uint32(size)}, sumOf(pattern[:size-leastSize]))
	packet := append(b[:], pattern[:size-leastSize]...)
	proto, want := 1, icmp.Type(ipv4.ICMPTypeEcho)
	if v6 {
		proto, want = 58, ipv6.ICMPTypeEchoRequest
	}
	m, err := icmp.ParseMessage(proto, packet)
	if err != nil || m.Type != want || m.Body.(*icmp.Echo).ID != ourID || m.Body.(*icmp.Echo).Seq != 70000&0xffff {
		t.Fatalf("an echo request is read as %+v, %v", m, err)
	}
	if !v6 && !intact(packet) {
		t.Fatal("the checksum of an echo request is wrong")
	}
	if reply {
		m.Type = ipv4.ICMPTypeEchoReply
		if v6 {
			m.Type = ipv6.ICMPTypeEchoReply
		}
		if packet, err = m.Marshal(nil); err != nil {
			t.Fatal(err)
		}
	}
	return packet
}

// header4 puts an IPv4 header with so many words of options before a packet.
func header4(options int, payload []byte) []byte {
	h := make([]byte, 20+4*options)
	h[0], h[8], h[9] = byte(0x45+options), 64, 1
	copy(h[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	return append(h, payload...)
}

func header6(payload []byte) []byte {
	h := make([]byte, 40)
	h[0], h[6], h[7] = 0x60, 58, 64
	h[39] = 2
	return append(h, payload...)
}

// saidOf is an ICMP error that quotes a packet.
func saidOf(kind, code byte, quoted []byte) []byte {
	return append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, quoted...)
}

func TestFilterLetsThroughWhatIsOurs(t *testing.T) {
	other := func(b []byte) []byte {
		b = append([]byte(nil), b...)
		b[4]++
		return b
	}
	request4, reply4 := echo(t, false, false, 56), echo(t, false, true, 56)
	request6, reply6 := echo(t, true, false, 56), echo(t, true, true, 56)
	udp := header4(0, make([]byte, 64))
	udp[9] = 17
	binary.BigEndian.PutUint16(udp[24:], ourID)
	for name, c := range map[string]struct {
		v6     bool
		packet []byte
		want   bool
	}{
		"reply":                           {false, header4(0, reply4), true},
		"reply with IP options":           {false, header4(3, reply4), true},
		"another's reply":                 {false, header4(0, other(reply4)), false},
		"request to us":                   {false, header4(0, request4), false},
		"error about ours":                {false, header4(0, saidOf(11, 0, header4(0, request4))), true},
		"… whose quote has options":       {false, header4(1, saidOf(3, 1, header4(2, request4[:8]))), true},
		"error about another's":           {false, header4(0, saidOf(11, 0, header4(0, other(request4)))), false},
		"error about UDP":                 {false, header4(0, saidOf(3, 3, udp)), false},
		"timestamp reply with our number": {false, header4(0, append([]byte{14}, reply4[1:]...)), false},
		"cut short":                       {false, header4(0, saidOf(11, 0, header4(0, request4)))[:40], false},
		"reply 6":                         {true, reply6, true},
		"another's reply 6":               {true, other(reply6), false},
		"request to us 6":                 {true, request6, false},
		"error about ours 6":              {true, saidOf(3, 0, header6(request6)), true},
		"error about another's 6":         {true, saidOf(3, 0, header6(other(request6))), false},
		"neighbour advertisement":         {true, append([]byte{136}, make([]byte, 80)...), false},
	} {
		vm, err := bpf.NewVM(filterFor(c.v6, ourID))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := vm.Run(c.packet); err != nil || (n != 0) != c.want {
			t.Errorf("%s: passed %v, %v; want %v", name, n != 0, err, c.want)
		}
	}
}

func TestTokenOfADamagedPacketIsNotBelieved(t *testing.T) {
	packet := echo(t, false, true, 56)
	want := token{slot: 7, run: 9, k: 70000, size: 56}
	if got, ok := ourKey.read(packet); !ok || got != want {
		t.Fatalf("got %+v, %v", got, ok)
	}
	for i := 6; i < headSize; i++ {
		for bit := range 8 {
			packet[i] ^= 1 << bit
			if _, ok := ourKey.read(packet); ok {
				t.Errorf("bit %d of byte %d may change", bit, i)
			}
			packet[i] ^= 1 << bit
		}
	}
	if _, ok := key(maphash.MakeSeed()).read(packet); ok {
		t.Error("another engine takes our token for its own")
	}
}

func TestErrorsNameWhatTheyAreAboutAndWhy(t *testing.T) {
	request4, request6 := echo(t, false, false, 56), echo(t, true, false, 56)
	for name, c := range map[string]struct {
		v6   bool
		said []byte
		want string // empty: it is none
	}{
		"ttl":                     {false, saidOf(11, 0, header4(0, request4)), "ttl_exceeded"},
		"least that is quoted":    {false, saidOf(3, 1, header4(0, request4[:8])), "host_unreachable"},
		"prohibited":              {false, saidOf(3, 13, header4(4, request4)), "admin_prohibited"},
		"too large":               {false, saidOf(3, 4, header4(0, request4)), "fragmentation_needed"},
		"unknown code":            {false, saidOf(3, 99, header4(0, request4)), "unreachable"},
		"quote cut short":         {false, saidOf(11, 0, header4(0, request4[:7])), ""},
		"header length that lies": {false, saidOf(11, 0, header4(0, request4)[:24]), ""},
		"header length 0":         {false, saidOf(11, 0, append([]byte{0x40}, header4(0, request4)[1:]...)), ""},
		"IPv6 in IPv4":            {false, saidOf(11, 0, header6(request6)), ""},
		"a reply is quoted":       {false, saidOf(11, 0, header4(0, echo(t, false, true, 56))), ""},
		"no error":                {false, saidOf(0, 0, header4(0, request4)), ""},
		"no route 6":              {true, saidOf(1, 0, header6(request6)), "no_route"},
		"too big 6":               {true, saidOf(2, 0, header6(request6)), "packet_too_big"},
		"hop limit 6":             {true, saidOf(3, 0, header6(request6[:8])), "ttl_exceeded"},
		"quote cut short 6":       {true, saidOf(3, 0, header6(request6[:7])), ""},
	} {
		parse, to := parseRefusal4, netip.MustParseAddr("10.0.0.2")
		if c.v6 {
			parse, to = parseRefusal6, netip.MustParseAddr("::2")
		}
		got, ok := parse(c.said, ourID)
		if ok != (c.want != "") || ok && (got.name != c.want || got.about != to || got.seq != 70000&0xffff) {
			t.Errorf("%s: %+v, %v; want %q", name, got, ok, c.want)
		}
	}
}

func TestSentPacketIsFoundBehindWhateverLink(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		request := echo(t, v6, false, 56)
		packet := header4(0, request)
		if v6 {
			packet = header6(request)
		}
		for _, link := range []int{0, 14, 18, 22} {
			found := sentPacket(append(make([]byte, link), packet...), v6)
			if got, ok := ourKey.read(found); !ok || got.run != 9 {
				t.Errorf("IPv6 %v behind %d bytes: %+v, %v", v6, link, got, ok)
			}
		}
	}
}

// No bytes of the network make a parser panic, read beyond its input, or take
// what our key has not made.
func FuzzWhatArrives(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		request := echo(f, v6, false, 64)
		f.Add(echo(f, v6, true, 24))
		f.Add(saidOf(11, 0, header4(2, request)))
		f.Add(saidOf(3, 1, header6(request)))
		f.Add(header4(0, request))
		f.Add(append(make([]byte, 14), header6(request)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v6 := range []bool{false, true} {
			if found := sentPacket(b, v6); found != nil && len(found) < headSize {
				t.Errorf("a sent packet of %d bytes", len(found))
			}
		}
		for _, parse := range []func([]byte, uint16) (refusal, bool){parseRefusal4, parseRefusal6} {
			if r, ok := parse(b, ourID); ok && (r.name == "" || !r.about.IsValid() || len(r.quote) < 8) {
				t.Errorf("half an error: %+v", r)
			}
		}
		if got, ok := ourKey.read(b); ok && got.run != 9 {
			t.Errorf("a token nobody made: %+v", got)
		}
		for level, kind, data, rest := note(b); kind != 0; level, kind, data, rest = note(rest) {
			_, _, _ = level, stampOf(data), offenderOf(data)
		}
	})
}
