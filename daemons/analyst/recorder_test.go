package analyst_test

import (
	"testing"
	"time"
)

// What the two methods that foretell read, expect and find is rows: the series on
// its grid, the forecast with its band, and the excursion out of it.
func TestWhatIsReadExpectedAndFoundIsRows(t *testing.T) {
	b := setUp(t, 2)
	b.start = time.Now().UTC().Add(-24 * time.Hour).Truncate(24 * time.Hour)
	b.exec(`INSERT INTO rules (name, method, tool, metric, options) VALUES
		('hw', 'holt-winters', 'ping', 'rtt_median_ms', '{"seasons": "none", "interval": "1m", "unit": "ms"}'),
		('odd', 'anomaly', 'ping', 'rtt_median_ms', '{"kind": "latency", "unit": "ms"}')`)
	b.exec(`UPDATE toolspecs SET run_interval = '1 minute'`)
	b.exec(`UPDATE rules SET enabled = false WHERE name = 'no data'`) // yesterday's data are silent today
	b.exec(`SELECT sonde_make_partitions('pingdata', $1::date, $1::date)`, b.start)
	b.judge()
	b.settled()
	// 24 hours of 10 ms and a little; of the second node an hour of 40 ms in between.
	b.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, loss_pct, rtt_median_ms)
		SELECT spec, $1::timestamptz + m * interval '1 minute', 'ok', 0, CASE WHEN spec = 2 AND m BETWEEN 1200 AND 1259 THEN 40 ELSE 10 END + (m * 7919 % 13) * 0.02
		FROM generate_series(1, 2) spec, generate_series(0, 1439) m`, b.start)
	b.settled()

	// As it was measured, whichever rule wrote it.
	b.await("0", `SELECT count(*) FILTER (WHERE abs(d.rtt_median_ms - v.value) > 0.001)::text FROM regdata r, unnest(r.values) WITH ORDINALITY v (value, n), pingdata d
		WHERE r.step = '1 minute' AND r.metric = 'rtt_median_ms' AND d.toolspec_id = r.toolspec_id AND d.due_at = r.from_at + (v.n - 1) * r.step HAVING count(*) > 2500`)
	for _, rule := range []string{"hw", "odd"} {
		b.await("t t", `SELECT format('%s %s', bool_and(n > 1200), count(*) = 2) FROM (SELECT count(*) AS n FROM hwbands WHERE rule = $1 AND forecast IS NOT NULL GROUP BY toolspec_id) x`, rule)
		b.await("true", `SELECT bool_and(low < forecast AND forecast < high AND forecast BETWEEN 9 AND 12)::text FROM hwbands WHERE rule = $1 AND toolspec_id = 1 AND forecast IS NOT NULL AND at > $2`, rule, b.start.Add(5*time.Hour))
		// Of the first node nothing; of the second when it began, to some minutes, how bad it was, and its alert, which ends with it.
		b.await("2 t t t t", `SELECT string_agg(format('%s %s %s %s %s', h.toolspec_id, h.began_at BETWEEN $2::timestamptz - interval '1 minute' AND $2::timestamptz + interval '10 minutes',
			h.value > 39 AND h.value > h.high AND h.forecast < 20, a.rule = h.rule AND a.toolspec_id = h.toolspec_id, (a.closed_at IS NULL) = (h.ended_at IS NULL)), ', ' ORDER BY h.began_at)
			FROM hwalerts h LEFT JOIN alerts a ON a.id = h.alert_id WHERE h.rule = $1`, rule, b.start.Add(1200*time.Minute))
	}
	b.await("t", `SELECT format('%s', ended_at BETWEEN $1::timestamptz AND $1::timestamptz + interval '10 minutes') FROM hwalerts WHERE rule = 'hw'`, b.start.Add(1260*time.Minute))
}
