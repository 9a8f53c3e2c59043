// Package loader brings into the database what was measured while it was away:
// spool → data.
//
//	segment ──Read──▶ chunk ──Load, one transaction──▶ next chunk ──▶ … ──▶ segment removed
//	   │                │ away: wait, the same chunk again
//	   │                └ refused: halves, down to the row ──▶ refused/SEGMENT.jsonl
//	   └ damaged: its good rows are loaded, then it lies in damaged/
//
// A segment is removed only after its last chunk was committed. A loader killed
// in between reads it again from its beginning; rows that are there already are
// dropped by their key, so nothing is lost and nothing doubled.
//
// What the database refuses for its contents, and what is no row at all, is set
// aside with the reason, is told once, and holds up nothing else. Whatever else
// goes wrong, a missing privilege or a full disk, is waited out: no result is
// put away for a fault that somebody can mend. A file that cannot be removed or
// moved is passed over for ten minutes.
package loader
