package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/config"
	"sonde/internal/daemon"
	"sonde/internal/pgtest"
	"sonde/internal/schema"
	"sonde/internal/spool"
	"sonde/internal/store"
	tools "sonde/probes/catalog"
)

// examined runs the examination on a host and gives its lines.
func examined(t *testing.T, c config.Config) string {
	t.Helper()
	e := &examination{Config: c}
	e.folders()
	e.database(t.Context(), 100)
	var out bytes.Buffer
	if err := printExamination(&out, e.found); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if level, _, _ := strings.Cut(line, " "); level != "OK" && level != "WARN" && level != "FAIL" {
			t.Errorf("a line %q", line)
		}
	}
	return out.String()
}

func hostWith(t *testing.T, dsn string) config.Config {
	t.Helper()
	state := t.TempDir()
	return config.Config{Database: config.Secret(dsn), Monhost: "m1", State: state, Spool: filepath.Join(state, "spool"), LogDir: filepath.Join(state, "log")}
}

func realDatabase(t *testing.T, statements ...string) (string, *pgxpool.Pool) {
	t.Helper()
	catalog, err := schema.Catalog(tools.All())
	if err != nil {
		t.Fatal(err)
	}
	dsn := pgtest.DSNWith(t, catalog)
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	for _, sql := range statements {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	return dsn, pool
}

func demand(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if !strings.Contains(text, want) {
			t.Errorf("no word of %q in\n%s", want, text)
		}
	}
}

func TestCheckSaysWhatEachSpecWillDoAndWhichNobodyRuns(t *testing.T) {
	dsn, _ := realDatabase(t,
		`INSERT INTO nodes (name, address) VALUES ('m1', '192.0.2.1'), ('m2', '192.0.2.2'), ('m3', '192.0.2.3'), ('cern', 'www.cern.ch'), ('off', '192.0.2.9')`,
		`UPDATE nodes SET enabled = false WHERE name = 'off'`,
		`INSERT INTO monhosts (name, tools, last_seen_at) VALUES ('m1', '{ping}', now()), ('m2', '{ping}', now() - interval '1 hour'), ('m3', '{ping}', NULL)`,
		`INSERT INTO nodes (name, address) VALUES ('m4', '192.0.2.4'), ('m5', '192.0.2.5')`,
		`INSERT INTO monhosts (name, tools, last_seen_at) VALUES ('m4', '{ping}', now()), ('m5', '{ping}', now())`,
		`INSERT INTO daemons (monhost, name, pid, version, started_at, promised_at) VALUES ('m1', 'worker-ping', 1, '1', now(), now() + interval '1 min'), ('m4', 'worker-ping', 1, '1', now(), now() - interval '1 min')`,
		`INSERT INTO toolspecs (monhost, node, tool, run_interval) VALUES ('m4', 'cern', 'ping', '1 minute'), ('m5', 'cern', 'ping', '1 minute')`,
		`UPDATE schedule_mark SET planned_to = now() - interval '1 hour'`,
		`INSERT INTO toolspecs (monhost, node, tool, run_interval, options) VALUES ('m1', 'cern', 'ping', '1 minute', '{"count": 20}')`,
		`INSERT INTO toolspecs (monhost, node, tool, label, run_at, time_zone) VALUES ('m1', 'cern', 'ping', 'night', '30 2 * * *', 'Europe/Berlin')`,
		`INSERT INTO toolspecs (monhost, node, tool, run_interval) VALUES ('m1', 'off', 'ping', '1 minute'), ('m2', 'cern', 'ping', '1 minute'), ('m3', 'cern', 'ping', '1 minute'), ('m1', 'cern', 'traceroute', '1 hour')`,
		`INSERT INTO toolspecs (monhost, node, tool, label, run_interval) VALUES ('m1', 'cern', 'ping', 'dense', '5 seconds')`,
		`INSERT INTO toolspecs (monhost, node, tool, label, run_interval, enabled) VALUES ('m1', 'cern', 'ping', 'old', '1 minute', false)`,
		`ALTER TABLE toolspecs DISABLE TRIGGER check_row`,
		`INSERT INTO toolspecs (monhost, node, tool, label, run_interval, time_to_run, test_type, options) VALUES ('m1', 'cern', 'ping', 'misfit', '1 minute', '30 s', 'background', '{"cuont": 1}')`)
	text := examined(t, hostWith(t, dsn))
	demand(t, text,
		"ping m1 → cern: www.cern.ch; 20 packets of 84 bytes, 1s apart; every 1m; each run over after 30s at most; next ", " UTC; kept 400 days",
		"(night): www.cern.ch; 10 packets of 84 bytes, 1s apart; at 30 2 * * * Europe/Berlin",
		"ping m1 → off: nobody runs it: its node is disabled: UPDATE nodes SET enabled = true WHERE name = 'off'",
		"ping m2 → cern: nobody runs it: monitoring host m2 was seen last 1h",
		"ping m3 → cern: nobody runs it: monitoring host m3 was never seen",
		"traceroute m1 → cern: nobody runs it: m1 has no worker for traceroute (monhosts.tools is ping)",
		"ping m4 → cern: nobody runs it: the worker for ping on m4 should have reported 1m",
		"ping m5 → cern: nobody runs it: no worker for ping has ever run on m5",
		"WARN plan: no scheduler leads: nothing is planned for the last 1h",
		"(old): disabled",
		"(dense): a run may take 11s and the next is due after 5s: what is due meanwhile is missed as still running",
		`(misfit): unknown option "cuont"`,
		"OK   privileges: ", "OK   clock: ", "OK   spool: ", "WARN ladders: nobody is told")
	demand(t, text, "FAIL spec") // the misfit
}

