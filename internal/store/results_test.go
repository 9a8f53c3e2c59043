package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/probes"
	"sonde/probes/catalog"
	"sonde/probes/traceroute"
)

var routes = store.Table{Name: traceroute.Tool().Table, Columns: traceroute.Tool().Columns}

func TestFirstOkOrFailWinsAndReplacesMissedOnly(t *testing.T) {
	w := newWorld(t)
	at := time.Now().UTC().Truncate(time.Microsecond)
	for i, c := range []struct{ first, second, want string }{
		{"ok", "fail", "ok 10 attempt 1"}, {"ok", "ok", "ok 10 attempt 1"}, {"fail", "ok", "fail attempt 1"},
		{"missed", "ok", "ok 5 attempt 2"}, {"missed", "fail", "fail attempt 2"}, {"missed", "missed", "missed attempt 1"},
		{"ok", "missed", "ok 10 attempt 1"}, {"fail", "missed", "fail attempt 1"},
	} {
		claim := &store.Claim{}
		claim.RunKey = measure.RunKey{ToolspecID: w.spec, DueAt: at.Add(time.Duration(i) * time.Second)}
		claim.Attempt = 1
		first := endOf(claim, measure.Outcome(c.first), 10)
		claim.Attempt = 2
		second := endOf(claim, measure.Outcome(c.second), 5)
		for _, e := range []*store.RunEnd{first, second} {
			loaded, err := w.Load(t.Context(), spooled(pings, e))
			if err != nil || loaded.Stored+loaded.Doubles != 1 {
				t.Fatalf("%v: %+v %v", c, loaded, err)
			}
		}
		if got := w.outcome(claim.RunKey); got != c.want {
			t.Errorf("%s then %s is %q, want %q", c.first, c.second, got, c.want)
		}
	}
}

// The same run twice in one batch: made by a worker's own plan, and again after its restart.
func TestTwinsInOneBatchAreOneRow(t *testing.T) {
	w := newWorld(t)
	c := &store.Claim{}
	c.RunKey = measure.RunKey{ToolspecID: w.spec, DueAt: time.Now().UTC().Truncate(time.Microsecond)}
	loaded, err := w.Load(t.Context(), spooled(pings, endOf(c, measure.Missed, 0), endOf(c, measure.OK, 7), endOf(c, measure.OK, 3)))
	if err != nil || loaded.Stored != 1 || loaded.Doubles != 2 {
		t.Fatalf("%+v %v", loaded, err)
	}
	if got := w.outcome(c.RunKey); got != "ok 7 attempt 0" {
		t.Errorf("the end is %q", got)
	}
}

// A COMMIT whose answer was lost: the batch takes the loader's way, and nothing is doubled.
func TestLoadAfterACommitThatWasNotAnsweredChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.due(w.spec, 5)
	claims := w.claim(5)
	batch := ends(claims, measure.OK)
	if _, err := w.Finish(t.Context(), pings, batch, worker); err != nil {
		t.Fatal(err)
	}
	before := one[string](w, `SELECT string_agg(d::text, ';' ORDER BY due_at) FROM pingdata d`)
	if lost, err := w.Finish(t.Context(), pings, batch, worker); !errors.Is(err, store.ErrLeaseLost) || len(lost) != 5 {
		t.Fatalf("%d lost, %v", len(lost), err)
	}
	if loaded, err := w.Load(t.Context(), spooled(pings, batch...)); err != nil || loaded.Doubles != 5 || loaded.Stored != 0 {
		t.Fatalf("%+v %v", loaded, err)
	}
	if after := one[string](w, `SELECT string_agg(d::text, ';' ORDER BY due_at) FROM pingdata d`); after != before {
		t.Errorf("%s\nbecame\n%s", before, after)
	}
}

