package analyst_test

import "testing"

// Columns are read when a rule wants them: from the moment it is there, and by an
// analyst that comes after.
func TestARuleOfAnotherMetricIsHeededFromThenOn(t *testing.T) {
	b := setUp(t, 1)
	stop := b.judge()
	b.settled()
	store := func(minute int, most float64) {
		b.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, loss_pct, rtt_max_ms) VALUES (1, $1::timestamptz + $2 * interval '1 minute', 'ok', 0, $3)`, b.start, minute, most)
		b.settled()
	}
	store(0, 90)
	b.exec(`INSERT INTO rules (name, method, tool, metric, options) VALUES ('peaks', 'limit', 'ping', 'rtt_max_ms', '{"limit": 50, "runs": 3, "of": 3, "unit": "ms"}')`)
	b.await("1", `SELECT count(*)::text FROM detectors WHERE position('peaks'::bytea IN state) > 0`)
	store(1, 91)
	store(2, 92)
	stop()
	b.judge()
	store(3, 93)
	b.await("3 of the last 3 values over 50 ms, now 93 ms", `SELECT coalesce(string_agg(text, ' '), '') FROM alerts WHERE rule = 'peaks'`)
}
