package ping

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sonde/probes"
)

// engine makes all pings of a worker from one goroutine with one socket per family.
//
//	Run ──run──▶ incoming ──▶ agenda (what is to be sent or given up next)
//	                             │ send a batch, read stamps, read replies, sleep
//	Run ◀──sample── ended ◀──────┘
//
// Everything below incoming belongs to the loop: no packet costs a lock or an
// allocation.
type engine struct {
	log   *slog.Logger
	names *probes.Names
	pace  time.Duration // least time from one packet to the next, on average

	mu       sync.Mutex
	incoming []*run // new, or to be cancelled
	closing  bool
	stopping bool        // nothing more is sent
	some     atomic.Bool // there is something above
	wake     int         // an eventfd that ends the loop's sleep
	ended    chan struct{}
	fell     error // why, once ended is closed
	down     chan struct{}

	v4, v6   *socket // nil where there is none
	err4     error   // why
	err6     error
	key      key
	born     time.Time // instants are counted from here, by the monotonic clock
	wall     int64     // what the wall clock is ahead of it
	stepped  int64     // when that was found to have changed last; -1: never
	agenda   agenda
	table    []*run // by slot
	free     []uint32
	runs     uint32
	to       map[[16]byte]*run // the first of those that measure an address
	expiring []*run
	paced    int64         // the next packet may go now
	drained  int64         // when the sockets were read last
	unread   int           // packets sent since
	stamping bool          // the kernel gives stamps of sending
	spread   int64         // the longest that a batch took to send before it did
	burst    int           // packets sent since we slept
	nearest  int           // runs whose packets are near to each other
	wait     time.Duration // how long what is due next waits for company
	strange  strange
	said     strange
	saidAt   int64
}

// strange are replies to no packet that is under way: to one of a run that has
// ended, and such that nobody we asked has sent.
type strange struct{ late, forged int }

const (
	// usualPace keeps 10,000 runs that begin together from being one burst.
	usualPace = 10 * time.Microsecond
	// What is due next may wait so long for company, as waking costs more than sending: the
	// longer, the fewer packets there are, so that no burst is longer than a batch or two.
	leastWait = 2 * time.Millisecond
	mostWait  = 8 * time.Millisecond
	// A run whose packets are nearer to each other keeps everybody at the least.
	near = 4 * mostWait
	// often is how long replies may lie in the kernel while we send anyway. They
	// carry their time, and nobody waits for one; but the buffer is limited.
	often = 10 * time.Millisecond
	// debt is how much of what was not sent in time is caught up with.
	debt = 20 * time.Millisecond
	// unused is how often a socket is read that nothing is under way on: what comes there
	// is not ours, and must not fill it.
	unused = 100 * time.Millisecond
	// grace is how exactly stamps of the kernel must agree with our own clock.
	grace = 100 * time.Microsecond
	// settling is how long the kernel takes, after the first socket asks for stamps, to make them.
	settling = 20 * time.Millisecond
)

// open makes the sockets, raw ones if this process may have them: they alone
// tell of damaged replies. One family is enough: a host may have no IPv6.
func open(log *slog.Logger, pace time.Duration, kinds ...kind) (*engine, error) {
	if len(kinds) == 0 {
		kinds = []kind{raw, datagram}
	}
	var id [4]byte
	rand.Read(id[:])
	e := &engine{log: log, names: probes.NewNames(), pace: pace, key: key(maphash.MakeSeed()), born: time.Now(), stepped: -1, ended: make(chan struct{}), down: make(chan struct{}),
		to: map[[16]byte]*run{}}
	e.v4, e.err4 = openSockets(false, binary.NativeEndian.Uint16(id[:]), kinds...)
	e.v6, e.err6 = openSockets(true, binary.NativeEndian.Uint16(id[2:]), kinds...)
	if e.v4 == nil && e.v6 == nil {
		return nil, e.err4
	}
	var err error
	if e.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		e.closeSockets()
		return nil, fmt.Errorf("%w: ping: %w", probes.ErrLocal, err)
	}
	e.wall = e.born.UnixNano()
	wait := time.NewTimer(settling)
	<-wait.C
	go e.loop()
	return e, nil
}

func (e *engine) closeSockets() {
	for _, s := range []*socket{e.v4, e.v6} {
		if s != nil {
			s.close()
		}
	}
}

