package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/plan"
)

// Rule is a row of rules as the analyst uses it.
type Rule struct {
	Name, Method, Tool, Metric, Node, Label string // "" for any
	Options                                 json.RawMessage
	Severity                                string
	Tolerance                               time.Duration
	Repeat                                  time.Duration // the setting where the rule has none
	Shadow                                  bool          // its alerts are told to nobody and hide nothing
	Grow                                    time.Duration // setting graver_after
	SecondLook                              bool
}

// Watched is an enabled spec as the analyst uses it.
type Watched struct {
	ID                         int64
	Monhost, Node, Tool, Label string
	Address                    string        // of the node
	Labels                     []string      // of the node
	RunInterval                time.Duration // 0 with run_at
	Usual                      time.Duration // how far apart its runs usually are, with run_at too
	Since                      time.Time
}

// Maintenance is planned quiet that is not over, or was over lately.
type Maintenance struct {
	ID          int64
	Node, Label string
	From, Until time.Time
	Text        string
}

// Covers reports whether the plan covers a node at an instant.
func (m Maintenance) Covers(node string, labels []string, at time.Time) bool {
	if at.Before(m.From) || !at.Before(m.Until) {
		return false
	}
	if m.Node != "" {
		return m.Node == node
	}
	if m.Label == "" {
		return true
	}
	for _, l := range labels {
		if l == m.Label {
			return true
		}
	}
	return false
}

// Configuration is all of it that the analyst goes by.
type Configuration struct {
	Rules       []Rule
	Specs       []Watched
	Parents     map[string]string
	Maintenance []Maintenance
	HostsSeen   map[string]time.Time // monitoring hosts: when one of its daemons reported last
	Steps       []ClockStep          // forward ones of the last two days
	TakenBack   time.Time            // up to here time comes again after a step backward; zero if there was none
	Mark        uint64               // hand it to the next call
	Same        bool                 // no spec or node has changed since the mark given: Specs is left out
}

// Configuration reads rules, enabled specs, parents and planned quiet; the specs
// only when one has changed since a mark, 0 for the first time.
func (j Judging) Configuration(ctx context.Context, mark uint64) (Configuration, error) {
	c := Configuration{Parents: map[string]string{}, HostsSeen: map[string]time.Time{}}
	wrap := func(err error) (Configuration, error) { return c, fmt.Errorf("read rules and specs: %w", err) }
	var err error
	if c.Rules, err = j.rules(ctx, "enabled"); err != nil {
		return c, err
	}
	if err := j.tx.QueryRow(ctx, `SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint`).Scan(&c.Mark); err != nil {
		return wrap(err)
	}
	changed := true
	if mark > 0 {
		if changed, err = specsChanged(ctx, j.tx, mark); err != nil {
			return c, err
		}
	}
	if c.Same = !changed; changed {
		if c.Specs, err = j.watched(ctx); err != nil {
			return c, err
		}
	}
	rows, err := j.tx.Query(ctx, `SELECT name, parent FROM nodes WHERE parent IS NOT NULL`)
	if err != nil {
		return wrap(err)
	}
	var name, parent string
	if _, err = pgx.ForEachRow(rows, []any{&name, &parent}, func() error { c.Parents[name] = parent; return nil }); err != nil {
		return wrap(err)
	}
	if c.Maintenance, err = j.maintenance(ctx, "until_at > clock_timestamp() - interval '2 days'"); err != nil {
		return c, err
	}
	if rows, err = j.tx.Query(ctx, `SELECT name, last_seen_at FROM monhosts WHERE last_seen_at IS NOT NULL`); err != nil {
		return wrap(err)
	}
	var seen time.Time
	if _, err = pgx.ForEachRow(rows, []any{&name, &seen}, func() error { c.HostsSeen[name] = seen.UTC(); return nil }); err != nil {
		return wrap(err)
	}
	if rows, err = j.tx.Query(ctx, `SELECT id, at, seconds, from_at, until_at FROM clock_steps WHERE seconds > 0 AND at > clock_timestamp() - interval '2 days' ORDER BY id`); err != nil {
		return wrap(err)
	}
	if c.Steps, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ClockStep]); err != nil {
		return wrap(err)
	}
	var takenBack *time.Time
	if err := j.tx.QueryRow(ctx, `SELECT max(until_at) FROM clock_steps WHERE seconds < 0`).Scan(&takenBack); err != nil {
		return wrap(err)
	}
	if takenBack != nil {
		c.TakenBack = *takenBack
	}
	return c, nil
}

