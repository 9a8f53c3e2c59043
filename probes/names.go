package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Names keeps what names resolve to for as long as their name servers say (the
// TTL of RFC 1035). A name that is used in the last quarter of that time is asked for
// again in the background, so that runs which come more often never wait for a
// name server. What is out of date is never used: a name that does not resolve any
// more fails its runs.
type Names struct {
	stop    context.Context
	cancel  context.CancelFunc
	renewal sync.WaitGroup

	mu    sync.Mutex
	known map[question]*answer
	swept time.Time
}

type question struct{ host, family string }

// answer is what a name resolved to. addrs are in the order in which they are
// preferred; the one that was measured last stays first as long as it is among them.
type answer struct {
	addrs    []netip.Addr
	renew    time.Time // ask again from here on
	until    time.Time
	renewing bool
}

const (
	// usualTTL holds where no name server says one: /etc/hosts, answers by TCP.
	usualTTL = 10 * time.Second
	leastTTL = time.Second
	mostTTL  = time.Hour
	askTime  = 10 * time.Second
)

// NewNames begins without any.
func NewNames() *Names {
	n := &Names{known: map[question]*answer{}}
	n.stop, n.cancel = context.WithCancel(context.Background())
	return n
}

// Close ends what goes on in the background.
func (n *Names) Close() {
	n.mu.Lock()
	n.cancel() // no renewal begins after this
	n.mu.Unlock()
	n.renewal.Wait()
}

// Resolve gives the address of a host that is to be measured. family is what the
// option of that name says: "4", "6", or "auto" for what the name resolves to first.
func (n *Names) Resolve(ctx context.Context, host, family string) (netip.Addr, error) {
	all, err := n.ResolveAll(ctx, host, family)
	if err != nil {
		return netip.Addr{}, err
	}
	return all[0], nil
}

// ResolveAll gives all addresses of a host, at least one.
func (n *Names) ResolveAll(ctx context.Context, host, family string) ([]netip.Addr, error) {
	if a, err, is := literal(host, family); is {
		return []netip.Addr{a}, err
	}
	q := question{host, family}
	now := time.Now()
	n.mu.Lock()
	a := n.known[q]
	if a != nil && now.Before(a.until) {
		renew := !a.renewing && now.After(a.renew) && n.stop.Err() == nil
		if renew {
			a.renewing = true
			n.renewal.Add(1)
		}
		addrs := a.addrs
		n.mu.Unlock()
		if renew {
			go func() {
				defer n.renewal.Done()
				ctx, cancel := context.WithTimeout(n.stop, askTime)
				defer cancel()
				_, _ = n.ask(ctx, q) // the run that comes after its end asks itself, and hears why
			}()
		}
		return addrs, nil
	}
	n.mu.Unlock()
	return n.ask(ctx, q)
}

func (n *Names) ask(ctx context.Context, q question) ([]netip.Addr, error) {
	began := time.Now()
	addrs, ttl, err := lookup(ctx, q.host, q.family)
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.known[q]
	if err != nil {
		if old != nil {
			old.renewing = false
			old.renew = began.Add(min(leastTTL, old.until.Sub(began))) // not with each run
		}
		return nil, err
	}
	if old != nil {
		// Name servers shuffle: a host that is still there goes on being measured.
		if i := slices.Index(addrs, old.addrs[0]); i > 0 {
			addrs = slices.Insert(slices.Delete(addrs, i, i+1), 0, old.addrs[0])
		}
	}
	if began.Sub(n.swept) > time.Minute {
		n.swept = began
		for known, a := range n.known {
			if began.After(a.until) {
				delete(n.known, known) // nobody has asked for it lately
			}
		}
	}
	n.known[q] = &answer{addrs: addrs, renew: began.Add(ttl * 3 / 4), until: began.Add(ttl)}
	return addrs, nil
}

// dial reaches a name server.
var dial = new(net.Dialer).DialContext

// lookup asks for a name, and tells how long the answer holds. The resolver is the
// pure Go one, which gives up with ctx; that of the C library would leave a
// thread behind. It tells no TTL, so that we read along.
func lookup(ctx context.Context, host, family string) ([]netip.Addr, time.Duration, error) {
	var heard Hearing
	resolver := heard.Resolver(dial)
	network := "ip"
	if family != "auto" {
		network += family
	}
	// Strictly: that one family was not heard of is no answer about it. When the
	// other is all there is, it must do, for a moment.
	resolver.StrictErrors = true
	addrs, err := resolver.LookupNetIP(ctx, network, host)
	var half *net.DNSError
	if errors.As(err, &half) && !half.IsNotFound && ctx.Err() == nil && family == "auto" {
		resolver.StrictErrors = false
		if some, err2 := resolver.LookupNetIP(ctx, network, host); err2 == nil {
			addrs, err = some, nil
			heard.hold(0)
		}
	}
	if err != nil {
		var dns *net.DNSError
		switch {
		case ctx.Err() != nil || !errors.As(err, &dns):
			return nil, 0, fmt.Errorf("resolve %q: %w", host, err)
		case dns.IsNotFound && family != "auto":
			return nil, 0, fmt.Errorf("resolve %q: no IPv%s address: %s", host, family, nameServerSays(dns))
		}
		return nil, 0, fmt.Errorf("resolve %q: %s", host, nameServerSays(dns))
	}
	if len(addrs) == 0 {
		return nil, 0, fmt.Errorf("resolve %q: no address", host)
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs, heard.least(), nil
}

// ways are the ends of a connection to a name server in an error: "read udp a->b: ".
var ways = regexp.MustCompile(`\b(?:read|write) (?:udp|tcp) \S+->\S+: `)

// nameServerSays tells what went wrong without the port of ours that was used: with
// it the same trouble is another sentence each time.
func nameServerSays(err *net.DNSError) string {
	server, _, cut := net.SplitHostPort(err.Server)
	switch said := ways.ReplaceAllString(err.Err, ""); {
	case cut != nil:
		return said
	case err.IsTimeout:
		return "name server " + server + " does not answer"
	default:
		return said + " (name server " + server + ")"
	}
}

// Hearing reads along what name servers answer to one look-up, because the
// resolver of Go tells neither how long an answer holds nor whether there was one.
type Hearing struct {
	mu       sync.Mutex
	answered bool
	some     bool
	ttl      time.Duration
}

// Resolver gives a resolver that is read along. It is the pure Go one.
func (h *Hearing) Resolver(dial func(ctx context.Context, network, address string) (net.Conn, error)) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if udp, ok := c.(*net.UDPConn); ok {
			return &readAlong{udp, h}, nil
		}
		return &readStream{c, h}, nil
	}}
}

