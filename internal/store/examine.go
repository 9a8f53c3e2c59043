package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is what `sonde check` wants to know of the database.
type Server struct {
	Version       string
	User          string
	Schema        int64
	OldestProgram string
	Bytes         int64
	DataDir       string    // "" when this user may not know
	Lacking       []string  // privileges that daemons need: "INSERT on pingdata"
	PlannedTo     time.Time // nothing is planned behind it
	Leader        string    // the scheduler that planned it
	BytesADay     int64     // by what grew on the fullest of the last days; 0 when it is too early to tell
	KeepDays      map[string]int
	Locks         int // for so many the server has room, at least
	LocksALook    int // a look at all that is kept takes, once it is as old as may be
	Connections   int // that share the room: what max_locks_per_transaction is multiplied with
}

// Examine reads what the server, the schema and the privileges are.
func (s *Store) Examine(ctx context.Context) (Server, error) {
	v := Server{KeepDays: map[string]int{}}
	if err := s.pool.QueryRow(ctx, `SELECT current_setting('server_version'), current_user, i.version, i.oldest_program, pg_database_size(current_database()), m.planned_to, m.leader
		FROM schema_info i, schedule_mark m`).Scan(&v.Version, &v.User, &v.Schema, &v.OldestProgram, &v.Bytes, &v.PlannedTo, &v.Leader); err != nil {
		return v, fmt.Errorf("read the schema's version (has `sonde migrate` been run?): %w", err)
	}
	// Only members of pg_read_all_settings may read it.
	if err := s.pool.QueryRow(ctx, `SELECT setting FROM pg_settings WHERE name = 'data_directory'`).Scan(&v.DataDir); err != nil {
		v.DataDir = ""
	}
	rows, err := s.pool.Query(ctx, `
		SELECT p || ' on ' || c.relname FROM pg_class c, unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) p
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'goose_db_version'
			AND NOT has_table_privilege(c.oid, p)
		UNION ALL
		SELECT 'EXECUTE on ' || f.oid::regprocedure FROM pg_proc f
		WHERE f.pronamespace = 'public'::regnamespace AND f.proname IN ('sonde_make_partitions', 'sonde_drop_partitions', 'sonde_trim_schedule') AND NOT has_function_privilege(f.oid, 'EXECUTE')
		ORDER BY 1`)
	if err != nil {
		return v, fmt.Errorf("read privileges: %w", err)
	}
	if v.Lacking, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return v, fmt.Errorf("read privileges: %w", err)
	}
	if v.BytesADay, err = s.growth(ctx); err != nil {
		return v, err
	}
	rows, err = s.pool.Query(ctx, `SELECT substr(name, 11), value::int FROM settings WHERE name LIKE 'keep\_days\_%'`)
	if err != nil {
		return v, fmt.Errorf("read retention: %w", err)
	}
	var table string
	var days int
	if _, err := pgx.ForEachRow(rows, []any{&table, &days}, func() error { v.KeepDays[table] = days; return nil }); err != nil {
		return v, fmt.Errorf("read retention: %w", err)
	}
	// A partition a day, from the oldest kept to 14 days ahead; each is locked, and so are its indexes.
	if err := s.pool.QueryRow(ctx, `SELECT current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int, current_setting('max_locks_per_transaction')::int,
		(SELECT sum((k.value::int + 15) * (1 + (SELECT count(*) FROM pg_index WHERE indrelid = d.name::regclass))) FROM data_tables d JOIN settings k ON k.name = 'keep_days_' || d.name)`).
		Scan(&v.Connections, &v.Locks, &v.LocksALook); err != nil {
		return v, fmt.Errorf("read the room for locks: %w", err)
	}
	v.Locks *= v.Connections
	return v, nil
}

// growth is how much the fullest of the last eight days has brought; today, and
// the first day, are counted for as long as they have lasted, an hour at least.
func (s *Store) growth(ctx context.Context) (int64, error) {
	var bytes float64
	err := s.pool.QueryRow(ctx, `
		WITH days AS (
			SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day, sum(pg_total_relation_size(c.oid)) AS bytes
			FROM (SELECT name FROM data_tables UNION ALL SELECT name FROM record_tables) t JOIN pg_inherits i ON i.inhparent = t.name::regclass JOIN pg_class c ON c.oid = i.inhrelid
			WHERE c.relname ~ '_[0-9]{8}$' AND pg_relation_size(c.oid) > 0 GROUP BY 1
		), lasted AS (
			SELECT bytes, extract(epoch FROM least(now(), (day + 1)::timestamp AT TIME ZONE 'UTC') - greatest(day::timestamp AT TIME ZONE 'UTC', (SELECT min(created_at) FROM toolspecs))) AS secs
			FROM days WHERE day BETWEEN (now() AT TIME ZONE 'UTC')::date - 8 AND (now() AT TIME ZONE 'UTC')::date)
		SELECT coalesce(max(bytes * 86400 / secs), 0)::float8 FROM lasted WHERE secs >= 3600`).Scan(&bytes)
	if err != nil {
		return 0, fmt.Errorf("read how fast the data grows: %w", err)
	}
	return int64(bytes), nil
}

