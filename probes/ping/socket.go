package ping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"sonde/probes"
)

// kind is the kind of ICMP socket.
type kind string

const (
	raw      kind = "raw"
	datagram kind = "datagram"
)

const howToAllow = `this process may not send ICMP: give the program CAP_NET_RAW, or, as root, run sysctl -w net.ipv4.ping_group_range="0 2147483647" (also in /etc/sysctl.d)`

// How many packets go to the kernel, and come from it, in one call.
const (
	batch     = 64
	inboxSize = batch + batch/2 // so that one call takes all replies to a batch, and sees that there are no more
)

// socket is an ICMP socket of one family, which all runs share.
//
// On datagram sockets the kernel gives the identifier and the checksum, hands us
// replies to it and nothing else, and reports errors of routers through the
// error queue. Raw sockets see all ICMP there is, without a filter.
//
// Packets to a neighbour that does not answer lie in the kernel for three
// seconds, in the send buffer of their socket; a few hundred of them fill what a
// process without CAP_NET_ADMIN may have. Such a process sends by several sockets.
type socket struct {
	fd   int
	more []*socket // to send by when fd is full; they share our inboxes
	turn int       // by which of all we send
	v6   bool
	kind kind
	id   uint16

	under     int    // packets under way
	some      bool   // the kernel says that something has come
	readAt    int64  // when it was read last
	emptied   int64  // when it was read to the end last
	dropped   uint32 // messages that found no room
	dropsSeen uint32 // what the kernel counts as such

	out   [batch]mmsg
	heads [batch][headSize]byte
	iov   [batch][2]unix.Iovec
	to    [batch]unix.RawSockaddrInet6 // has room for either family
	in    *inbox
	errs  *inbox
}

const (
	// usualReply is room for a reply; it grows when a run sends larger packets.
	usualReply = 512
	// mostBuffer is asked for on each socket. Without CAP_NET_ADMIN the kernel
	// gives net.core.rmem_max, most often 208 KiB, which is why the loop comes by often.
	mostBuffer = 16 << 20
)

// openSocket opens a socket of the first kind that this process may have.
func openSocket(v6 bool, id uint16, kinds ...kind) (*socket, error) {
	s := &socket{v6: v6, id: id}
	domain, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if v6 {
		domain, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	var err error
	for _, s.kind = range kinds {
		of := unix.SOCK_RAW
		if s.kind == datagram {
			of = unix.SOCK_DGRAM
		}
		if s.fd, err = unix.Socket(domain, of|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol); !forbidden(err) {
			break
		}
	}
	switch {
	case forbidden(err):
		return nil, fmt.Errorf("%w: %s", probes.ErrLocal, howToAllow)
	case err != nil:
		return nil, fmt.Errorf("%w: open an ICMP socket: %w", probes.ErrLocal, err) // too many open files, say
	}
	if err := s.set(); err != nil {
		s.close()
		return nil, fmt.Errorf("%w: prepare an ICMP socket: %w", probes.ErrLocal, err)
	}
	for i := range batch {
		m := &s.out[i].Msghdr
		s.iov[i][0].Base = &s.heads[i][0]
		s.iov[i][0].SetLen(headSize)
		m.Name, m.Namelen, m.Iov = (*byte)(unsafe.Pointer(&s.to[i])), unix.SizeofSockaddrInet4, &s.iov[i][0]
		if v6 {
			m.Namelen = unix.SizeofSockaddrInet6
		}
	}
	s.in, s.errs = s.newInbox(usualReply), s.newInbox(160)
	return s, nil
}

// spares is how many sockets more send when buffers are small.
const spares = 7

// openSockets opens the sockets of a family as one.
func openSockets(v6 bool, id uint16, kinds ...kind) (*socket, error) {
	s, err := openSocket(v6, id, kinds...)
	if err != nil {
		return nil, err
	}
	if size, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF); err == nil && size < mostBuffer {
		s.addSpares()
	}
	return s, nil
}

// addSpares opens them; with fewer there is less room, which is no error.
func (s *socket) addSpares() {
	for range spares {
		spare, err := openSocket(s.v6, s.id, s.kind)
		if err != nil {
			return
		}
		if s.kind == raw {
			spare.hearNothing() // the first one hears all replies
		}
		spare.in, spare.errs = nil, nil
		s.more = append(s.more, spare)
	}
}

