// Package route compares each route with the previous known one, hop by hop,
// and says how much of it changed.
//
//	one hop                                        class of the hop
//	either side silent                             unknown
//	same address                                   same
//	same /24 (IPv6: same /64)                      same block
//	other address, same AS                         same AS
//	other address, no AS known of one of them      AS unknown   ┐ significant
//	anything else                                  other AS     ┘
//	a hop that the other route, which reached the target, does not have:  significant
//
//	all hops                                       class of the route
//	only same and unknown                          none: no note
//	some same block, nothing worse                 minor, same block
//	some same AS, nothing worse                    minor, same AS
//	one significant                                minor, significant
//	more than one significant                      major, significant
//
// Every change is a note: it is written down and shown, and wakes nobody. So is
// a route that no longer reaches the target, or does again.
//
// The previous known route is the last one in which anybody answered. A hop
// that is silent now keeps the address it had, as long as nothing significant
// changed elsewhere: a router that answers every second time is no news, and
// one that comes back as another is. Beyond the last answer of a route that did
// not reach the target nothing is known.
//
// There are no AS data yet: AS unknown counts as significant. The package does
// not number routes; the database does.
package route