// ExaminedSpec is a spec with what decides whether anybody will run it.
type ExaminedSpec struct {
	Spec
	SpecEnabled bool
	NodeEnabled bool
	HostSeen    time.Duration // since its monitoring host was seen; less than 0: never
	HostTools   []string
	WorkerLate  *float64 // seconds by which its worker's promise is broken; nil: no such worker has ever run
	ToolKnown   bool
	Problem     string // what is wrong with its options
	Table       string
}

// ExamineSpecs gives all specs, by host, node and tool.
func (s *Store) ExamineSpecs(ctx context.Context) ([]ExaminedSpec, error) {
	changes, err := s.SpecChanges(ctx, 0, "", "")
	if err != nil {
		return nil, err
	}
	list := make([]ExaminedSpec, 0, len(changes.Specs))
	at := make(map[int64]int, len(changes.Specs))
	for _, spec := range changes.Specs {
		at[spec.ID] = len(list)
		list = append(list, ExaminedSpec{Spec: spec})
	}
	rows, err := s.pool.Query(ctx, `
		SELECT s.id, s.enabled, n.enabled, coalesce(extract(epoch FROM clock_timestamp() - m.last_seen_at)::float8, -1), m.tools,
			extract(epoch FROM clock_timestamp() - d.promised_at)::float8, t.known, t.table_name, coalesce(sonde_options_problem(t.options, s.options), '')
		FROM toolspecs s JOIN nodes n ON n.name = s.node JOIN monhosts m ON m.name = s.monhost JOIN tools t ON t.name = s.tool
		LEFT JOIN daemons d ON d.monhost = s.monhost AND d.name = 'worker-' || s.tool`)
	if err != nil {
		return nil, fmt.Errorf("read specs: %w", err)
	}
	var id int64
	var e ExaminedSpec
	var seen float64
	if _, err := pgx.ForEachRow(rows, []any{&id, &e.SpecEnabled, &e.NodeEnabled, &seen, &e.HostTools, &e.WorkerLate, &e.ToolKnown, &e.Table, &e.Problem}, func() error {
		if i, ok := at[id]; ok {
			e.Spec, e.HostSeen = list[i].Spec, time.Duration(seen*float64(time.Second))
			list[i] = e
			list[i].HostTools = slices.Clone(e.HostTools)
			if e.WorkerLate != nil {
				late := *e.WorkerLate
				list[i].WorkerLate = &late
			}
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read specs: %w", err)
	}
	slices.SortFunc(list, func(a, b ExaminedSpec) int {
		return slices.Compare([]string{a.Monhost, a.Node, a.Tool, a.Label}, []string{b.Monhost, b.Node, b.Tool, b.Label})
	})
	return list, nil
}

// Telling is who is told by which way.
type Telling struct {
	Mediums []ExaminedMedium
	Reached int      // recipients who have a visible step on an enabled medium
	Unheard []string // enabled recipients who have none
}

// ExaminedMedium is a medium with what is wrong with its row.
type ExaminedMedium struct {
	Name, Type string
	Options    json.RawMessage
	Enabled    bool
	Problem    string
}

// ExamineTelling reads mediums and ladders.
func (s *Store) ExamineTelling(ctx context.Context) (Telling, error) {
	var t Telling
	rows, err := s.pool.Query(ctx, `
		SELECT m.name, m.type, m.options, m.enabled, CASE WHEN NOT y.known THEN 'this version has no such type' ELSE coalesce(sonde_options_problem(y.options, m.options), '') END
		FROM mediums m JOIN medium_types y ON y.name = m.type ORDER BY m.name`)
	if err != nil {
		return t, fmt.Errorf("read mediums: %w", err)
	}
	if t.Mediums, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ExaminedMedium]); err != nil {
		return t, fmt.Errorf("read mediums: %w", err)
	}
	const reached = `EXISTS (SELECT FROM ladders l JOIN mediums m ON m.name = l.medium WHERE l.recipient = r.name AND l.visible AND m.enabled)`
	if err := s.pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE `+reached+`)::int, coalesce(array_agg(name ORDER BY name) FILTER (WHERE NOT `+reached+`), '{}') FROM recipients r WHERE enabled`).
		Scan(&t.Reached, &t.Unheard); err != nil {
		return t, fmt.Errorf("read ladders: %w", err)
	}
	return t, nil
}

// ReportedDaemon is a row of daemons.
type ReportedDaemon struct {
	Monhost    string          `json:"monhost"`
	Name       string          `json:"name"`
	PID        int             `json:"pid"`
	Version    string          `json:"version"`
	Doing      string          `json:"doing"`
	StartedAt  time.Time       `json:"started_at"`
	ReportedAt time.Time       `json:"reported_at"`
	Late       float64         `json:"late_s"` // more than 0: its promise is broken
	Lag        float64         `json:"lag_s"`
	SpoolFiles int             `json:"spool_files"`
	Facts      json.RawMessage `json:"facts"`
}

// ReportedDaemons gives what all daemons of all hosts last reported.
func (s *Store) ReportedDaemons(ctx context.Context) ([]ReportedDaemon, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT monhost, name, pid, version, doing, started_at, reported_at, extract(epoch FROM clock_timestamp() - promised_at)::float8, extract(epoch FROM lag)::float8, spool_files, facts
		FROM daemons ORDER BY monhost, name`)
	if err != nil {
		return nil, fmt.Errorf("read daemons: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ReportedDaemon])
	if err != nil {
		return nil, fmt.Errorf("read daemons: %w", err)
	}
	return list, nil
}
