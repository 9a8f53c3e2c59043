// Package ping measures loss and round-trip time with ICMP echo.
//
//	options ──New──▶ probe ──Run──▶ resolve ──▶ wire ──▶ sample ──rows.go──▶ one row of pingdata
//
// One run sends count packets, one each interval, and waits timeout after the
// last one, or until every packet that was sent has been answered. The whole
// sample is kept: the round-trip time of every packet in the order of sending,
// with a hole where none came back.
//
// Silence is data. So is a packet that our own kernel refuses to send (no
// route, no neighbour, a firewall): it counts as sent and lost, and its errno
// stands in icmp_errors. Only a name that does not resolve, a socket that cannot
// be had and a deadline that passes are errors.
//
// # Sockets
//
// Datagram sockets (net.ipv4.ping_group_range) need no privilege, and each one
// hears its own replies only. Where our group is not in that range raw sockets
// are used; each of them hears the replies to all of them, and with hundreds at
// once the kernel drops some, which would look like loss. Therefore at most
// rawAtOnce runs share raw sockets. With neither, every run fails with
// probes.ErrLocal and the sentence that tells what to do.
//
// # What it cannot tell
//
// The wire is go-ping v1.1.0, used in wire.go only. It hears echo replies and
// nothing else, so that errors reported by routers are not known (they show as
// silence), and it stops listening when the last awaited reply is in, so that
// duplicates of the very last reply are not counted. It stamps packets in user
// space: tens of microseconds of our own kernel and scheduler are part of every
// round-trip time. IPDV and conditional loss are NULL until an engine fills them.
package ping
