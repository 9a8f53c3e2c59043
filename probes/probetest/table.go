package probetest

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sonde/internal/measure"
	"sonde/internal/pgtest"
	"sonde/probes"
)

// fitsItsTable inserts the rows of real runs into a copy of the migrated table,
// and asks the database what it makes of the tool's options.
func fitsItsTable(t *testing.T, tool probes.Tool, peer Peer) {
	pool := pgtest.New(t)
	databaseAgrees(t, tool, peer, func(answer any, query string, args ...any) error {
		return pool.QueryRow(t.Context(), query, args...).Scan(answer)
	})

	var there []string
	if err := pool.QueryRow(t.Context(), `SELECT coalesce(array_agg(column_name::text), '{}') FROM information_schema.columns
		WHERE table_schema = current_schema AND table_name = $1`, tool.Table).Scan(&there); err != nil {
		t.Fatal(err)
	}
	if len(there) == 0 {
		t.Fatalf("the migrations make no table %s", tool.Table)
	}
	for _, c := range tool.Columns {
		if !slices.Contains(there, c) {
			t.Errorf("table %s has no column %s", tool.Table, c)
		}
	}
	for _, c := range []string{"toolspec_id", "due_at", "started_at", "took_ms", "outcome", "reason", "log", "attempt", "address", "late", "stored_at", "stored_xid"} {
		if !slices.Contains(there, c) {
			t.Errorf("table %s lacks %s, which all data tables have", tool.Table, c)
		}
		if slices.Contains(tool.Columns, c) {
			t.Errorf("column %s is the platform's, not the tool's", c)
		}
	}
	if t.Failed() {
		return
	}

	columns := strings.Join(tool.Columns, ", ")
	rows := map[string]string{"an answer": peer.Answering, "silence": peer.Silent}
	for what, address := range rows {
		options := peer.Options
		if what == "silence" {
			options = peer.SilentOptions
		}
		if address == "" {
			continue
		}
		res, err := runOnce(t.Context(), t, tool, peer, address, options)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if len(res.Row) != len(tool.Columns) {
			t.Fatalf("%s: %d values for %d columns", what, len(res.Row), len(tool.Columns))
		}
		if what == "an answer" && !res.Address.IsValid() {
			t.Errorf("%s: the result does not say which address was used", what)
		}
		if res.Address.Zone() != "" {
			t.Errorf("%s: address %s has a zone, which inet cannot hold", what, res.Address)
		}
		// The same row has to get there by INSERT and, from the spool, as JSON.
		marks := make([]string, len(res.Row))
		for i := range marks {
			marks[i] = "$" + strconv.Itoa(i+1)
		}
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(t.Context()) }()
		if _, err := tx.Exec(t.Context(), "CREATE TEMPORARY TABLE examined ON COMMIT DROP AS SELECT "+columns+" FROM "+tool.Table+" WITH NO DATA"); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "INSERT INTO examined VALUES ("+strings.Join(marks, ", ")+")", res.Row...); err != nil {
			t.Errorf("%s: the row does not fit the table: %v\n%v", what, err, res.Row)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(res.Row); err != nil {
			t.Errorf("%s: the row cannot go to the spool: %v", what, err)
		}
	}
}

// databaseAgrees holds what sonde migrate writes into TOOLS, and what the check
// on toolspecs makes of it, against the tool's own reading.
func databaseAgrees(t *testing.T, tool probes.Tool, peer Peer, ask func(answer any, query string, args ...any) error) {
	t.Helper()
	known, err := json.Marshal(tool.Options)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range []string{`{}`, peer.Options, peer.SilentOptions, peer.PatientOptions} {
		if spec == "" {
			continue
		}
		o, err := measure.ReadOptions(tool.Options, json.RawMessage(spec))
		var problem *string
		if err := ask(&problem, "SELECT sonde_options_problem($1::jsonb, $2::jsonb)", string(known), spec); err != nil {
			t.Fatal(err)
		}
		if (err == nil) != (problem == nil) {
			t.Errorf("options %s: the program says %v, the database %v", spec, err, problem)
		}
		if err != nil {
			continue
		}
		least, err := measure.LeastTime(tool.LeastTime, tool.Options, o)
		if err != nil {
			t.Error(err)
			continue
		}
		var secs float64
		if err := ask(&secs, "SELECT sonde_least_time($1, $2::jsonb, $3::jsonb)", tool.LeastTime, string(known), spec); err != nil {
			t.Errorf("least time %q: %v", tool.LeastTime, err)
			continue
		}
		if math.Abs(least.Seconds()-secs) > 1e-3 {
			t.Errorf("least time with %s: the program says %s, the database %g s", spec, least, secs)
		}
	}
}
