package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/measure"
)

// ErrNoNode says that there is no node of that name.
var ErrNoNode = errors.New("no such node")

// AlertRow is an alert as the command line shows it.
type AlertRow struct {
	ID          int64           `json:"id"`
	ToolspecID  int64           `json:"toolspec_id"`
	About       string          `json:"about"` // node, or subject
	Monhost     string          `json:"monhost"`
	Tool        string          `json:"tool"`
	Metric      string          `json:"metric"`
	Rule        string          `json:"rule"`
	Severity    string          `json:"severity"`
	Text        string          `json:"text"`
	BeganAt     time.Time       `json:"began_at"`
	RaisedAt    time.Time       `json:"raised_at"`
	EndedAt     *time.Time      `json:"ended_at,omitempty"`
	ClosedAt    *time.Time      `json:"closed_at,omitempty"`
	CloseText   string          `json:"close_text,omitempty"`
	Findings    int             `json:"findings"`
	ToldTimes   int             `json:"told_times"`
	Planned     bool            `json:"planned,omitempty"`
	Late        bool            `json:"late,omitempty"`
	Flapping    bool            `json:"flapping,omitempty"`
	Shadow      bool            `json:"shadow,omitempty"`
	PartOf      int64           `json:"part_of,omitempty"`
	AckedBy     string          `json:"acked_by,omitempty"`
	SilentUntil *time.Time      `json:"silent_until,omitempty"`
	Evidence    json.RawMessage `json:"evidence,omitempty"`
	Unit        string          `json:"unit,omitempty"` // of the metric
}

const alertRow = `SELECT id, toolspec_id, coalesce(nullif(node, ''), nullif(subject, ''), monhost), monhost, tool, metric, rule, severity, text, began_at, raised_at,
	ended_at, closed_at, coalesce(close_text, ''), findings, told_times, planned, late, flapping, shadow, coalesce(part_of, 0),
	CASE WHEN acked_at IS NULL THEN '' ELSE coalesce(nullif(acked_by, ''), 'somebody') END, silent_until, evidence,
	coalesce((SELECT m ->> 'unit' FROM tools t, jsonb_array_elements(t.metrics) m WHERE t.name = alerts.tool AND m ->> 'name' = alerts.metric LIMIT 1), '') FROM alerts `

// ListAlerts gives open alerts, worst first; with closed those of the past as well. node narrows it.
func (s *Store) ListAlerts(ctx context.Context, node string, closed bool, most int) ([]AlertRow, error) {
	return listed[AlertRow](ctx, s, "alerts", alertRow+`WHERE ($1 = '' OR node = $1 OR subject = $1) AND ($2 OR closed_at IS NULL)
		ORDER BY closed_at IS NOT NULL, shadow, array_position(ARRAY['critical', 'warning', 'info'], severity), began_at DESC LIMIT $3`, node, closed, most)
}

func listed[T any](ctx context.Context, s *Store, what, sql string, args ...any) ([]T, error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return list, nil
}

// ToldFinding is a finding with what was decided on it and why.
type ToldFinding struct {
	AlertID  int64     `json:"alert_id,omitempty"`
	Rule     string    `json:"rule"`
	Tool     string    `json:"tool,omitempty"`
	Kind     string    `json:"kind"`
	At       time.Time `json:"at"`
	Decision string    `json:"decision"`
	Text     string    `json:"text"`
	Reason   string    `json:"reason"`
	Times    int       `json:"times"` // so many in a row with the same decision
}

// findingRows merges the many that feed an alert, one after the other, into one line.
const findingRows = `SELECT alert_id, rule, tool, kind, max(at), decision, (array_agg(text ORDER BY id DESC))[1], (array_agg(reason ORDER BY id DESC))[1], count(*)::int
	FROM (SELECT *, row_number() OVER (ORDER BY id) - row_number() OVER (PARTITION BY toolspec_id, rule, decision, kind ORDER BY id) AS run FROM (
		SELECT id, coalesce(alert_id, 0) AS alert_id, toolspec_id, rule, tool, kind, at, decision, text, reason FROM newalerts WHERE %s ORDER BY id DESC LIMIT 5000) x) y
	GROUP BY alert_id, toolspec_id, rule, tool, kind, decision, run ORDER BY max(id)`

