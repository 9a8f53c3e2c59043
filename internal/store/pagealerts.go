package store

import (
	"context"
	"fmt"
	"time"
)

// PageAlert is an alert as lists show it.
type PageAlert struct {
	ID, ToolspecID                      int64
	Subject, Monhost, Node, Tool, Label string
	Metric, Rule, Severity, Text        string
	BeganAt, RaisedAt                   time.Time
	EndedAt, ClosedAt                   *time.Time
	CloseText                           string
	Findings                            int
	ToldAt                              *time.Time
	ToldTimes                           int
	Planned, Late, Flapping, Shadow     bool
	PartOf                              int64
	AckedAt                             *time.Time
	AckedBy, AckNote                    string
	SilentUntil                         *time.Time
}

const alertColumns = `SELECT id, toolspec_id, subject, monhost, node, tool, label, metric, rule, severity, text, began_at, raised_at, ended_at, closed_at,
	coalesce(close_text, ''), findings, told_at, told_times, planned, late, flapping, shadow, coalesce(part_of, 0), acked_at, coalesce(acked_by, ''), coalesce(ack_note, ''), silent_until FROM alerts `

const worstFirst = `CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END`

// mostOpen bounds a list of open alerts; beyond it nobody reads on.
const mostOpen = 5000

// OpenAlerts gives the open alerts that are not in shadow, worst and newest first.
func (r *Reading) OpenAlerts(ctx context.Context) ([]PageAlert, error) {
	return collect[PageAlert](ctx, r, "open alerts", alertColumns+`WHERE closed_at IS NULL AND NOT shadow ORDER BY `+worstFirst+`, began_at DESC, id DESC LIMIT $1`, mostOpen)
}

// ShadowAlerts gives the alerts of rules in shadow, the open ones and then those begun last first.
func (r *Reading) ShadowAlerts(ctx context.Context, most int) ([]PageAlert, error) {
	return collect[PageAlert](ctx, r, "alerts in shadow", alertColumns+`WHERE shadow ORDER BY closed_at IS NOT NULL, began_at DESC, id DESC LIMIT $1`, most)
}

// ClosedAlerts gives closed alerts that are not in shadow, the one begun last first; before narrows it to those before that one, 0 does not.
func (r *Reading) ClosedAlerts(ctx context.Context, before int64, most int) ([]PageAlert, error) {
	return collect[PageAlert](ctx, r, "closed alerts", alertColumns+`WHERE closed_at IS NOT NULL AND NOT shadow
		AND ($1 = 0 OR (began_at, id) < (SELECT began_at, id FROM alerts WHERE id = $1)) ORDER BY began_at DESC, id DESC LIMIT $2`, before, most)
}

// NodeAlerts gives the alerts of a node that are not in shadow: the open ones, then those that began last.
func (r *Reading) NodeAlerts(ctx context.Context, node string, most int) ([]PageAlert, error) {
	return collect[PageAlert](ctx, r, "alerts of a node", alertColumns+`WHERE node = $1 AND NOT shadow ORDER BY closed_at IS NOT NULL, began_at DESC, id DESC LIMIT $2`, node, most)
}

// SpecAlerts gives the alerts of a spec that are not in shadow and touch [from, until], oldest first.
func (r *Reading) SpecAlerts(ctx context.Context, spec int64, from, until time.Time) ([]PageAlert, error) {
	return collect[PageAlert](ctx, r, "alerts of a spec", alertColumns+`WHERE toolspec_id = $1 AND NOT shadow AND began_at <= $3
		AND coalesce(ended_at, closed_at, 'infinity') >= $2 ORDER BY began_at DESC LIMIT 200`, spec, from, until)
}

// Alert gives one alert with its evidence, or ErrNone.
func (r *Reading) Alert(ctx context.Context, id int64) (PageAlert, []byte, error) {
	list, err := collect[PageAlert](ctx, r, "alert", alertColumns+`WHERE id = $1`, id)
	if err != nil {
		return PageAlert{}, nil, err
	}
	if len(list) == 0 {
		return PageAlert{}, nil, fmt.Errorf("alert %d: %w", id, ErrNone)
	}
	var evidence []byte
	if err := r.tx.QueryRow(ctx, `SELECT evidence FROM alerts WHERE id = $1`, id).Scan(&evidence); err != nil {
		return PageAlert{}, nil, fmt.Errorf("read the evidence of alert %d: %w", id, err)
	}
	return list[0], evidence, nil
}

// Hidden gives the alerts that are part of this one.
func (r *Reading) Hidden(ctx context.Context, id int64) ([]PageAlert, error) {
	return collect[PageAlert](ctx, r, "hidden alerts", alertColumns+`WHERE part_of = $1 ORDER BY closed_at IS NOT NULL, `+worstFirst+`, began_at DESC LIMIT 200`, id)
}

