package traceroute

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"sonde/probes"
)

// findMTU finds the largest packet that the target answers, IP header included, by
// sending some that must not be cut (packetization-layer path MTU discovery, RFC
// 4821 and 8899): what a router says of the next link is tried first, and believed
// only when packets of that size arrive and larger ones do not. So a path whose
// routers are silent about it is measured too. With method icmp the replies are as
// large as the requests, and the way back counts. What cannot be told stays unknown.
func (r *run) findMTU(ctx context.Context) error {
	device, err := deviceMTU(ctx, r.to, r.source)
	if err != nil {
		return nil // the target was reached a moment ago: the way to it is gone, and no MTU is known
	}
	if r.plan.method == tcp {
		device = min(device, mostPayload)
	}
	search := newMTUSearch(leastSize, device)
	who := map[netip.Addr]bool{} // said that something was too big
	for search.low < search.high {
		size := search.next()
		found, err := r.fits(ctx, size, search.low)
		if err != nil || found.unknown {
			return err
		}
		if found.from.IsValid() {
			who[found.from] = true
		}
		search.learn(size, found.fits, found.hint)
	}
	hop := 0
	if search.low < device {
		if hop, err = r.narrowHop(ctx, search.low+1, who); err != nil {
			return err
		}
	}
	if r.lost() == 0 {
		r.path.mtu, r.path.mtuHop = search.low, hop
	}
	return nil
}

// mtuSearch is what is known of a path's MTU: packets of low bytes arrive, and those
// of more than high do not.
type mtuSearch struct {
	low, high int
	hint      int // what a router says fits
	tried     bool
}

func newMTUSearch(low, device int) mtuSearch {
	return mtuSearch{low: low, high: max(device, low)}
}

// usualMTUs are those of links and tunnels one meets.
var usualMTUs = []int{576, 1280, 1350, 1370, 1380, 1400, 1412, 1420, 1430, 1442, 1450, 1460, 1472, 1476, 1480, 1492, 1500, 4470, 9000}

// next gives the size to try: the largest there can be, then what a router told, then
// one of the usual, then one byte more than what seems to be it, then the middle.
func (s *mtuSearch) next() int {
	if !s.tried {
		return s.high
	}
	if s.hint > s.low && s.hint <= s.high {
		return s.hint
	}
	if s.hint == s.low {
		return s.low + 1
	}
	var between []int
	for _, usual := range usualMTUs {
		if usual > s.low && usual <= s.high {
			between = append(between, usual)
		}
	}
	if len(between) > 0 {
		return between[len(between)/2]
	}
	if slices.Contains(usualMTUs, s.low) {
		return s.low + 1
	}
	return (s.low + s.high + 1) / 2
}

func (s *mtuSearch) learn(size int, fits bool, hint int) {
	s.tried = true
	if fits {
		s.low = max(s.low, size)
	} else {
		s.high = min(s.high, size-1)
	}
	if hint >= s.low && hint < size {
		s.hint = hint
	}
}

// fit is what became of packets of one size.
type fit struct {
	fits    bool
	hint    int        // the size that fits the next link, as a router says; 0 if none does
	from    netip.Addr // who says so
	unknown bool       // the target answers no more, or our own kernel refuses
}

const (
	mtuTries = 2 // packets of a size that did not arrive though smaller ones behind them did
	mtuWaits = 3 // for a target that answers none of them, as one does that limits its answers
)

