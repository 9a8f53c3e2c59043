package analyst_test

import (
	"fmt"
	"strings"
	"testing"
)

// behindTwoHops has five nodes: n1 to n3 are reached over 62.40.98.1, the rest over 62.115.1.1.
func behindTwoHops(t *testing.T) *bench {
	b := setUp(t, 5)
	b.lookUp("62.40.98.1", 20965, "GEANT")
	for i := 1; i <= 5; i++ {
		hops := geant
		if i > 3 {
			hops = arelion
		}
		b.routes(b.newTraceroute(i), 0, 2, strings.Replace(hops, "192.65.184.1", fmt.Sprintf("192.65.18%d.1", i), 1), 12)
	}
	for i := 1; i <= 5; i++ {
		b.runs(i, 0, "...")
	}
	return b
}

const byRule = `SELECT coalesce(string_agg(format('%s%s', rule, CASE WHEN closed_at IS NULL THEN '' ELSE ' closed' END), ', ' ORDER BY id), '') FROM alerts WHERE toolspec_id = 0`

func TestNodesBehindOneHopAreOneMessageThatNamesIt(t *testing.T) {
	b := behindTwoHops(t)
	for i := 1; i <= 5; i++ {
		letters := "LLL"
		if i > 3 {
			letters = "..."
		}
		b.runs(i, 3, letters)
	}
	b.judge()
	b.await("shared hop", byRule)
	b.await("3", `SELECT count(*)::text FROM alerts WHERE part_of = (SELECT id FROM alerts WHERE rule = 'shared hop')`)
	message := "raise CRITICAL 62.40.98.1: n1, n2, n3: no answer; all behind it (AS 20965 GEANT)"
	b.await(message, sent)
	b.await("n1: no answer, 3 runs in a row; n2: no answer, 3 runs in a row; n3: no answer, 3 runs in a row", `SELECT (SELECT string_agg(m[1], '; ') FROM regexp_matches(text, '  (n\d: .*), since 20\d\d-.* UTC \(ping from pi\)', 'gn') m) FROM notices`)
	b.await("n1, n2, n3", `SELECT (SELECT string_agg(n, ', ' ORDER BY n) FROM jsonb_array_elements_text(evidence -> 'nodes') n) FROM alerts WHERE rule = 'shared hop'`)
	for i := 1; i <= 3; i++ {
		b.runs(i, 6, "..")
	}
	b.await("shared hop closed", byRule)
	b.settled()
	b.await("raise clear", `SELECT string_agg(kind, ' ' ORDER BY id) FROM notices`)
	b.await("3", `SELECT count(*)::text FROM newalerts WHERE decision = 'raise' AND reason LIKE '%not told: %'`)
}

func TestAPairWhoseLossIsNotAsUsualClearsNoHopOfLoss(t *testing.T) {
	b := behindTwoHops(t)
	b.exec(`UPDATE rules SET options = options || '{"runs": 3, "of": 5}' WHERE name = 'loss'`)
	for i, loss := range []float64{40, 40, 40, 0, 0} {
		good := 1
		if i == 2 {
			good = 2 // it answers as the others, and will be found a run later
		}
		b.exec(`DELETE FROM pingdata WHERE toolspec_id = $1`, i+1)
		b.pings(i+1, 0, good, 12, 0)
		b.pings(i+1, good, 4-good, 12, loss)
	}
	b.judge()
	b.await("shared hop", byRule)
	b.await("n1, n2", `SELECT (SELECT string_agg(n, ', ' ORDER BY n) FROM jsonb_array_elements_text(evidence -> 'nodes') n) FROM alerts WHERE rule = 'shared hop'`)
	b.pings(3, 4, 1, 12, 40)
	b.await("3", `SELECT count(*)::text FROM alerts WHERE part_of = (SELECT id FROM alerts WHERE rule = 'shared hop')`)
	b.settled()
	b.await("raise", `SELECT string_agg(kind, ' ' ORDER BY id) FROM notices`)
}

func TestAnAnalystThatCatchesUpTellsNothingBeforeItCanGroup(t *testing.T) {
	b := behindTwoHops(t)
	b.rows = 1
	for i := 1; i <= 5; i++ {
		letters := "LLL"
		if i > 3 {
			letters = "..."
		}
		b.runs(i, 3, letters)
	}
	b.judge()
	b.await("shared hop", byRule)
	b.settled()
	b.await("raise shared hop", `SELECT string_agg(kind || ' ' || rule, ', ') FROM notices n JOIN alerts a ON a.id = n.alert_id`)
	b.await("true", `SELECT bool_or(reason LIKE '%not told: newer data are to be read first')::text FROM newalerts WHERE decision = 'raise'`)
}

