package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/internal/measure"
	"sonde/internal/store"
)

// as gives a store whose connections act as a role of the database.
func (w *world) as(role string) (*store.Store, *pgxpool.Pool) {
	w.Helper()
	c := w.pool.Config()
	c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SET ROLE "+pgx.Identifier{role}.Sanitize())
		return err
	}
	pool, err := pgxpool.NewWithConfig(w.Context(), c)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(pool.Close)
	return store.New(pool), pool
}

func TestRoleOfDaemonsMayDoWhatDaemonsDo(t *testing.T) {
	w := newWorld(t)
	w.exec(`SELECT sonde_make_partitions('pingdata', current_date - 403, current_date - 403)`)
	st, _ := w.as("sonde_daemon")
	if err := st.RegisterHost(t.Context(), store.Host{Name: "m2", Address: "127.0.0.2", Instance: "x", Tools: []string{"ping"}, Version: "1"}); err != nil {
		t.Error(err)
	}
	l, err := st.Lead(t.Context(), "m2")
	if err != nil || l == nil {
		t.Fatalf("%v %v", l, err)
	}
	defer l.Close(context.Background())
	if _, dropped, err := l.Partitions(t.Context()); err != nil || dropped != 1 {
		t.Errorf("%d dropped, %v", dropped, err)
	}
	at := time.Now().UTC().Truncate(time.Microsecond)
	if err := l.Plan(t.Context(), []store.PlannedRun{{ToolspecID: w.spec, DueAt: at, StartBy: at.Add(time.Minute), Monhost: "m1", Tool: "ping"}}, nil, nil, at); err != nil {
		t.Error(err)
	}
	c, err := st.Claim(t.Context(), worker, time.Minute, time.Minute, 5, time.Time{})
	if err != nil || len(c.Runs) != 1 {
		t.Fatalf("%d claims, %v", len(c.Runs), err)
	}
	if _, err := st.Finish(t.Context(), pings, ends(c.Runs, measure.OK), worker); err != nil {
		t.Error(err)
	}
	old := &store.Claim{}
	old.RunKey = measure.RunKey{ToolspecID: w.spec, DueAt: at.AddDate(0, 0, -300)} // its partition is made on the way
	if loaded, err := st.Load(t.Context(), spooled(pings, endOf(old, measure.OK, 10))); err != nil || loaded.Stored != 1 {
		t.Errorf("%+v %v", loaded, err)
	}
	route := &store.RunEnd{RunKey: measure.RunKey{ToolspecID: w.newSpec("traceroute", ""), DueAt: at}, Outcome: measure.OK, Row: extremes()["two hops, one silent"]}
	if _, err := st.Load(t.Context(), spooled(routes, route)); err != nil {
		t.Error(err)
	}
	if server, err := st.Examine(t.Context()); err != nil || len(server.Lacking) != 0 {
		t.Errorf("%+v %v", server, err)
	}
}

func TestRoleOfPeopleEditsConfigurationAndNoResult(t *testing.T) {
	w := newWorld(t)
	st, admin := w.as("sonde_admin")
	for _, sql := range []string{
		`INSERT INTO nodes (name, address) VALUES ('x', '192.0.2.9')`, `UPDATE nodes SET name = 'y', address = '192.0.2.10' WHERE name = 'x'`,
		`INSERT INTO toolspecs (node, tool, run_interval) VALUES ('y', 'ping', '1 minute')`, `INSERT INTO schedule (toolspec_id) SELECT id FROM toolspecs WHERE node = 'y'`,
		`UPDATE toolspecs SET enabled = false, options = '{"count": 3}' WHERE node = 'y'`, `UPDATE nodes SET enabled = false WHERE name = 'y'`,
		`DELETE FROM toolspecs WHERE node = 'y'`, `DELETE FROM nodes WHERE name = 'y'`,
		`UPDATE settings SET value = '5h' WHERE name = 'repeat_limit'`, `INSERT INTO comments (node, text) VALUES ('far', 'new cable')`,
		`INSERT INTO mediums (name, type, options) VALUES ('sms', 'smstools', '{"spool": "/var/spool/sms"}')`,
		`INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 1, 'sms', '4915112345678')`,
		`INSERT INTO policies (recipient, node) VALUES ('anna', 'far')`, `INSERT INTO maintenance (node, until_at) VALUES ('far', now() + interval '1 h')`,
		`INSERT INTO incidents (node, from_at) VALUES ('far', now() - interval '1 h')`, `UPDATE incidents SET verdict = 'planned'`,
		`UPDATE rules SET enabled = false`, `SELECT count(*) FROM runs`,
	} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{`DELETE FROM pingdata`, `UPDATE alerts SET id = 5; DELETE FROM alerts`, `SELECT sonde_drop_partitions('pingdata', current_date)`, `DROP TABLE pingdata`,
		`UPDATE schedule SET due_at = '2001-01-01'`, `INSERT INTO schedule (toolspec_id, monhost, tool, start_by) SELECT id, monhost, tool, now() FROM toolspecs`} {
		if _, err := admin.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s was done", sql)
		}
	}
	if server, err := st.Examine(t.Context()); err != nil || len(server.Lacking) == 0 {
		t.Errorf("%+v %v", server, err)
	}
	_, reader := w.as("sonde_read")
	if _, err := reader.Exec(t.Context(), `SELECT * FROM runs, spec_state, daemons`); err != nil {
		t.Error(err)
	}
	if _, err := reader.Exec(t.Context(), `INSERT INTO nodes (name, address) VALUES ('z', '192.0.2.9')`); err == nil {
		t.Error("a reader wrote")
	}
}