func TestRowsThatCanNeverBeStoredAreNamedAndTheRestIsNotTouched(t *testing.T) {
	w := newWorld(t)
	now := time.Now().UTC().Truncate(time.Microsecond)
	good := func(at time.Time) store.SpoolRow {
		c := &store.Claim{}
		c.RunKey = measure.RunKey{ToolspecID: w.spec, DueAt: at}
		return endOf(c, measure.OK, 10).Spooled(pings)
	}
	with := func(column string, v any) store.SpoolRow {
		r := good(now)
		r.Row[column] = v
		return r
	}
	for name, c := range map[string]struct {
		row  store.SpoolRow
		want string
	}{
		"too old":         {good(now.AddDate(0, 0, -402)), "keep_days_pingdata"},
		"too far ahead":   {good(now.Add(25 * time.Hour)), "more than a day ahead"},
		"no time":         {with("due_at", "soon"), "soon"},
		"no key":          {with("due_at", nil), "a missing one"},
		"no spec":         {with("toolspec_id", nil), "toolspec_id"},
		"no outcome":      {with("outcome", "perhaps"), "run_outcome"},
		"no reason":       {with("outcome", "fail"), "run_reason"},
		"no number":       {with("received", "ten"), "ten"},
		"no such table":   {store.SpoolRow{Table: "toolspecs", Row: good(now).Row}, `there is no data table "toolspecs"`},
		"no array":        {with("rtts_us", 5), ""},
		"infinitely long": {with("due_at", "infinity"), "ahead"},
	} {
		_, err := w.Load(t.Context(), []store.SpoolRow{good(now.Add(-time.Second)), c.row})
		if !errors.Is(err, store.ErrUnloadable) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := one[int](w, `SELECT count(*)::int FROM pingdata`); n != 0 {
		t.Errorf("%d rows were stored", n)
	}
}

func TestOldRowsWithinRetentionGetTheirPartition(t *testing.T) {
	w := newWorld(t)
	c := &store.Claim{}
	c.RunKey = measure.RunKey{ToolspecID: w.spec, DueAt: time.Now().UTC().AddDate(0, 0, -399).Truncate(time.Microsecond)}
	if loaded, err := w.Load(t.Context(), spooled(pings, endOf(c, measure.OK, 10))); err != nil || loaded.Stored != 1 {
		t.Errorf("%+v %v", loaded, err)
	}
}

// A missing privilege or a missing table is for a person to mend; results wait meanwhile.
func TestWhatAPersonCanMendIsNotUnloadable(t *testing.T) {
	w := newWorld(t)
	c := &store.Claim{}
	c.RunKey = measure.RunKey{ToolspecID: w.spec, DueAt: time.Now().UTC().Truncate(time.Microsecond)}
	w.exec(`ALTER TABLE data_tables RENAME TO elsewhere`)
	if _, err := w.Load(t.Context(), spooled(pings, endOf(c, measure.OK, 10))); err == nil || errors.Is(err, store.ErrUnloadable) {
		t.Error(err)
	}
}

func ptr[T any](v T) *T { return &v }

// extremes are rows with the types and the holes that the probes give.
func extremes() map[string][]any {
	a, b := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::1")
	refused := json.RawMessage(`{"ENETUNREACH":3,"EPERM":1}`)
	rows := map[string][]any{
		"two hops, one silent": {"udp", int64(1), []*netip.Addr{&a, nil, &b}, [][]*netip.Addr{{&a, nil, &a}, {nil, nil, nil}, {&b, &b, &b}},
			[][]*int32{{ptr(int32(0)), nil, ptr(int32(math.MaxInt32))}, {nil, nil, nil}, {ptr(int32(7)), ptr(int32(8)), ptr(int32(9))}},
			[][]*string{{nil, nil, nil}, {nil, nil, nil}, {ptr("!H"), ptr(`"quoted", {braces}`), nil}}, int64(3), true, 0.1 + 0.2, "target", nil,
			[][]*int32{{ptr(int32(255)), nil, ptr(int32(1))}, {nil, nil, nil}, {ptr(int32(7)), ptr(int32(8)), ptr(int32(9))}}, [][]*string{{ptr("L=16004,E=0,S=1,T=1"), nil, nil}, {nil, nil, nil}, {nil, nil, nil}},
			[][]*string{{ptr("in index=7 name=xe-0/0/1"), nil, nil}, {nil, nil, nil}, {nil, nil, nil}}, [][]*string{{ptr("nat,qttl=0"), nil, nil}, {nil, nil, nil}, {nil, nil, nil}}, []int32{3, 0, math.MaxInt32}, 0.95, int64(1400), int64(2)},
		"nobody":  {"icmp", int64(1), []*netip.Addr{nil}, [][]*netip.Addr{{nil}}, [][]*int32{{nil}}, [][]*string{{nil}}, int64(1), false, nil, "silent", refused, [][]*int32{{nil}}, nil, nil, nil, []int32{3}, nil, nil, nil},
		"no hop":  {"icmp", int64(1), []*netip.Addr{}, [][]*netip.Addr{}, [][]*int32{}, [][]*string{}, int64(0), false, nil, "ENETUNREACH", refused, [][]*int32{}, nil, nil, nil, []int32{}, nil, nil, nil},
		"nothing": make([]any, len(routes.Columns)),
	}
	return rows
}

// What comes by the spool is what would have come by COPY, to the last bit.
func TestLoaderAndCopyStoreTheSameRow(t *testing.T) {
	w := newWorld(t)
	type sample struct {
		tool string
		row  []any
	}
	samples := map[string]sample{"ping, half lost": {"ping", pingRow(5)}, "ping, all lost": {"ping", pingRow(0)}}
	for name, row := range extremes() {
		if len(row) != len(routes.Columns) {
			t.Fatalf("%s has %d values for %d columns", name, len(row), len(routes.Columns))
		}
		samples["route, "+name] = sample{"traceroute", row}
	}
	for _, tool := range catalog.All() {
		samples["a real "+tool.Name] = sample{tool.Name, measured(t, tool)}
	}
	i := 0
	for name, s := range samples {
		i++
		tool, _ := catalog.Find(s.tool)
		table := store.Table{Name: tool.Table, Columns: tool.Columns}
		byCopy, bySpool := w.newSpec(s.tool, fmt.Sprint("copy", i)), w.newSpec(s.tool, fmt.Sprint("spool", i))
		at := time.Now().UTC().Truncate(time.Microsecond)
		e := &store.RunEnd{RunKey: measure.RunKey{ToolspecID: byCopy, DueAt: at}, Attempt: 1, StartedAt: at.Add(time.Millisecond), Took: 1234567 * time.Nanosecond,
			Outcome: measure.OK, Log: "línea\n\"2\"\t", Address: netip.MustParseAddr("192.0.2.1"), Row: s.row}
		w.exec(`INSERT INTO schedule (toolspec_id, due_at) VALUES ($1, $2)`, byCopy, at)
		if c, err := w.Claim(t.Context(), of(s.tool), time.Minute, 0, 9, time.Time{}); err != nil || len(c.Runs) != 1 {
			t.Fatalf("%s: %d claims, %v", name, len(c.Runs), err)
		}
		if _, err := w.Finish(t.Context(), table, []*store.RunEnd{e}, of(s.tool)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		e.ToolspecID = bySpool
		raw, err := json.Marshal(e.Spooled(table)) // as the spool keeps it
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var back store.SpoolRow
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Fatal(err)
		}
		if loaded, err := w.Load(t.Context(), []store.SpoolRow{back}); err != nil || loaded.Stored != 1 {
			t.Fatalf("%s: %+v %v", name, loaded, err)
		}
		const asText = `SELECT (to_jsonb(d) - '{toolspec_id,late,stored_at,stored_xid}'::text[])::text FROM %s d WHERE toolspec_id = $1`
		copied, loaded := one[string](w, fmt.Sprintf(asText, table.Name), byCopy), one[string](w, fmt.Sprintf(asText, table.Name), bySpool)
		if copied != loaded {
			t.Errorf("%s\nby COPY  %s\nby spool %s", name, copied, loaded)
		}
		if s.tool == "traceroute" {
			const dims = `SELECT coalesce(array_dims(hop_addresses), 'none') || coalesce(array_dims(hop_rtts_us), 'none') || coalesce(array_dims(hop_codes), 'none') FROM routedata WHERE toolspec_id = $1`
			if a, b := one[string](w, dims, byCopy), one[string](w, dims, bySpool); a != b {
				t.Errorf("%s: dimensions %s by COPY, %s by spool", name, a, b)
			}
		}
	}
	if n := one[int](w, `SELECT count(*)::int FROM pingdata WHERE late`) + one[int](w, `SELECT count(*)::int FROM routedata WHERE late`); n != len(samples) {
		t.Errorf("%d of %d rows are marked late", n, len(samples))
	}
}

// measured makes one real run on the loopback device.
func measured(t *testing.T, tool probes.Tool) []any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	env := probes.Env{Log: slog.New(slog.DiscardHandler)}
	if tool.Open != nil {
		engine, err := tool.Open(ctx, env)
		if err != nil {
			t.Fatalf("%s: %v", tool.Name, err)
		}
		defer engine.Close()
		env.Engine = engine
	}
	options := map[string]string{"ping": `{"count": 3, "interval": "10ms"}`}[tool.Name]
	if options == "" {
		options = `{}`
	}
	p, err := tool.New(json.RawMessage(options), env)
	if err != nil {
		t.Fatalf("%s: %v", tool.Name, err)
	}
	res, err := p.Run(ctx, measure.Target{Node: "self", Address: "127.0.0.1", Log: env.Log})
	if err != nil {
		t.Fatalf("%s: %v", tool.Name, err)
	}
	return res.Row
}