func TestTheHopOfAnOutageIsKnownThoughNobodyWasReachedForDays(t *testing.T) {
	b := behindTwoHops(t)
	b.exec(`SELECT sonde_make_partitions('routedata', $1::date, $1::date + 1)`, b.start.AddDate(0, 0, -6))
	b.exec(`UPDATE routedata SET due_at = due_at - interval '6 days'`)
	for i := 1; i <= 5; i++ {
		letters := "LLL"
		if i > 3 {
			letters = "..."
		}
		b.runs(i, 3, letters)
	}
	b.judge()
	b.await("shared hop", byRule)
}

func TestASumThatIsNotSoFallsApartAndWhatStillStandsIsTold(t *testing.T) {
	b := behindTwoHops(t)
	for i := 1; i <= 5; i++ {
		letters := "LLL"
		if i > 3 {
			letters = "..."
		}
		b.runs(i, 3, letters)
	}
	stop := b.judge()
	b.await("shared hop", byRule)
	b.runs(1, 6, "..") // it answers, over the very hop
	b.await("n1 no answer closed", `SELECT coalesce(string_agg(format('%s %s closed', node, rule), ', '), '') FROM alerts WHERE closed_at IS NOT NULL`)
	b.settled()
	b.await("1", `SELECT count(*)::text FROM notices`)
	b.await("closing", `SELECT state -> 'episodes' -> 'shared hop/62.40.98.1' -> 'episode' ->> 'phase' FROM analyst_mark`)
	stop()
	b.exec(`UPDATE analyst_mark SET state = jsonb_set(state, '{episodes,shared hop/62.40.98.1,episode,changed}', to_jsonb(now() - interval '6 minutes'))`)
	b.judge()
	b.await("shared hop closed", byRule)
	b.await("2", `SELECT count(*)::text FROM notices WHERE subject LIKE 'DOWN n_: no answer%'`)
	b.await("1", `SELECT count(*)::text FROM notices WHERE kind = 'clear'`)
	b.await("true", `SELECT bool_and(part_of IS NULL)::text FROM alerts WHERE rule = 'no answer' AND closed_at IS NULL`)
}

func TestFindingsOfOneNodeAreOneMessageOfTheirCause(t *testing.T) {
	b := setUp(t, 2)
	b.exec(`INSERT INTO rules (name, method, tool, metric, options) VALUES ('slow', 'limit', 'ping', 'rtt_median_ms', '{"limit": 50, "runs": 3, "of": 3}')`)
	b.pings(2, 0, 10, 12, 0)
	b.pings(1, 0, 3, 12, 0)
	b.pings(1, 3, 6, 99, 40)
	stop := b.judge()
	b.await("n1 loss, n1 slow", `SELECT coalesce(string_agg(format('%s %s', node, rule), ', ' ORDER BY rule), '') FROM alerts`)
	b.await("true", `SELECT coalesce(bool_and(subject LIKE 'WARNING n1: % values %20 \%, now 40 \%; with it 1 more: slow'), false)::text FROM notices`)
	b.await("true", `SELECT (text LIKE '%; with it 1 more: slow')::text FROM alerts WHERE rule = 'loss'`)
	b.await("true", `SELECT (part_of = (SELECT id FROM alerts WHERE rule = 'loss'))::text FROM alerts WHERE rule = 'slow'`)
	b.await("true", `SELECT (reason LIKE '%not told: it began together with a%, loss, which tells of n1')::text FROM newalerts WHERE rule = 'slow' AND decision = 'raise'`)
	b.pings(1, 9, 10, 99, 0) // the loss is over, the delay is not
	b.await("n1 loss closed, n1 slow", `SELECT string_agg(format('%s %s%s', node, rule, CASE WHEN closed_at IS NULL THEN '' ELSE ' closed' END), ', ' ORDER BY rule) FROM alerts`)
	b.settled()
	b.await("raise clear", `SELECT string_agg(kind, ' ' ORDER BY id) FROM notices`)
	stop()
	b.exec(`UPDATE analyst_mark SET state = jsonb_set(state, '{leads}', (SELECT jsonb_object_agg(key, to_jsonb(now() - interval '6 minutes')) FROM jsonb_each(state -> 'leads')))`)
	b.judge()
	b.await("1", `SELECT count(*)::text FROM notices WHERE kind = 'raise' AND subject LIKE 'WARNING n1: 3 of the last 3 values%99'`)
}

