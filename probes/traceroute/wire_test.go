package traceroute

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	near4 = netip.MustParseAddr("192.0.2.1")
	far4  = netip.MustParseAddr("198.51.100.7")
	near6 = netip.MustParseAddr("2001:db8::1")
	far6  = netip.MustParseAddr("2001:db8:7::7")
)

func probePacket(to netip.Addr, m method, n, seq, size int) packet {
	p := packet{from: near4, to: to, ttl: 7, size: size, flow: flowOf(to, m, 33434, n), seq: uint16(seq), id: uint16(seq) * 3,
		mark: [markSize]byte{1, 2, 3, 4, 5, 6, 7, 8}}
	if to.Is6() {
		p.from = near6
	}
	return p
}

// every calls f with each kind of packet.
func every(f func(p packet)) {
	for _, to := range []netip.Addr{far4, far6} {
		for _, m := range []method{icmp, udp, tcp} {
			for _, seq := range []int{1, 2, 0x7fff, 0xffff} {
				for _, size := range []int{60, 61, 1500, 9000} {
					f(probePacket(to, m, seq%10, seq, size))
				}
			}
		}
	}
}

func body(p packet) (header int, pseudo uint32, b []byte) {
	b = p.bytes()
	if p.to.Is4() {
		if p.flow.method != icmp {
			pseudo = add(0, b[12:20]) + uint32(b[9]) + uint32(len(b)-header4)
		}
		return header4, pseudo, b
	}
	return header6, add(0, b[8:40]) + uint32(b[6]) + uint32(len(b)-header6), b
}

func TestChecksumIsTrueAndAsWanted(t *testing.T) {
	every(func(p packet) {
		n, pseudo, b := body(p)
		if len(b) != p.size && (p.flow.method != tcp || p.size != leastSize || len(b) != n+synSize) {
			t.Errorf("%v: %d bytes", p, len(b))
		}
		if sum := fold(add(pseudo, b[n:])); sum != 0xffff {
			t.Errorf("%v: sum %#x, want 0xffff", p, sum)
		}
	})
}

func TestPacketsOfOneFlowLookAlike(t *testing.T) {
	for _, to := range []netip.Addr{far4, far6} {
		for _, m := range []method{icmp, udp, tcp} {
			seen := map[string]bool{}
			for n := range 10 {
				var first string
				for seq := 1; seq < 2000; seq += 37 {
					h, _, b := body(probePacket(to, m, n, seq, 60))
					// Type, code and checksum, or both ports: what balancers look
					// at. And the identifier, which a few do.
					look := string(b[h : h+4])
					if m == icmp {
						look += string(b[h+4 : h+6])
					}
					if to.Is6() {
						look += string(b[:4]) // with the flow label
					}
					if first == "" {
						first = look
					}
					if look != first {
						t.Fatalf("%s %v flow %d: %x and %x", to, m, n, first, look)
					}
				}
				if seen[first] {
					t.Errorf("%s %v: flow %d looks like another", to, m, n)
				}
				seen[first] = true
			}
		}
	}
}

// quoteOf makes the ICMP error that a router on the way would send, quoting n bytes.
func quoteOf(p packet, typ, code byte, n int) []byte {
	b := p.bytes()
	return append([]byte{typ, code, 0, 0, 0, 0, 0, 0}, b[:min(n, len(b))]...)
}

func TestQuotationLeadsBackToThePacket(t *testing.T) {
	every(func(p packet) {
		typ, header := byte(11), header4
		if p.to.Is6() {
			typ, header = 3, header6
		}
		for _, n := range []int{header + 8, header + 17, header + 18, 1280} {
			a, err := parse(p.to.Is6(), quoteOf(p, typ, 0, n))
			if err != nil || a.kind != exceeded {
				t.Fatalf("%v quoted by %d bytes: %+v, %v", p, n, a, err)
			}
			if !about(a, p) {
				t.Errorf("%v quoted by %d bytes: %+v", p, n, a)
			}
			if whole := n >= header+markAt+markSize; p.flow.method != tcp && whole != (a.mark == p.mark) {
				t.Errorf("quoted by %d bytes: mark %x", n, a.mark)
			}
		}
	})
}

// about reports whether an answer tells of a packet.
func about(a answer, p packet) bool {
	return a.to == p.to && p.flow.asQuoted(a.flow) && a.seq == p.seq && a.from == p.from &&
		(p.flow.method != tcp || a.secret == p.secret()) && (a.v6 || a.id == p.id)
}

func TestAnswersToASynAreRead(t *testing.T) {
	every(func(p packet) {
		if p.flow.method != tcp {
			return
		}
		for flags, closed := range map[byte]bool{tcpSYN | tcpACK: false, tcpRST | tcpACK: true} {
			b := make([]byte, 20)
			binary.BigEndian.PutUint16(b, p.flow.two)
			binary.BigEndian.PutUint16(b[2:], p.flow.one)
			binary.BigEndian.PutUint32(b[8:], p.synNumber()+1)
			b[13] = flags
			a, err := parseTCP(p.to.Is6(), b)
			if err != nil || !p.flow.asQuoted(a.flow) || a.seq != p.seq || a.secret != p.secret() || a.closed != closed {
				t.Errorf("%v: %+v, %v", p, a, err)
			}
		}
	})
	for _, b := range [][]byte{nil, make([]byte, 19), make([]byte, 20), append(make([]byte, 13), tcpACK, 0, 0, 0, 0, 0, 0)} {
		if a, err := parseTCP(false, b); err == nil {
			t.Errorf("%x: %+v", b, a)
		}
	}
}

