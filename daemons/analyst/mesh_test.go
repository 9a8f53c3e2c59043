package analyst_test

import "testing"

// swing makes twelve delays that swing together, each within 20 ms; the fifth goes
// the other way since six minutes ago, and stays within what it does every few minutes.
func (b *bench) swing() {
	b.Helper()
	b.exec(`UPDATE rules SET enabled = false`)
	b.exec(`SELECT sonde_make_partitions('pingdata', current_date - 1, current_date + 1)`)
	b.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, loss_pct, rtt_median_ms)
		SELECT spec, at, 'ok', 0, 50 + 3 * spec + 0.2 * (random() - 0.5)
			+ swing - CASE WHEN spec = 5 AND at > now() - interval '6 minutes' THEN 20 * sign(swing) ELSE 0 END
		FROM generate_series(1, 12) spec, generate_series(now() - interval '2 hours', now() + interval '5 minutes', interval '10 seconds') at,
			LATERAL (SELECT 10 * sin(extract(epoch FROM at)::float8 / 77) + 10 * sin(extract(epoch FROM at)::float8 / 41) AS swing) s`)
}

func TestManySeriesThatDoNotMoveTogetherAreOneAlert(t *testing.T) {
	b := setUp(t, 12)
	b.swing()
	b.exec(`INSERT INTO rules (name, method, tool, metric, severity, options) VALUES ('mesh', 'joint', 'ping', 'rtt_median_ms', 'warning', '{"step": "10s", "past": "1h30m", "instants": 1}')`)
	b.judge()
	b.await("ping.rtt_median_ms true", `SELECT coalesce((SELECT format('%s %s', subject, CASE WHEN text LIKE '12 series of ping.rtt_median_ms do not move together as usual; most of it: n5 from pi (%' THEN 'true' ELSE text END)
		FROM alerts WHERE rule = 'mesh'), '')`)
	// The instants that are judged next have not been read yet.
	b.exec(`UPDATE pingdata SET rtt_median_ms = 65 + swing FROM (SELECT due_at AS at, 10 * sin(extract(epoch FROM due_at)::float8 / 77) + 10 * sin(extract(epoch FROM due_at)::float8 / 41) AS swing FROM pingdata WHERE toolspec_id = 5) s
		WHERE toolspec_id = 5 AND due_at = at AND due_at > now() - interval '65 seconds'`)
	b.await("12 series move together as usual again", `SELECT coalesce((SELECT close_text FROM alerts WHERE rule = 'mesh' AND closed_at IS NOT NULL), '')`)
}

func TestTheAlertOfAMeshEndsWithItsRule(t *testing.T) {
	b := setUp(t, 12)
	b.swing()
	b.exec(`INSERT INTO rules (name, method, tool, metric, shadow, options) VALUES ('mesh', 'joint', 'ping', 'rtt_median_ms', true, '{"step": "10s", "past": "1h30m", "instants": 1}')`)
	b.judge()
	b.await("true", `SELECT coalesce((SELECT shadow::text FROM alerts WHERE rule = 'mesh'), '')`)
	b.await("0", `SELECT count(*)::text FROM notices`)
	b.exec(`UPDATE rules SET enabled = false`)
	b.await("rule mesh was switched off", `SELECT coalesce((SELECT close_text FROM alerts WHERE rule = 'mesh' AND closed_at IS NOT NULL), '')`)
}

// What was owed on trial is not told because the rule that says so is gone.
func TestWhatAMeshIsOwedGoesWithItsRule(t *testing.T) {
	b := setUp(t, 12)
	b.swing()
	b.exec(`INSERT INTO rules (name, method, tool, metric, shadow, options) VALUES ('mesh', 'joint', 'ping', 'rtt_median_ms', true, '{"step": "10s", "past": "1h30m", "instants": 1}')`)
	b.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$`)
	b.exec(`CREATE TRIGGER refuse BEFORE INSERT ON alerts FOR EACH ROW EXECUTE FUNCTION refuse()`)
	b.judge()
	b.await("1", `SELECT jsonb_array_length(coalesce(state #> '{episodes,mesh/ping.rtt_median_ms,owed}', '[]'))::text FROM analyst_mark`)
	b.exec(`UPDATE rules SET enabled = name = 'cannot be measured'`)
	b.await("false", `SELECT (state -> 'episodes' ? 'mesh/ping.rtt_median_ms')::text FROM (SELECT coalesce(state, '{}') || jsonb_build_object('episodes', coalesce(state -> 'episodes', '{}')) AS state FROM analyst_mark) x`)
	b.exec(`DROP TRIGGER refuse ON alerts`)
	b.settled()
	b.await("", alerts)
	b.await("", sent)
}

func TestAMeshThatIsNoLongerJudgedHasNoStandingAlert(t *testing.T) {
	b := setUp(t, 12)
	b.swing()
	b.exec(`INSERT INTO rules (name, method, tool, metric, options) VALUES ('mesh', 'joint', 'ping', 'rtt_median_ms', '{"step": "10s", "past": "1h30m", "instants": 1}')`)
	b.judge()
	b.await("1", `SELECT count(*)::text FROM alerts WHERE rule = 'mesh'`)
	b.exec(`UPDATE toolspecs SET enabled = false WHERE id > 2`)
	b.await("no longer judged: the rule covers 2 series whose data are there; three are needed", `SELECT coalesce((SELECT close_text FROM alerts WHERE rule = 'mesh' AND closed_at IS NOT NULL), '')`)
}

// One rule whose data cannot be read is no reason for the others to be silent.
func TestAMeshThatFailsStopsNobodyElse(t *testing.T) {
	b := setUp(t, 12)
	b.swing()
	b.exec(`UPDATE pingdata SET rtt_median_ms = 1.7e308 WHERE toolspec_id = 7`) // their mean is more than a float8 holds
	b.exec(`UPDATE pingdata SET loss_pct = 100 WHERE toolspec_id = 1 AND due_at > now() - interval '5 minutes'`)
	b.exec(`INSERT INTO rules (name, method, tool, metric, options) VALUES ('mesh', 'joint', 'ping', 'rtt_median_ms', '{"step": "1m", "past": "1h30m", "instants": 1}'),
		('long', 'joint', 'ping', 'rtt_median_ms', '{"step": "10s", "past": "30d"}')`)
	b.exec(`UPDATE rules SET enabled = true WHERE name = 'no answer'`)
	b.judge()
	b.await("n1 no answer", alerts)
}