func (s *socket) hearNothing() {
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	_ = unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
}

// sender is the socket whose turn it is to send.
func (s *socket) sender() int {
	if s.turn == 0 {
		return s.fd
	}
	return s.more[s.turn-1].fd
}

// passOn lets the next socket send.
func (s *socket) passOn() { s.turn = (s.turn + 1) % (len(s.more) + 1) }

// hearing are the sockets that replies come to.
func (s *socket) hearing() []*socket {
	if s.kind == raw {
		return nil
	}
	return s.more
}

func forbidden(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EPROTONOSUPPORT)
}

func (s *socket) set() error {
	// Stamps of the kernel: of sending by the error queue, of arrival with each
	// reply. SO_TIMESTAMPING_NEW has 64-bit seconds on every machine; a kernel
	// before 5.1 refuses it, and each stamp is then made in user space.
	const stamps = unix.SOF_TIMESTAMPING_TX_SOFTWARE | unix.SOF_TIMESTAMPING_RX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING_NEW, stamps)
	for _, o := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, o[0], mostBuffer) != nil {
			_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, o[1], mostBuffer)
		}
	}
	level, hops, tell, errs := unix.IPPROTO_IP, unix.IP_TTL, unix.IP_RECVTTL, unix.IP_RECVERR
	if s.v6 {
		level, hops, tell, errs = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_RECVHOPLIMIT, unix.IPV6_RECVERR
	}
	if err := unix.SetsockoptInt(s.fd, level, hops, usualTTL); err != nil {
		return err
	}
	if s.v6 || s.kind == datagram { // a raw socket of IPv4 sees the header
		if err := unix.SetsockoptInt(s.fd, level, tell, 1); err != nil {
			return err
		}
	}
	if s.kind == datagram {
		// Such sockets may share an identifier unless told otherwise, and the newest takes
		// all replies.
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0); err != nil {
			return err
		}
		return unix.SetsockoptInt(s.fd, level, errs, 1)
	}
	return s.filter()
}

// filter lets through replies with our identifier and errors that quote it:
// all other ICMP of this host would wake us for nothing.
func (s *socket) filter() error {
	prog, err := bpf.Assemble(filterFor(s.v6, s.id))
	if err != nil {
		return err
	}
	sock := make([]unix.SockFilter, len(prog))
	for i, p := range prog {
		sock[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	return unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(sock)), Filter: &sock[0]})
}

func filterFor(v6 bool, id uint16) []bpf.Instruction {
	const all = 0x7fffffff // more than any packet, and positive everywhere
	if v6 {                // the packet begins with the ICMP header
		return []bpf.Instruction{
			bpf.LoadAbsolute{Off: 0, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: echoReply6, SkipTrue: 3},
			bpf.LoadAbsolute{Off: 4, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(id), SkipTrue: 5},
			bpf.RetConstant{Val: 0},
			bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: 127, SkipTrue: 4}, // no error
			bpf.LoadAbsolute{Off: 8 + 40 + 4, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(id), SkipTrue: 2},
			bpf.RetConstant{Val: all},
			bpf.RetConstant{Val: all},
			bpf.RetConstant{Val: 0},
		}
	}
	return []bpf.Instruction{ // it begins with the IP header, as does what an error quotes
		bpf.LoadMemShift{Off: 0},
		bpf.LoadIndirect{Off: 0, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: echoReply4, SkipTrue: 2},
		bpf.LoadIndirect{Off: 4, Size: 2},
		bpf.Jump{Skip: 12},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: echoRequest4, SkipTrue: 10}, // somebody pings us
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: 12, SkipTrue: 9},
		bpf.LoadIndirect{Off: 8 + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_ICMP, SkipTrue: 7},
		bpf.LoadIndirect{Off: 8, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 2},
		bpf.ALUOpX{Op: bpf.ALUOpAdd},
		bpf.TAX{},
		bpf.LoadIndirect{Off: 8 + 4, Size: 2},
		bpf.Jump{Skip: 1},
		bpf.RetConstant{Val: 0},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(id), SkipTrue: 1},
		bpf.RetConstant{Val: all},
		bpf.RetConstant{Val: 0},
	}
}

func (s *socket) close() {
	unix.Close(s.fd)
	for _, spare := range s.more {
		unix.Close(spare.fd)
	}
}