// ToldNotice is a notice with its deliveries.
type ToldNotice struct {
	ID         int64          `json:"id"`
	AlertID    int64          `json:"alert_id"`
	Kind       string         `json:"kind"`
	Subject    string         `json:"subject"`
	CreatedAt  time.Time      `json:"created_at"`
	Done       string         `json:"done"` // how it ended; "" while something is left to do
	Deliveries []ToldDelivery `json:"deliveries"`
}

// ToldDelivery is one attempt.
type ToldDelivery struct {
	NoticeID  int64      `json:"-"`
	Recipient string     `json:"recipient"`
	Step      int        `json:"step"`
	Medium    string     `json:"medium"`
	Address   string     `json:"address"`
	State     string     `json:"state"`
	Answer    string     `json:"answer"`
	BeganAt   time.Time  `json:"began_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
}

func (s *Store) toldNotices(ctx context.Context, alerts []int64) ([]ToldNotice, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, coalesce(alert_id, 0), kind, subject, created_at,
		CASE WHEN done_at IS NULL THEN '' ELSE coalesce(nullif(done_text, ''), 'done') END FROM notices WHERE alert_id = ANY ($1) ORDER BY id`, alerts)
	if err != nil {
		return nil, fmt.Errorf("read notices: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ToldNotice, error) {
		n := ToldNotice{Deliveries: []ToldDelivery{}}
		return n, row.Scan(&n.ID, &n.AlertID, &n.Kind, &n.Subject, &n.CreatedAt, &n.Done)
	})
	if err != nil {
		return nil, fmt.Errorf("read notices: %w", err)
	}
	ids := make([]int64, len(list))
	at := map[int64]int{}
	for i, n := range list {
		ids[i], at[n.ID] = n.ID, i
	}
	deliveries, err := listed[ToldDelivery](ctx, s, "deliveries", `SELECT notice_id, recipient, step, medium, address, state, coalesce(answer, ''), began_at, ended_at
		FROM deliveries WHERE notice_id = ANY ($1) ORDER BY notice_id, recipient, step`, ids)
	for _, d := range deliveries {
		n := &list[at[d.NoticeID]]
		n.Deliveries = append(n.Deliveries, d)
	}
	return list, err
}

// ToldComment is what a person wrote.
type ToldComment struct {
	At     time.Time `json:"at"`
	Author string    `json:"author"`
	Text   string    `json:"text"`
}

// Ladder is one way to a person, as it is now.
type Ladder struct {
	Recipient string `json:"recipient"`
	Step      int    `json:"step"`
	Medium    string `json:"medium"`
	Address   string `json:"address"`
	Problem   string `json:"problem,omitempty"` // why this step is not used
}

// AlertStory is all that is known of one alert.
type AlertStory struct {
	Alert    AlertRow      `json:"alert"`
	Findings []ToldFinding `json:"findings"`
	Notices  []ToldNotice  `json:"notices"`
	Comments []ToldComment `json:"comments"`
	Mark     *Incident     `json:"mark,omitempty"` // what people think of it
	Hides    []AlertRow    `json:"hides"`
	Part     *AlertRow     `json:"part,omitempty"` // the alert that hides it
	Ladders  []Ladder      `json:"ladders"`

	Route *measure.RouteChange `json:"route,omitempty"` // of an alert about a route: as it is known by now
}

