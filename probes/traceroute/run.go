package traceroute

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sonde/probes"
)

// run is one route under way.
type run struct {
	engine  *engine
	path    *path
	plan    plan
	to      netip.Addr
	source  netip.Addr // once the kernel told it
	heard   chan heard
	out     []*probeSent // packets in order of sending and so of giving up, from the first one not done
	timer   *time.Timer
	slowest time.Duration // of all answers
	answers int
	unread  uint64 // what the engine had not read when the run began
	pilots  struct {
		sent, out int
		answered  bool
		next      time.Time // when another goes
	}
}

// mostOut is how many packets a run has under way at most.
const mostOut = 2048

func newRun(e *engine, p plan, to netip.Addr) *run {
	return &run{engine: e, path: newPath(p, to), plan: p, to: to, unread: e.family(to).unread.Load(),
		heard: make(chan heard, min(mostOut, 2*p.probes*(p.maxTTL-p.firstTTL+1)+exploring))}
}

// spare is left of a run's time when it ends what was only asked for besides.
const spare = 500 * time.Millisecond

// trace asks and listens until the path has ended, and then what else is wanted of it.
func (r *run) trace(ctx context.Context) error {
	r.timer = time.NewTimer(0)
	defer r.timer.Stop()
	defer func() {
		for _, s := range r.out {
			r.engine.forget(s)
		}
	}()
	if err := r.find(ctx); err != nil {
		return err
	}
	r.pilots.next = time.Time{}
	until := time.Now().Add(time.Hour)
	if deadline, ok := ctx.Deadline(); ok {
		until = deadline.Add(-spare)
	}
	within, cancel := context.WithDeadlineCause(ctx, until, errNoMoreTime)
	defer cancel()
	if err := r.more(within); err != nil && !errors.Is(err, errNoMoreTime) {
		return err
	}
	return nil
}

// errNoMoreTime ends what was only asked for besides; the route is known.
var errNoMoreTime = errors.New("no more time")

// more finds what else is wanted of the path.
func (r *run) more(ctx context.Context) error {
	if r.plan.all && r.path.reason != "not sent" {
		x := newExplorer(r.path, r.plan.confidence)
		err := r.ask(ctx, x.ask)
		r.drop()
		if r.lost() == 0 { // who seemed silent was
			r.path.confidence = x.confidence()
		}
		if err != nil {
			return err
		}
	}
	if r.plan.mtu && r.path.reached {
		return r.findMTU(ctx)
	}
	return nil
}

// find asks until the path has ended and nothing on it is doubtful.
func (r *run) find(ctx context.Context) error {
	told := askAll
	if r.plan.share > 0 && !r.plan.all && r.source.IsValid() {
		told = func(hop int) (netip.Addr, bool) {
			return r.engine.shared.ask(r.way(), r.plan.firstTTL+hop, r.plan.share)
		}
	}
	r.pilot()
	for {
		err := r.ask(ctx, func(time.Time) (questions []question, ended bool) {
			if questions, ended = r.path.judge(); ended {
				return nil, true
			}
			return append(questions, r.path.ask(told)...), false
		})
		if err != nil {
			return err
		}
		if err := r.heardAll(); err != nil {
			return err
		}
		r.drop()
		again := r.path.doubtful(func(hop int) netip.Addr { return r.engine.shared.knew(r.way(), r.plan.firstTTL+hop) })
		if len(again) == 0 {
			break
		}
		for _, q := range again {
			if err := r.send(ctx, q); err != nil {
				return err
			}
		}
	}
	if r.plan.share > 0 {
		met := make([]netip.Addr, r.path.sure)
		for i := range met {
			met[i] = r.path.at(i, 0).from
		}
		r.engine.shared.tell(r.way(), r.plan.firstTTL, met)
	}
	return nil
}

func (r *run) way() way {
	w := way{r.source, r.to, r.plan.method, r.plan.port}
	if w.method == icmp {
		w.port = 0
	}
	return w
}

