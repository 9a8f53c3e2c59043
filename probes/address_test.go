package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers on loopback for as long as the test lasts:
// both.example has an address of each family, four.example one of IPv4,
// moving.example another one each time it is asked for, shuffled.example three
// in another order, and slow.example never
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
	usual := dial
	dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return usual(ctx, "udp", conn.LocalAddr().String())
	}
	t.Cleanup(func() {
		dial = usual
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
	if name == "moving.example." {
		head.TTL = 1
	}
	switch {
	case strings.HasPrefix(name, "slow.example."):
		return nil
	case name == "both.example." && q.Type == dnsmessage.TypeAAAA:
		reply.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AAAAResource{AAAA: netip.IPv6Loopback().As16()}}}
	case (name == "both.example." || name == "four.example.") && q.Type == dnsmessage.TypeA:
		reply.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
	case name == "moving.example." && q.Type == dnsmessage.TypeA:
		reply.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, asked}}}}
	case name == "shuffled.example." && q.Type == dnsmessage.TypeA:
		for i := range byte(3) {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1 + (asked+i)%3}}})
		}
	case name == "both.example.", name == "shuffled.example.", name == "four.example.", name == "moving.example.":
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
		if a, err := NewNames().Resolve(t.Context(), c.name, c.family); err != nil || a != netip.MustParseAddr(c.want) {
			t.Errorf("%s over family %s is %v, %v; want %s", c.name, c.family, a, err, c.want)
		}
	}
	if a, err := NewNames().Resolve(t.Context(), "both.example", "auto"); err != nil || a != netip.MustParseAddr(four) && a != netip.MustParseAddr(six) {
		t.Errorf("both.example is %v, %v", a, err)
	}
}

// moving.example has a TTL of a second, and moves with each question.
func TestNameIsAskedForAgainWhenItsTimeIsOver(t *testing.T) {
	nameServer(t)
	n := NewNames()
	defer n.Close()
	resolve := func() netip.Addr {
		a, err := n.Resolve(t.Context(), "moving.example", "4")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := resolve()
	began := time.Now()
	seen := map[netip.Addr]int{}
	for len(seen) < 4 && time.Since(began) < 20*time.Second {
		asked := time.Now()
		a := resolve()
		if a != first && time.Since(began) < 400*time.Millisecond {
			t.Fatalf("%s after %s: the answer held for a second", a, time.Since(began))
		}
		if took := time.Since(asked); took > 500*time.Millisecond {
			t.Errorf("a name in use was waited for, %s", took)
		}
		if seen[a]++; seen[a] == 1 {
			first = a
			began = time.Now()
		}
		tick := time.NewTimer(10 * time.Millisecond)
		<-tick.C
	}
	if len(seen) < 4 {
		t.Errorf("the addresses were %v", seen)
	}
}

func TestHostThatIsStillThereGoesOnBeingMeasured(t *testing.T) {
	nameServer(t)
	n := NewNames()
	defer n.Close()
	first, err := n.Resolve(t.Context(), "shuffled.example", "4")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := n.ask(t.Context(), question{"shuffled.example", "4"}); err != nil { // what the background does
			t.Fatal(err)
		}
		all, err := n.ResolveAll(t.Context(), "shuffled.example", "4")
		if err != nil || len(all) != 3 || all[0] != first {
			t.Errorf("%v, %v; %s was there all the time", all, err, first)
		}
	}
}

func TestNameThatIsGoneFailsWhenItsTimeIsOver(t *testing.T) {
	nameServer(t)
	n := NewNames()
	defer n.Close()
	q := question{"nobody.example", "4"}
	n.known[q] = &answer{addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, renew: time.Now().Add(-time.Second), until: time.Now().Add(300 * time.Millisecond)}
	if _, err := n.Resolve(t.Context(), q.host, q.family); err != nil {
		t.Errorf("its time is not over: %v", err)
	}
	for {
		_, err := n.Resolve(t.Context(), q.host, q.family)
		if err == nil {
			continue
		}
		if !strings.Contains(err.Error(), "nobody.example") {
			t.Error(err)
		}
		return
	}
}

// The TTL comes from outside bytes.
func FuzzAnswerOfANameServer(f *testing.F) {
	f.Add([]byte{})
	q := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("shuffled.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	b, err := q.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answerTo(b, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		var heard Hearing
		heard.hear(b)
		if ttl := heard.least(); ttl < leastTTL || ttl > mostTTL {
			t.Errorf("%s", ttl)
		}
	})
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
		_, err := NewNames().Resolve(t.Context(), c.name, c.family)
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrSpec) || errors.Is(err, ErrLocal) {
			t.Errorf("%q over family %s gave %v, want %q", c.name, c.family, err, c.want)
		}
	}
	// The same trouble is the same sentence, whichever port of ours was used.
	gone := func() string {
		t.Helper()
		defer func(usual func(context.Context, string, string) (net.Conn, error)) { dial = usual }(dial)
		nowhere, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		nowhere.Close()
		dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", nowhere.LocalAddr().String())
		}
		_, err = NewNames().Resolve(t.Context(), "nobody.example", "auto")
		return fmt.Sprint(err)
	}
	if a, b := gone(), gone(); a != b || !strings.Contains(a, "name server ") || !strings.Contains(a, "connection refused") {
		t.Errorf("%q and %q", a, b)
	}
	_, err := NewNames().Resolve(t.Context(), "127.0.0.1", "6")
	if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("an IPv4 address over IPv6 gave %v; a person must mend that", err)
	}
}

func TestNameServerThatDoesNotAnswerIsGivenUpWithTheDeadline(t *testing.T) {
	nameServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := NewNames().Resolve(ctx, "slow.example", "auto")
	if err == nil || !strings.Contains(err.Error(), "slow.example") || time.Since(began) > time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}