// fits sends packets of a size to the target, and behind them one of a size that is
// known to arrive: only when that one is answered, the silence of the others says
// that they are too big.
func (r *run) fits(ctx context.Context, size, low int) (fit, error) {
	failed := 0
	for range mtuTries + mtuWaits {
		answers, err := r.askSized(ctx, r.patience(), []sized{{size, r.plan.maxTTL}, {size, r.plan.maxTTL}, {low, r.plan.maxTTL}})
		if errors.Is(err, errRefused) {
			return fit{unknown: true}, nil
		}
		if err != nil {
			return fit{}, err
		}
		found, there := fit{}, false
		for _, h := range answers {
			switch {
			case h.answer.tooBig():
				found.hint, found.from = h.answer.mtu, h.from
			case h.from != h.to.WithZone(""):
			case h.size == size:
				found.fits = true
			default:
				there = true
			}
		}
		switch {
		case found.fits, found.from.IsValid() && there:
			return found, nil
		case there:
			if failed++; failed == mtuTries {
				return found, nil
			}
			continue
		}
		// Its answers are limited, or all was lost.
		r.timer.Reset(limitedEvery)
		select {
		case <-r.timer.C:
		case <-ctx.Done():
			return fit{}, context.Cause(ctx)
		}
	}
	return fit{unknown: true}, nil
}

// narrowHop finds the last hop that packets of a size reach: the one of a router that
// said so, or behind which nobody answers any more.
func (r *run) narrowHop(ctx context.Context, size int, who map[netip.Addr]bool) (int, error) {
	for i := range r.path.sure {
		if who[r.path.address(i)] {
			return r.plan.firstTTL + i, nil
		}
	}
	last := 0
	for range 2 { // what is beyond the last that answered may have been lost
		var packets []sized
		for ttl := max(last+1, r.plan.firstTTL); ttl < r.plan.firstTTL+r.path.sure; ttl++ {
			packets = append(packets, sized{size, ttl}, sized{size, ttl})
		}
		answers, err := r.askSized(ctx, r.patience(), packets)
		if err != nil && !errors.Is(err, errRefused) {
			return 0, err
		}
		for _, h := range answers {
			if h.answer.kind == exceeded {
				last = max(last, h.packet.ttl)
			}
		}
	}
	return last, nil
}

// sized is a packet of the first flow that is not to be cut.
type sized struct{ size, ttl int }

// errRefused: our own kernel does not send at all, which says nothing of sizes.
var errRefused = errors.New("refused by our own kernel")

// askSized sends packets and gives the answers that come in time. What is too large for
// our own link is not sent.
func (r *run) askSized(ctx context.Context, patience time.Duration, packets []sized) (answers []heard, err error) {
	defer r.drop()
	for _, p := range packets {
		s := &probeSent{heard: r.heard, packet: packet{from: r.source, to: r.to, ttl: p.ttl, size: p.size, whole: true,
			flow: flowOf(r.to, r.plan.method, r.plan.port, 0)}}
		if err := r.engine.expect(s); err != nil {
			return nil, err
		}
		if err := r.engine.write(s.packet); err != nil {
			r.engine.forget(s)
			if errors.Is(err, unix.EMSGSIZE) {
				continue
			}
			if _, err := r.refusal(ctx, err); err != nil {
				return nil, err
			}
			return nil, errRefused
		}
		r.out = append(r.out, s)
	}
	r.timer.Reset(patience)
	for len(answers) < len(r.out) {
		select {
		case h := <-r.heard:
			if h.done {
				continue // to a packet that was given up
			}
			r.slowest = max(r.slowest, h.rtt)
			answers = append(answers, h)
		case <-r.timer.C:
			return answers, nil
		case <-r.engine.Down():
			return nil, fmt.Errorf("%w: the sockets were closed", probes.ErrLocal)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return answers, nil
}

// deviceMTU is what the interface towards a target lets through.
func deviceMTU(ctx context.Context, to, from netip.Addr) (int, error) {
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from.WithZone(to.Zone()), 0))}
	c, err := d.DialContext(ctx, "udp", net.JoinHostPort(to.String(), strconv.Itoa(33434)))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	local := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
	interfaces, err := net.Interfaces()
	if err != nil {
		return 0, err
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == local {
					return min(i.MTU, mostMTU), nil
				}
			}
		}
	}
	return 0, errors.New("no interface has the address we send from")
}