func TestFinishThatFailsStoresNothingOfTheBatch(t *testing.T) {
	w := newWorld(t)
	w.due(w.spec, 3)
	batch := ends(w.claim(3), measure.OK)
	batch[1].Row[1] = "many" // sent
	if _, err := w.Finish(t.Context(), pings, batch, worker); err == nil || errors.Is(err, store.ErrLeaseLost) {
		t.Fatal(err)
	}
	if n := one[int](w, `SELECT count(*)::int FROM pingdata`); n != 0 || w.left() != 3 {
		t.Errorf("%d rows, %d in schedule", n, w.left())
	}
}

func TestAwayIsToldFromRefused(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Load(ctx, nil); store.IsAway(err) {
		t.Errorf("our own cancel counts as away: %v", err)
	}
	_, err := w.pool.Exec(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid())")
	if !store.IsAway(err) {
		t.Errorf("a terminated connection: %v", err)
	}
	_, err = w.pool.Exec(t.Context(), "SELECT 1/0")
	if store.IsAway(err) {
		t.Errorf("a division by zero counts as away: %v", err)
	}
	// A server that answers and lets nobody in: a full disk says XX000, this 22023.
	refusing := w.pool.Config().ConnConfig.Copy()
	refusing.RuntimeParams["statement_timeout"] = "soon"
	if _, err := pgx.ConnectConfig(t.Context(), refusing); err == nil || !store.IsAway(err) {
		t.Errorf("a server that lets nobody in: %v", err)
	}
	w.pool.Close()
	if _, err := store.New(w.pool).ReadClock(t.Context()); !store.IsAway(err) {
		t.Errorf("a closed pool: %v", err)
	}
}