// pilot asks the target itself, and once more after half the time for an answer. As
// long as one may come, and when one came, no number of silent routers ends the run.
func (r *run) pilot() {
	r.pilots.next = time.Time{}
	if !r.source.IsValid() {
		return // there is no way, as each hop will say
	}
	s := r.packet(question{pilotHop, 0})
	s.ttl = r.plan.maxTTL
	if r.engine.expect(s) != nil {
		return
	}
	if r.engine.write(s.packet) != nil {
		r.engine.forget(s)
		return
	}
	r.out = append(r.out, s)
	r.path.hoping = true
	r.pilots.out++
	if r.pilots.sent++; r.pilots.sent < mostPilots {
		r.pilots.next = s.at.Add(r.plan.timeout / 2)
	}
}

// piloted takes what became of a packet to the target itself.
func (r *run) piloted(answered bool) {
	r.pilots.out--
	if answered {
		r.pilots.answered, r.pilots.next = true, time.Time{}
	}
	r.path.hoping = r.pilots.answered || r.pilots.out > 0 || !r.pilots.next.IsZero()
}

const mostPilots = 2

// pilotHop stands for no hop.
const pilotHop = -1

// ask sends what next wants and listens, until next says that it has ended. next is
// called again when something has become known, and after a while in any case.
func (r *run) ask(ctx context.Context, next func(now time.Time) ([]question, bool)) error {
	for {
		questions, ended := next(time.Now())
		if ended {
			return nil
		}
		for _, q := range questions {
			if err := r.send(ctx, q); err != nil {
				return err
			}
		}
		if len(r.out) == 0 && len(questions) > 0 {
			continue // the kernel refused them all, and they are known
		}
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
}

// wait takes one answer, or gives up what is out for too long.
func (r *run) wait(ctx context.Context) error {
	pause := pacing
	if len(r.out) > 0 {
		pause = time.Until(r.out[0].at.Add(r.plan.timeout))
		if r.plan.all {
			pause = min(pause, pacing)
		}
	}
	if !r.pilots.next.IsZero() {
		pause = min(pause, time.Until(r.pilots.next))
	}
	r.timer.Reset(pause)
	select {
	case h := <-r.heard:
		r.take(h)
		for more := true; more; { // what came together is judged together
			select {
			case h := <-r.heard:
				r.take(h)
			default:
				more = false
			}
		}
	case <-r.timer.C:
		if !r.pilots.next.IsZero() && !time.Now().Before(r.pilots.next) {
			r.pilot()
		}
		r.giveUp()
	case <-r.engine.Down():
		return fmt.Errorf("%w: the sockets were closed", probes.ErrLocal)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// lost counts messages of the run's time that were thrown away unread.
func (r *run) lost() uint64 { return r.engine.family(r.to).unread.Load() - r.unread }

// heardAll refuses a route with silent hops when messages to this host were thrown
// away unread meanwhile: whoever seems silent may have answered.
func (r *run) heardAll() error {
	lost := r.lost()
	if lost == 0 || !slices.ContainsFunc(r.path.hops, func(h hop) bool {
		return slices.ContainsFunc(h.slots, func(s slot) bool { return s.known && s.kind == silence })
	}) {
		return nil
	}
	return fmt.Errorf("%w: %d messages to this host were dropped unread while the run lasted, and who seems silent may not be (net.core.rmem_max)", probes.ErrBusy, lost)
}

// drop forgets what is still under way.
func (r *run) drop() {
	for _, s := range r.out {
		s.done = true
		r.engine.forget(s)
	}
	r.out = r.out[:0]
	for {
		select {
		case <-r.heard:
		default:
			return
		}
	}
}

// send makes and sends one packet. What the kernel refuses is known at once.
func (r *run) send(ctx context.Context, q question) error {
	if !r.source.IsValid() {
		source, err := sourceFor(ctx, r.to, r.plan.source)
		if err != nil {
			return r.refused(ctx, q, err)
		}
		r.source = source
	}
	s := r.packet(q)
	if err := r.engine.expect(s); err != nil {
		return err
	}
	if err := r.engine.write(s.packet); err != nil {
		r.engine.forget(s)
		return r.refused(ctx, q, err)
	}
	r.out = append(r.out, s)
	return nil
}

func (r *run) packet(q question) *probeSent {
	return &probeSent{hop: q.hop, slot: q.slot, heard: r.heard, packet: packet{from: r.source, to: r.to, ttl: r.plan.firstTTL + q.hop,
		size: r.plan.size, flow: flowOf(r.to, r.plan.method, r.plan.port, q.slot)}}
}

// refused notes the errno of a packet that our kernel would not send. Trouble
// that has nothing to do with the target is an error.
func (r *run) refused(ctx context.Context, q question, err error) error {
	errno, err := r.refusal(ctx, err)
	if err == nil {
		r.noteRefusal(q, errno)
	}
	return err
}

// refusal tells the name of a refusal from an error of ours.
func (r *run) refusal(ctx context.Context, err error) (string, error) {
	var errno syscall.Errno
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, net.ErrClosed):
		return "", fmt.Errorf("%w: the sockets were closed", probes.ErrLocal)
	case !errors.As(err, &errno), errno == unix.EMFILE, errno == unix.ENFILE, errno == unix.ENOMEM, errno == unix.EBADF, errno == unix.EADDRINUSE:
		return "", fmt.Errorf("%w: %w", probes.ErrLocal, err)
	case errno == unix.EADDRNOTAVAIL && r.plan.source.IsValid():
		return "", fmt.Errorf("%w: source %s is not an address of this host: %w", probes.ErrLocal, r.plan.source, err)
	}
	return unix.ErrnoName(errno), nil
}

func (r *run) noteRefusal(q question, errno string) {
	r.path.errnos[errno]++
	r.path.learn(q, slot{kind: refused})
}

// take brings an answer to its place on the path.
func (r *run) take(h heard) {
	if h.done {
		return
	}
	h.done = true
	r.answers++
	r.slowest = max(r.slowest, h.rtt)
	q := question{h.hop, h.slot}
	switch {
	case q.hop == pilotHop:
		r.piloted(r.path.isTarget(h.asSlot()))
	case h.fromOurselves():
		r.noteRefusal(q, refusal(h.answer))
	default:
		r.path.learn(q, h.asSlot())
	}
	r.dropDone()
}

// fromOurselves: it is our own kernel that could not deliver the packet.
func (h heard) fromOurselves() bool {
	return h.from == h.probeSent.from && h.from != h.to.WithZone("") && h.answer.kind == unreachable
}

// asSlot is an answer as the path keeps it.
func (h heard) asSlot() slot {
	s := slot{kind: h.answer.kind, from: h.from, rtt: h.rtt, code: mark(h.answer), ttl: h.ttl,
		labels: h.answer.labels, interfaces: h.answer.interfaces, closed: h.answer.closed}
	if h.answer.portUnreachable() && h.flow.method == udp && h.from == h.to.WithZone("") {
		s.kind, s.code = reply, ""
	}
	if h.answer.corrupt {
		if s.code != "" {
			s.code += ","
		}
		s.code += "cksum"
	}
	s.notes = notes(h)
	return s
}

// giveUp makes those packets silent whose time is over.
func (r *run) giveUp() {
	for _, s := range r.out {
		if s.done {
			continue
		}
		if time.Since(s.at) < r.patience() {
			break
		}
		// Answered at the last moment means: the answer lies in the channel.
		if r.engine.forget(s) {
			s.done = true
			if s.hop == pilotHop {
				r.piloted(false)
			} else {
				r.path.learn(question{s.hop, s.slot}, slot{kind: silence})
			}
		}
	}
	r.dropDone()
}

// patience is how long an answer is waited for. While all paths are looked for it
// follows from how long answers take here.
func (r *run) patience() time.Duration {
	if !r.path.ended || r.answers < fairNumber {
		return r.plan.timeout
	}
	return min(r.plan.timeout, max(leastPatience, 4*r.slowest))
}

// dropDone takes from the front of the line what no longer needs watching.
func (r *run) dropDone() {
	for len(r.out) > 0 && r.out[0].done {
		r.out = r.out[1:]
	}
}
