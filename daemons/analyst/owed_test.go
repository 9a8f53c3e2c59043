package analyst_test

import (
	"testing"
	"time"
)

// What the database refuses of one rule is no reason to leave others untold, and is
// told when it can be.
func TestAnAlertThatCannotBeRaisedStopsNoOtherAndIsRaisedLater(t *testing.T) {
	b := setUp(t, 3)
	b.exec(`UPDATE rules SET options = options || '{"runs": 2, "of": 5}', node = 'n1' WHERE name = 'loss'`)
	b.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$`)
	b.exec(`CREATE TRIGGER refuse BEFORE INSERT ON alerts FOR EACH ROW WHEN (NEW.rule IN ('loss', 'gap')) EXECUTE FUNCTION refuse()`)
	b.exec(`UPDATE rules SET enabled = false WHERE name = 'no data'`) // it would speak of the gap too
	stop := b.judge()
	b.runs(1, 0, "..")
	b.pings(1, 2, 4, 12, 40)
	b.exec(`INSERT INTO gaps (toolspec_id, from_at, until_at, runs, reason) VALUES (3, $1, $2, 9, 'the scheduler was down')`, b.start, b.start.Add(9*time.Minute))
	b.runs(2, 0, ".LLL")
	b.await("n2 no answer", alerts)
	b.runs(2, 4, "..")
	b.await("n2 no answer closed", alerts)
	b.settled()
	b.await("", finds, "loss")

	stop() // what is owed is no memory
	stop = b.judge()
	b.runs(1, 6, ".....") // it began, and it is over
	b.settled()
	b.await("n2 no answer closed", alerts)
	b.exec(`DROP TRIGGER refuse ON alerts`)
	b.await("n2 no answer closed, n1 loss closed, pi gap", `SELECT string_agg(format('%s %s%s', coalesce(nullif(node, ''), subject), rule, CASE WHEN closed_at IS NULL THEN '' ELSE ' closed' END), ', ' ORDER BY rule DESC) FROM alerts`)
	b.await("1 1 t t", `SELECT format('%s %s %s %s', count(*) FILTER (WHERE decision = 'raise'), count(*) FILTER (WHERE decision = 'clear'), min(at) FILTER (WHERE decision = 'raise') < $1, bool_and(at <= $2)) FROM newalerts WHERE rule = 'loss' AND decision IN ('raise', 'clear')`,
		b.start.Add(6*time.Minute), b.start.Add(12*time.Minute))
	stop()
	b.judge()
	b.settled()
	b.await("1", `SELECT count(*)::text FROM newalerts WHERE rule = 'loss' AND decision = 'raise'`)
	b.await("1", `SELECT count(*)::text FROM newalerts WHERE rule = 'gap' AND decision = 'raise'`)
}
