// Package traceroute finds the routers on the way to a target, by packets
// whose time to live ends at each of them.
//
//	ttl 1  ─▶ r1 ◀ time exceeded        packet n of a hop is flow n
//	ttl 2  ─▶ r2 ◀ time exceeded        flow 1 is the route that counts
//	ttl 3  ─▶ (silent)                  a gap in the route
//	ttl 4  ─▶ target ◀ echo reply       the end
//
// All packets of one flow look the same to a router that spreads flows over
// equal paths (Paris traceroute; Augustin et al., IMC 2006), and flow n to one
// address looks the same in every run, so that a route changes when the network
// does and not with every packet. For ICMP the constants are identifier and
// checksum; a packet is told by its sequence number, which two bytes of the
// payload make up for. For UDP they are both ports; a packet is told by its
// checksum, again made up for in the payload. For TCP they are both ports too; a
// SYN is told by its sequence number. IPv6 has a constant flow label as well.
// Flows 2 and up show the other arms of a load-balanced path.
//
// The default method is icmp: firewalls let echo requests through to more
// targets than high UDP ports, the end of the route answers instead of refusing, and
// its round trip can be held against ping's. Method tcp goes where the packets of a
// service go, and the kernel resets what it opens. Methods udp and tcp show the
// paths that traffic is spread over by port, which ICMP does not have.
//
// Several hops are asked at once; hop k is asked when all up to k-parallel are
// known. When flow 1 is silent at a hop where another flow was answered, it is
// asked once more. A run ends
//
//	target                          the target answered
//	target, port closed             by a TCP reset
//	target !X                       the target answered with a refusal
//	unreachable !H from 192.0.2.1   a router says there is no way on
//	loop                            a router came back, or stood three times in a row
//	silent                          max_silent hops gave no answer to any flow, nor did the target to a packet of its own
//	not sent                        as silent, but our own kernel refused every packet
//	max_ttl                         the options let it go no further
//
// What our own kernel refuses (no route, no neighbour, a firewall) is silence
// with the errno counted in icmp_errors. Errors are: a name that does not
// resolve, wrong options (probes.ErrSpec), no sockets (probes.ErrLocal), and
// messages that the kernel threw away unread while hops seemed silent
// (probes.ErrBusy: the run is missed).
//
// On request a run goes on to find every load-balanced path (explore.go) and the
// path's MTU (mtu.go). What can be read in answers besides (MPLS labels, names of
// interfaces, translation, wrong checksums) is kept with each (extensions.go, notes).
//
// The sockets are raw and shared by all runs of a worker: the engine sends
// whole packets, finds the run an answer belongs to by the packet quoted in it, and
// believes an answer that holds something only those know who saw the packet: the
// random mark in its payload, or the identification of its IPv4 header. That needs
// CAP_NET_RAW. Without it echo requests go by datagram sockets (pings.go), and
// methods udp and tcp say what is missing.
//
// Runs share what they learn of routers that many targets have before them
// (share.go), so that a router which answers once a second is not asked by each. Many targets at once, for
// sonde probe --file, are a survey (survey.go).
//
// Not heard are targets that answer UDP with UDP: choose a port nobody listens
// on. Wrong checksums of ICMPv6 are not seen: the kernel drops such messages. The
// package knows nothing of route numbers, names or AS numbers.
package traceroute
