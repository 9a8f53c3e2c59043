// Package lab makes real networks for tests: hosts and routers that are
// network namespaces, joined by veth pairs, with real routing tables, real
// ICMP errors, loss that is counted out by nftables, hops that stay silent,
// load-balanced arms and links that are cut and mended.
//
//	src ── r1 ──┬─ a ─┬── r2 ── dst        every link: 10.77.n.0/30 and fd77:n::/126
//	            └─ b ─┘                    shortest paths, equal ones balanced per flow
//
// A namespace here has no name. It lives by a file descriptor of this process
// (and by the processes started in it, which the kernel kills when this one
// dies), so nothing is left behind when a test is killed with SIGKILL, nothing
// has to be swept up by the next one, and tests of many packages can run side
// by side with the same addresses. For the same reason no link leads out of
// the lab: what a test wants of a network happens inside it. Files, and unix
// sockets with a path, are shared with the world as usual.
//
// The kernel does the routing, so what a probe sees here it would see outside,
// with these settings: ICMP errors are not rate limited, they come from the
// interface the packet came in by, reverse-path filtering is off, equal routes
// are chosen by ports (fib_multipath_hash_policy=1: ICMP has none and goes one
// way for one pair of addresses), and anybody may open ping sockets.
//
// Namespaces need root. Main lets a package's tests run without: it starts
// them again as root of a user namespace, where that is allowed.
//
// Delay, jitter, duplicates and reordering come from a Wire, a cable that this
// process plays between two TUN devices, because not every kernel has netem.
//
// What kernels do not do on request, and networks of thousands of routers, are
// an Internet: one host of real sockets, and behind a TUN device this process,
// which answers each packet as the path to its destination says.
//
//	net := l.Internet(src)
//	first, last := lab.At("10.1.1.1", "2001:db8:1::1"), &lab.Router{V4: "10.1.9.1", MTU: 1400}
//	net.Path("198.18.0.0/16", first, lab.Spread(lab.PerFlow, lab.At("10.1.2.1"), lab.Row(2, "10.1.3.1")), last)
//	net.Path("198.18.7.7", first, last, &lab.Target{OpenTCP: []uint16{443}, Silent: lab.IsUDP})
//
//	src ── 10.1.1.1 ──┬────── 10.1.2.1 ──────┬── 10.1.9.1 ── every address of 198.18.0.0/16
//	                  └─ 10.1.3.1 ─ 10.1.3.2 ─┘
//
// Routers and targets can be silent, limit their answers, load-balance, tell
// MPLS labels, refuse, translate, loop, stutter, have a small MTU, be far away,
// and lie; type Router lists it. They count what they were asked, and Change
// changes them while packets are under way. Packets with wrong lengths or
// checksums are dropped and counted. There is no reassembly: fragments get no
// answer from targets.
//
// The lab knows nothing of probes.
package lab