// ExplainAlert reads the story of an alert.
func (s *Store) ExplainAlert(ctx context.Context, id int64) (AlertStory, error) {
	var st AlertStory
	list, err := listed[AlertRow](ctx, s, "alert", alertRow+`WHERE id = $1`, id)
	if err != nil {
		return st, err
	}
	if len(list) == 0 {
		return st, fmt.Errorf("%w: a%d", ErrNoAlert, id)
	}
	st.Alert = list[0]
	if st.Findings, err = listed[ToldFinding](ctx, s, "findings", fmt.Sprintf(findingRows, "alert_id = $1"), id); err != nil {
		return st, err
	}
	if st.Notices, err = s.toldNotices(ctx, []int64{id}); err != nil {
		return st, err
	}
	if st.Comments, err = listed[ToldComment](ctx, s, "comments", `SELECT at, author, text FROM comments WHERE alert_id = $1 ORDER BY at, id`, id); err != nil {
		return st, err
	}
	marks, err := listed[Incident](ctx, s, "incidents", incidentRow+`WHERE i.alert_id = $1`, id)
	if err != nil {
		return st, err
	}
	if len(marks) > 0 {
		st.Mark = &marks[0]
	}
	if st.Hides, err = listed[AlertRow](ctx, s, "hidden alerts", alertRow+`WHERE part_of = $1 ORDER BY id LIMIT 200`, id); err != nil {
		return st, err
	}
	if part, err := listed[AlertRow](ctx, s, "the alert that hides it", alertRow+`WHERE id = $1`, st.Alert.PartOf); err != nil {
		return st, err
	} else if len(part) > 0 {
		st.Part = &part[0]
	}
	if st.Ladders, err = s.laddersFor(ctx, id, st.Alert.About, st.Alert.Severity); err != nil {
		return st, err
	}
	var about bool
	if err := s.pool.QueryRow(ctx, `SELECT $1 > 0 AND EXISTS (SELECT FROM rules WHERE name = $2 AND method = 'route')`, st.Alert.ToolspecID, st.Alert.Rule).Scan(&about); err != nil || !about {
		return st, err
	}
	change, err := s.RouteChangeEffects(ctx, st.Alert.ToolspecID, st.Alert.BeganAt)
	if errors.Is(err, ErrNone) {
		return st, nil // its rows are gone
	}
	st.Route = &change
	return st, err
}

// laddersFor gives the ways to the people whom the policies choose for alerts of
// a node. Who heard of this alert for what it hides is one of them.
func (s *Store) laddersFor(ctx context.Context, alert int64, node, severity string) ([]Ladder, error) {
	return listed[Ladder](ctx, s, "ladders", `
		SELECT r.name, coalesce(l.step, 0), coalesce(l.medium, ''), coalesce(l.address, ''),
			CASE WHEN NOT r.enabled THEN 'the recipient is switched off'
				WHEN l.step IS NULL THEN 'the recipient has no ladder'
				WHEN NOT m.enabled THEN 'the medium is switched off'
				WHEN EXISTS (SELECT FROM policies WHERE enabled) AND NOT EXISTS (SELECT FROM policies p WHERE p.recipient = r.name
						AND `+fmt.Sprintf(chooses, "$1", "(SELECT labels FROM nodes WHERE name = $1)", "$2")+`)
					AND NOT EXISTS (SELECT FROM notices n WHERE n.alert_id = $3 AND n.recipient = r.name)
					THEN 'no policy chooses this recipient for it'
				ELSE '' END
		FROM recipients r LEFT JOIN ladders l ON l.recipient = r.name LEFT JOIN mediums m ON m.name = l.medium ORDER BY r.name, l.step`, node, severity, alert)
}

// RecentRun is the end of one run.
type RecentRun struct {
	DueAt   time.Time `json:"due_at"`
	Outcome string    `json:"outcome"`
	Reason  string    `json:"reason,omitempty"`
	Runs    int       `json:"runs"` // more than one for a gap
	Late    bool      `json:"late,omitempty"`

	// What it measured, in the tool's order, of the metrics that rules name; of all if none does.
	Values []ToldValue `json:"values,omitempty"`
}

// ToldValue is one number that a run measured; nil when it gave no such number.
type ToldValue struct {
	Metric string   `json:"metric"`
	Unit   string   `json:"unit"`
	Value  *float64 `json:"value"`
}

