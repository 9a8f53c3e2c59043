// Package annotator says of the addresses that results have which AS they belong
// to and what their names are. It works after the measurement and apart from it:
// what it reads are rows that are stored, and nobody waits for it.
//
//	new rows of routedata, pingdata ─▶ asn ◀─ table of the operator (asprefixes)
//	                                    │ ▲
//	                                turn │ │ answer, or a later turn
//	                                    ▼ │
//	                                name servers ─▶ asninfo
//
// One annotator works; the others wait for its lock. What is new it learns as the
// analyst does, by transaction. An address enters ASN, with what the table
// says, in the transaction that moves the mark, so none is lost; from then on its
// row says when its turn is. Killed at any moment, it asks once more for what it
// has not stored.
//
// The table wins. What it does not know is asked for by DNS in the form that Team
// Cymru publishes, as are names of AS; host names are PTR records. Special addresses
// (private, shared, reserved, …) are not asked for, and neither are private AS. No
// such address is an answer too, and kept like one: as long as its TTL says,
// a day at least and a week at most; an AS that was known is given up only when
// that is said again and again. A failure is tried again after a minute, then
// ever later. When no name server says anything, not even of the root, no address is
// blamed: everything waits until one does.
//
// What is not measured any more is not looked up any more, and forgotten with the
// results that had it.
package annotator