// watched reads the enabled specs.
func (j Judging) watched(ctx context.Context) ([]Watched, error) {
	rows, err := j.tx.Query(ctx, `SELECT s.id, s.monhost, s.node, s.tool, s.label, n.address, n.labels, coalesce(extract(epoch FROM s.run_interval)::float8, 0), coalesce(s.run_at, ''), s.time_zone,
		greatest(s.timing_since, n.enabled_since)
		FROM toolspecs s JOIN nodes n ON n.name = s.node WHERE s.enabled AND n.enabled ORDER BY s.id`)
	if err != nil {
		return nil, fmt.Errorf("read specs: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Watched, error) {
		var w Watched
		var every float64
		var timing plan.Spec
		err := row.Scan(&w.ID, &w.Monhost, &w.Node, &w.Tool, &w.Label, &w.Address, &w.Labels, &every, &timing.RunAt, &timing.TimeZone, &w.Since)
		w.RunInterval = seconds(every)
		timing.RunInterval = w.RunInterval
		w.Usual = plan.Usual(timing)
		return w, err
	})
	if err != nil {
		return nil, fmt.Errorf("read specs: %w", err)
	}
	return list, nil
}

// rules reads the rules that fit a condition.
func (j Judging) rules(ctx context.Context, condition string) ([]Rule, error) {
	rows, err := j.tx.Query(ctx, `SELECT name, method, coalesce(tool, ''), coalesce(metric, ''), coalesce(node, ''), coalesce(label, ''), options, severity,
		extract(epoch FROM tolerance)::float8, coalesce(extract(epoch FROM repeat_limit)::float8, sonde_setting_seconds('repeat_limit')), sonde_setting_seconds('graver_after'), second_look, shadow
		FROM rules WHERE `+condition+` ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Rule, error) {
		var r Rule
		var tolerance, repeat, grow float64
		err := row.Scan(&r.Name, &r.Method, &r.Tool, &r.Metric, &r.Node, &r.Label, &r.Options, &r.Severity, &tolerance, &repeat, &grow, &r.SecondLook, &r.Shadow)
		r.Tolerance, r.Repeat, r.Grow = seconds(tolerance), seconds(repeat), seconds(grow)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	return list, nil
}

// maintenance reads the planned quiet that fits a condition, the last to end first.
func (j Judging) maintenance(ctx context.Context, condition string) ([]Maintenance, error) {
	rows, err := j.tx.Query(ctx, `SELECT id, coalesce(node, ''), coalesce(label, ''), from_at, until_at, text FROM maintenance
		WHERE `+condition+` ORDER BY until_at DESC`)
	if err != nil {
		return nil, fmt.Errorf("read maintenance: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Maintenance])
	if err != nil {
		return nil, fmt.Errorf("read maintenance: %w", err)
	}
	return list, nil
}

// AlignShadow makes open alerts follow their rules into shadow and out of it. In
// shadow an alert is part of no other.
func (j Judging) AlignShadow(ctx context.Context) error {
	if _, err := j.tx.Exec(ctx, `UPDATE alerts a SET shadow = r.shadow, part_of = CASE WHEN NOT r.shadow THEN a.part_of END FROM rules r WHERE r.name = a.rule AND a.closed_at IS NULL AND a.shadow <> r.shadow`); err != nil {
		return fmt.Errorf("alerts follow their rules into shadow: %w", err)
	}
	return nil
}

// Alert is what the analyst writes of an alert.
type Alert struct {
	ID                                  int64
	ToolspecID                          int64
	Subject, Monhost, Node, Tool, Label string
	Metric, Rule, Severity, Text        string
	BeganAt, RaisedAt                   time.Time
	Evidence                            map[string]any
	Planned, Late, Flapping, Shadow     bool
}

// OpenAlert writes an alert and gives its number. If one of the same subject,
// metric and rule is open already, it is taken over: there is never a second.
func (j Judging) OpenAlert(ctx context.Context, a Alert) (int64, error) {
	evidence, err := json.Marshal(a.Evidence)
	if err != nil {
		return 0, fmt.Errorf("evidence of an alert: %w", err)
	}
	var id int64
	err = j.tx.QueryRow(ctx, `INSERT INTO alerts (toolspec_id, subject, monhost, node, tool, label, metric, rule, severity, text, began_at, raised_at, planned, flapping, shadow, evidence)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
		ON CONFLICT (toolspec_id, subject, metric, rule) WHERE closed_at IS NULL DO UPDATE SET text = excluded.text, findings = alerts.findings + 1
		RETURNING id`,
		a.ToolspecID, a.Subject, a.Monhost, a.Node, a.Tool, a.Label, a.Metric, a.Rule, a.Severity, a.Text, a.BeganAt, a.RaisedAt, a.Planned, a.Flapping, a.Shadow, evidence).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("open an alert: %w", err)
	}
	return id, nil
}

// AlertChange is what a pass did to an alert.
type AlertChange struct {
	ID             int64
	Severity, Text string
	Findings       int // more of them
	Told           int // so many more times
	ToldAt         time.Time
	Flapping       bool
	PartOf         *int64 // nil: as it was; 0: of none
	Closed         bool
	EndedAt        time.Time
	CloseText      string
	Late           bool // closed, and never more than late data
}

// NewFinding is a row of newalerts.
type NewFinding struct {
	AlertID, ToolspecID               int64
	Monhost, Node, Tool, Metric, Rule string
	Kind, Severity                    string
	At, Since                         time.Time
	Decision, Reason, Text            string
	Evidence                          map[string]any
}

// NewTick is a row of ticks.
type NewTick struct {
	At         time.Time
	ToolspecID int64
	Rule       string
}

// Found is all that a pass writes beside new alerts and its mark.
type Found struct {
	Changes    []AlertChange
	Findings   []NewFinding
	Ticks      []NewTick
	States     []DetectorState
	Stretches  []Stretch
	Excursions []Excursion
	Forget     []int64 // specs whose detectors' state goes
	Notices    []Notice
}

// Write stores what a pass found.
func (j Judging) Write(ctx context.Context, f Found) error {
	batch := &pgx.Batch{}
	for _, c := range f.Changes {
		batch.Queue(`UPDATE alerts SET severity = $2, text = $3, findings = findings + $4, told_times = told_times + $5,
			told_at = CASE WHEN $5::int > 0 THEN $6::timestamptz ELSE told_at END, flapping = flapping OR $7, part_of = CASE WHEN $8::bigint IS NULL THEN part_of ELSE nullif($8::bigint, 0) END,
			closed_at = CASE WHEN $9 THEN clock_timestamp() END, ended_at = CASE WHEN $9 THEN $10::timestamptz END,
			close_text = CASE WHEN $9 THEN $11::text END, late = late OR $12 WHERE id = $1`,
			c.ID, c.Severity, c.Text, c.Findings, c.Told, c.ToldAt, c.Flapping, c.PartOf, c.Closed, c.EndedAt, c.CloseText, c.Late)
	}
	queueStates(batch, f.States)
	stretches, err := j.fitting(ctx, f.Stretches)
	if err != nil {
		return err
	}
	if err := j.writeStretches(ctx, stretches); err != nil {
		return err
	}
	queueExcursions(batch, f.Excursions)
	if len(f.Forget) > 0 {
		batch.Queue(`DELETE FROM detectors WHERE toolspec_id = ANY ($1)`, f.Forget)
	}
	queueTicks(batch, f.Ticks)
	for _, n := range f.Notices {
		batch.Queue(`INSERT INTO notices (alert_id, kind, severity, node, subject, text, short) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			n.AlertID, n.Kind, n.Severity, n.Node, n.Subject, n.Text, n.Short)
	}
	if batch.Len() > 0 {
		if err := j.tx.SendBatch(ctx, batch).Close(); err != nil {
			return fmt.Errorf("store what was found: %w", err)
		}
	}
	if len(f.Findings) == 0 {
		return nil
	}
	_, err = j.tx.CopyFrom(ctx, pgx.Identifier{"newalerts"},
		[]string{"alert_id", "toolspec_id", "monhost", "node", "tool", "metric", "rule", "kind", "severity", "at", "since", "decision", "reason", "text", "evidence"},
		pgx.CopyFromSlice(len(f.Findings), func(i int) ([]any, error) {
			n := f.Findings[i]
			evidence, err := json.Marshal(n.Evidence)
			if err != nil || n.Evidence == nil {
				evidence = []byte("{}")
			}
			return []any{optional(n.AlertID, n.AlertID == 0), n.ToolspecID, n.Monhost, n.Node, n.Tool, n.Metric, n.Rule, n.Kind, n.Severity, n.At,
				optional(n.Since, n.Since.IsZero()), n.Decision, n.Reason, n.Text, evidence}, nil
		}))
	if err != nil {
		return fmt.Errorf("store %d findings: %w", len(f.Findings), err)
	}
	return nil
}

