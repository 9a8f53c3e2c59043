package ping

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sonde/probes"
)

// outgoing is a batch before it is sent.
type outgoing struct {
	runs [batch]*run
	n    int
}

// send sends what is due, a batch at most, and moves what has waited long
// enough to expiring. It gives how many packets went.
func (e *engine) send(now int64) (int, error) {
	var out [2]outgoing
	sent := 0
	for len(e.agenda) > 0 && e.agenda[0].at <= now && sent < batch {
		r := e.table[e.agenda[0].slot]
		if r == nil || r.no != e.agenda[0].no {
			e.agenda.pop() // ended meanwhile
			continue
		}
		if r.next == r.total {
			e.agenda.pop()
			e.expiring = append(e.expiring, r)
			continue
		}
		if e.pace > 0 {
			if e.paced > now {
				break
			}
			e.paced = max(e.paced, now-int64(debt)) + int64(e.pace)
		}
		first := e.agenda.pop()
		s, o := e.v4, &out[0]
		if !r.to.Is4() {
			s, o = e.v6, &out[1]
		}
		e.prepare(s, o, r, now)
		if now-r.due > max(int64(r.interval), int64(debt)) {
			r.due = now // what we slept through is not sent in one burst
		}
		r.due += int64(r.interval)
		first.at = r.due
		if r.next == r.total {
			first.at = now + int64(r.timeout)
		}
		e.agenda.push(first)
		sent++
	}
	for i, s := range []*socket{e.v4, e.v6} {
		if out[i].n > 0 {
			if err := e.flush(s, &out[i]); err != nil {
				return sent, err
			}
		}
	}
	return sent, nil
}

// prepare puts a run's next packet into a batch.
func (e *engine) prepare(s *socket, o *outgoing, r *run, now int64) {
	i := o.n
	e.key.put(&s.heads[i], s.v6, s.id, token{r.slot, r.no, uint32(r.next), uint32(r.size)}, r.sum)
	s.address(i, r.to, r.scope)
	m := &s.out[i].Msghdr
	m.SetIovlen(1)
	if more := r.size - leastSize; more > 0 {
		s.iov[i][1].Base = &pattern[0]
		s.iov[i][1].SetLen(more)
		m.SetIovlen(2)
	}
	m.Control = nil
	m.SetControllen(len(r.controls))
	if len(r.controls) > 0 {
		m.Control = &r.controls[0]
	}
	r.sample.rtts[r.next] = stampedByUs(now)
	r.next++
	s.under++
	o.runs[i] = r
	o.n++
}

func stampedByUs(at int64) time.Duration     { return time.Duration(max(at, 2) &^ 1) }
func stampedByKernel(at int64) time.Duration { return time.Duration(max(at, 2) | 1) }

// flush hands a batch to the kernel. What it refuses counts as sent and lost
// (rule 1 of the design), with its errno; what it has no room for was not sent.
func (e *engine) flush(s *socket, o *outgoing) error {
	began := e.now()
	waited, full := false, 0
	for done, again := 0, 0; done < o.n; {
		n, errno := sendmmsg(s.sender(), s.out[done:o.n])
		if errno == 0 {
			done, again = done+n, 0
			continue
		}
		again++
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN || errno == unix.ENOBUFS || errno == unix.ENOMEM:
			// The way out is full. It empties by itself, or it is held by packets to
			// neighbours that do not answer: then all others must not wait with us.
			if full++; full <= len(s.more) {
				s.passOn()
				continue
			}
			if !waited {
				waited, full = true, 0
				fd := []unix.PollFd{{Fd: int32(s.sender()), Events: unix.POLLOUT}}
				wait := unix.NsecToTimespec(int64(2 * time.Millisecond))
				_, _ = unix.Ppoll(fd, &wait, nil)
				continue
			}
			o.runs[done].unsent++
			done, again = done+1, 0
			continue
		case s.kind == datagram && again == 1 && mayBeOld(errno):
			continue
		case errno == unix.EBADF || errno == unix.ENOTSOCK || errno == unix.EFAULT || errno == unix.ENOSYS:
			return fmt.Errorf("%w: ping: send: %w", probes.ErrLocal, errno)
		}
		o.runs[done].refuse(errno)
		done, again = done+1, 0
	}
	// Should the kernel give no stamps, these are the best there are.
	took := e.now() - began
	if e.stamping {
		took = 0 // they come, and are later than this
	}
	e.spread = max(e.spread, took)
	for i := range o.n {
		r := o.runs[i]
		k := binary.BigEndian.Uint32(s.heads[i][16:])
		r.sample.rtts[k] = stampedByUs(began + took*int64(i)/int64(o.n))
	}
	return nil
}

