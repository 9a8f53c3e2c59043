package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// PageDaemon is what a daemon last reported.
type PageDaemon struct {
	Monhost, Name, Version, Doing     string
	PID                               int
	StartedAt, ReportedAt, PromisedAt time.Time
	Lag                               time.Duration
	SpoolFiles                        int
	Facts                             string
}

// Daemons gives the daemons by host and name.
func (r *Reading) Daemons(ctx context.Context) ([]PageDaemon, error) {
	rows, err := r.tx.Query(ctx, `SELECT monhost, name, version, doing, pid, started_at, reported_at, promised_at, extract(epoch FROM lag)::float8, spool_files,
		CASE WHEN facts = '{}' THEN '' ELSE facts::text END FROM daemons ORDER BY monhost, name LIMIT 5000`)
	if err != nil {
		return nil, fmt.Errorf("read daemons: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (PageDaemon, error) {
		var d PageDaemon
		var lag float64
		err := row.Scan(&d.Monhost, &d.Name, &d.Version, &d.Doing, &d.PID, &d.StartedAt, &d.ReportedAt, &d.PromisedAt, &lag, &d.SpoolFiles, &d.Facts)
		d.Lag = time.Duration(lag * float64(time.Second))
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("read daemons: %w", err)
	}
	return list, nil
}

// PagePlan says how the plan and its work stand.
type PagePlan struct {
	PlannedTo *time.Time // nil: nothing was ever planned
	Leader    string
	Due       int // runs due soon or now, not claimed
	UnderWay  int
	Overdue   int // past the instant by which they had to start, and still there
}

// Plan reads the mark of the scheduler and counts the schedule, which is small.
func (r *Reading) Plan(ctx context.Context) (PagePlan, error) {
	var p PagePlan
	err := r.tx.QueryRow(ctx, `SELECT (SELECT planned_to FROM schedule_mark), coalesce((SELECT leader FROM schedule_mark), ''),
		(count(*) FILTER (WHERE state = 'due'))::int, (count(*) FILTER (WHERE state = 'claimed'))::int,
		(count(*) FILTER (WHERE state = 'due' AND start_by < $1 OR lease_until < $1))::int FROM schedule`, r.Now).
		Scan(&p.PlannedTo, &p.Leader, &p.Due, &p.UnderWay, &p.Overdue)
	if err != nil {
		return p, fmt.Errorf("read the plan: %w", err)
	}
	return p, nil
}

// PageGaps are the gaps of all specs that began at one instant for one reason.
type PageGaps struct {
	From, Until time.Time
	Reason      string
	Specs       int
	Runs        int64
}

// NewestGaps gives the newest gaps, by minute and reason; the last 20,000 stored are
// looked at, and of those that a restore brought from a server that had counted further as many.
func (r *Reading) NewestGaps(ctx context.Context, most int) ([]PageGaps, error) {
	return collect[PageGaps](ctx, r, "gaps", `SELECT min(from_at), max(until_at), reason, count(DISTINCT toolspec_id)::int, sum(runs)::bigint
		FROM ((SELECT * FROM gaps WHERE stored_xid < `+counted+` ORDER BY stored_xid DESC LIMIT 20000)
			UNION ALL (SELECT * FROM gaps WHERE stored_xid >= `+counted+` ORDER BY stored_xid DESC LIMIT 20000)) g GROUP BY reason, date_trunc('minute', stored_at) ORDER BY 1 DESC LIMIT $1`, most)
}

// PageStep is a step of the database's clock.
type PageStep struct {
	At      time.Time
	Seconds float64
}

// ClockSteps gives the newest steps of the clock.
func (r *Reading) ClockSteps(ctx context.Context, most int) ([]PageStep, error) {
	return collect[PageStep](ctx, r, "steps of the clock", `SELECT at, seconds FROM clock_steps ORDER BY id DESC LIMIT $1`, most)
}

// PageHost is a monitoring host.
type PageHost struct {
	Name, Version, Described string
	Tools                    []string
	LastSeen                 *time.Time
	Specs                    int
}

// Hosts gives the monitoring hosts.
func (r *Reading) Hosts(ctx context.Context) ([]PageHost, error) {
	return collect[PageHost](ctx, r, "monitoring hosts", `SELECT m.name, m.version, m.described, m.tools, m.last_seen_at, coalesce(c.specs, 0)
		FROM monhosts m LEFT JOIN (SELECT monhost, count(*)::int AS specs FROM toolspecs WHERE enabled GROUP BY 1) c ON c.monhost = m.name ORDER BY m.name`)
}