func TestCheckOfMediumsTriesTheirFolders(t *testing.T) {
	spool := t.TempDir()
	dsn, pool := realDatabase(t,
		fmt.Sprintf(`INSERT INTO mediums (name, type, options) VALUES ('sms', 'smstools', '{"spool": "%s"}')`, spool),
		`INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 1, 'sms', '4915112345678')`,
		`INSERT INTO recipients (name) VALUES ('bert')`)
	c := hostWith(t, dsn)
	demand(t, examined(t, c), "FAIL medium sms: there is no folder "+spool+"/outgoing: install smstools", "WARN ladders: bert has no visible step", "OK   ladders: 1 recipient told", "WARN specs: nothing is measured yet")
	for _, dir := range []string{"outgoing", "checked", "sent", "failed"} {
		if err := os.Mkdir(filepath.Join(spool, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	demand(t, examined(t, c), "OK   medium sms: smstools, spool "+spool+" can be written to")
	if _, err := pool.Exec(t.Context(), `INSERT INTO mediums (name, type, options) VALUES ('file', 'log', '{"path": "/no/such/folder/x.log"}')`); err != nil {
		t.Fatal(err)
	}
	demand(t, examined(t, c), "FAIL medium file: there is no folder /no/such/folder: make it")
	if _, err := pool.Exec(t.Context(), `UPDATE mediums SET enabled = false`); err != nil {
		t.Fatal(err)
	}
	demand(t, examined(t, c), "OK   medium sms: smstools, disabled", "nobody is told of alerts")
}

func TestCheckWarnsFourteenDaysBeforeTheDiskIsFull(t *testing.T) {
	e := &examination{Config: hostWith(t, "host=elsewhere")}
	e.disk(store.Server{DataDir: e.State, BytesADay: 1 << 60})
	e.disk(store.Server{DataDir: e.State, BytesADay: 1})
	e.disk(store.Server{Version: "15"})
	var out bytes.Buffer
	if err := printExamination(&out, e.found); err != nil {
		t.Fatal(err)
	}
	demand(t, out.String(), "WARN disk of the database: ", "full in 0 days: make room", "OK   disk of the database: ", "too early to tell", "not seen from here")
}

func TestCheckWarnsBeforeTheServerHasNoRoomForLocks(t *testing.T) {
	_, pool := realDatabase(t)
	s, err := store.New(pool).Examine(t.Context())
	// Each of two data tables has two indexes; our own server has room for what is kept by default.
	if err != nil || s.LocksALook != 2*(400+15)*3 || s.Locks != 256*s.Connections {
		t.Errorf("%+v %v", s, err)
	}
	e := &examination{Config: hostWith(t, "host=elsewhere")}
	e.locks(store.Server{Locks: 60 * 256, Connections: 60, LocksALook: s.LocksALook})
	e.locks(store.Server{Locks: 100 * 64, Connections: 100, LocksALook: s.LocksALook}) // a server as it comes
	var out bytes.Buffer
	if err := printExamination(&out, e.found); err != nil {
		t.Fatal(err)
	}
	demand(t, out.String(), "OK   locks: the server has room for 15360, a look at all that will be kept takes 2490",
		"WARN locks: the server has room for 6400, and 4 looks at all that will be kept take 9960: ALTER SYSTEM SET max_locks_per_transaction = 100, then restart")
}

func TestGrowthIsThatOfTheFullestDay(t *testing.T) {
	_, pool := realDatabase(t,
		`INSERT INTO nodes (name, address) VALUES ('m1', '192.0.2.1')`, `INSERT INTO monhosts (name) VALUES ('m1')`,
		`INSERT INTO toolspecs (node, tool, run_interval) VALUES ('m1', 'ping', '1 minute')`,
		`ALTER TABLE toolspecs DISABLE TRIGGER check_row`, `UPDATE toolspecs SET created_at = now() - interval '10 days'`,
		`SELECT sonde_make_partitions('pingdata', (now() AT TIME ZONE 'UTC')::date - 3, (now() AT TIME ZONE 'UTC')::date)`,
		`INSERT INTO pingdata (toolspec_id, due_at, outcome) SELECT 1, date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '1 day' - g * interval '1 s', 'ok' FROM generate_series(1, 20000) g`)
	s, err := store.New(pool).Examine(t.Context())
	if err != nil || s.BytesADay < 1<<20 || s.BytesADay > 20<<20 || s.KeepDays["pingdata"] != 400 || s.DataDir == "" || len(s.Lacking) != 0 {
		t.Errorf("%+v %v", s, err)
	}
}

func TestCheckNamesTheDatabasesTroubleAndWhatToDo(t *testing.T) {
	demand(t, examined(t, hostWith(t, "postgresql://nobody:topsecret@127.0.0.1:1/none")), "FAIL database: ", "start it, or mend", " disk of the state: ")
	if text := examined(t, hostWith(t, "postgresql://nobody:topsecret@127.0.0.1:1/none")); strings.Contains(text, "topsecret") {
		t.Error("the password is printed")
	}
	demand(t, examined(t, hostWith(t, pgtest.Bare(t))), "FAIL database: ", "run `sonde migrate`")
	dsn, pool := realDatabase(t)
	if _, err := pool.Exec(t.Context(), `UPDATE schema_info SET oldest_program = '99.0'`); err != nil {
		t.Fatal(err)
	}
	demand(t, examined(t, hostWith(t, dsn)), "FAIL version: ", "at least 99.0")
	if _, err := pool.Exec(t.Context(), `UPDATE schema_info SET oldest_program = '0.1.0', sha256 = 'of other migrations'`); err != nil {
		t.Fatal(err)
	}
	const other = "made by another state of Sonde"
	demand(t, examined(t, hostWith(t, dsn)), "FAIL database: ", other)
	if err := (asDaemon{DSN: dsn}).register(store.New(pool))(t.Context()); err == nil || !strings.Contains(err.Error(), other) {
		t.Errorf("a worker enters a database of other migrations: %v", err)
	}
	c := hostWith(t, "")
	demand(t, examined(t, c), "FAIL database: ", "sonde up", " disk: ") // a full one is a reason not to answer
}

func TestCheckTellsOfWhatLiesInTheSpool(t *testing.T) {
	dsn, _ := realDatabase(t)
	c := hostWith(t, dsn)
	w, err := spool.Open(c.Spool, "worker-ping", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append([]json.RawMessage{json.RawMessage(`{}`)}); err != nil {
		t.Fatal(err)
	}
	if err := w.Release(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(c.Spool, "refused", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	demand(t, examined(t, c), "WARN spool: 1 file, 12 B wait to be loaded", "rows that the database refused")
	c.Spool = "/proc/none/spool"
	c.LogDir = filepath.Join(c.State, "file", "log")
	demand(t, examined(t, c), "OK   spool: ") // what does not exist yet is empty
}

func TestStatusNamesEveryDaemonAlsoWithoutTheDatabase(t *testing.T) {
	t.Setenv(daemon.FileEnv, "")
	dsn, pool := realDatabase(t)
	c := hostWith(t, dsn)
	quiet := slog.New(slog.DiscardHandler)
	daemon.NewProgress(c.State, "loader", "1.2", quiet).Report("loading", time.Minute)
	daemon.NewProgress(c.State, "scheduler", "1.2", quiet).Report("planning", -2*time.Second)
	if err := os.WriteFile(daemon.KeepaliveFile(c.State, "web"), []byte(`{"pid":`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"loader", "gone"} {
		if err := store.New(pool).ReportDaemon(t.Context(), store.DaemonReport{Monhost: "m1", Name: name, PID: os.Getpid(), Version: "1.2", StartedAt: time.Now(), Promise: time.Minute, Lag: 90 * time.Second, SpoolFiles: 3,
			Facts: map[string]any{"loaded": 5}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.New(pool).ReportDaemon(t.Context(), store.DaemonReport{Monhost: "m2", Name: "loader", Version: "1", StartedAt: time.Now(), Promise: -time.Hour}); err != nil {
		t.Fatal(err)
	}
	s := statusOf(t.Context(), c)
	if !s.Database.Reachable || len(s.Daemons) != 3 || len(s.Others) != 1 {
		t.Fatalf("%+v", s)
	}
	l := s.Daemons[0]
	if l.Name != "loader" || !l.well() || l.PID != os.Getpid() || l.Doing != "loading" || l.Seq != 1 || l.Lag != 90 || *l.SpoolFiles != 3 {
		t.Errorf("%+v", l)
	}
	if sch := s.Daemons[1]; sch.well() || sch.Lag < 2 {
		t.Errorf("%+v", sch)
	}
	var out bytes.Buffer
	if err := printStatus(&out, s); err != nil {
		t.Fatal(err)
	}
	demand(t, out.String(), "database  answers", "behind                                   1m30s", "stands still, overdue by 2s", "loader on m2", "silent for 1h")

	c.Database = "postgresql://127.0.0.1:1/none"
	s = statusOf(t.Context(), c)
	if s.Database.Reachable || len(s.Daemons) != 3 || s.Daemons[0].Doing != "loading" || s.Daemons[0].PID != os.Getpid() {
		t.Errorf("%+v", s)
	}
	out.Reset()
	if err := printStatus(&out, s); err != nil {
		t.Fatal(err)
	}
	demand(t, out.String(), "database  away: ")
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	demand(t, string(raw), `"pid":`, `"seq":1`, `"promised_s":`, `"lag_s":`, `"doing":"loading"`)
}
