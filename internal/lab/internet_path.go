package lab

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Hop is a piece of a path: a *Router, a *Balance, a *Target, a Loop, or a
// Path of such. The same router may stand in many places.
type Hop interface {
	prepare(*Internet) error
}

// Path is hops one after the other.
type Path []Hop

// Loop is hops that a packet goes through again and again until its TTL is
// used up.
type Loop Path

// Router answers for the TTL it ends, and does what is said here besides. A
// router belongs to one Internet, and once in use is changed inside Change only.
type Router struct {
	V4, V6 string // whom its answers come from; with none it is silent by that family

	Silent     func(*Packet) bool  // to which packets it says nothing; Always
	Limit      *Limit              // of its answers; routers that share one are interfaces of one machine
	Lose       func(*Packet) bool  // what never gets to it, and ends unheard
	Refuse     Message             // what it says to everything that comes to it, instead of forwarding
	RefuseOnly func(*Packet) bool  // to which packets it says that, nil is all; those that end here have a TTL of 1
	ZeroTTL    bool                // forwards what comes with TTL 1, so that the next one ends it at TTL 0 (a stutter)
	MTU        int                 // of the link behind it, in bytes; IPv4 without DF gets through as a whole
	BlackHole  bool                // says nothing of what does not fit the MTU
	Rewrite    func(packet []byte) // what it makes of packets it forwards: NAT; the IPv4 header's checksum is seen to

	Delay time.Duration // added to the round trip of every packet that gets to it
	Slow  time.Duration // added to its own answers only
	TTL   int           // with which its answers set out; 255, and a target's 64
	Back  int           // how many routers are on the way back from it; as many as on the way there

	Quote       int                         // at most so many bytes of the packet; what fits 576 bytes by IPv4, 1280 by IPv6
	QuoteTTL    int                         // instead of the TTL the packet came with
	Extension   *Extension                  // RFC 4884
	Forge       func(message []byte) []byte // a last hand on its ICMP message, before the checksum
	BadChecksum bool                        // in its answers' ICMP, UDP or TCP

	// Of targets only.
	OpenTCP []uint16 // ports that answer SYN with SYN and ACK, not with RST
	OpenUDP []uint16 // ports that send the payload back

	v4, v6          netip.Addr
	asked, answered atomic.Int64
}

// Target is a Router that is the end of the way: it replies to what is sent to
// it. Answers come from the address that was asked, if it has none of its own.
// A router r that can be pinged ends a path to its address as (*Target)(r).
type Target Router

// At is a router that has addresses and no peculiarities.
func At(addrs ...string) *Router {
	r := new(Router)
	for _, a := range addrs {
		if ip, err := netip.ParseAddr(a); err == nil && ip.Is4() {
			r.V4 = a
		} else {
			r.V6 = a
		}
	}
	return r
}

// Row is n routers; the addresses of each follow those of the one before.
func Row(n int, first ...string) (path Path) {
	addrs := slices.Clone(first)
	for range n {
		path = append(path, At(addrs...))
		for i, word := range addrs {
			a, _ := netip.ParseAddr(word) // what is wrong with it Internet.Path says
			addrs[i] = a.Next().String()
		}
	}
	return path
}

// Asked counts packets that ended at the router, so that it should have
// answered, whether it did or not.
func (r *Router) Asked() int { return int(r.asked.Load()) }

// Answered counts answers.
func (r *Router) Answered() int { return int(r.answered.Load()) }

// Asked counts packets the target could have answered.
func (t *Target) Asked() int { return (*Router)(t).Asked() }

// Answered counts answers.
func (t *Target) Answered() int { return (*Router)(t).Answered() }

// Limit is a token bucket, as Linux has one for ICMP errors: full at first.
type Limit struct {
	PerSecond float64
	Burst     int

	tokens float64
	last   time.Time
}

func (l *Limit) take(now time.Time) bool {
	if l.last.IsZero() {
		l.tokens = float64(l.Burst)
	}
	l.tokens = min(float64(l.Burst), l.tokens+now.Sub(l.last).Seconds()*l.PerSecond)
	l.last = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

// Balance spreads packets over arms of any length. Arms that are balances
// themselves nest, balances in a row choose independently of each other, so
// that two in a row are a meshed diamond.
type Balance struct {
	By   func(*Packet) uint64
	Arms []Hop

	seed uint64 // makes it choose independently of others
}

// Spread is a balance by PerFlow, PerPacket, PerDestination or a function of
// the test's own, over arms of one hop or a Path each.
func Spread(by func(*Packet) uint64, arms ...Hop) *Balance { return &Balance{By: by, Arms: arms} }

func (b *Balance) choose(p *Packet) Hop {
	high, _ := bits.Mul64(mix(b.By(p)+mix(b.seed)), uint64(len(b.Arms)))
	return b.Arms[high]
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// PerPacket sends every packet an arbitrary way, in every run the same.
func PerPacket(p *Packet) uint64 { return uint64(p.N) }

// PerDestination sends all packets of two addresses one way.
func PerDestination(p *Packet) uint64 {
	src, dst := p.Src.As16(), p.Dst.As16()
	return hash(hash(0, src[:]), dst[:])
}

// PerFlow hashes addresses, protocol and the first four bytes of the transport
// header, as routers do (Augustin et al., Avoiding traceroute anomalies with
// Paris traceroute, IMC 2006): ports, or type, code and checksum of ICMP; and the
// identifier of ICMP, which some include; and the flow label of IPv6.
func PerFlow(p *Packet) uint64 {
	h := hash(PerDestination(p), []byte{p.Proto})
	t, size := p.Transport(), 4
	if IsICMP(p) {
		size = 6
	}
	h = hash(h, t[:min(size, len(t))])
	if p.V6() {
		h = hash(h, []byte{p.Bytes[1] & 0x0f, p.Bytes[2], p.Bytes[3]})
	}
	return h
}

// hash is FNV-1a, which mix makes even.
func hash(h uint64, b []byte) uint64 {
	if h == 0 {
		h = 0xcbf29ce484222325
	}
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return h
}

// prepare reads the addresses of a router that came or changed.
func (r *Router) prepare(*Internet) (err error) {
	r.v4, r.v6 = netip.Addr{}, netip.Addr{}
	if r.V4 != "" {
		if r.v4, err = netip.ParseAddr(r.V4); err != nil || !r.v4.Is4() {
			return fmt.Errorf("a router's V4 is %q, which is no IPv4 address", r.V4)
		}
	}
	if r.V6 != "" {
		if r.v6, err = netip.ParseAddr(r.V6); err != nil || !r.v6.Is6() {
			return fmt.Errorf("a router's V6 is %q, which is no IPv6 address", r.V6)
		}
	}
	return nil
}

func (p Path) prepare(n *Internet) error {
	for _, h := range p {
		if h == nil {
			return errors.New("a hop is nil")
		}
		if err := h.prepare(n); err != nil {
			return err
		}
	}
	return nil
}

func (l Loop) prepare(n *Internet) error {
	for _, h := range l {
		if _, ok := h.(*Router); !ok {
			return fmt.Errorf("a loop has routers only, not %T", h)
		}
	}
	if len(l) == 0 {
		return errors.New("a loop without routers has no end")
	}
	return Path(l).prepare(n)
}

func (t *Target) prepare(n *Internet) error { return (*Router)(t).prepare(n) }

func (b *Balance) prepare(n *Internet) error {
	if b.By == nil || len(b.Arms) == 0 {
		return errors.New("a balance needs By and Arms")
	}
	if b.seed == 0 {
		n.balances++
		b.seed = n.balances
	}
	return Path(b.Arms).prepare(n)
}