// PageFinding is one finding of a detector.
type PageFinding struct {
	At                     time.Time
	Kind, Severity, Rule   string
	Decision, Reason, Text string
	Evidence               []byte
}

// Findings gives the findings of an alert: the first ones and the newest, in order of time, and how many there are.
func (r *Reading) Findings(ctx context.Context, alert int64, most int) (list []PageFinding, all int, err error) {
	if err := r.tx.QueryRow(ctx, `SELECT count(*) FROM newalerts WHERE alert_id = $1`, alert).Scan(&all); err != nil {
		return nil, 0, fmt.Errorf("count findings: %w", err)
	}
	list, err = collect[PageFinding](ctx, r, "findings", `
		SELECT at, kind, severity, rule, decision, reason, text, evidence FROM (
			SELECT *, row_number() OVER (ORDER BY at, id) AS n, row_number() OVER (ORDER BY at DESC, id DESC) AS m FROM newalerts WHERE alert_id = $1) f
		WHERE n <= $2 OR m <= $2 ORDER BY at, id`, alert, most/2)
	return list, all, err
}

// NodeNotes gives the newest findings of a node that are only shown, such as changes of route.
func (r *Reading) NodeNotes(ctx context.Context, node string, from, until time.Time, most int) ([]PageFinding, error) {
	return collect[PageFinding](ctx, r, "notes", `SELECT at, kind, severity, rule, decision, reason, text, '{}'::jsonb FROM newalerts
		WHERE node = $1 AND at >= $2 AND at <= $3 AND kind = 'note' ORDER BY at DESC, id DESC LIMIT $4`, node, from, until, most)
}

// PageNotice is a message with one of its deliveries, or with none.
type PageNotice struct {
	ID                  int64
	Kind, Subject, Text string
	CreatedAt           time.Time
	DoneAt              *time.Time
	DoneText            string
	Recipient, Medium   string
	Address, State      string // "" when it was delivered to nobody yet
	Step, Tries         int
	Visible             bool
	Answer              string
	BeganAt, EndedAt    *time.Time
}

const noticeColumns = `SELECT n.id, n.kind, n.subject, n.text, n.created_at, n.done_at, coalesce(n.done_text, ''), coalesce(d.recipient, n.recipient, ''),
	coalesce(d.medium, ''), coalesce(d.address, ''), coalesce(d.state, ''), coalesce(d.step, 0), coalesce(d.tries, 0), coalesce(d.visible, true), coalesce(d.answer, ''), d.began_at, d.ended_at `

// Notices gives the messages of an alert with each attempt to deliver them, oldest first.
func (r *Reading) Notices(ctx context.Context, alert int64) ([]PageNotice, error) {
	return collect[PageNotice](ctx, r, "notices", noticeColumns+`FROM (SELECT * FROM notices WHERE alert_id = $1 ORDER BY created_at DESC LIMIT 100) n
		LEFT JOIN deliveries d ON d.notice_id = n.id ORDER BY n.created_at, n.id, d.recipient, d.step`, alert)
}

// Deliveries gives the newest attempts to deliver, newest first.
func (r *Reading) Deliveries(ctx context.Context, most int) ([]PageNotice, error) {
	return collect[PageNotice](ctx, r, "deliveries", noticeColumns+`FROM (SELECT * FROM deliveries ORDER BY id DESC LIMIT $1) d
		JOIN notices n ON n.id = d.notice_id ORDER BY d.id DESC`, most)
}

// PageMedium is a way to reach people and how it fared of late.
type PageMedium struct {
	Name, Type          string
	Enabled             bool
	OK, Failed, Unknown int
	LastOK, LastBad     *time.Time
	Ladders             []string
}

// Mediums gives the mediums with the newest of their deliveries; the last 10,000 of all are looked at.
func (r *Reading) Mediums(ctx context.Context) ([]PageMedium, error) {
	return collect[PageMedium](ctx, r, "mediums", `
		SELECT m.name, m.type, m.enabled, count(*) FILTER (WHERE d.state = 'ok')::int, count(*) FILTER (WHERE d.state = 'failed')::int,
			count(*) FILTER (WHERE d.state = 'unknown')::int, max(d.ended_at) FILTER (WHERE d.state = 'ok'), max(d.ended_at) FILTER (WHERE d.state IN ('failed', 'unknown')),
			ARRAY(SELECT format('%s, step %s', l.recipient, l.step) FROM ladders l WHERE l.medium = m.name ORDER BY l.recipient, l.step LIMIT 50)
		FROM mediums m LEFT JOIN (SELECT * FROM deliveries ORDER BY id DESC LIMIT 10000) d ON d.medium = m.name
		GROUP BY m.id ORDER BY m.name`)
}
