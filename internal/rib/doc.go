// Package rib reads tables that say which AS originates which prefix, and what
// AS are called, in the forms in which they are published:
//
//	MRT TABLE_DUMP_V2, TABLE_DUMP (RFC 6396, 8050)   RIPE RIS bview, RouteViews rib
//	TABLE_DUMP2|…|B|…                                bgpdump -m
//	1.0.0.0/24 13335                                 pyasn
//	13335 1.0.0.0/24 380                             RIPE riswhoisdump
//	1.0.0.0 24 13335_4134                            CAIDA pfx2as
//	AS15169 GOOGLE, US                               asn.txt
//	# format:aut|changed|aut_name|org_id|…           CAIDA as-org2info
//
// each of them plain or compressed by gzip or bzip2, told by what is in it.
//
// Several files make one table: votes are added up. Each view of a prefix is a
// vote for the AS at the end of its path, so that one peer with a leak does not
// outvote the others. An AS_SET at the end of a path does not count: who made the
// aggregate stands before it. A default route says nothing and is left out.
//
// A damaged file is an error that says where; what it had brought until then is
// not to be used.
package rib
