package analyst_test

import "testing"

const peaks = `INSERT INTO rules (name, method, tool, metric, options) VALUES ('peaks', 'limit', 'ping', 'rtt_max_ms', '{"limit": 50, "runs": 3, "of": 3, "unit": "ms"}')`

// history stores a run a day of a spec, from so many days ago to so many, longest delays of ms.
func (b *bench) history(spec, from, to int, ms float64) {
	b.Helper()
	b.exec(`SELECT sonde_make_partitions('pingdata', (now() AT TIME ZONE 'UTC')::date - $1::int, (now() AT TIME ZONE 'UTC')::date)`, from)
	b.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, loss_pct, rtt_max_ms)
		SELECT $1, now() - d * interval '1 day', 'ok', 0, $4 FROM generate_series($3::int, $2::int) d`, spec, from, to, ms)
}

// Each second only the last days are looked at, and what is stored of older ones is found all the same.
func TestResultsOfLongAgoAreJudgedWhenTheyAreStored(t *testing.T) {
	b := setUp(t, 2)
	b.exec(peaks)
	b.judge()
	b.settled()
	b.await("true", `SELECT (whole_at IS NOT NULL)::text FROM analyst_mark`)
	b.history(1, 40, 30, 90)
	b.await("n1: 3 of the last 3 values over 50 ms, now 90 ms", `SELECT coalesce(string_agg(node || ': ' || text, ', '), '') FROM alerts WHERE rule = 'peaks'`)
	// Late results take the place of runs that were noted as missed.
	b.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, reason) SELECT 2, now() - d * interval '1 day', 'missed', 'no worker: silent' FROM generate_series(20, 25) d`)
	b.settled()
	b.exec(`UPDATE pingdata SET outcome = 'ok', reason = NULL, loss_pct = 0, rtt_max_ms = 91, late = true, stored_xid = pg_current_xact_id() WHERE toolspec_id = 2`)
	b.await("6 results", `SELECT coalesce(max(evidence ->> 'results'), 'no') || ' results' FROM newalerts WHERE rule = 'late' AND node = 'n2'`)
}

// Days in which nobody read are read in parts; until the last one they all count as unread.
func TestDaysWithoutAnAnalystAreReadInParts(t *testing.T) {
	b := setUp(t, 1)
	b.rows = 5
	b.exec(peaks)
	b.exec(`UPDATE rules SET options = options || '{"runs": 20, "of": 39}' WHERE name = 'peaks'`)
	stop := b.judge()
	b.settled()
	b.await("true", `SELECT (whole_at IS NOT NULL)::text FROM analyst_mark`)
	stop()
	b.exec(`ALTER TABLE pingdata DISABLE TRIGGER note_old_day`) // they were stored when they were due
	b.exec(`UPDATE analyst_mark SET whole_at = now() - interval '40 days'`)
	for d := 39; d > 0; d-- {
		b.history(1, d, d, 10+float64(d%2)*80)
	}
	b.judge()
	b.await("20 of the last 39 values over 50 ms, now 90 ms", `SELECT coalesce(string_agg(text, ', '), '') FROM alerts WHERE rule = 'peaks'`)
	b.settled()
	if got := b.text(`SELECT count(*)::text FROM newalerts WHERE rule = 'late'`); got != "0" {
		t.Errorf("%s results came late\n%s", got, b.story())
	}
}
