package traceroute

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

const (
	messages    = 64   // read in one call
	messageSize = 2048 // what we look at is in the first hundreds of bytes
	controlSize = 128
)

// listen opens a raw socket that has kernel stamps, and counts what it could not keep.
func listen(network, any string) (net.PacketConn, error) {
	c, err := net.ListenPacket(network, any)
	if err != nil {
		return nil, err
	}
	ip := c.(*net.IPConn)
	_ = ip.SetReadBuffer(1 << 20) // as much as the system lets us
	rc, err := ip.SyscallConn()
	if err != nil {
		c.Close()
		return nil, err
	}
	_ = rc.Control(func(fd uintptr) {
		// Without CAP_NET_ADMIN the first changes nothing. Without the others the
		// clock is read a moment later, or a flood shows as silence.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
		if network[2] == '6' {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1)
		}
	})
	return c, nil
}

// read takes what arrives until the socket is closed or fails.
func (e *engine) read(c net.PacketConn, f *family, parse func(v6 bool, b []byte) (answer, error)) {
	defer e.readers.Done()
	in := make([]ipv4.Message, messages)
	for i := range in {
		in[i] = ipv4.Message{Buffers: [][]byte{make([]byte, messageSize)}, OOB: make([]byte, controlSize)}
	}
	batch, v6 := ipv4.NewPacketConn(c).ReadBatch, f.v6
	if v6 {
		batch = ipv6.NewPacketConn(c).ReadBatch
	}
	var unread uint32
	backlog := false
	for {
		n, err := batch(in, 0)
		now := time.Now()
		if err != nil {
			e.fell()
			return
		}
		was := backlog
		backlog = n == len(in)
		for i := range in[:n] {
			m := &in[i]
			b, oob := m.Buffers[0][:m.N], m.OOB[:m.NN]
			if i == n-1 { // the kernel counts for each message; the last tells of all
				if lost, ok := control(oob, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 4); ok {
					total := binary.NativeEndian.Uint32(lost)
					// It counts foreign ones with a wrong checksum too. What makes it an
					// overflow is that there was much to read.
					if was || backlog {
						f.unread.Add(uint64(total - unread))
					}
					unread = total
				}
			}
			var from netip.Addr
			ttl := 0
			if v6 {
				a, ok := m.Addr.(*net.IPAddr)
				if !ok {
					continue
				}
				from, _ = netip.AddrFromSlice(a.IP)
				if limit, ok := control(oob, unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, 4); ok {
					ttl = int(binary.NativeEndian.Uint32(limit))
				}
			} else { // the IPv4 header comes with it
				if len(b) < header4 || len(b) < int(b[0]&0xf)*4 {
					continue
				}
				from, ttl = netip.AddrFrom4([4]byte(b[12:16])), int(b[8])
				b = b[int(b[0]&0xf)*4:]
			}
			if a, err := parse(v6, b); err == nil { // most are somebody else's
				e.deliver(a, from, ttl, oob, now)
			}
		}
	}
}

// control finds a control message of at least size bytes.
func control(oob []byte, level, kind int32, size int) ([]byte, bool) {
	for len(oob) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
		if int(h.Len) < unix.SizeofCmsghdr || int(h.Len) > len(oob) {
			return nil, false
		}
		if h.Level == level && h.Type == kind && int(h.Len) >= unix.CmsgLen(size) {
			return oob[unix.CmsgLen(0):h.Len], true
		}
		oob = oob[min(len(oob), unix.CmsgSpace(int(h.Len)-unix.CmsgLen(0))):]
	}
	return nil, false
}

// arrival is when the kernel got the message, the zero Time if it does not say.
func arrival(oob []byte) time.Time {
	b, ok := control(oob, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, int(unsafe.Sizeof(unix.Timespec{})))
	if !ok {
		return time.Time{}
	}
	ts := (*unix.Timespec)(unsafe.Pointer(&b[0]))
	return time.Unix(ts.Unix())
}

// roundTrip is the time from at until the kernel got the answer; until we did where
// that cannot be: the wall clock, of which the kernel's stamp is, was set meanwhile.
func roundTrip(at, now, stamp time.Time) time.Duration {
	rtt := now.Sub(at)
	// Comparing a Time that has no monotonic reading compares wall clocks.
	if d := stamp.Sub(at.Round(0)); !stamp.IsZero() && d >= 0 && d <= rtt {
		return d
	}
	return rtt
}
