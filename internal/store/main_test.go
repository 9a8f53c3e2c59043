package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/internal/measure"
	"sonde/internal/pgtest"
	"sonde/internal/schema"
	"sonde/internal/store"
	"sonde/probes/catalog"
	"sonde/probes/ping"
)

var worker = of("ping")

// of is the worker of a tool on m1.
func of(tool string) store.Claimant {
	return store.Claimant{Monhost: "m1", Tool: tool, Name: "m1/worker-ping/1"}
}

// world is a migrated database with one monitoring host, one node and one ping.
type world struct {
	*testing.T
	pool *pgxpool.Pool
	*store.Store
	spec int64
}

var pings = store.Table{Name: ping.Tool().Table, Columns: ping.Tool().Columns}

func newWorld(t *testing.T) *world {
	t.Helper()
	c, err := schema.Catalog(catalog.All())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, pool: pgtest.NewWith(t, c)}
	w.Store = store.New(w.pool)
	w.exec(`INSERT INTO nodes (name, address) VALUES ('m1', '127.0.0.1'), ('far', '192.0.2.1')`)
	w.exec(`INSERT INTO monhosts (name, tools) VALUES ('m1', '{ping,traceroute}')`)
	w.spec = w.newSpec("ping", "")
	return w
}

func (w *world) newSpec(tool, label string) int64 {
	w.Helper()
	return one[int64](w, `INSERT INTO toolspecs (node, monhost, tool, label, run_interval) VALUES ('far', 'm1', $1, $2, '1 minute') RETURNING id`, tool, label)
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	if _, err := w.pool.Exec(w.Context(), sql, args...); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

func one[T any](w *world, sql string, args ...any) T {
	w.Helper()
	var v T
	if err := w.pool.QueryRow(w.Context(), sql, args...).Scan(&v); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	return v
}

// due makes n runs of spec due, a second apart, the last of them now.
func (w *world) due(spec int64, n int) {
	w.Helper()
	w.exec(`INSERT INTO schedule (toolspec_id, due_at) SELECT $1, now() - g * interval '1 second' FROM generate_series(0, $2 - 1) g`, spec, n)
}

func (w *world) claim(most int) []*store.Claim {
	w.Helper()
	c, err := w.Claim(w.Context(), worker, 10*time.Second, 2*time.Second, most, time.Time{})
	if err != nil {
		w.Fatal(err)
	}
	return c.Runs
}

func (w *world) lead() *store.Leader {
	w.Helper()
	l, err := w.Lead(w.Context(), "m1")
	if err != nil || l == nil {
		w.Fatalf("leader %v, %v", l, err)
	}
	w.Cleanup(func() { l.Close(context.Background()) })
	return l
}

// lock holds rows in a transaction of its own, as an open psql does, until the test ends.
func (w *world) lock(sql string, args ...any) {
	w.Helper()
	conn, err := pgx.ConnectConfig(w.Context(), w.pool.Config().ConnConfig)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { conn.Close(context.Background()) })
	for _, s := range []string{"BEGIN", sql} {
		a := args
		if s == "BEGIN" {
			a = nil
		}
		if _, err := conn.Exec(w.Context(), s, a...); err != nil {
			w.Fatalf("%s: %v", s, err)
		}
	}
}

func endOf(c *store.Claim, outcome measure.Outcome, received int) *store.RunEnd {
	e := &store.RunEnd{RunKey: c.RunKey, Attempt: c.Attempt, Place: c.Place, StartedAt: c.DueAt, Took: 1500 * time.Microsecond, Outcome: outcome}
	if outcome != measure.OK {
		e.Reason = "of some reason"
		return e
	}
	e.Address = netip.MustParseAddr("192.0.2.1")
	e.Row = pingRow(received)
	return e
}

// pingRow has the types that probes/ping gives.
func pingRow(received int) []any {
	rtts := make([]*int32, 10)
	for i := range received {
		us := int32(1000 + i)
		rtts[i] = &us
	}
	row := make([]any, len(pings.Columns))
	for i, name := range pings.Columns {
		switch name {
		case "sent":
			row[i] = int64(10)
		case "received":
			row[i] = int64(received)
		case "loss_pct":
			row[i] = 100 * float64(10-received) / 10
		case "rtts_us":
			row[i] = rtts
		}
	}
	return row
}

func ends(claims []*store.Claim, outcome measure.Outcome) []*store.RunEnd {
	var list []*store.RunEnd
	for _, c := range claims {
		list = append(list, endOf(c, outcome, 10))
	}
	return list
}

func spooled(t store.Table, ends ...*store.RunEnd) []store.SpoolRow {
	var rows []store.SpoolRow
	for _, e := range ends {
		rows = append(rows, e.Spooled(t))
	}
	return rows
}

// outcomes gives "ok 10 attempt 1" by due_at, and "" for a run that has no row.
func (w *world) outcome(k measure.RunKey) string {
	w.Helper()
	var outcome string
	var received *int
	var attempt int
	err := w.pool.QueryRow(w.Context(), `SELECT outcome, received, attempt FROM pingdata WHERE toolspec_id = $1 AND due_at = $2`, k.ToolspecID, k.DueAt).Scan(&outcome, &received, &attempt)
	if err == pgx.ErrNoRows {
		return ""
	}
	if err != nil {
		w.Fatal(err)
	}
	if received != nil {
		outcome += fmt.Sprintf(" %d", *received)
	}
	return outcome + fmt.Sprintf(" attempt %d", attempt)
}

func (w *world) left() int { w.Helper(); return one[int](w, `SELECT count(*)::int FROM schedule`) }
