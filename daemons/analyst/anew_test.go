package analyst_test

import (
	"testing"
	"time"
)

// A detector that starts anew knows of no episode: nothing would ever end it.
func TestAnAlertEndsWhenItsDetectorStartsAnewAtAnotherInterval(t *testing.T) {
	b := setUp(t, 1)
	b.start = time.Now().UTC().Add(-24 * time.Hour).Truncate(24 * time.Hour)
	b.exec(`INSERT INTO rules (name, method, tool, metric, options) VALUES
		('hw', 'holt-winters', 'ping', 'rtt_median_ms', '{"seasons": "none", "unit": "ms"}'), ('odd', 'anomaly', 'ping', 'rtt_median_ms', '{"kind": "latency", "unit": "ms"}')`)
	b.exec(`UPDATE toolspecs SET run_interval = '1 minute'`)
	b.exec(`UPDATE rules SET enabled = false WHERE name IN ('no data', 'delay')`)
	b.exec(`SELECT sonde_make_partitions('pingdata', $1::date, $1::date)`, b.start)
	b.judge()
	b.settled()
	b.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, loss_pct, rtt_median_ms)
		SELECT 1, $1::timestamptz + m * interval '1 minute', 'ok', 0, CASE WHEN m > 1425 THEN 40 ELSE 10 END + (m * 7919 % 13) * 0.02 FROM generate_series(0, 1439) m`, b.start)
	b.await("hw odd", `SELECT coalesce(string_agg(rule, ' ' ORDER BY rule), '') FROM alerts WHERE closed_at IS NULL AND node = 'n1'`)
	b.exec(`UPDATE toolspecs SET run_interval = '2 minutes'`)
	b.await("hw odd", `SELECT coalesce(string_agg(rule, ' ' ORDER BY rule), '') FROM alerts WHERE closed_at IS NOT NULL AND close_text = 'no longer watched: it is judged anew: its interval was changed'`)
	b.await("0", `SELECT count(*)::text FROM hwalerts WHERE ended_at IS NULL`)
}

func TestAnAlertWhoseDetectorCannotBeReadIsClosed(t *testing.T) {
	const print = `no-answer loss_pct {}` // then come the interval and the length of its detector's state
	for name, broken := range map[string]string{
		"the whole state": `'\xff'`,
		"one detector's":  `overlay(state PLACING '\xff'::bytea FROM position('` + print + `'::bytea IN state) + length('` + print + `') + 8 + 4)`,
	} {
		t.Run(name, func(t *testing.T) {
			b := setUp(t, 1)
			b.runs(1, 0, ".LLL")
			stop := b.judge()
			b.await("n1 no answer", alerts)
			stop()
			b.exec(`UPDATE detectors SET state = ` + broken)
			b.judge()
			b.await("n1 no answer closed", alerts)
			b.await("no longer watched: it is judged anew: its saved state cannot be used", `SELECT close_text FROM alerts`)
		})
	}
}
