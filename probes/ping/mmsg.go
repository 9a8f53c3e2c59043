package ping

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsg is the kernel's struct mmsghdr: sendmmsg(2), recvmmsg(2). The batch calls
// of golang.org/x/net make garbage of each packet and read no error queue.
type mmsg struct {
	unix.Msghdr
	n uint32 // bytes of the message
}

// Both calls are raw ones, because they wait for nothing: a batch takes some
// hundred microseconds, after which the runtime would take our processor away
// and we would have to ask for it back.

// sendmmsg sends messages in order and gives how many went; an error is that
// of the first one that did not.
func sendmmsg(fd int, m []mmsg) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// recvmmsg takes what is there, up to len(m) messages, and waits for nothing.
func recvmmsg(fd int, m []mmsg, flags int) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(flags|unix.MSG_DONTWAIT), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// inbox is room for a batch of messages that arrive.
type inbox struct {
	msgs    []mmsg
	data    [][]byte
	names   []unix.RawSockaddrInet6 // has room for either family; nil if nobody asks
	control [][]byte
	iov     []unix.Iovec
}

func newInbox(n, data, control int, named bool) *inbox {
	in := &inbox{msgs: make([]mmsg, n), data: make([][]byte, n), control: make([][]byte, n), iov: make([]unix.Iovec, n)}
	all, ctl := make([]byte, n*data), make([]byte, n*control)
	for i := range n {
		in.data[i], in.control[i] = all[i*data:(i+1)*data:(i+1)*data], ctl[i*control:(i+1)*control:(i+1)*control]
		in.iov[i].Base = &in.data[i][0]
		in.iov[i].SetLen(data)
		h := &in.msgs[i].Msghdr
		h.Iov, h.Control = &in.iov[i], &in.control[i][0]
		h.SetIovlen(1)
	}
	if named {
		in.names = make([]unix.RawSockaddrInet6, n)
		for i := range n {
			in.msgs[i].Name = (*byte)(unsafe.Pointer(&in.names[i]))
		}
	}
	return in
}

// receive takes up to a batch.
func (in *inbox) receive(fd, flags int) (int, unix.Errno) {
	for i := range in.msgs {
		h := &in.msgs[i].Msghdr
		h.Flags = 0
		if in.names != nil {
			h.Namelen = unix.SizeofSockaddrInet6
		}
		h.SetControllen(len(in.control[i]))
	}
	return recvmmsg(fd, in.msgs, flags)
}

// message is the i-th of what was received; cut says that it was longer.
func (in *inbox) message(i int) (data []byte, cut bool) {
	m := &in.msgs[i]
	return in.data[i][:min(int(m.n), len(in.data[i]))], m.Flags&unix.MSG_TRUNC != 0
}

// notes are the control messages of the i-th; note takes them apart.
func (in *inbox) notes(i int) []byte { return in.control[i][:in.msgs[i].Controllen] }

// note gives the first control message and the rest; kind is 0 when there is none.
func note(b []byte) (level, kind int32, data, rest []byte) {
	if len(b) < unix.SizeofCmsghdr {
		return 0, 0, nil, nil
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	size := int(h.Len)
	if size < unix.SizeofCmsghdr || size > len(b) {
		return 0, 0, nil, nil
	}
	return h.Level, h.Type, b[unix.CmsgLen(0):size], b[min(unix.CmsgSpace(size-unix.CmsgLen(0)), len(b)):]
}