// Answered reports whether a name server said anything at all, an error included.
func (h *Hearing) Answered() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.answered
}

// TTL is the least of all records that were answered by UDP; 0 when there was none.
func (h *Hearing) TTL() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ttl
}

func (h *Hearing) least() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.some {
		return usualTTL
	}
	return min(max(h.ttl, leastTTL), mostTTL)
}

// hold says that the answer holds no longer than this.
func (h *Hearing) hold(ttl time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.some || ttl < h.ttl {
		h.some, h.ttl = true, ttl
	}
}

// hear reads an answer of a name server. What it cannot read the resolver judges.
func (h *Hearing) hear(message []byte) {
	h.mu.Lock()
	h.answered = true
	h.mu.Unlock()
	var p dnsmessage.Parser
	if _, err := p.Start(message); err != nil || p.SkipAllQuestions() != nil {
		return
	}
	for {
		head, err := p.AnswerHeader()
		if err != nil {
			return
		}
		h.hold(time.Duration(head.TTL) * time.Second)
		if p.SkipAnswer() != nil {
			return
		}
	}
}

// readAlong is a connection to a name server by UDP.
type readAlong struct {
	*net.UDPConn
	heard *Hearing
}

func (r *readAlong) Read(b []byte) (int, error) {
	n, err := r.UDPConn.Read(b)
	if err == nil {
		r.heard.hear(b[:n])
	}
	return n, err
}

// readStream is one by TCP, which brings a message in pieces.
type readStream struct {
	net.Conn
	heard *Hearing
}

func (r *readStream) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	if n > 0 {
		r.heard.hear(nil)
	}
	return n, err
}