// doubting has two hosts, pi and b, that ping n1, and a rule that asks for a second look.
func doubting(t *testing.T) *bench {
	b := setUp(t, 2)
	b.exec(`INSERT INTO nodes (name, address) VALUES ('b', '192.0.2.251')`)
	b.exec(`INSERT INTO monhosts (name, last_seen_at) VALUES ('b', now())`)
	b.exec(`INSERT INTO toolspecs (node, monhost, tool, run_interval) VALUES ('n1', 'b', 'ping', '1 day')`) // 3
	b.exec(`UPDATE rules SET second_look = true WHERE name = 'no answer'`)
	b.runs(2, 0, "......")
	b.runs(3, 0, "......")
	b.runs(1, 0, "..LLL")
	return b
}

// looks stores the result of each run that was ordered, as its worker does.
func (b *bench) looks(received map[int]int) {
	b.Helper()
	b.await(fmt.Sprint(len(received)), `SELECT count(*)::text FROM schedule`)
	for spec, n := range received {
		b.exec(`WITH ordered AS (DELETE FROM schedule WHERE toolspec_id = $1 RETURNING toolspec_id, due_at)
			INSERT INTO pingdata (toolspec_id, due_at, outcome, sent, received, loss_pct) SELECT toolspec_id, due_at, 'ok', 10, $2, 100 - 10 * $2::int FROM ordered`, spec, n)
	}
}

const lookedAt = `SELECT coalesce(string_agg(regexp_replace(text, ' \S+ later', ' later', 'g'), '|'), '') FROM newalerts WHERE decision = 'look'`

func TestADoubtfulFindingWaitsForASecondLookThatContradictsIt(t *testing.T) {
	b := doubting(t)
	stop := b.judge()
	b.await("n1 no answer", alerts)
	b.await("true", `SELECT (reason LIKE '%not told: waits up to 2m for a second look: its rule asks for one; extra run from pi and b')::text FROM newalerts WHERE decision = 'raise'`)
	b.looks(map[int]int{1: 10, 3: 10})
	b.await("a second look from pi later: 0 of 10 lost; from b later: 0 of 10 lost", lookedAt)
	b.await("true", `SELECT (reason LIKE 'not told yet: %' AND (evidence -> 'good')::bool)::text FROM newalerts WHERE decision = 'look'`)
	b.settled()
	b.await("", sent)
	b.await("", `SELECT coalesce(string_agg(toolspec_id::text, ' '), '') FROM schedule`)
	// It is not forgotten: what still stands ten minutes later is told.
	stop()
	b.exec(`UPDATE analyst_mark SET state = jsonb_set(state, '{looks}', (SELECT jsonb_object_agg(key, value || jsonb_build_object('done', now() - interval '11 minutes')) FROM jsonb_each(state -> 'looks')))`)
	b.judge()
	b.await("raise DOWN n1: no answer, 3 runs in a row", sent)
	b.await("true", `SELECT (reason LIKE 'it still stands, and may be told now; a second look from pi % 0 of 10 lost; from b %')::text FROM newalerts WHERE decision = 'remind'`)
}

func TestWhatIsPartOfAnAlertThatItsSecondLookContradictsSpeaksForItself(t *testing.T) {
	b := doubting(t)
	b.exec(`INSERT INTO rules (name, method, tool, metric, options) VALUES ('slow', 'limit', 'ping', 'rtt_median_ms', '{"limit": 50, "runs": 3, "of": 3}')`)
	b.pings(3, 6, 6, 99, 0)
	b.judge()
	b.await("true", `SELECT coalesce(bool_or(reason LIKE '%not told: it began together with a%, no answer%'), false)::text FROM newalerts WHERE rule = 'slow' AND decision = 'raise'`)
	b.looks(map[int]int{1: 10, 3: 10})
	b.await("true", `SELECT coalesce(bool_and(subject LIKE 'WARNING n1: 3 of the last 3 values%99%'), false)::text FROM notices`)
}

func TestASecondLookThatEndsTheFindingItselfIsWrittenDown(t *testing.T) {
	b := doubting(t)
	b.exec(`UPDATE rules SET options = '{"clear": 1}' WHERE name = 'no answer'`)
	b.judge()
	b.await("n1 no answer", alerts)
	b.looks(map[int]int{1: 10, 3: 10})
	b.await("n1 no answer closed", alerts)
	b.await("true", `SELECT bool_or(text LIKE 'a second look from pi % 0 of 10 lost; from b%' AND reason = 'not told: it is over')::text FROM newalerts WHERE decision = 'look'`)
	b.settled()
	b.await("", sent)
}