// mayBeOld reports whether an error may be what a router said of an earlier
// packet: datagram sockets give it as the answer to the next call, once. The
// error queue tells whose it was.
func mayBeOld(errno unix.Errno) bool {
	switch errno {
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ECONNREFUSED, unix.EMSGSIZE, unix.EPROTO, unix.ENOPROTOOPT, unix.EOPNOTSUPP, unix.ENONET, unix.EHOSTDOWN, unix.EACCES:
		return true
	}
	return false
}

// refuse counts a packet that our kernel would not send.
func (r *run) refuse(errno unix.Errno) {
	if r.sample.errors == nil {
		r.sample.errors = map[string]int{}
	}
	r.sample.errors[unix.ErrnoName(errno)]++
}

// drain reads stamps and replies until there are no more.
func (e *engine) drain() error {
	for _, s := range []*socket{e.v4, e.v6} {
		if s == nil || s.under == 0 && !s.some && e.now()-s.readAt < int64(unused) {
			continue
		}
		s.some, s.readAt = false, e.now()
		if err := e.read(s, s); err != nil {
			return err
		}
		for _, spare := range s.more {
			if err := e.read(s, spare); err != nil {
				return err
			}
		}
	}
	e.drained, e.unread = e.now(), 0
	return nil
}

// read reads one of a family's sockets.
func (e *engine) read(s, from *socket) error {
	s.lookForDrops(from)
	for range mostRounds {
		// Replies are taken first and looked at last: the stamps of sending of
		// all that are answered lie in the error queue by then.
		before := e.now()
		n, errno := s.in.receive(from.fd, 0)
		if err := fatal(s, errno); err != nil {
			return err
		}
		if err := e.stamps(s, from); err != nil {
			return err
		}
		now := e.now()
		believed := e.believed(from)
		for i := range n {
			e.arrived(s, i, now, believed)
		}
		if n < inboxSize && (errno == 0 || errno == unix.EAGAIN) {
			from.emptied = before
			break
		}
	}
	return nil
}

// mostRounds bounds what is read at once: a flood must not keep us from sending.
const mostRounds = 64

// fatal tells the errors that end an engine from those of others' packets,
// which a datagram socket reports here as well.
func fatal(s *socket, errno unix.Errno) error {
	switch {
	case errno == 0, errno == unix.EAGAIN, errno == unix.EINTR, errno == unix.ENOMEM, errno == unix.ENOBUFS, s.kind == datagram && mayBeOld(errno):
		return nil
	}
	return fmt.Errorf("%w: ping: receive: %w", probes.ErrLocal, errno)
}

// checkWall follows the wall clock, by which the kernel stamps. Slewing moves
// both clocks alike; what moves one of them against the other is a step, unless
// we were interrupted between the two readings, which hardly happens twice.
func (e *engine) checkWall() {
	ahead := int64(0)
	for range 2 {
		now := time.Now()
		ahead = now.UnixNano() - int64(now.Sub(e.born))
		if off := ahead - e.wall; -int64(grace) < off && off < int64(grace) {
			return
		}
	}
	e.wall, e.stepped = ahead, e.now()
}

// believed reports whether stamps of what has just been received are by the wall
// clock as we know it. It asks the clock afterwards: no step since the socket was
// empty last means none since they were made. When a packet was stamped is no
// evidence by itself: on a busy machine it may be milliseconds before it is handed to us.
func (e *engine) believed(from *socket) bool {
	e.checkWall()
	return e.stepped < from.emptied
}

