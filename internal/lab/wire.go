package lab

import (
	"cmp"
	"container/heap"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Fate says what becomes of a packet on a wire: it arrives once after each of
// the delays, and not at all when there are none. forth is true from the
// wire's first host to the second; n counts the packets of each direction from
// 0; packet is an IP packet and must not be kept.
type Fate func(forth bool, n int, packet []byte) []time.Duration

// Delayed is a wire with one delay each way and no loss.
func Delayed(forth, back time.Duration) Fate {
	there, home := []time.Duration{forth}, []time.Duration{back}
	return func(f bool, _ int, _ []byte) []time.Duration {
		if f {
			return there
		}
		return home
	}
}

// Wire joins two hosts as Connect does, by a cable that this process plays:
// packets go from one TUN device to another after the delay, as often and in
// the order that fate wants. It is good for a few thousand packets a second,
// and late by what the scheduler takes, most often well under a millisecond.
func (l *Lab) Wire(a, b *Host, fate Fate) *Link {
	l.t.Helper()
	k := l.newLink(a, b)
	var tun [2]*os.File
	for i, e := range []*End{k.A, k.B} {
		e.Host.Do(func() {
			var err error
			if tun[i], err = openTUN(e.Name); err != nil {
				l.t.Fatalf("lab: wire of %s and %s: %v", a.Name, b.Name, err)
			}
		})
		e.Host.ip(e.up()...)
	}
	var all sync.WaitGroup
	there, back := newTransit(tun[1]), newTransit(tun[0])
	all.Go(func() { carry(tun[0], there, func(n int, p []byte) []time.Duration { return fate(true, n, p) }) })
	all.Go(func() { carry(tun[1], back, func(n int, p []byte) []time.Duration { return fate(false, n, p) }) })
	all.Go(there.run)
	all.Go(back.run)
	l.t.Cleanup(func() {
		tun[0].Close()
		tun[1].Close()
		all.Wait()
	})
	return k
}

// openTUN makes a TUN device in the thread's network; it goes with the file.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make TUN device %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// carry takes packets from a device into transit until the device is closed.
func carry(from *os.File, to *transit, fate func(n int, packet []byte) []time.Duration) {
	defer close(to.come)
	buf := make([]byte, 1<<16)
	for n := 0; ; n++ {
		size, err := from.Read(buf)
		at := time.Now()
		if err != nil {
			return
		}
		for _, delay := range fate(n, buf[:size]) {
			to.come <- traveller{at.Add(delay), n, append([]byte(nil), buf[:size]...)}
		}
	}
}

// transit holds packets until their time has come.
type transit struct {
	to    *os.File
	come  chan traveller
	queue travellers
}

type traveller struct {
	due    time.Time
	n      int
	packet []byte
}

func newTransit(to *os.File) *transit { return &transit{to: to, come: make(chan traveller, 64)} }

func (t *transit) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if len(t.queue) > 0 {
			timer.Reset(time.Until(t.queue[0].due))
		}
		select {
		case p, open := <-t.come:
			if !open {
				return
			}
			heap.Push(&t.queue, p)
		case <-timer.C:
		}
		for len(t.queue) > 0 && !time.Now().Before(t.queue[0].due) {
			// An error is a device that is down: the packet is lost there.
			t.to.Write(heap.Pop(&t.queue).(traveller).packet)
		}
	}
}

// travellers is a heap, first due first, and first come of those due together.
type travellers []traveller

func (q travellers) Len() int      { return len(q) }
func (q travellers) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q travellers) Less(i, j int) bool {
	return cmp.Or(q[i].due.Compare(q[j].due), cmp.Compare(q[i].n, q[j].n)) < 0
}
func (q *travellers) Push(x any) { *q = append(*q, x.(traveller)) }
func (q *travellers) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
