package traceroute

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pings sends echo requests without any privilege, by datagram sockets (ping(7)):
// one for each identifier, as long as packets with it are under way. The kernel
// fills in identifier and checksum, which come out as the packet has them, chooses
// the flow label, and reports what routers say on the error queue.
type pings struct {
	engine *engine
	v6     bool

	mu      sync.Mutex
	sockets map[uint16]*pingSocket // by the identifier that is wanted
	closed  bool
}

type pingSocket struct {
	file   *os.File
	conn   syscall.RawConn
	wanted uint16
	id     uint16 // another one where somebody else has that
	whole  bool   // packets are not to be cut
	used   time.Time
}

// idle is how long a socket without packets is kept.
const idle = 2 * time.Minute

func newPings(e *engine, v6 bool) *pings {
	return &pings{engine: e, v6: v6, sockets: map[uint16]*pingSocket{}}
}

// mayPing tells whether this process may have such sockets.
func mayPing() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	return unix.Close(fd)
}

func (s *pings) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for k, p := range s.sockets {
		p.file.Close()
		delete(s.sockets, k)
	}
}

// socket gives the socket of an identifier and closes those that nobody uses.
func (s *pings) socket(id uint16) (*pingSocket, error) {
	if s.closed {
		return nil, os.ErrClosed
	}
	now := time.Now()
	for other, p := range s.sockets {
		if now.Sub(p.used) > idle {
			p.file.Close()
			delete(s.sockets, other)
		}
	}
	p := s.sockets[id]
	if p == nil {
		var err error
		if p, err = s.open(id); err != nil {
			return nil, err
		}
		s.sockets[id] = p
		s.engine.readers.Add(1)
		go s.read(p)
	}
	p.used = now
	return p, nil
}

// tries is how many identifiers are tried beside the one that is wanted.
const tries = 16

func (s *pings) open(wanted uint16) (*pingSocket, error) {
	domain, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	options := [][3]int{{unix.IPPROTO_IP, unix.IP_RECVERR, 1}, {unix.IPPROTO_IP, unix.IP_RECVTTL, 1}}
	if s.v6 {
		domain, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
		options = [][3]int{{unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1}, {unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1}}
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "ping")
	// Sockets of this kind may share an identifier unless told otherwise, and the newest
	// would take all replies.
	for _, o := range append(options, [3]int{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1}, [3]int{unix.SOL_SOCKET, unix.SO_REUSEADDR, 0}) {
		if err == nil {
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, o[0], o[1], o[2]))
		}
	}
	p := &pingSocket{file: file, wanted: wanted, id: wanted}
	if err == nil {
		for range tries {
			var at unix.Sockaddr = &unix.SockaddrInet4{Port: int(p.id)}
			if s.v6 {
				at = &unix.SockaddrInet6{Port: int(p.id)}
			}
			if err = os.NewSyscallError("bind", unix.Bind(fd, at)); !errors.Is(err, unix.EADDRINUSE) {
				break
			}
			p.id = max(p.id+1, 1)
		}
	}
	if err == nil {
		err = p.cut(s.v6, fd, false)
	}
	if err == nil {
		p.conn, err = file.SyscallConn()
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return p, nil
}

// cut says whether packets may be cut into fragments.
func (p *pingSocket) cut(v6 bool, fd int, whole bool) error {
	p.whole = whole
	if whole {
		return probeMTU(fd, v6)
	}
	if v6 {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT))
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT))
}

// write sends what follows the IP header.
func (s *pings) write(p packet) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	socket, err := s.socket(p.flow.one)
	if err != nil {
		return err
	}
	header := header4
	var to unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte(p.to.AsSlice())}
	ttl := binary.NativeEndian.AppendUint32(nil, uint32(p.ttl))
	var oob []byte
	if s.v6 {
		header = header6
		zone := zoneID(p.to)
		to = &unix.SockaddrInet6{Addr: p.to.As16(), ZoneId: zone}
		oob = message(nil, unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, ttl)
		oob = message(oob, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, binary.NativeEndian.AppendUint32(p.from.AsSlice(), zone))
	} else {
		info := append(make([]byte, 4), p.from.AsSlice()...) // no interface; the source; and what only arrives
		oob = message(nil, unix.IPPROTO_IP, unix.IP_TTL, ttl)
		oob = message(oob, unix.IPPROTO_IP, unix.IP_PKTINFO, append(info, 0, 0, 0, 0))
	}
	body := p.bytes()[header:]
	werr := socket.conn.Write(func(fd uintptr) bool {
		if socket.whole != p.whole {
			if err = socket.cut(s.v6, int(fd), p.whole); err != nil {
				return true
			}
		}
		// An error that a router sent for another packet is told once, by whichever call comes next.
		for range 3 {
			_, err = unix.SendmsgN(int(fd), body, oob, to, 0)
			if err == nil || err == unix.EAGAIN {
				break
			}
		}
		return true // a full buffer is a refusal: others wait for the lock
	})
	if werr != nil {
		return werr
	}
	return os.NewSyscallError("sendmsg", err)
}