func TestAShortRunWithoutLossDoesNotContradictASmallLoss(t *testing.T) {
	for loss, want := range map[float64]string{25: "1 false", 60: "0 true"} {
		b := doubting(t)
		b.exec(`DELETE FROM pingdata WHERE toolspec_id = 1`)
		b.exec(`UPDATE rules SET second_look = true WHERE name = 'loss'`)
		b.pings(1, 0, 3, 12, 0)
		b.pings(1, 3, 6, 12, loss)
		stop := b.judge()
		b.looks(map[int]int{1: 10, 3: 10})
		b.await("1", `SELECT count(*)::text FROM newalerts WHERE decision = 'look'`)
		b.settled()
		b.await(want, `SELECT (SELECT count(*) FROM notices) || ' ' || (evidence ->> 'good') FROM newalerts WHERE decision = 'look'`)
		stop()
	}
}

func TestASecondLookThatFailsKeepsNothingBack(t *testing.T) {
	b := doubting(t)
	b.exec(`CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the schedule is full'; END $$`)
	b.exec(`CREATE TRIGGER no_room BEFORE INSERT ON schedule FOR EACH ROW EXECUTE FUNCTION no_room()`)
	b.judge()
	b.await("raise DOWN n1: no answer, 3 runs in a row", sent)
	b.await("true", `SELECT (text LIKE 'the second look failed: order a run of spec 1: %the schedule is full%')::text FROM newalerts WHERE decision = 'look'`)
}

func TestASecondLookThatBearsItOutIsTold(t *testing.T) {
	b := doubting(t)
	b.judge()
	b.await("n1 no answer", alerts)
	b.looks(map[int]int{1: 0, 3: 10})
	b.await("a second look from pi later: 10 of 10 lost; from b later: 0 of 10 lost", lookedAt)
	b.await("raise DOWN n1: no answer, 4 runs in a row", sent)
}

func TestWhatIsFoundAgainAfterASecondLookIsTold(t *testing.T) {
	b := doubting(t)
	b.judge()
	b.looks(map[int]int{1: 10, 3: 10})
	b.await("a second look from pi later: 0 of 10 lost; from b later: 0 of 10 lost", lookedAt)
	b.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, sent, received, loss_pct) SELECT 1, now(), 'ok', 10, 0, 100`)
	b.await("1", `SELECT count(*)::text FROM notices WHERE subject LIKE 'DOWN n1: no answer%'`)
}

func TestASecondLookThatNobodyTakesIsNotWaitedForForLong(t *testing.T) {
	b := doubting(t)
	stop := b.judge()
	b.await("2", `SELECT count(*)::text FROM schedule`)
	b.settled()
	b.await("", sent)
	stop()
	b.exec(`UPDATE analyst_mark SET state = jsonb_set(state, '{looks}', (SELECT jsonb_object_agg(key, value || jsonb_build_object('ordered', now() - interval '3 minutes')) FROM jsonb_each(state -> 'looks')))`)
	b.judge()
	b.await("raise DOWN n1: no answer, 3 runs in a row", sent)
	b.await("a second look from pi later: nothing so far; from b later: nothing so far", lookedAt)
	b.settled()
	b.await("2", `SELECT count(*)::text FROM schedule`)
}

func TestAMassOutageIsNoStormOfSecondLooks(t *testing.T) {
	b := setUp(t, 30)
	b.exec(`UPDATE rules SET second_look = true WHERE name = 'no answer'`)
	for i := 1; i <= 30; i++ {
		letters := "......."
		if i <= 14 { // not most of them: each is told for itself
			letters = "..LLLLL"
		}
		b.runs(i, 0, letters)
	}
	b.judge()
	b.await("14", `SELECT count(*)::text FROM alerts WHERE rule = 'no answer'`)
	b.await("4", `SELECT count(*)::text FROM notices`)
	b.await("4", `SELECT count(*)::text FROM newalerts WHERE decision = 'look' AND text = 'no second look: 10 were made within a minute'`)
	b.settled()
	b.await("10", `SELECT count(*)::text FROM schedule`)
}

func TestASecondLookLoadsNoPath(t *testing.T) {
	b := doubting(t)
	b.exec(`UPDATE toolspecs SET test_type = 'background-syn' WHERE tool = 'ping' AND node = 'n1'`)
	b.judge()
	b.await("raise DOWN n1: no answer, 3 runs in a row", sent)
	b.await("no second look: a run of ping loads the path, and runs alone", lookedAt)
	b.await("0", `SELECT count(*)::text FROM schedule`)
}

func TestAFindingOfOtherNodesTakesNoSecondLook(t *testing.T) {
	b := behindTwoHops(t)
	b.exec(`UPDATE rules SET second_look = true WHERE name = 'no answer'`)
	for i := 1; i <= 5; i++ {
		letters := "LLL"
		if i > 3 {
			letters = "..."
		}
		b.runs(i, 3, letters)
	}
	b.judge()
	b.await("shared hop", byRule)
	b.settled()
	b.await("0", `SELECT count(*)::text FROM schedule`)
	b.await("1", `SELECT count(*)::text FROM notices`)
}
