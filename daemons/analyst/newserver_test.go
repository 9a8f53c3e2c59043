package analyst_test

import "testing"

// ahead is by how much the old server had counted further.
const ahead = 100_000

// restored makes of the database one that was dumped, and restored into a server
// that has counted fewer transactions.
func (b *bench) restored() {
	b.Helper()
	b.exec(`UPDATE pingdata SET stored_xid = (stored_xid::text::bigint + $1)::text::xid8`, ahead)
	b.exec(`UPDATE routedata SET stored_xid = (stored_xid::text::bigint + $1)::text::xid8`, ahead)
	b.exec(`UPDATE gaps SET stored_xid = (stored_xid::text::bigint + $1)::text::xid8`, ahead)
	b.exec(`UPDATE detectors SET read_to = format('%1$s:%1$s:', pg_snapshot_xmax(read_to)::text::bigint + $1)::pg_snapshot`, ahead)
	b.exec(`UPDATE analyst_mark SET read_xid = (read_xid::text::bigint + $1)::text::xid8,
		state = state || jsonb_build_object('snapshot', format('%1$s:%1$s:', pg_snapshot_xmax((state ->> 'snapshot')::pg_snapshot)::text::bigint + $1))`, ahead)
}

// A database restored into another server counts transactions anew. What was
// stored since is judged with what came before, and what the restore brought is
// not found again when the new server reaches the numbers of the old one.
func TestRestoredIntoAnotherServerNothingIsJudgedTwice(t *testing.T) {
	b := setUp(t, 1)
	b.exec(`INSERT INTO gaps (toolspec_id, from_at, until_at, runs, reason) VALUES (1, $1::timestamptz - interval '20 minutes', $1::timestamptz - interval '10 minutes', 10, 'the scheduler was down')`, b.start)
	b.runs(1, 0, "..LL")
	stop := b.judge()
	b.settled()
	b.await("1", `SELECT count(*)::text FROM alerts WHERE rule = 'gap'`)
	stop()
	b.restored()
	b.runs(1, 4, "L") // before the analyst is there again
	stop = b.judge()
	b.await("raise", finds, "no answer")
	stop()
	b.judge()
	b.runs(1, 5, "L")
	b.await("raise feed", finds, "no answer")
	b.exec(`DO $$ BEGIN FOR i IN 1 .. 150000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`)
	b.runs(1, 6, "L")
	b.await("raise feed feed", finds, "no answer")
	b.settled()
	b.await("0", `SELECT count(*)::text FROM newalerts WHERE text LIKE '%came late%'`)
	b.await("1", `SELECT count(*)::text FROM newalerts WHERE rule = 'gap'`)
}
