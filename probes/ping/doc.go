// Package ping measures loss and round-trip time with ICMP echo.
//
//	options ──New──▶ probe ──Run──▶ resolve ──▶ engine ──▶ sample ──rows.go──▶ one row of pingdata
//
// One run sends count packets, one each interval, and waits timeout after the
// last one, or until every packet that was sent has been answered. The whole
// sample is kept: the round-trip time of every packet in the order of sending,
// with a hole where none came back.
//
// Silence is data. So is a packet that our own kernel refuses to send (no
// route, no neighbour, a firewall): it counts as sent and lost, and its errno
// stands in icmp_errors, as does what routers say. Only a name that does not
// resolve, a socket that cannot be had, a deadline that passes and replies that this
// machine dropped unread are errors.
//
// # Engine
//
// All runs of a worker share one socket per family and one goroutine (engine.go),
// which sends in batches, reads the kernel's stamps of sending and of arrival,
// and matches replies (traffic.go). Sockets and control messages are in
// socket.go and mmsg.go, bytes in wire.go.
//
// A reply answers a packet when it comes from the packet's target and brings back
// its token and its payload unchanged. Whatever else comes with our identifier is
// counted for what it is: a duplicate, a damaged reply, a reply that came after
// its run had ended, a forged one. See docs/decisions/go-ping.md for the reasons.
//
// # What it cannot tell
//
// Stamps are those of the kernel, not of the card: what a driver's queue takes
// is part of the round-trip time. Datagram sockets, which are used without
// CAP_NET_RAW, show no damaged replies, nor do raw ones of IPv6: the kernel drops
// them. What a queue below us drops without telling is loss without a reason. A target that
// answers from another address than was asked counts as silent.
package ping