var update = flag.Bool("update", false, "write testdata anew")

// defects are the ways a message can be broken, or not for us.
func defects() map[string]struct {
	v6   bool
	b    []byte
	want error
} {
	icmp4, udp4 := probePacket(far4, icmp, 0, 9, 60), probePacket(far4, udp, 0, 9, 60)
	icmp6, udp6 := probePacket(far6, icmp, 0, 9, 60), probePacket(far6, udp, 0, 9, 60)
	with := func(b []byte, at int, v byte) []byte { b[at] = v; return b }
	type defect = struct {
		v6   bool
		b    []byte
		want error
	}
	return map[string]defect{
		"empty":                       {false, nil, errShort},
		"header_cut":                  {false, []byte{11, 0, 0}, errShort},
		"echo_request":                {false, []byte{8, 0, 0, 0, 0, 1, 0, 1}, errType},
		"redirect":                    {false, quoteOf(icmp4, 5, 1, 60), errType},
		"reassembly_time_exceeded":    {false, quoteOf(icmp4, 11, 1, 60), errType},
		"echo_reply_with_code":        {false, []byte{0, 3, 0, 0, 0, 1, 0, 1}, errType},
		"nothing_quoted":              {false, quoteOf(icmp4, 11, 0, 0), errShort},
		"quoted_header_cut":           {false, quoteOf(icmp4, 11, 0, 19), errShort},
		"quoted_transport_cut":        {false, quoteOf(udp4, 11, 0, 27), errShort},
		"quoted_version_6_in_icmpv4":  {false, quoteOf(icmp6, 11, 0, 60), errQuote},
		"quoted_header_length_of_16":  {false, with(quoteOf(icmp4, 11, 0, 60), 8, 0x44), errHeader},
		"quoted_options_past_the_end": {false, with(quoteOf(icmp4, 11, 0, 28), 8, 0x4f), errShort},
		"quoted_later_fragment":       {false, with(quoteOf(udp4, 11, 0, 60), 8+7, 3), errFragment},
		"quoted_sctp":                 {false, with(quoteOf(udp4, 11, 0, 60), 8+9, 132), errProtocol},
		"quoted_echo_reply":           {false, with(quoteOf(icmp4, 11, 0, 60), 8+20, 0), errProtocol},
		"v6_router_advertisement":     {true, []byte{134, 0, 0, 0, 0, 0, 0, 0}, errType},
		"v6_quoted_header_cut":        {true, quoteOf(icmp6, 3, 0, 39), errShort},
		"v6_quoted_transport_cut":     {true, quoteOf(udp6, 3, 0, 47), errShort},
		"v6_quoted_version_4":         {true, quoteOf(icmp4, 3, 0, 60), errQuote},
		"v6_quoted_extension_header":  {true, with(quoteOf(udp6, 3, 0, 60), 8+6, 44), errProtocol},
		"v6_quoted_icmpv4":            {true, with(quoteOf(icmp6, 3, 0, 60), 8+6, 1), errProtocol},
	}
}

// TestEachDefectHasItsName reads the fixtures, hexadecimal files named after
// the defect (testdata/*.hex, written by -update).
func TestEachDefectHasItsName(t *testing.T) {
	for what, d := range defects() {
		file := filepath.Join("testdata", what+".hex")
		if *update {
			if err := os.WriteFile(file, []byte(hex.EncodeToString(d.b)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := parse(d.v6, fixture(t, file)); !errors.Is(err, d.want) {
			t.Errorf("%s: %v, want %v", what, err, d.want)
		}
	}
}

func fixture(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzParse holds that what parse makes of any bytes is either an error of
// ours or an answer that the same bytes with anything behind them give too.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) == 0 {
		f.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		f.Add(strings.Contains(file, "v6_"), fixture(f, file))
	}
	every(func(p packet) {
		f.Add(p.to.Is6(), quoteOf(p, 11, 0, 100))
		f.Add(p.to.Is6(), quoteOf(p, 3, 0, 100))
		f.Add(p.to.Is6(), quoteOf(p, 1, 4, 100))
	})
	f.Add(false, []byte{0, 0, 0, 0, 1, 2, 3, 4})
	f.Add(true, []byte{129, 0, 0, 0, 1, 2, 3, 4})
	known := []error{errShort, errType, errQuote, errHeader, errFragment, errProtocol}
	f.Fuzz(func(t *testing.T, v6 bool, b []byte) {
		a, err := parse(v6, b)
		if err != nil {
			for _, k := range known {
				if errors.Is(err, k) {
					return
				}
			}
			t.Fatalf("an error without a name: %v", err)
		}
		if a.kind != reply && a.to.Is6() != v6 || a.kind == reply && a.to.IsValid() {
			t.Fatalf("target %v of %+v", a.to, a)
		}
		longer, err := parse(v6, append(append([]byte{}, b...), make([]byte, 64)...))
		if err != nil || longer.to != a.to || longer.flow != a.flow || longer.seq != a.seq {
			t.Fatalf("%+v became %+v, %v", a, longer, err)
		}
	})
}
