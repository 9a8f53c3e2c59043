package analyst_test

import (
	"testing"
	"time"

	"sonde/internal/plan"
)

// The default detector knows from the expression how far apart the samples are.
func TestWhatRunsAtTimesOfACrontabIsJudged(t *testing.T) {
	b := setUp(t, 4)
	b.exec(`UPDATE rules SET enabled = false WHERE name <> 'no data'`)
	b.exec(`INSERT INTO rules (name, method, tool, metric, options) VALUES ('odd', 'anomaly', 'ping', 'rtt_median_ms', '{"kind": "latency", "unit": "ms"}')`)
	now := time.Now().UTC()
	b.exec(`SELECT sonde_make_partitions('pingdata', $1::date, $2::date)`, now.AddDate(0, 0, -100), now)
	for i, expr := range []string{"0 * * * *", "*/10 * * * *", "0 3 * * *", "30 6 * * 1-5"} {
		b.exec(`UPDATE toolspecs SET run_interval = NULL, run_at = $2 WHERE id = $1`, i+1, expr)
		s := plan.Spec{RunAt: expr}
		due := plan.Append(nil, s, now.Add(-100*plan.Usual(s)).Add(-time.Hour), now)
		due = due[max(0, len(due)-100):]
		b.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, loss_pct, rtt_median_ms)
			SELECT $1, at, 'ok', 0, CASE WHEN n > cardinality($2::timestamptz[]) - 6 THEN 60 ELSE 10 END + (n * 7919 % 13) * 0.02 FROM unnest($2::timestamptz[]) WITH ORDINALITY x(at, n)`, i+1, due)
	}
	b.judge()
	const odd = `SELECT coalesce(string_agg(node || CASE WHEN closed_at IS NULL THEN '' ELSE ' ' || close_text END, ', ' ORDER BY node, id), '') FROM alerts WHERE node <> ''`
	b.await("n1, n2, n3, n4", odd)
	b.await("", `SELECT coalesce(string_agg(toolspec_id || ': ' || not_judged::text, ', '), '') FROM detectors WHERE not_judged::text <> '{}'`)

	// The same distance at another hour is the same series, another distance a new one.
	b.exec(`UPDATE toolspecs SET run_at = '15 4 * * *' WHERE id = 3`)
	b.exec(`UPDATE toolspecs SET run_at = '0 3 * * *' WHERE id = 1`)
	b.await("n1 no longer watched: it is judged anew: its interval was changed, n2, n3, n4", odd)
	b.settled()
	b.await("n1 no longer watched: it is judged anew: its interval was changed, n2, n3, n4", odd)
}