func TestUnknownColumnsAndMissingOnesDoNotMatter(t *testing.T) {
	w := newWorld(t)
	at := time.Now().UTC().Truncate(time.Microsecond)
	row := store.SpoolRow{Table: "pingdata", Row: map[string]any{"toolspec_id": w.spec, "due_at": at, "outcome": "ok", "of_a_later_version": 1, "route_no": 4}}
	if loaded, err := w.Load(t.Context(), []store.SpoolRow{row}); err != nil || loaded.Stored != 1 {
		t.Errorf("%+v %v", loaded, err)
	}
}

func TestVersionTooOldForTheSchemaIsSaid(t *testing.T) {
	w := newWorld(t)
	w.exec(`UPDATE schema_info SET oldest_program = '2.1.0'`)
	for version, wanted := range map[string]bool{"2.1.0": true, "2.10.0": true, "3.0": true, "2.0.9": false, "1.9.0": false, "development": true} {
		if err := w.CheckVersion(t.Context(), version); (err == nil) != wanted {
			t.Errorf("%s: %v", version, err)
		}
	}
}

func TestRouteOfADoubleIsNotSeenTwice(t *testing.T) {
	w := newWorld(t)
	spec := w.newSpec("traceroute", "")
	e := &store.RunEnd{RunKey: measure.RunKey{ToolspecID: spec, DueAt: time.Now().UTC().Truncate(time.Microsecond)}, Outcome: measure.OK, Row: extremes()["two hops, one silent"]}
	for range 3 {
		if _, err := w.Load(t.Context(), spooled(routes, e)); err != nil {
			t.Fatal(err)
		}
	}
	if got := one[string](w, `SELECT string_agg(format('%s seen %s', route_no, times_seen), ', ') FROM routeno`); got != "1 seen 1" {
		t.Errorf("%q", got)
	}
	if n := one[int](w, `SELECT route_no FROM routedata`); n != 1 {
		t.Errorf("the row's number is %d", n)
	}
	// A missed run that gets its result has its route numbered then.
	e.DueAt = e.DueAt.Add(time.Second)
	missed := &store.RunEnd{RunKey: e.RunKey, Outcome: measure.Missed, Reason: "away"}
	for _, end := range []*store.RunEnd{missed, e} {
		if _, err := w.Load(t.Context(), spooled(routes, end)); err != nil {
			t.Fatal(err)
		}
	}
	if got := one[string](w, `SELECT string_agg(format('%s seen %s', route_no, times_seen), ', ') FROM routeno`); got != "1 seen 2" {
		t.Errorf("%q", got)
	}
	if n := one[int](w, `SELECT count(*)::int FROM routedata WHERE route_no = 1`); n != 2 {
		t.Errorf("%d rows have the number", n)
	}
}