// SpecStory is a spec at a moment.
type SpecStory struct {
	ID       int64       `json:"id"`
	Monhost  string      `json:"monhost"`
	Tool     string      `json:"tool"`
	Label    string      `json:"label"`
	Enabled  bool        `json:"enabled"`
	JudgedTo *time.Time  `json:"judged_to,omitempty"`
	Runs     []RecentRun `json:"runs"`
	Rules    []string    `json:"rules"` // that watch it now

	NotJudged map[string]string `json:"not_judged,omitempty"` // by rule: why its detector does not judge

	table, read string // where its rows are, and which of them the analyst has read
}

// NodeStory is all that is known of a node at a moment.
type NodeStory struct {
	Node        string        `json:"node"`
	At          time.Time     `json:"at"`
	Enabled     bool          `json:"enabled"`
	Specs       []SpecStory   `json:"specs"`
	Alerts      []AlertRow    `json:"alerts"`   // that stood at the moment, or began in the six hours before
	Findings    []ToldFinding `json:"findings"` // of those hours
	Notices     []ToldNotice  `json:"notices"`
	Maintenance []Maintenance `json:"maintenance"` // that covers the moment
	Ladders     []Ladder      `json:"ladders"`

	Routes []measure.RouteChange `json:"routes"` // the last changes of those hours, and what came with them
}

// routesTold is how many changes of routes the story of a node has.
const routesTold = 5

// before is how far back the story of a node goes.
const before = 6 * time.Hour