// String says for sonde check what the engine works with.
func (e *engine) String() string {
	words := []string{}
	for name, s := range map[string]*socket{"IPv4": e.v4, "IPv6": e.v6} {
		if s != nil {
			words = append(words, fmt.Sprintf("%s sockets for %s", s.kind, name))
		}
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// Down is closed when a socket failed.
func (e *engine) Down() <-chan struct{} { return e.down }

// finish sends nothing more; runs end when what is under way has been answered or given up.
func (e *engine) finish() {
	e.mu.Lock()
	e.stopping = true
	e.mu.Unlock()
	e.nudge()
}

// Close ends the loop; runs still under way end with probes.ErrLocal.
func (e *engine) Close() error {
	e.mu.Lock()
	e.closing = true
	e.mu.Unlock()
	e.nudge()
	<-e.ended
	e.names.Close()
	return nil
}

// nudge wakes the loop.
func (e *engine) nudge() {
	if e.some.Swap(true) {
		return // it is awake, or somebody else wakes it
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wake >= 0 {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		unix.Write(e.wake, one[:]) // fails only when the counter is full, and then it wakes as well
	}
}

// course is what all packets of a run have in common, and of many runs of one kind.
type course struct {
	plan
	controls []byte                                 // of each message
	sum      uint32                                 // of the pattern
	each     func(r *run, k int, rtt time.Duration) // hears of each reply; may be nil
	ended    func(r *run)                           // hears of the end, in the loop
}

// run is one measurement of one target in the engine's hands. There may be tens of thousands.
type run struct {
	*course
	to       netip.Addr
	scope    uint32
	slot, no uint32
	next     int32 // packet to be sent
	total    int32 // packets to be sent
	answered int32
	due      int64 // when the next packet is
	same     *run  // the next one that measures the same address
	before   *run
	dropped  uint32 // of its socket, when it began
	unsent   int    // packets for which our own buffers had no room
	sample   sample
	err      error
	cancel   atomic.Bool
	over     bool
}

// As long as a run lasts a packet is, in sample.rtts, first 0; then the instant it was sent, counted
// from the engine's birth, with the lowest bit set when the kernel stamped it; and
// when it was answered, the round-trip time, as a negative number. So 50,000
// targets with 10 packets each need 4 MB.
func answered(rtt time.Duration) time.Duration { return -2 - max(rtt, 0) }
func rttOf(packet time.Duration) time.Duration {
	if packet >= -1 {
		return lost
	}
	return -2 - packet
}

// measure makes one run, to several addresses at the same time if it has several
// plans, and gives what it saw: all packets of the first plan, then of the next.
func (e *engine) measure(ctx context.Context, plans ...plan) (sample, error) {
	runs := make([]*run, len(plans))
	var left sync.WaitGroup
	for i, p := range plans {
		r, err := e.newRun(p)
		if err != nil {
			return sample{}, err
		}
		r.ended = func(*run) { left.Done() }
		runs[i] = r
	}
	if ctx.Err() != nil {
		return sample{}, fmt.Errorf("stopped before it began: %w", ctx.Err())
	}
	left.Add(len(runs))
	e.add(runs...)
	cancelled := context.AfterFunc(ctx, func() {
		for _, r := range runs {
			r.cancel.Store(true)
		}
		e.add(runs...)
	})
	left.Wait()
	cancelled()
	whole := runs[0].sample
	for i, r := range runs {
		if errors.Is(r.err, errCancelled) {
			return sample{}, fmt.Errorf("stopped after %d of %d packets: %w", r.next, r.count, ctx.Err())
		}
		if r.err != nil {
			return sample{}, r.err
		}
		if i > 0 {
			whole.join(r.sample)
		}
	}
	return whole, nil
}

// reachable leaves out addresses of a family that this host has no socket for.
func (e *engine) reachable(all []netip.Addr) (some []netip.Addr) {
	for _, a := range all {
		if a.Is4() && e.v4 != nil || !a.Is4() && e.v6 != nil {
			some = append(some, a)
		}
	}
	return some
}

func (e *engine) newRun(p plan) (*run, error) {
	c, err := e.newCourse(p, p.to.Is4())
	if err != nil {
		return nil, err
	}
	scope, err := indexOf(p.to.Zone())
	if err != nil {
		return nil, err
	}
	return &run{course: c, to: p.to, scope: uint32(scope), sample: sample{rtts: make([]time.Duration, p.count), latest: -1}}, nil
}

// newCourse prepares runs of one family.
func (e *engine) newCourse(p plan, v4 bool) (*course, error) {
	s, err := e.v4, e.err4
	if !v4 {
		s, err = e.v6, e.err6
	}
	if s == nil {
		return nil, err
	}
	if p.source.IsValid() {
		if err := haveAddress(p.source); err != nil {
			return nil, err
		}
	}
	device, err := indexOf(p.device)
	if err != nil {
		return nil, err
	}
	return &course{plan: p, controls: controls(s.v6, p.ttl, p.dscp<<2, p.source, device), sum: sumOf(pattern[:p.size-leastSize])}, nil
}

// add hands runs to the loop.
func (e *engine) add(runs ...*run) {
	e.mu.Lock()
	over := e.closing
	if !over {
		e.incoming = append(e.incoming, runs...)
	}
	e.mu.Unlock()
	if over {
		<-e.ended // which ends all runs it has; the others here
		for _, r := range runs {
			if !r.over {
				r.over, r.err = true, e.fell
				r.ended(r)
			}
		}
		return
	}
	e.nudge()
}

var errClosed = fmt.Errorf("%w: the ping engine was closed", probes.ErrLocal)

func (e *engine) now() int64 { return int64(time.Since(e.born)) }

// loop is the engine's one goroutine.
func (e *engine) loop() {
	err := e.work()
	e.mu.Lock()
	e.closing = true
	incoming := e.incoming
	e.incoming = nil
	unix.Close(e.wake)
	e.wake = -1
	e.mu.Unlock()
	if err == nil {
		err = errClosed
	} else {
		close(e.down)
	}
	e.fell = err
	for _, r := range append(incoming, e.table...) {
		if r != nil && !r.over {
			r.over, r.err = true, err
			r.ended(r)
		}
	}
	e.closeSockets()
	close(e.ended)
}

func (e *engine) work() error {
	for {
		if e.some.Load() && e.takeIncoming() {
			return nil
		}
		now := e.now()
		sent, err := e.send(now)
		if err != nil {
			return err
		}
		e.burst += sent
		if e.unread += sent; e.unread >= batch || len(e.expiring) > 0 || now-e.drained > int64(often) {
			if err := e.drain(); err != nil {
				return err
			}
		}
		e.expire()
		e.say(now)
		if sent == batch {
			continue
		}
		if err := e.sleep(); err != nil {
			return err
		}
	}
}

// takeIncoming begins new runs and ends cancelled ones; it reports whether the engine is to end.
func (e *engine) takeIncoming() bool {
	e.some.Store(false)
	e.mu.Lock()
	runs, closing, stopping := e.incoming, e.closing, e.stopping
	e.incoming = nil
	e.mu.Unlock()
	now := e.now()
	for _, r := range runs {
		switch {
		case r.over:
		case r.cancel.Load():
			e.end(r, errCancelled)
		case r.no == 0:
			e.begin(r, now)
		}
	}
	if stopping {
		e.agenda = e.agenda[:0]
		for _, r := range e.table {
			switch {
			case r == nil:
			case r.answered == r.next:
				e.end(r, nil)
			default:
				r.total = r.next
				e.agenda.push(entry{now + int64(r.timeout), r.slot, r.no})
			}
		}
	}
	return closing
}

var errCancelled = errors.New("cancelled")

// begin gives a run its slot and its place in the agenda.
func (e *engine) begin(r *run, now int64) {
	if n := len(e.free); n > 0 {
		r.slot, e.free = e.free[n-1], e.free[:n-1]
		e.table[r.slot] = r
	} else {
		r.slot = uint32(len(e.table))
		e.table = append(e.table, r)
	}
	e.runs++
	if e.runs == 0 {
		e.runs++ // 0 is a run that has not begun
	}
	r.no = e.runs
	if r.same = e.to[r.to.As16()]; r.same != nil {
		r.same.before = r
	}
	e.to[r.to.As16()] = r
	r.dropped = e.socketOf(r).dropped
	r.due += now // its own start, counted from now
	r.total = int32(r.count)
	e.socketOf(r).roomFor(r.size)
	if r.interval < near {
		e.nearest++
	}
	e.agenda.push(entry{r.due, r.slot, r.no})
}

// end takes a run out of the engine and gives it back.
func (e *engine) end(r *run, err error) {
	r.over, r.err = true, err
	if r.no != 0 {
		e.table[r.slot] = nil
		e.free = append(e.free, r.slot)
		e.socketOf(r).under -= int(r.next - r.answered)
		if r.interval < near {
			e.nearest--
		}
		switch {
		case r.before != nil:
			r.before.same = r.same
		case r.same != nil:
			e.to[r.to.As16()] = r.same
		default:
			delete(e.to, r.to.As16())
		}
		if r.same != nil {
			r.same.before = r.before
		}
	}
	if err == nil && r.answered < r.next {
		s := e.socketOf(r)
		switch {
		case r.unsent > 0:
			r.err = fmt.Errorf("%w: the kernel had no room for %d packets of the run (neighbours that do not answer hold it; net.core.wmem_max)", probes.ErrBusy, r.unsent)
		case s.dropped != r.dropped:
			r.err = fmt.Errorf("%w: %d replies to this host were dropped unread while the run lasted, and what it did not hear may not be lost (net.core.rmem_max)", probes.ErrBusy, s.dropped-r.dropped)
		}
	}
	for k, p := range r.sample.rtts {
		r.sample.rtts[k] = rttOf(p)
	}
	r.ended(r)
}

// socketOf is the socket of a run, which is there, because its course was made.
func (e *engine) socketOf(r *run) *socket {
	if r.to.Is4() {
		return e.v4
	}
	return e.v6
}

// expire gives up runs whose time had come before the sockets were read last.
func (e *engine) expire() {
	for i, r := range e.expiring {
		if !r.over {
			e.end(r, nil)
		}
		e.expiring[i] = nil
	}
	e.expiring = e.expiring[:0]
}

// say tells of strange replies, once a minute at most.
func (e *engine) say(now int64) {
	if e.strange != e.said && now-e.saidAt > int64(time.Minute) {
		e.log.Info("replies came that answer no packet under way", "late", e.strange.late-e.said.late, "forged", e.strange.forged-e.said.forged)
		e.said, e.saidAt = e.strange, now
	}
}

// sleep waits until something is to do.
func (e *engine) sleep() error {
	now := e.now()
	next := now + int64(time.Hour)
	if len(e.agenda) > 0 {
		next = max(e.agenda[0].at, e.paced)
	}
	if next-now <= int64(often) {
		// The runtime's own sleep: a system call that blocks a thousand times a
		// second would keep the runtime busy taking our processor away.
		time.Sleep(max(time.Duration(next-now), e.company()))
		return nil
	}
	// Nothing to send for a while: replies may wake us.
	e.burst = 0
	fds := [1 + 2*(1+spares)]unix.PollFd{{Fd: int32(e.wake), Events: unix.POLLIN}}
	sockets := [len(fds)]*socket{}
	n := 1
	for _, s := range []*socket{e.v4, e.v6} {
		if s == nil {
			continue
		}
		fds[n], sockets[n] = unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN}, s
		n++
		for _, spare := range s.hearing() {
			fds[n], sockets[n] = unix.PollFd{Fd: int32(spare.fd), Events: unix.POLLIN}, s
			n++
		}
	}
	until := unix.NsecToTimespec(max(next-now, 0))
	if _, err := unix.Ppoll(fds[:n], &until, nil); err != nil && err != unix.EINTR {
		return fmt.Errorf("%w: ping: wait: %w", probes.ErrLocal, err)
	}
	if fds[0].Revents != 0 {
		// Emptied here and nowhere else, and looked at afterwards: neither is a nudge
		// lost nor does it wake us for ever.
		var count [8]byte
		unix.Read(e.wake, count[:])
		e.some.Store(true)
	}
	for i := 1; i < n; i++ {
		if fds[i].Revents != 0 {
			sockets[i].some, e.drained = true, 0
		}
	}
	return nil
}

// company is how long to wait for what is due next and what comes with it: a
// quarter of what lies between the packets of a run at most, but for the nearest.
func (e *engine) company() time.Duration {
	switch {
	case e.burst >= batch:
		e.wait /= 2
	case e.burst < batch/2:
		e.wait *= 2
	}
	most := mostWait
	if e.nearest > 0 {
		most = leastWait
	}
	e.wait, e.burst = min(max(e.wait, leastWait), most), 0
	return e.wait
}