// Two batches that see the same routes, in whatever order, do not wait for each other in a ring.
func TestBatchesOfTheSameRoutesDoNotDeadlock(t *testing.T) {
	w := newWorld(t)
	var specs []int64
	for i := range 20 {
		specs = append(specs, w.newSpec("traceroute", fmt.Sprint(i)))
	}
	at := time.Now().UTC().Truncate(time.Second).Add(-5 * time.Second)
	w.exec(`INSERT INTO schedule (toolspec_id, due_at) SELECT s, $1::timestamptz + g * interval '1 ms' FROM unnest($2::bigint[]) s, generate_series(0, 29) g`, at, specs)
	c, err := w.Claim(t.Context(), of("traceroute"), time.Minute, 0, 1000, time.Time{})
	if err != nil || len(c.Runs) != 600 {
		t.Fatalf("%d claims, %v", len(c.Runs), err)
	}
	var wg sync.WaitGroup
	for i := range 30 {
		var batch []*store.RunEnd
		for _, r := range c.Runs {
			if r.DueAt.Equal(at.Add(time.Duration(i) * time.Millisecond)) {
				batch = append(batch, &store.RunEnd{RunKey: r.RunKey, Attempt: 1, Outcome: measure.OK, Row: extremes()["two hops, one silent"]})
			}
		}
		if i%2 == 1 {
			slices.Reverse(batch)
		}
		wg.Go(func() {
			if _, err := w.Finish(t.Context(), routes, batch, of("traceroute")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := one[string](w, `SELECT format('%s %s', count(*), sum(times_seen)) FROM routeno`); got != "20 600" {
		t.Errorf("%q", got)
	}
}

func TestBytesThatAreNoTextAreStoredAllTheSame(t *testing.T) {
	w := newWorld(t)
	w.due(w.spec, 2)
	batch := ends(w.claim(2), measure.Fail)
	for i := range batch {
		batch[i].Reason, batch[i].Log = "answer \x00\xff", "\xc3\x28\x00"
	}
	if _, err := w.Finish(t.Context(), pings, batch[:1], worker); err != nil {
		t.Error(err)
	}
	if _, err := w.Load(t.Context(), spooled(pings, batch[1])); err != nil {
		t.Error(err)
	}
	if got := one[string](w, `SELECT string_agg(reason || log, '|') FROM pingdata`); got != "answer \uFFFD\uFFFD\uFFFD(\uFFFD|answer \uFFFD\uFFFD\uFFFD(\uFFFD" {
		t.Errorf("%q", got)
	}
}
