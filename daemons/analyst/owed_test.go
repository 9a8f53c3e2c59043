package analyst_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// doing gives what waits until the analyst reports a sentence.
func (b *bench) doing() (await func(string)) {
	var last atomic.Value
	b.says = func(now string, _ time.Duration) { last.Store(now) }
	return func(want string) {
		b.Helper()
		for deadline := time.Now().Add(20 * time.Second); last.Load() != want; <-time.After(time.Millisecond) {
			if time.Now().After(deadline) {
				b.Fatalf("it reports %q, wanted %q", last.Load(), want)
			}
		}
	}
}

// What the database refuses of one rule is no reason to leave others untold, and is
// told when it can be.
func TestAnAlertThatCannotBeRaisedStopsNoOtherAndIsRaisedLater(t *testing.T) {
	b := setUp(t, 3)
	doing := b.doing()
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
	doing(`judging; alerts of 2 rules cannot be raised, of "gap": open an alert: ERROR: not now (SQLSTATE P0001)`)
	b.exec(`DROP TRIGGER refuse ON alerts`)
	b.await("n2 no answer closed, n1 loss closed, pi gap", `SELECT string_agg(format('%s %s%s', coalesce(nullif(node, ''), subject), rule, CASE WHEN closed_at IS NULL THEN '' ELSE ' closed' END), ', ' ORDER BY rule DESC) FROM alerts`)
	b.await("1 1 t t", `SELECT format('%s %s %s %s', count(*) FILTER (WHERE decision = 'raise'), count(*) FILTER (WHERE decision = 'clear'), min(at) FILTER (WHERE decision = 'raise') < $1, bool_and(at <= $2)) FROM newalerts WHERE rule = 'loss' AND decision IN ('raise', 'clear')`,
		b.start.Add(6*time.Minute), b.start.Add(12*time.Minute))
	stop()
	b.judge()
	b.settled()
	b.await("1", `SELECT count(*)::text FROM newalerts WHERE rule = 'loss' AND decision = 'raise'`)
	b.await("1", `SELECT count(*)::text FROM newalerts WHERE rule = 'gap' AND decision = 'raise'`)
	b.await("n2 raise, n2 clear,  raise", `SELECT string_agg(node || ' ' || kind, ', ' ORDER BY id) FROM notices`) // what was over by then woke nobody
	b.await("t t", `SELECT format('%s %s', bool_or(reason LIKE '%not told: it was over before it could be raised'), bool_or(reason LIKE '%not told: nobody was told of its beginning')) FROM newalerts WHERE rule = 'loss'`)
	doing("judging")
}

// Who locks ALERTS is waited for once a pass, not once an alert; and what is not
// locked is raised.
func TestALockIsWaitedForOnceAPass(t *testing.T) {
	b := setUp(t, 7)
	b.exec(`UPDATE rules SET enabled = name = 'no answer'`)
	b.exec(`CREATE FUNCTION locked() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$`)
	b.exec(`CREATE TRIGGER locked BEFORE INSERT ON alerts FOR EACH ROW WHEN (NEW.node <> 'n6') EXECUTE FUNCTION locked()`)
	tx, err := b.db.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(context.Background(), `SELECT pg_advisory_xact_lock(4711)`); err != nil {
		t.Fatal(err)
	}
	for spec := 1; spec <= 6; spec++ {
		b.runs(spec, 0, ".LLL")
	}
	b.runs(7, 0, "....")
	b.judge()
	b.await("n6 no answer", alerts) // five of them, 5 s each, would be more than this waits
	if err := tx.Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.await("n1 n2 n3 n4 n5 n6", `SELECT string_agg(node, ' ' ORDER BY node) FROM alerts WHERE rule = 'no answer'`)
}

// An episode that was tolerated, and for which the time is up, is as good as any.
func TestWhatIsRaisedByTheTimeIsOwedToo(t *testing.T) {
	b := setUp(t, 2)
	b.exec(`UPDATE rules SET tolerance = '3 minutes' WHERE name = 'no answer'`)
	b.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$`)
	b.exec(`CREATE TRIGGER refuse BEFORE INSERT ON alerts FOR EACH ROW EXECUTE FUNCTION refuse()`)
	doing := b.doing()
	b.judge()
	b.runs(2, 0, "....")
	b.runs(1, 0, ".LLL")
	b.settled()
	b.await("wait", finds, "no answer")
	doing(`judging; alerts of rule "no answer" cannot be raised: open an alert: ERROR: not now (SQLSTATE P0001)`) // the time came
	b.runs(1, 4, "..")
	b.settled()
	b.exec(`DROP TRIGGER refuse ON alerts`)
	b.await("n1 no answer closed", alerts)
	b.await("wait raise clear", finds, "no answer")
	b.await("n1: no answer, 3 runs in a row", `SELECT node || ': ' || text FROM alerts`)
}
