package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// PageNode is a node as pages show it.
type PageNode struct {
	Name, Address, Site, Parent string
	Labels                      []string
	Enabled                     bool
	CreatedAt                   time.Time
}

// PageSpec is a spec with how its newest run ended.
type PageSpec struct {
	ID                         int64
	Node, Monhost, Tool, Label string
	Options                    string
	RunInterval                time.Duration
	RunAt, TimeZone            string
	TimeToRun                  time.Duration
	Enabled                    bool // the spec and its node
	Since                      time.Time
	Table                      string // where its results are
	Metric, Column, Unit       string // the first metric of the tool; "" when it has none
	Only                       string // a column that is drawn in place of that; see Drawn
	Last                       PageRun
}

// PageRun is how one run ended.
type PageRun struct {
	DueAt   time.Time // zero: none is known
	Outcome string
	Reason  string
	Value   *float64 // the delay of a ping, the delay to the end of a route, else the first metric
	Loss    *float64
	Route   *int
	Hops    *int // TTL of the target, or of the last that answered; 0 when nobody did
	Reached *bool
}

const pageNodes = `SELECT name, address, site, coalesce(parent, ''), labels, enabled, created_at FROM nodes`

// Nodes gives all nodes by name.
func (r *Reading) Nodes(ctx context.Context) ([]PageNode, error) {
	return collect[PageNode](ctx, r, "nodes", pageNodes+` ORDER BY name`)
}

// Node gives one node, or ErrNone.
func (r *Reading) Node(ctx context.Context, name string) (PageNode, error) {
	list, err := collect[PageNode](ctx, r, "node", pageNodes+` WHERE name = $1`, name)
	if err == nil && len(list) == 0 {
		return PageNode{}, fmt.Errorf("node %q: %w", name, ErrNone)
	}
	if err != nil {
		return PageNode{}, err
	}
	return list[0], nil
}

// Specs gives the specs of a node, or all of them for "", with their newest runs.
func (r *Reading) Specs(ctx context.Context, node string) ([]PageSpec, error) {
	return r.specs(ctx, `$1 = '' OR s.node = $1`, node)
}

// Spec gives one spec, or ErrNone.
func (r *Reading) Spec(ctx context.Context, id int64) (PageSpec, error) {
	list, err := r.specs(ctx, `s.id = $1`, id)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("spec %d: %w", id, ErrNone)
	}
	if err != nil {
		return PageSpec{}, err
	}
	return list[0], nil
}

// RouteSpecs gives the specs that find routes, with their newest runs.
func (r *Reading) RouteSpecs(ctx context.Context) ([]PageSpec, error) {
	return r.specs(ctx, `t.table_name = $1`, "routedata")
}

func (r *Reading) specs(ctx context.Context, where string, arg any) ([]PageSpec, error) {
	rows, err := r.tx.Query(ctx, `
		SELECT s.id, s.node, s.monhost, s.tool, s.label, CASE WHEN s.options = '{}' THEN '' ELSE s.options::text END,
			coalesce(extract(epoch FROM s.run_interval)::float8, 0), coalesce(s.run_at, ''), s.time_zone, extract(epoch FROM s.time_to_run)::float8,
			s.enabled AND n.enabled, greatest(s.timing_since, n.enabled_since), t.table_name,
			coalesce(t.metrics -> 0 ->> 'name', ''), coalesce(t.metrics -> 0 ->> 'column', ''), coalesce(t.metrics -> 0 ->> 'unit', '')
		FROM toolspecs s JOIN nodes n ON n.name = s.node JOIN tools t ON t.name = s.tool
		WHERE `+where+` ORDER BY s.node, s.tool, s.monhost, s.label, s.id`, arg)
	if err != nil {
		return nil, fmt.Errorf("read specs: %w", err)
	}
	specs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (PageSpec, error) {
		var s PageSpec
		var interval, toRun float64
		err := row.Scan(&s.ID, &s.Node, &s.Monhost, &s.Tool, &s.Label, &s.Options, &interval, &s.RunAt, &s.TimeZone, &toRun,
			&s.Enabled, &s.Since, &s.Table, &s.Metric, &s.Column, &s.Unit)
		s.RunInterval, s.TimeToRun = seconds(interval), seconds(toRun)
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("read specs: %w", err)
	}
	return specs, r.newest(ctx, specs)
}

// rare is the longest interval of a spec whose newest run is looked for in the
// last two days only; for others it is two months. Each look-up is a descent of
// the key of one partition, so ten thousand of them are quick.
const rare = 8 * time.Hour

type lookup struct {
	table, column string
	rare          bool
}

