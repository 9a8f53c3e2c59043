package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Lab is one network. Its hosts cannot be reached from outside, nor reach out.
type Lab struct {
	t     testing.TB
	hosts []*Host
	links []*Link
}

// Links are all links in the order they were made; in a Chain the first is the source's.
func (l *Lab) Links() []*Link { return l.links }

// New makes an empty network that goes away with the test.
func New(t testing.TB) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("lab: network namespaces need root: run the tests as root (sudo go test …), " +
			"or call lab.Main from the package's TestMain, which makes do with a user namespace")
	}
	for _, tool := range []string{"ip", "nft", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("lab: %v: install the packages iproute2, nftables and util-linux", err)
		}
	}
	l := &Lab{t: t}
	t.Cleanup(l.close)
	return l
}

// close gives the namespaces up; the kernel takes them down with all that is in them.
func (l *Lab) close() {
	for _, h := range l.hosts {
		h.ns.Close()
	}
}

// Host adds a machine that has addresses and forwards nothing.
func (l *Lab) Host(name string) *Host { l.t.Helper(); return l.add(name, false) }

// Router adds a machine that forwards.
func (l *Lab) Router(name string) *Host { l.t.Helper(); return l.add(name, true) }

func (l *Lab) add(name string, router bool) *Host {
	l.t.Helper()
	ns, err := newNamespace()
	if err != nil {
		l.t.Fatalf("lab: host %s: %v", name, err)
	}
	h := &Host{Name: name, lab: l, ns: ns, router: router}
	l.hosts = append(l.hosts, h)
	for _, s := range [][2]string{
		{"net/ipv4/conf/all/rp_filter", "0"}, {"net/ipv4/conf/default/rp_filter", "0"},
		// Without these stars appear at random in a traceroute.
		{"net/ipv4/icmp_ratelimit", "0"}, {"net/ipv6/icmp/ratelimit", "0"},
		{"net/ipv4/icmp_errors_use_inbound_ifaddr", "1"},
		{"net/ipv4/fib_multipath_hash_policy", "1"}, {"net/ipv6/fib_multipath_hash_policy", "1"},
		// Addresses are usable at once, and outlive a link that is cut.
		{"net/ipv6/conf/all/accept_dad", "0"}, {"net/ipv6/conf/default/accept_dad", "0"},
		{"net/ipv6/conf/all/keep_addr_on_down", "1"}, {"net/ipv6/conf/default/keep_addr_on_down", "1"},
	} {
		h.Sysctl(s[0], s[1])
	}
	// Newer kernels count these per namespace, older ones for the whole machine, where they are not ours to set.
	for _, s := range [][2]string{{"net/ipv4/icmp_msgs_per_sec", "1000000"}, {"net/ipv4/icmp_msgs_burst", "100000"}} {
		if err := h.sysctl(s[0], s[1]); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			l.t.Fatalf("lab: host %s: %v", name, err)
		}
	}
	// In a user namespace only one group is mapped, and the kernel refuses a range beyond it.
	if h.sysctl("net/ipv4/ping_group_range", "0 2147483647") != nil {
		h.Sysctl("net/ipv4/ping_group_range", "0 0")
	}
	if router {
		h.Sysctl("net/ipv4/ip_forward", "1")
		h.Sysctl("net/ipv6/conf/all/forwarding", "1")
	}
	h.ip("link set lo up")
	return h
}

// ip has the iproute2 program carry out lines on the host, in one process.
func (h *Host) ip(lines ...string) {
	h.lab.t.Helper()
	if len(lines) == 0 {
		return
	}
	cmd := h.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		h.lab.t.Fatalf("lab: %s: ip -batch: %v\n%s\n%s", h.Name, err, out, strings.Join(lines, "\n"))
	}
}

// Link joins two hosts.
type Link struct {
	A, B *End
}

// End is a link's interface on one host.
type End struct {
	Host   *Host
	Name   string // of the interface
	V4, V6 netip.Addr
	peer   *End
	net4   netip.Prefix
	net6   netip.Prefix
}

// Connect joins two hosts by a link with an IPv4 and an IPv6 network of its
// own. The first host gets the addresses that end in 1, the second those in 2.
// Routes come with Route, once all links are there.
func (l *Lab) Connect(a, b *Host) *Link {
	l.t.Helper()
	k := l.newLink(a, b)
	n := 2 * len(l.links)
	// Numbers that differ at both ends: where they are equal, as they are by
	// default in new namespaces, the kernel (linkwatch_urgent_event) takes the
	// veth for a plain device and tells IPv6 of the carrier a second late.
	a.ip(append([]string{fmt.Sprintf("link add %s index %d type veth peer name %s index %d netns %s",
		k.A.Name, n+100, k.B.Name, n+101, b.Path())}, k.A.up()...)...)
	b.ip(k.B.up()...)
	return k
}

// newLink gives a link its names and addresses, without interfaces.
func (l *Lab) newLink(a, b *Host) *Link {
	l.t.Helper()
	n := len(l.links) + 1
	if n > 255 {
		l.t.Fatalf("lab: more than 255 links")
	}
	end := func(h *Host, last byte) *End {
		return &End{
			Host: h, Name: fmt.Sprintf("l%d-%d", n, last),
			V4:   netip.AddrFrom4([4]byte{10, 77, byte(n), last}),
			V6:   netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x77, 3: byte(n), 15: last}),
			net4: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, byte(n), 0}), 30),
			net6: netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x77, 3: byte(n)}), 126),
		}
	}
	k := &Link{A: end(a, 1), B: end(b, 2)}
	k.A.peer, k.B.peer = k.B, k.A
	l.links = append(l.links, k)
	a.ends = append(a.ends, k.A)
	b.ends = append(b.ends, k.B)
	return k
}

func (e *End) up() []string {
	return []string{
		fmt.Sprintf("address replace %s/30 dev %s", e.V4, e.Name),
		fmt.Sprintf("address replace %s/126 dev %s nodad", e.V6, e.Name),
		"link set " + e.Name + " up",
	}
}

// Cut pulls the cable: the first host still believes in the link and sends
// into the void, the second sees it down. Nothing gets through.
func (k *Link) Cut() { k.B.Host.lab.t.Helper(); k.B.Host.ip("link set " + k.B.Name + " down") }

// Mend puts the cable back, with the routes the second host lost.
func (k *Link) Mend() {
	k.B.Host.lab.t.Helper()
	k.B.Host.ip(k.B.up()...)
	k.B.Host.ip(append(k.B.Host.lab.routesOf(k.B.Host), k.B.Host.extra...)...)
}

// V4 is the host's address on its first link.
func (h *Host) V4() netip.Addr { return h.ends[0].V4 }

// V6 is the host's IPv6 address on its first link.
func (h *Host) V6() netip.Addr { return h.ends[0].V6 }