// ExplainNode reads the story of a node at a moment; the zero time is now.
func (s *Store) ExplainNode(ctx context.Context, node string, at time.Time) (NodeStory, error) {
	st := NodeStory{Node: node}
	var moment *time.Time
	if !at.IsZero() {
		moment = &at
	}
	err := s.pool.QueryRow(ctx, `SELECT enabled, coalesce($2::timestamptz, now()) FROM nodes WHERE name = $1`, node, moment).Scan(&st.Enabled, &st.At)
	if errors.Is(err, pgx.ErrNoRows) {
		return st, fmt.Errorf("%w: %q", ErrNoNode, node)
	}
	if err != nil {
		return st, fmt.Errorf("read node %q: %w", node, err)
	}
	st.At = st.At.UTC()
	from := st.At.Add(-before)
	rows, err := s.pool.Query(ctx, `SELECT s.id, s.monhost, s.tool, s.label, s.enabled, d.judged_to, coalesce(d.not_judged, '{}'), t.table_name, coalesce(m.state -> 'held' -> s.monhost ->> 'read', m.state ->> 'snapshot', ''),
		ARRAY(SELECT r.name FROM rules r, nodes n WHERE n.name = s.node AND r.enabled AND coalesce(r.tool, s.tool) = s.tool AND coalesce(r.node, s.node) = s.node
			AND (r.label IS NULL OR r.label = ANY (n.labels)) ORDER BY r.name)
		FROM toolspecs s JOIN tools t ON t.name = s.tool CROSS JOIN analyst_mark m LEFT JOIN detectors d ON d.toolspec_id = s.id WHERE s.node = $1 ORDER BY s.id LIMIT 50`, node)
	if err != nil {
		return st, fmt.Errorf("read specs of %q: %w", node, err)
	}
	if st.Specs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (SpecStory, error) {
		var sp SpecStory
		return sp, row.Scan(&sp.ID, &sp.Monhost, &sp.Tool, &sp.Label, &sp.Enabled, &sp.JudgedTo, &sp.NotJudged, &sp.table, &sp.read, &sp.Rules)
	}); err != nil {
		return st, fmt.Errorf("read specs of %q: %w", node, err)
	}
	for i := range st.Specs {
		if sp := &st.Specs[i]; sp.JudgedTo != nil && sp.read != "" {
			// The detectors' state lags behind what they have judged.
			err = s.pool.QueryRow(ctx, `SELECT greatest($2, max(due_at)) FROM `+sanitized(sp.table)+`
				WHERE toolspec_id = $1 AND due_at > $2 AND pg_visible_in_snapshot(stored_xid, $3::text::pg_snapshot)`, sp.ID, sp.JudgedTo, sp.read).Scan(&sp.JudgedTo)
			if err != nil {
				return st, fmt.Errorf("look how far spec %d is judged: %w", sp.ID, err)
			}
		}
		sp := st.Specs[i]
		if st.Specs[i].Runs, err = listed[RecentRun](ctx, s, "runs", `SELECT due_at, outcome, coalesce(reason, ''), runs, late, coalesce((
				WITH m AS (SELECT m, n, EXISTS (SELECT FROM rules WHERE name = ANY ($4) AND metric = m ->> 'name') AS named
					FROM tools, jsonb_array_elements(metrics) WITH ORDINALITY AS x (m, n) WHERE name = $3)
				SELECT jsonb_agg(jsonb_build_object('metric', m ->> 'name', 'unit', m ->> 'unit', 'value', CASE to_jsonb(d) -> (m ->> 'column')
					WHEN 'true' THEN '1' WHEN 'false' THEN '0' ELSE to_jsonb(d) -> (m ->> 'column') END) ORDER BY n)
				FROM m, `+sanitized(sp.table)+` d WHERE (d.toolspec_id, d.due_at, d.outcome) = (runs.toolspec_id, runs.due_at, 'ok') AND named = (SELECT bool_or(named) FROM m)), '[]')
			FROM runs WHERE toolspec_id = $1 AND due_at <= $2 AND due_at > $2::timestamptz - interval '2 days' ORDER BY due_at DESC LIMIT 5`,
			sp.ID, st.At, sp.Tool, sp.Rules); err != nil {
			return st, err
		}
	}
	// Alerts of the node, those that hide them, and those of the hosts that measure it.
	if st.Alerts, err = listed[AlertRow](ctx, s, "alerts", alertRow+`WHERE (node = $1 OR id IN (SELECT part_of FROM alerts WHERE node = $1)
			OR toolspec_id = 0 AND monhost IN (SELECT monhost FROM toolspecs WHERE node = $1))
		AND began_at <= $3 AND coalesce(ended_at, closed_at, 'infinity') >= $2 ORDER BY began_at, id LIMIT 100`, node, from, st.At); err != nil {
		return st, err
	}
	if st.Findings, err = listed[ToldFinding](ctx, s, "findings", fmt.Sprintf(findingRows, "node = $1 AND at > $2 AND at <= $3"), node, from, st.At); err != nil {
		return st, err
	}
	ids := make([]int64, len(st.Alerts))
	for i, a := range st.Alerts {
		ids[i] = a.ID
	}
	if st.Notices, err = s.toldNotices(ctx, ids); err != nil {
		return st, err
	}
	if st.Maintenance, err = listed[Maintenance](ctx, s, "maintenance", `SELECT m.id, coalesce(m.node, ''), coalesce(m.label, ''), m.from_at, m.until_at, m.text
		FROM maintenance m, nodes n WHERE n.name = $1 AND m.from_at <= $2 AND m.until_at > $2
			AND (m.node = n.name OR m.label = ANY (n.labels) OR m.node IS NULL AND m.label IS NULL) ORDER BY m.id`, node, st.At); err != nil {
		return st, err
	}
	if st.Ladders, err = s.laddersFor(ctx, 0, node, "critical"); err != nil {
		return st, err
	}
	type change struct {
		Spec int64
		At   time.Time
	}
	changes, err := listed[change](ctx, s, "changes of routes", `SELECT * FROM (SELECT DISTINCT f.toolspec_id, f.at FROM newalerts f JOIN rules r ON r.name = f.rule AND r.method = 'route'
		WHERE f.node = $1 AND f.kind = 'note' AND f.at > $2 AND f.at <= $3 ORDER BY f.at DESC LIMIT $4) x ORDER BY at, toolspec_id`, node, from, st.At, routesTold)
	if err != nil {
		return st, err
	}
	for _, c := range changes {
		told, err := s.RouteChangeEffects(ctx, c.Spec, c.At)
		if errors.Is(err, ErrNone) {
			continue // its rows are gone
		}
		if err != nil {
			return st, err
		}
		st.Routes = append(st.Routes, told)
	}
	return st, nil
}