// stamps reads the error queue: times of sending, and on datagram sockets what routers say.
func (e *engine) stamps(s, from *socket) error {
	for range mostRounds {
		n, errno := s.errs.receive(from.fd, unix.MSG_ERRQUEUE)
		if err := fatal(s, errno); err != nil {
			return err
		}
		now := e.now()
		believed := e.believed(from)
		for i := range n {
			data, _ := s.errs.message(i)
			var at int64
			var said *unix.SockExtendedErr
			var offender netip.Addr
			for level, kind, note0, rest := note(s.errs.notes(i)); kind != 0; level, kind, note0, rest = note(rest) {
				switch {
				case level == unix.SOL_SOCKET && kind == unix.SO_TIMESTAMPING_NEW:
					at = stampOf(note0)
				case (level == unix.IPPROTO_IP && kind == unix.IP_RECVERR || level == unix.IPPROTO_IPV6 && kind == unix.IPV6_RECVERR) && len(note0) >= int(unsafe.Sizeof(unix.SockExtendedErr{})):
					said = (*unix.SockExtendedErr)(unsafe.Pointer(&note0[0]))
					offender = offenderOf(note0[unsafe.Sizeof(unix.SockExtendedErr{}):])
				}
			}
			switch {
			case said == nil:
			case said.Origin == unix.SO_EE_ORIGIN_TIMESTAMPING:
				if believed {
					e.stamped(s, data, at-e.wall, now)
				}
			case said.Origin == unix.SO_EE_ORIGIN_ICMP || said.Origin == unix.SO_EE_ORIGIN_ICMP6:
				name := errorName4(said.Type, said.Code)
				if s.v6 {
					name = errorName6(said.Type, said.Code)
				}
				// The kernel quotes what we sent, from the ICMP header on.
				if name != "" && len(data) >= 8 {
					e.refused(refusal{about: s.from(s.errs, i), seq: sequence(data), name: name, quote: data}, offender)
				}
			}
		}
		if n < inboxSize {
			return nil
		}
	}
	return nil
}

func offenderOf(b []byte) netip.Addr {
	switch {
	case len(b) >= 8 && binary.NativeEndian.Uint16(b) == unix.AF_INET:
		return netip.AddrFrom4([4]byte(b[4:8]))
	case len(b) >= 24 && binary.NativeEndian.Uint16(b) == unix.AF_INET6:
		return netip.AddrFrom16([16]byte(b[8:24]))
	}
	return netip.Addr{}
}

// stamped takes the kernel's time of sending of one of our packets.
func (e *engine) stamped(s *socket, packet []byte, at, now int64) {
	t, ok := e.key.read(sentPacket(packet, s.v6))
	if !ok || t.slot >= uint32(len(e.table)) {
		return
	}
	r := e.table[t.slot]
	if r == nil || r.no != t.run || t.k >= uint32(r.next) {
		return
	}
	// A stamp that contradicts our own clock is a lie of the kernel or a driver. What we take
	// for the time of sending before the first stamp comes is guessed within its batch.
	if own := int64(r.sample.rtts[t.k]); own > 0 && at > own-e.spread-int64(grace) && at < now+int64(grace) {
		r.sample.rtts[t.k] = stampedByKernel(at)
		e.stamping = true
	}
}

// arrived looks at one message that came.
func (e *engine) arrived(s *socket, i int, now int64, believed bool) {
	data, cut := s.in.message(i)
	at, ttl := int64(0), 0
	for level, kind, n, rest := note(s.in.notes(i)); kind != 0; level, kind, n, rest = note(rest) {
		switch {
		case level == unix.SOL_SOCKET && kind == unix.SO_TIMESTAMPING_NEW && believed:
			at = stampOf(n) - e.wall
		case (level == unix.IPPROTO_IP && kind == unix.IP_TTL || level == unix.IPPROTO_IPV6 && kind == unix.IPV6_HOPLIMIT) && len(n) >= 4:
			ttl = int(binary.NativeEndian.Uint32(n))
		}
	}
	var from netip.Addr
	if s.namesAreInPackets() {
		head := 0
		if len(data) > 0 {
			head = int(data[0]&0xf) * 4
		}
		if head < 20 || len(data) < head+8 {
			return
		}
		from, ttl, data = netip.AddrFrom4([4]byte(data[12:16])), int(data[8]), data[head:]
	} else if from = s.from(s.in, i); len(data) < 8 {
		return
	}
	if s.kind == raw && !s.v6 && !cut && !intact(data) {
		e.damaged(from, data)
		return
	}
	switch {
	case s.v6 && data[0] == echoReply6 || !s.v6 && data[0] == echoReply4:
		e.replied(s, from, data, ttl, at, now, cut)
	case s.v6:
		if r, ok := parseRefusal6(data, s.id); ok {
			e.refused(r, from)
		}
	default:
		if r, ok := parseRefusal4(data, s.id); ok {
			e.refused(r, from)
		}
	}
}

