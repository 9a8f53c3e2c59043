package ping

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	goping "github.com/go-ping/ping"
	"golang.org/x/sys/unix"

	"sonde/probes"
)

// send makes one run with go-ping v1.1.0. This is the only file that knows it;
// what had to be worked around, seen in its ping.go:
//
//   - it knows no context: ctx stops it through Stop, and it ends within the
//     100 ms of its longest read;
//   - its Timeout counts from the start: ours is a timer set by the last packet;
//   - a refused first packet ends its Run; a later one is only logged, not
//     counted, and tried again under the same number: both are counted here as
//     sent and lost, and a new Pinger takes over after a refused first packet;
//   - its round-trip times are wall-clock differences, the start read back from
//     the reply's own payload: see honest;
//   - its statistics are not used: they count refused packets as not sent.
//
// All its callbacks come from one goroutine, which ends before Run returns.
func send(ctx context.Context, p plan, k kind, log *slog.Logger) (sample, error) {
	r := &run{plan: p, log: log, latest: -1, clock: readClock, sample: sample{ttls: map[int]int{}}}
	for len(r.rtts) < p.count {
		refused, err := r.pinger(ctx, k)
		if ctx.Err() != nil {
			return sample{}, fmt.Errorf("stopped after %d of %d packets: %w", len(r.rtts), p.count, ctx.Err())
		}
		if err != nil {
			return sample{}, err
		}
		if refused {
			// This number's turn is over; the next one comes an interval later,
			// or, after the last, nobody can answer and there is nothing to wait for.
			if len(r.rtts) < p.count && !wait(ctx, p.interval) {
				return sample{}, fmt.Errorf("stopped after %d of %d packets: %w", len(r.rtts), p.count, ctx.Err())
			}
		}
	}
	return r.sample, nil
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// run collects what all pingers of one run see.
type run struct {
	sample
	plan   plan
	log    *slog.Logger
	latest int // index of the latest packet that was answered
	clock  func() clock

	// of the pinger at work
	p     *goping.Pinger
	sent  []departure // by its sequence number
	timer *time.Timer // fires timeout after the last packet
}

type departure struct {
	index int // in rtts
	at    clock
}

// pinger lets one Pinger send what is left. refused says that its first packet
// was refused by our kernel, which is in the sample already.
func (r *run) pinger(ctx context.Context, k kind) (refused bool, err error) {
	p := goping.New("")
	p.SetIPAddr(&net.IPAddr{IP: r.plan.to.AsSlice(), Zone: r.plan.to.Zone()})
	p.SetPrivileged(k == raw)
	p.SetLogger(wireLog{r})
	if r.plan.source.IsValid() {
		p.Source = r.plan.source.String()
	}
	p.Count = r.plan.count - len(r.rtts)
	p.Size = r.plan.size
	p.Interval = r.plan.interval
	p.TTL = r.plan.ttl
	p.RecordRtts = false
	p.OnSend = r.onSend
	p.OnRecv = r.onRecv
	p.OnDuplicateRecv = func(*goping.Packet) { r.duplicates++ }
	r.p, r.sent, r.timer = p, nil, nil
	defer context.AfterFunc(ctx, p.Stop)()
	defer func() {
		if r.timer != nil {
			r.timer.Stop()
		}
	}()

	err = p.Run()
	var op *net.OpError
	switch {
	case err == nil || ctx.Err() != nil:
		return false, nil
	case len(r.sent) == 0 && errors.As(err, &op) && op.Op == "write" && errno(err) != 0:
		r.refuse(err)
		return true, nil
	case errors.Is(err, syscall.EADDRNOTAVAIL) && r.plan.source.IsValid():
		return false, fmt.Errorf("%w: this host has no address %s to send from", probes.ErrLocal, r.plan.source)
	case errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM):
		return false, fmt.Errorf("%w: %s (%w)", probes.ErrLocal, howToAllow, err)
	}
	return false, fmt.Errorf("%w: %w", probes.ErrLocal, err)
}

func (r *run) onSend(pkt *goping.Packet) {
	r.sent = append(r.sent, departure{len(r.rtts), r.clock()})
	r.departed()
}

// refuse counts a packet that our kernel would not send.
func (r *run) refuse(err error) {
	if r.errnos == nil {
		r.errnos = map[string]int{}
	}
	name := unix.ErrnoName(errno(err))
	if r.errnos[name] == 0 {
		r.log.Warn("our own kernel refused a packet", "errno", name, "error", err)
	}
	r.errnos[name]++
	r.departed()
}

// departed gives the packet its place in the sample.
func (r *run) departed() {
	r.rtts = append(r.rtts, lost)
	if len(r.rtts) == r.plan.count {
		r.timer = time.AfterFunc(r.plan.timeout, r.p.Stop)
	}
}

func (r *run) onRecv(pkt *goping.Packet) {
	if pkt.Seq < 0 || pkt.Seq >= len(r.sent) {
		return // go-ping awaits only what it sent; this costs nothing and holds without it
	}
	d := r.sent[pkt.Seq]
	r.rtts[d.index] = honest(pkt.Rtt, d.at, r.clock())
	if d.index < r.latest {
		r.reordered++
	} else {
		r.latest = d.index
	}
	if pkt.Ttl > 0 {
		r.ttls[pkt.Ttl]++
	}
}

// wireLog hears what go-ping only logs: a packet that could not be sent.
type wireLog struct{ r *run }

func (l wireLog) Fatalf(format string, v ...any) {
	if len(v) == 1 && format == "sending packet: %s" {
		if err, ok := v[0].(error); ok && errno(err) != 0 {
			// go-ping will try this number again, and count it then: take it
			// from what is left to send. The first packet was sent (otherwise
			// Run would have ended), so that Count never falls to 0, for ever.
			l.r.p.Count--
			l.r.refuse(err)
			return
		}
	}
	l.r.log.Debug("go-ping: " + fmt.Sprintf(format, v...))
}
func (l wireLog) Errorf(format string, v ...any) { l.Fatalf(format, v...) }
func (l wireLog) Warnf(format string, v ...any)  { l.Fatalf(format, v...) }
func (l wireLog) Infof(format string, v ...any)  { l.Fatalf(format, v...) }
func (l wireLog) Debugf(format string, v ...any) { l.Fatalf(format, v...) }

func errno(err error) syscall.Errno {
	var e syscall.Errno
	errors.As(err, &e)
	return e
}

// clock is one reading of both clocks.
type clock struct {
	steady time.Duration // monotonic
	wall   int64         // ns
}

var started = time.Now()

func readClock() clock {
	now := time.Now()
	return clock{steady: now.Sub(started), wall: now.UnixNano()}
}

// tolerated is how far a round-trip time may lie from what we saw ourselves.
const tolerated = 50 * time.Millisecond

// honest makes a round-trip time out of what go-ping says and what our own two
// clocks say when its callbacks come: sent when the packet had been handed to
// the kernel, got when the reply had been taken from it.
//
// go-ping's value is the sharper one, but it is a difference of wall clocks,
// and its start comes back in a payload that the target could have changed. A
// step or slew of the wall clock is taken out; a value that lies far from our
// own is not believed. Ours begins after the system call and so is a little
// short on a path as short as loopback, where the answer is there before the
// call returns.
func honest(told time.Duration, sent, got clock) time.Duration {
	own := got.steady - sent.steady
	step := time.Duration(got.wall-sent.wall) - own
	told -= step
	if told <= 0 || (told-own).Abs() > tolerated {
		return own
	}
	return told
}