// newest fills in Last: one statement for each table, none for each spec.
func (r *Reading) newest(ctx context.Context, specs []PageSpec) error {
	place := make(map[int64]int, len(specs))
	groups := map[lookup][]int64{}
	for i, s := range specs {
		place[s.ID] = i
		k := lookup{s.Table, s.Column, s.RunAt != "" || s.RunInterval > rare}
		groups[k] = append(groups[k], s.ID)
	}
	for k, ids := range groups {
		known, err := r.isDataTable(ctx, k.table)
		if err != nil {
			return err
		}
		if !known {
			continue // a tool of an older version
		}
		back := 48 * time.Hour
		if k.rare {
			back = 62 * 24 * time.Hour
		}
		rows, err := r.tx.Query(ctx, `
			SELECT i.id, l.* FROM unnest($1::bigint[]) AS i (id) CROSS JOIN LATERAL (
				SELECT due_at, outcome, coalesce(reason, ''), `+summary(k.table, k.column)+`
				FROM `+quoted(k.table)+` d WHERE d.toolspec_id = i.id AND d.due_at > $2 AND d.due_at <= $3 ORDER BY d.due_at DESC LIMIT 1) l`,
			ids, r.Now.Add(-back), r.Now)
		if err != nil {
			return fmt.Errorf("read newest runs: %w", err)
		}
		var id int64
		var run PageRun
		if _, err := pgx.ForEachRow(rows, []any{&id, &run.DueAt, &run.Outcome, &run.Reason, &run.Value, &run.Loss, &run.Route, &run.Hops, &run.Reached}, func() error {
			specs[place[id]].Last = run
			run = PageRun{}
			return nil
		}); err != nil {
			return fmt.Errorf("read newest runs: %w", err)
		}
	}
	return nil
}

// summary are the columns of a PageRun after the reason.
func summary(table, column string) string {
	switch {
	case table == "pingdata":
		return `rtt_median_ms, loss_pct, NULL::int, NULL::int, NULL::boolean`
	case table == "routedata":
		return `rtt_ms, NULL::float8, route_no, CASE WHEN reached THEN hop_count + greatest(coalesce(first_ttl, 1), 1) - 1
			ELSE coalesce((SELECT max(n)::int + greatest(coalesce(first_ttl, 1), 1) - 1 FROM unnest(hops) WITH ORDINALITY h (a, n) WHERE a IS NOT NULL), 0) END, reached`
	case column != "":
		return quoted(column) + `::float8, NULL::float8, NULL::int, NULL::int, NULL::boolean`
	}
	return `NULL::float8, NULL::float8, NULL::int, NULL::int, NULL::boolean`
}

func (r *Reading) isDataTable(ctx context.Context, table string) (known bool, err error) {
	if err := r.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM data_tables WHERE name = $1)`, table).Scan(&known); err != nil {
		return false, fmt.Errorf("read data tables: %w", err)
	}
	return known, nil
}

// PageTrouble is a run that did not end well, with what is known of why.
type PageTrouble struct {
	ToolspecID           int64
	DueAt                time.Time
	Tool, Label, Monhost string
	Outcome, Reason, Log string
}

// Troubles gives the newest runs of a node's specs that failed or were missed.
func (r *Reading) Troubles(ctx context.Context, specs []PageSpec, from, until time.Time, most int) ([]PageTrouble, error) {
	byTable := map[string][]int64{}
	for _, s := range specs {
		byTable[s.Table] = append(byTable[s.Table], s.ID)
	}
	var all []PageTrouble
	for table, ids := range byTable {
		known, err := r.isDataTable(ctx, table)
		if err != nil {
			return nil, err
		}
		if !known {
			continue
		}
		list, err := collect[PageTrouble](ctx, r, "failed runs", `
			SELECT d.toolspec_id, d.due_at, s.tool, s.label, s.monhost, d.outcome, coalesce(d.reason, ''), coalesce(d.log, '')
			FROM unnest($1::bigint[]) AS i (id) CROSS JOIN LATERAL (
				SELECT toolspec_id, due_at, outcome, reason, log FROM `+quoted(table)+` x
				WHERE x.toolspec_id = i.id AND x.due_at >= $2 AND x.due_at <= $3 AND x.outcome <> 'ok' ORDER BY x.due_at DESC LIMIT $4) d
			JOIN toolspecs s ON s.id = d.toolspec_id ORDER BY d.due_at DESC, d.toolspec_id LIMIT $4`, ids, from, until, most)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// PageComment is what people wrote, and changes of configuration.
type PageComment struct {
	At           time.Time
	Author, Node string
	ToolspecID   *int64
	AlertID      *int64
	Change       bool
	Text         string
}

const pageComments = `SELECT at, author, coalesce(node, ''), toolspec_id, alert_id, change, text FROM comments `

// Comments gives what was written on a node and its specs within a time, oldest first.
func (r *Reading) Comments(ctx context.Context, node string, from, until time.Time, most int) ([]PageComment, error) {
	return collect[PageComment](ctx, r, "comments", `SELECT * FROM (`+pageComments+`
		WHERE (node = $1 OR toolspec_id IN (SELECT id FROM toolspecs WHERE node = $1)) AND at >= $2 AND at <= $3
		ORDER BY at DESC, id DESC LIMIT $4) x ORDER BY at`, node, from, until, most)
}

// AlertComments gives what was written on an alert, oldest first.
func (r *Reading) AlertComments(ctx context.Context, alert int64) ([]PageComment, error) {
	return collect[PageComment](ctx, r, "comments", pageComments+`WHERE alert_id = $1 ORDER BY at, id LIMIT 200`, alert)
}

// PageNotJudged says why a rule does not judge a spec.
type PageNotJudged struct {
	ToolspecID  int64
	Tool, Label string
	Rule, Why   string
}

// NotJudged gives what is not judged at a node, and why.
func (r *Reading) NotJudged(ctx context.Context, node string) ([]PageNotJudged, error) {
	return collect[PageNotJudged](ctx, r, "what is not judged", `SELECT s.id, s.tool, s.label, n.key, n.value
		FROM toolspecs s JOIN detectors d ON d.toolspec_id = s.id CROSS JOIN jsonb_each_text(d.not_judged) n
		WHERE s.node = $1 AND s.enabled ORDER BY s.id, n.key`, node)
}