// replied finds the packet that a reply answers.
func (e *engine) replied(s *socket, from netip.Addr, icmp []byte, ttl int, at, now int64, cut bool) {
	t, ok := e.key.read(icmp)
	if !ok {
		e.damaged(from, icmp)
		return
	}
	var r *run
	if t.slot < uint32(len(e.table)) {
		r = e.table[t.slot]
	}
	if r == nil || r.no != t.run || t.k >= uint32(r.next) {
		e.strange.late++ // the run has ended
		return
	}
	if from != r.to.WithZone("") {
		e.strange.forged++ // somebody else repeats what he saw
		return
	}
	if body := icmp[headSize:]; cut || len(body) != r.size-leastSize || !bytes.Equal(body, pattern[:len(body)]) {
		r.sample.corrupted++
		return
	}
	sent := int64(r.sample.rtts[t.k])
	if sent < 0 {
		r.sample.duplicates++
		return
	}
	// Without a stamp, or with one that contradicts our own clock, the moment of reading must do.
	if at < sent-int64(grace) || at > now+int64(grace) || at == 0 {
		at = now
		r.sample.userStamped++
	} else if sent&1 == 0 {
		r.sample.userStamped++
	}
	rtt := time.Duration(max(at-sent, 0))
	r.sample.rtts[t.k] = answered(rtt)
	r.answered++
	s.under--
	if k := int32(t.k); k < r.sample.latest {
		r.sample.reordered++
	} else {
		r.sample.latest = k
	}
	r.sample.sawTTL(ttl)
	if r.each != nil {
		r.each(r, int(t.k), rtt)
	}
	if r.answered == r.total {
		e.end(r, nil)
	}
}

// damaged is a message with our identifier that we did not cause, or not so. A
// wrong checksum or a spoilt head in answer to a packet under way is a damaged reply.
func (e *engine) damaged(from netip.Addr, icmp []byte) {
	for r := e.to[from.As16()]; r != nil; r = r.same {
		if r.waiting(sequence(icmp)) {
			r.sample.corrupted++
			return
		}
	}
	e.strange.forged++
}

// waiting reports whether a packet of the run has a sequence number and no answer.
func (r *run) waiting(seq uint16) bool {
	for k := int(seq); k < int(r.next); k += 1 << 16 {
		if r.sample.rtts[k] > 0 {
			return true
		}
	}
	return false
}

// refused notes an ICMP error. It ends no waiting: anybody can send one, and
// the reply may come all the same.
func (e *engine) refused(f refusal, from netip.Addr) {
	t, ok := e.key.read(f.quote)
	if ok {
		if t.slot < uint32(len(e.table)) {
			if r := e.table[t.slot]; r != nil && r.no == t.run {
				r.told(f.name, from)
				return
			}
		}
		e.strange.late++
		return
	}
	// Not enough is quoted to read the token: address and sequence number must do.
	for r := e.to[f.about.As16()]; r != nil; r = r.same {
		if r.waiting(f.seq) {
			r.told(f.name, from)
			return
		}
	}
	e.strange.forged++
}

// mostSenders is how many kinds of errors one run tells apart; a flood of
// forged ones must not fill the memory.
const mostSenders = 16

func (r *run) told(name string, from netip.Addr) {
	if r.sample.errors == nil {
		r.sample.errors = map[string]int{}
	}
	name += " " + from.String()
	if _, known := r.sample.errors[name]; !known && len(r.sample.errors) >= mostSenders {
		name = "others"
	}
	r.sample.errors[name]++
}
