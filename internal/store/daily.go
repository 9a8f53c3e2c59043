package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Day is what the daily message tells of.
type Day struct {
	Counted        bool // whether the runs could be counted in time
	OK, Failed     int64
	Missed         int64
	Nodes          int64    // enabled ones
	OpenAlerts     int64    // not planned
	Worst          []string // the first few of them, "DOWN cern"
	AlertsInTheDay int64    // begun in the day, over or not
	UnsentInTheDay int64    // deliveries that failed
	DaemonsLate    []string // daemons that broke their promise
	DaemonsBehind  []string // daemons that are a quarter of an hour and more behind their work
}

// CountDay counts what happened between two instants. Counting many runs may
// take too long; then the rest is told without them.
func (s *Store) CountDay(ctx context.Context, from, until time.Time, patience time.Duration) (Day, error) {
	var day Day
	err := s.pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM nodes WHERE enabled),
		       (SELECT count(*) FROM alerts WHERE closed_at IS NULL AND NOT planned AND NOT shadow AND part_of IS NULL),
		       ARRAY(SELECT coalesce(nullif(node, ''), nullif(subject, ''), monhost) || ': ' || text FROM alerts
		             WHERE closed_at IS NULL AND NOT planned AND NOT shadow AND part_of IS NULL
		             ORDER BY array_position(ARRAY['critical', 'warning', 'info'], severity), began_at LIMIT 20),
		       (SELECT count(*) FROM alerts WHERE began_at >= $1 AND began_at < $2 AND NOT late AND NOT shadow),
		       (SELECT count(*) FROM deliveries WHERE began_at >= $1 AND began_at < $2 AND state = 'failed'),
		       ARRAY(SELECT name || ' on ' || monhost FROM daemons WHERE promised_at < now() - interval '1 minute' AND reported_at > now() - interval '7 days'
		             ORDER BY monhost, name LIMIT 20),
		       ARRAY(SELECT name || ' on ' || monhost FROM daemons WHERE promised_at >= now() - interval '1 minute' AND lag >= interval '15 minutes'
		             ORDER BY monhost, name LIMIT 20)`, from, until).
		Scan(&day.Nodes, &day.OpenAlerts, &day.Worst, &day.AlertsInTheDay, &day.UnsentInTheDay, &day.DaemonsLate, &day.DaemonsBehind)
	if err != nil {
		return day, fmt.Errorf("count the day: %w", err)
	}
	counting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rows, err := s.pool.Query(counting, "SELECT outcome, sum(runs)::bigint FROM runs WHERE due_at >= $1 AND due_at < $2 GROUP BY outcome", from, until)
	if err == nil {
		var outcome string
		var n int64
		_, err = pgx.ForEachRow(rows, []any{&outcome, &n}, func() error {
			switch outcome {
			case "ok":
				day.OK = n
			case "fail":
				day.Failed = n
			case "missed":
				day.Missed = n
			}
			return nil
		})
	}
	if err != nil && counting.Err() == nil {
		return day, fmt.Errorf("count the day's runs: %w", err)
	}
	day.Counted = err == nil
	return day, nil
}

// DailyDone tells whether a recipient has the daily message of that day of theirs.
func (s *Store) DailyDone(ctx context.Context, recipient string, day time.Time) (bool, error) {
	var done bool
	err := s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM notices WHERE kind = 'daily' AND recipient = $1 AND day = $2::date)", recipient, dayOrNull(day)).Scan(&done)
	if err != nil {
		return false, fmt.Errorf("look for the daily message: %w", err)
	}
	return done, nil
}
