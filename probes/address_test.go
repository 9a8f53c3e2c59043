package probes

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers on loopback for as long as the test lasts:
// both.example has an address of each family, four.example one of IPv4,
// moving.example another one each time it is asked for, and slow.example never
// gets an answer. Everything else does not exist.
func nameServer(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		packet := make([]byte, 1500)
		for asked := byte(1); ; asked++ {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			if answer := answerTo(packet[:n], asked); answer != nil {
				_, _ = conn.WriteTo(answer, from) // a lost answer is the test's failure
			}
		}
	}()
	usual := resolver
	resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() {
		resolver = usual
		conn.Close()
		<-ended
	})
}

func answerTo(query []byte, asked byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionAvailable: true}, Questions: m.Questions}
	head := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}
	name := q.Name.String()
	switch {
	case strings.HasPrefix(name, "slow.example."):
		return nil
	case name == "both.example." && q.Type == dnsmessage.TypeAAAA:
		reply.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AAAAResource{AAAA: netip.IPv6Loopback().As16()}}}
	case (name == "both.example." || name == "four.example.") && q.Type == dnsmessage.TypeA:
		reply.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
	case name == "moving.example." && q.Type == dnsmessage.TypeA:
		reply.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, asked}}}}
	case name == "both.example.", name == "four.example.", name == "moving.example.":
	default:
		reply.RCode = dnsmessage.RCodeNameError
	}
	b, err := reply.Pack()
	if err != nil {
		return nil
	}
	return b
}

func TestFamilyChoosesTheAddressOfAName(t *testing.T) {
	nameServer(t)
	four, six := "127.0.0.1", "::1"
	for _, c := range []struct{ name, family, want string }{
		{"both.example", "4", four}, {"both.example", "6", six}, {"four.example", "auto", four},
		{"four.example", "4", four}, {"::ffff:127.0.0.1", "4", four}, {"::1", "6", six}, {"::1", "auto", six},
	} {
		if a, err := Resolve(t.Context(), c.name, c.family); err != nil || a != netip.MustParseAddr(c.want) {
			t.Errorf("%s over family %s is %v, %v; want %s", c.name, c.family, a, err, c.want)
		}
	}
	if a, err := Resolve(t.Context(), "both.example", "auto"); err != nil || a != netip.MustParseAddr(four) && a != netip.MustParseAddr(six) {
		t.Errorf("both.example is %v, %v", a, err)
	}
}

func TestNameThatMovedIsFoundByTheNextRun(t *testing.T) {
	nameServer(t)
	seen := map[netip.Addr]bool{}
	for range 3 {
		a, err := Resolve(t.Context(), "moving.example", "auto")
		if err != nil || seen[a] {
			t.Errorf("%s again, %v", a, err)
		}
		seen[a] = true
	}
}

func TestNameThatDoesNotResolveIsAnErrorThatNamesIt(t *testing.T) {
	nameServer(t)
	for _, c := range []struct{ name, family, want string }{
		{"nobody.example", "auto", `resolve "nobody.example"`},
		{"four.example", "6", "no IPv6 address"},
		{"not..a..name", "auto", `resolve "not..a..name"`},
		{"", "auto", `resolve ""`},
		{"127.0.0.1:80", "auto", `resolve "127.0.0.1:80"`},
	} {
		_, err := Resolve(t.Context(), c.name, c.family)
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrSpec) || errors.Is(err, ErrLocal) {
			t.Errorf("%q over family %s gave %v, want %q", c.name, c.family, err, c.want)
		}
	}
	_, err := Resolve(t.Context(), "127.0.0.1", "6")
	if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("an IPv4 address over IPv6 gave %v; a person must mend that", err)
	}
}

func TestNameServerThatDoesNotAnswerIsGivenUpWithTheDeadline(t *testing.T) {
	nameServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := Resolve(ctx, "slow.example", "auto")
	if err == nil || !strings.Contains(err.Error(), "slow.example") || time.Since(began) > time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}
