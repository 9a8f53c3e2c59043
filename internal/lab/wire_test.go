package lab

import (
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"testing"
	"time"
)

func TestWireDelaysBothFamilies(t *testing.T) {
	l := New(t)
	src, r, dst := l.Host("src"), l.Router("r"), l.Host("dst")
	l.Connect(src, r)
	l.Wire(r, dst, Delayed(30*time.Millisecond, 20*time.Millisecond))
	l.Route()
	for _, to := range []netip.Addr{dst.V4(), dst.V6()} {
		out := src.Run("fping", "-q", "-c", "3", "-p", "20", "-t", "500", to.String())
		m := regexp.MustCompile(`min/avg/max = ([\d.]+)/`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("fping said %q", out)
		}
		if ms, err := strconv.ParseFloat(m[1], 64); err != nil || ms < 50 || ms > 60 {
			t.Errorf("%s: least round trip %v ms, want 50", to, m[1])
		}
	}
}

// TestWireDoesAsFateWants: of numbered datagrams one is lost, one comes twice,
// one is overtaken.
func TestWireDoesAsFateWants(t *testing.T) {
	l := New(t)
	a, b := l.Host("a"), l.Host("b")
	const ms = time.Millisecond
	l.Wire(a, b, func(_ bool, _ int, packet []byte) []time.Duration {
		switch packet[len(packet)-1] {
		case '1':
			return nil
		case '2':
			return []time.Duration{ms, 400 * ms}
		case '3':
			return []time.Duration{200 * ms}
		}
		return []time.Duration{ms}
	})
	var at, from net.PacketConn
	var err error
	b.Do(func() { at, err = net.ListenPacket("udp", netip.AddrPortFrom(b.V4(), 7).String()) })
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	a.Do(func() { from, err = net.ListenPacket("udp", netip.AddrPortFrom(a.V4(), 0).String()) })
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for _, word := range []string{"0", "1", "2", "3", "4"} {
		if _, err := from.WriteTo([]byte(word), at.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	got := ""
	at.SetReadDeadline(time.Now().Add(10 * time.Second))
	for buf := make([]byte, 10); len(got) < 5; {
		n, _, err := at.ReadFrom(buf)
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		got += string(buf[:n])
	}
	if got != "02432" {
		t.Errorf("came as %q, want 02432", got)
	}
}