// lookForDrops counts messages that found no room. The kernel counts others with
// them, such as foreign ones with a wrong checksum; but it makes no room by
// itself, so that after a true one the buffer is still full when we come.
func (s *socket) lookForDrops(of *socket) {
	var info [9]uint32 // SK_MEMINFO_VARS of linux/sock_diag.h; the last one is SK_MEMINFO_DROPS
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(of.fd), unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || info[8] == of.dropsSeen {
		return
	}
	if held, room := info[0], info[1]; held > room/4*3 {
		s.dropped += info[8] - of.dropsSeen
	}
	of.dropsSeen = info[8]
}

// address fills in to whom the i-th message of a batch goes.
func (s *socket) address(i int, to netip.Addr, scope uint32) {
	if s.v6 {
		s.to[i] = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.As16(), Scope_id: scope}
		return
	}
	*(*unix.RawSockaddrInet4)(unsafe.Pointer(&s.to[i])) = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.As4()}
}

// namesAreInPackets says that the kernel need not tell who sent a message.
func (s *socket) namesAreInPackets() bool { return s.kind == raw && !s.v6 }

func (s *socket) newInbox(data int) *inbox {
	return newInbox(inboxSize, data, 256, !s.namesAreInPackets())
}

// from is who sent the i-th message of an inbox (of the error queue: to whom the packet went).
func (s *socket) from(in *inbox, i int) netip.Addr {
	name := &in.names[i]
	if s.v6 {
		return netip.AddrFrom16(name.Addr)
	}
	return netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr)
}

// roomFor lets replies with so much payload be read whole.
func (s *socket) roomFor(size int) {
	if need := 60 + 8 + size; need > len(s.in.data[0]) {
		s.in = s.newInbox(need)
	}
}

// options are the control messages that give packets of a run what differs from
// the socket's own; nil if nothing does.
func controls(v6 bool, ttl, tos int, source netip.Addr, device int) []byte {
	var b []byte
	add := func(level, kind int, data []byte) {
		at := len(b)
		b = append(b, make([]byte, unix.CmsgSpace(len(data)))...)
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[at]))
		h.Level, h.Type = int32(level), int32(kind)
		h.SetLen(unix.CmsgLen(len(data)))
		copy(b[at+unix.CmsgLen(0):], data)
	}
	number := func(n int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }
	level, hops, class := unix.IPPROTO_IP, unix.IP_TTL, unix.IP_TOS
	if v6 {
		level, hops, class = unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, unix.IPV6_TCLASS
	}
	if ttl != usualTTL {
		add(level, hops, number(ttl))
	}
	if tos != 0 {
		add(level, class, number(tos))
	}
	switch {
	case !source.IsValid() && device == 0:
	case v6:
		var data [unix.SizeofInet6Pktinfo]byte
		if source.IsValid() {
			a := source.As16()
			copy(data[:], a[:])
		}
		binary.NativeEndian.PutUint32(data[16:], uint32(device))
		add(level, unix.IPV6_PKTINFO, data[:])
	default:
		var data [unix.SizeofInet4Pktinfo]byte
		binary.NativeEndian.PutUint32(data[:], uint32(device))
		if source.IsValid() {
			a := source.As4()
			copy(data[4:], a[:])
		}
		add(level, unix.IP_PKTINFO, data[:])
	}
	return b
}

// haveAddress asks the kernel whether this host has an address to send from.
func haveAddress(a netip.Addr) error {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		return fmt.Errorf("%w: this host has no address %s to send from", probes.ErrLocal, a)
	}
	return c.Close()
}

// stampOf reads a kernel's time of arrival or sending: ns since 1970, 0 for none.
func stampOf(data []byte) int64 {
	if len(data) < 16 {
		return 0
	}
	sec, ns := int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:]))
	if sec == 0 && ns == 0 {
		return 0
	}
	return sec*int64(time.Second) + ns
}

// indexOf is the number of a network device; 0 for no name.
func indexOf(device string) (int, error) {
	if device == "" {
		return 0, nil
	}
	i, err := net.InterfaceByName(device)
	if err != nil {
		return 0, fmt.Errorf("%w: there is no network device %q: %w", probes.ErrLocal, device, err)
	}
	return i.Index, nil
}