// message appends a control message.
func message(oob []byte, level, kind int32, data []byte) []byte {
	at := len(oob)
	oob = append(oob, make([]byte, unix.CmsgSpace(len(data)))...)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[at]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(len(data)))
	copy(oob[at+unix.CmsgLen(0):], data)
	return oob
}

// read takes replies and errors until the socket is closed.
func (s *pings) read(p *pingSocket) {
	defer s.engine.readers.Done()
	b, oob := make([]byte, messageSize), make([]byte, 512)
	for {
		err := p.conn.Read(func(fd uintptr) bool {
			some := false
			for _, flag := range []int{unix.MSG_ERRQUEUE, 0} {
				for range messages {
					n, nn, _, from, err := unix.Recvmsg(int(fd), b, oob, flag|unix.MSG_DONTWAIT)
					if err == unix.EAGAIN {
						break
					}
					some = true
					if err != nil {
						continue // that of a packet, of which the queue tells more
					}
					s.take(p, b[:n], oob[:nn], addressOf(from), flag == unix.MSG_ERRQUEUE)
				}
			}
			return some
		})
		if err != nil {
			return
		}
	}
}

// take reads one message. That of the error queue is the echo request it is about,
// as far as the router quotes it.
func (s *pings) take(p *pingSocket, b, oob []byte, peer netip.Addr, isError bool) {
	now := time.Now()
	if !isError {
		a, err := parse(s.v6, b)
		if err != nil {
			return
		}
		a.corrupt = false // the kernel has looked
		p.asWanted(&a)
		ttl := 0
		if s.v6 {
			if v, ok := control(oob, unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, 4); ok {
				ttl = int(binary.NativeEndian.Uint32(v))
			}
		} else if v, ok := control(oob, unix.IPPROTO_IP, unix.IP_TTL, 4); ok {
			ttl = int(binary.NativeEndian.Uint32(v))
		}
		s.engine.deliver(a, peer, ttl, oob, now)
		return
	}
	level, kind := int32(unix.IPPROTO_IP), int32(unix.IP_RECVERR)
	if s.v6 {
		level, kind = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	const size = int(unsafe.Sizeof(unix.SockExtendedErr{}))
	v, ok := control(oob, level, kind, size+unix.SizeofSockaddrInet4)
	if !ok || len(b) < transport {
		return
	}
	e := (*unix.SockExtendedErr)(unsafe.Pointer(&v[0]))
	from := offender(v[size:], s.v6)
	typ, code := e.Type, e.Code
	if e.Origin == unix.SO_EE_ORIGIN_LOCAL || !from.IsValid() {
		return // what our own kernel refuses, the write tells
	}
	// The message as it was, but for the IP header it quotes.
	whole := []byte{typ, code, 0, 0, 0, 0, 0, 0}
	a, err := parse(s.v6, append(whole, quoted(peer, b)...))
	if err != nil {
		return
	}
	a.corrupt, a.from = false, netip.Addr{}
	p.asWanted(&a)
	if a.tooBig() {
		a.mtu = int(e.Info)
	}
	s.engine.deliver(a, from, 0, oob, now)
}

// asWanted puts the identifier that was wanted in place of the socket's, in the
// checksum too (RFC 1624).
func (p *pingSocket) asWanted(a *answer) {
	if p.id != p.wanted && a.flow.one == p.id {
		a.flow.one = p.wanted
		a.sum = ^fold(uint32(^a.sum) + uint32(^p.id) + uint32(p.wanted))
	}
}

// quoted puts an IP header before an echo request that was sent to an address.
func quoted(to netip.Addr, b []byte) []byte {
	if to.Is4() {
		h := make([]byte, header4, header4+len(b))
		h[0], h[8], h[9] = 0x45, 1, protoICMP
		copy(h[16:], to.AsSlice())
		return append(h, b...)
	}
	h := make([]byte, header6, header6+len(b))
	h[0], h[6], h[7] = 6<<4, protoICMPv6, 1
	copy(h[24:], to.AsSlice())
	return append(h, b...)
}

// offender reads the address of who sent an error.
func offender(b []byte, v6 bool) netip.Addr {
	switch {
	case !v6 && len(b) >= unix.SizeofSockaddrInet4:
		return netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&b[0])).Addr)
	case v6 && len(b) >= unix.SizeofSockaddrInet6:
		return netip.AddrFrom16((*unix.RawSockaddrInet6)(unsafe.Pointer(&b[0])).Addr)
	}
	return netip.Addr{}
}

func addressOf(a unix.Sockaddr) netip.Addr {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(a.Addr)
	}
	return netip.Addr{}
}

// zoneID is the interface that a link-local address belongs to.
func zoneID(a netip.Addr) uint32 {
	if i, err := net.InterfaceByName(a.Zone()); err == nil {
		return uint32(i.Index)
	}
	n, _ := strconv.ParseUint(a.Zone(), 10, 32)
	return uint32(n)
}
