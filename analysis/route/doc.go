// Package route compares each route with the one before it and with its
// history, tells in words how one became another, and says when that is an alarm.
//
// # Changes
//
// Each route is compared with the previous known one, hop by hop, in IEPM's classes:
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
// a route that no longer reaches the target, or does again. Its words come from
// an alignment of the two routes, so that a hop put in is one hop that is new and
// not all behind it that moved; the classes stay hop by hop, as published.
//
// The previous known route is the last one in which anybody answered. A hop
// that is silent now keeps the address it had, as long as nothing significant
// changed elsewhere: a router that answers every second time is no news, and
// one that comes back as another is. Beyond the last answer of a route that did
// not reach the target nothing is known.
//
// # Alarms
//
//	                learn                  off the history, persist runs
//	first route ───────────▶ usual ─────────────────────────────────────▶ alarm
//	                           ▲                                            │
//	                           │  a usual route is back                     │
//	                           └────────────────────────────────────────────┤
//	                             the new one has been there for adopt: usual│
//	                           ◀────────────────────────────────────────────┘
//
// The history is a set: routes, each a pattern of the addresses at each hop, and
// AS paths. Both grow while the history is learnt, and by what is judged usual:
//
//	the route now                                                        what happens
//	fits a usual pattern (a known route, another arm, silent hops)       usual; ends an alarm
//	breaks off, where usual routes reach the target; loops               not judged: ping's business
//	ends at another address than usual ones (the name, or the node's row)  usual: another target
//	new, for fewer runs in a row than persist                            wait
//	new, its AS path is none of the history's                            alarm, as grave as the rule says
//	new, a hop moved to an AS that no usual route runs through           the same
//	new, AS path as usual, all ASes known                                usual
//	new, AS path as usual where known, new hops of unknown AS            wait, usual after adopt
//	new, no AS known on this network, the change is significant          alarm of severity info
//	new, no AS known on this network, the change is in one /24           usual
//	new, was there for adopt, all stays together                         usual; ends an alarm
//
// With alarm = route any significant change to a new route is an alarm; with
// never none is. While an alarm stands it is told again only when the route
// leaves for yet another AS path.
//
// A hop's second address counts as an arm of it when two runs have seen it
// beside the first, by whatever flow: a run in the midst of a change sees the
// old router and the new one side by side. It does not count when it is of an AS
// that none of the known ones is. Which arm flow 1 takes is neither a change nor
// an alarm.
//
// Times are by the clock of the history, which goes on between two runs in a row
// that were judged only: holes are neither presence nor absence of a route.
//
// At most 64 routes and 64 AS paths are remembered, with 2048 addresses in all;
// strangers make room, then the one seen longest ago, and what was not seen for
// the time of history goes. A route that
// was forgotten is new when it comes back, with its note; its AS path is usually
// remembered, so that it is no alarm. When nothing usual is left all is learnt anew.
//
// # ASes that are known late
//
// An AS is looked up after its address was first seen: seconds to minutes later,
// or never. Of an address it is remembered, so that earlier routes with that
// address have it too. A gap in an AS path stands for any ASes, so what is not
// known is no difference; and an alarm is decided persist runs after the change,
// by what is known then. So a new route that stays gives the same alarm whenever
// within these runs the look-ups came, and notes that may name more when the
// data are judged again. A look-up that takes longer, or of a route that comes
// in the last of these runs, makes the alarm later, not another. That an address
// gets another AS is no change of a route.
//
// A state that versions without a history saved goes on with its previous route
// and begins to learn. The package does not number routes; the database does.
// What else changed on the pair is read by internal/store; Effects says it in words.
package route