// queueTicks writes ticks: when many specs are new there are some for each.
func queueTicks(batch *pgx.Batch, ticks []NewTick) {
	if len(ticks) == 0 {
		return
	}
	at, ids, rules := make([]time.Time, len(ticks)), make([]int64, len(ticks)), make([]string, len(ticks))
	for i, t := range ticks {
		at[i], ids[i], rules[i] = t.At, t.ToolspecID, t.Rule
	}
	batch.Queue(`INSERT INTO ticks (at, toolspec_id, rule) SELECT * FROM unnest($1::timestamptz[], $2::bigint[], $3::text[]) ON CONFLICT DO NOTHING`, at, ids, rules)
}

// Attention is what people did to an open alert.
type Attention struct {
	ID       int64
	AckedBy  string // "" when nobody took note
	Acked    bool
	SilentTo time.Time
}

// queueAttention reads it for all open alerts.
func queueAttention(batch *pgx.Batch, attention *map[int64]Attention) {
	batch.Queue(`SELECT id, coalesce(acked_by, ''), acked_at IS NOT NULL, coalesce(silent_until, '0001-01-01 00:00:00+00')
		FROM alerts WHERE closed_at IS NULL`).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Attention])
		if err != nil {
			return fmt.Errorf("read open alerts: %w", err)
		}
		*attention = make(map[int64]Attention, len(list))
		for _, a := range list {
			(*attention)[a.ID] = a
		}
		return nil
	})
}
