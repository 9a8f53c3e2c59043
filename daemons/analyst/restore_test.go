package analyst

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/analysis"
	"sonde/analysis/catalog"
	"sonde/internal/measure"
	"sonde/internal/pgtest"
	"sonde/internal/schema"
	"sonde/internal/store"
	"sonde/probes"
)

// jumpy is a method that forgets nothing: its state is a hash over all it was
// told, and decides what it says. A sample that is left out, fed twice or in
// another order shows in all that follows.
func jumpy() analysis.Method {
	return analysis.Method{Name: "jumpy", Meaning: "says what its hash says",
		New: func(_ measure.Options, saved []byte) (analysis.Detector, error) {
			d := &jumping{}
			return d, analysis.Load(saved, d)
		}}
}

type jumping struct {
	Hash  uint64    `json:"hash"`
	Fed   int       `json:"fed"`
	Bad   bool      `json:"bad,omitempty"`
	Quiet int       `json:"quiet"` // samples since a tick said something
	Last  time.Time `json:"last,omitzero"`
	Grows []float64 `json:"grows,omitempty"` // the stretch that is not whole yet
	From  time.Time `json:"from,omitzero"`
	whole []analysis.Stretch
}

func (d *jumping) Record() []analysis.Stretch {
	out := d.whole
	d.whole = nil
	return out
}

func (d *jumping) Declines() string {
	if d.Fed < 6 {
		return fmt.Sprintf("%d samples are too few", d.Fed)
	}
	return ""
}

func (d *jumping) Save() ([]byte, error) { return json.Marshal(d) }

func (d *jumping) Feed(s measure.Sample) []measure.Verdict {
	h := fnv.New64a()
	fmt.Fprint(h, d.Hash, s.DueAt.UnixMicro(), s.Value, s.Outcome, s.Reason, s.Gap, s.Runs)
	d.Hash, d.Last = h.Sum64(), s.DueAt
	d.Fed++
	d.Quiet++
	if d.Grows = append(d.Grows, float64(d.Hash%1000)); len(d.Grows) == 1 {
		d.From = s.DueAt
	}
	if len(d.Grows) == 7 {
		band := []float64{1, 2, 3, 4, 5, 6, math.NaN()}
		d.whole = append(d.whole, analysis.Stretch{From: d.From, Step: time.Minute, Values: d.Grows, Forecast: band, Low: band, High: band})
		d.Grows = nil
	}
	v := measure.Verdict{At: s.DueAt, Since: s.DueAt, Text: fmt.Sprintf("%d samples, %x", d.Fed, d.Hash), Evidence: map[string]any{"hash": fmt.Sprint(d.Hash),
		"forecast": float64(d.Hash % 97), "low": 0.0, "high": 97.0, "value": float64(d.Hash % 89), "score": float64(d.Hash%64) / 128}}
	switch d.Hash % 32 {
	case 0:
		v.Kind, d.Bad = measure.Bad, true
	case 1:
		v.Kind, d.Bad = measure.Good, false
	case 2, 3, 4, 5, 6, 7:
		v.Kind = measure.Note
	default:
		if !d.Bad || d.Hash%3 > 0 {
			return nil
		}
		v.Kind = measure.Bad
	}
	return []measure.Verdict{v}
}

func (d *jumping) Tick(time.Time) []measure.Verdict {
	if d.Quiet < 9 {
		return nil
	}
	d.Quiet = 0
	d.Hash++
	return []measure.Verdict{{Kind: measure.Note, At: d.Last, Since: d.Last, Text: fmt.Sprintf("by tick, %x", d.Hash)}}
}

// stage is a database with an analyst whose passes the test makes one by one.
type stage struct {
	*testing.T
	db      *pgxpool.Pool
	start   time.Time
	session *session
	slow    pgx.Tx // of a session that commits late
	killing bool   // the next pass is killed before its commit
}

const stageSpecs = 5

func newStage(t *testing.T, start time.Time) *stage {
	t.Helper()
	c, err := schema.Catalog(stageTools())
	if err != nil {
		t.Fatal(err)
	}
	st := &stage{T: t, db: pgtest.NewWith(t, c), start: start}
	t.Cleanup(func() {
		st.kill()
		if st.slow != nil {
			_ = st.slow.Rollback(context.Background())
		}
	})
	st.exec(`INSERT INTO nodes (name, address) VALUES ('pi', '192.0.2.250')`)
	st.exec(`INSERT INTO monhosts (name, last_seen_at) VALUES ('pi', now() + interval '1 hour')`)
	st.exec(`INSERT INTO methods (name, meaning) VALUES ('jumpy', 'jumps')`)
	st.exec(`INSERT INTO rules (name, method, tool, metric) VALUES ('jumps', 'jumpy', 'ping', 'rtt_median_ms')`)
	st.exec(`CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$`)
	st.exec(`SELECT sonde_make_partitions('pingdata', $1::date - 1, $1::date + 1)`, start)
	st.exec(`INSERT INTO daemons (monhost, name, pid, version, started_at, promised_at, spool_files, reported_at)
		VALUES ('pi', 'loader', 1, '0.1.0', now(), now() + interval '1 hour', 0, now() + interval '1 hour')`)
	for i := 1; i <= stageSpecs; i++ {
		st.exec(`INSERT INTO nodes (name, address) VALUES ($1, $2)`, fmt.Sprintf("n%d", i), fmt.Sprintf("192.0.2.%d", i))
		st.exec(`INSERT INTO toolspecs (node, tool, run_interval) VALUES ($1, 'ping', '1 day')`, fmt.Sprintf("n%d", i))
	}
	return st
}

func stageTools() []probes.Tool {
	return []probes.Tool{{Name: "ping", Meaning: "pings", Table: "pingdata", Columns: []string{"sent", "received", "loss_pct", "rtt_median_ms"}, TimeToRun: 30 * time.Second,
		Metrics: []measure.Metric{{Name: "loss_pct", Column: "loss_pct", Unit: "%", Meaning: "loss"}, {Name: "rtt_median_ms", Column: "rtt_median_ms", Unit: "ms", Meaning: "delay"}}},
		{Name: "traceroute", Meaning: "traces", Table: "routedata", Columns: []string{"first_ttl", "hops", "reached"}, TimeToRun: 30 * time.Second}}
}

func (st *stage) exec(sql string, args ...any) {
	st.Helper()
	if _, err := st.db.Exec(context.Background(), sql, args...); err != nil {
		st.Fatalf("%s: %v", sql, err)
	}
}

// live gives the session that works, a new one after a kill.
func (st *stage) live() *session {
	st.Helper()
	if st.session != nil {
		return st.session
	}
	a := &Analyst{Store: store.New(st.db), Tools: stageTools(), Methods: append(catalog.All(), jumpy()), Log: slog.New(slog.DiscardHandler)}
	db, err := a.Store.Analyse(st.Context())
	for err == nil && db == nil { // the server has not seen yet that the last one is gone
		db, err = a.Store.Analyse(st.Context())
	}
	if err != nil {
		st.Fatal(err)
	}
	st.session = newSession(a, db, &atomic.Bool{})
	if err := st.session.restore(st.Context()); err != nil {
		st.Fatal(err)
	}
	return st.session
}

// kill ends the session as kill -9 would: nothing more is written.
func (st *stage) kill() {
	if st.session != nil {
		st.session.db.Close(context.Background())
		st.session = nil
	}
}

// stop ends it in order.
func (st *stage) stop() {
	st.Helper()
	if err := st.live().keepAll(context.Background()); err != nil {
		st.Fatal(err)
	}
	st.kill()
}

var errKilled = errors.New("killed before the commit")

// pass makes passes until all is read. Ticks come when the story says so, not
// by the clock. A pass that is killed has done all but its commit.
func (st *stage) pass(tick bool) {
	st.Helper()
	for {
		s := st.live()
		s.loadedAt, s.markedAt = time.Time{}, time.Time{}
		s.tickedAt = time.Now().Add(time.Hour)
		if s.tickedAt = time.Now().UTC().Add(time.Second); tick {
			s.tickedAt = time.Time{}
		}
		err := s.db.Pass(st.Context(), func(j store.Judging) error {
			if _, err := s.pass(st.Context(), j); err != nil {
				return err
			}
			if st.killing {
				return errKilled
			}
			return nil
		})
		if errors.Is(err, errKilled) {
			st.kill()
			st.killing = false
			continue
		}
		if err != nil {
			st.Fatal(err)
		}
		if !s.behind {
			return
		}
	}
}

// found is all that the analyst wrote, in the order it did, less what the clock of
// the database decides.
func (st *stage) found() string {
	st.Helper()
	return st.text(`SELECT coalesce(string_agg(format('%s %s %s %s|%s|%s|%s|%s|%s', toolspec_id, rule, kind, severity, decision, text, regexp_replace(reason, '\ma\d+', 'a', 'g'),
			dense_rank, evidence - 'alerts' - 'runs'), E'\n' ORDER BY id), '')
		FROM (SELECT *, dense_rank() OVER (ORDER BY alert_id NULLS FIRST) FROM newalerts WHERE rule <> 'clock') x`) + "\n\n" +
		st.text(`SELECT coalesce(string_agg(format('%s %s %s-%s %s %s %s', toolspec_id, rule, began_at, CASE WHEN toolspec_id > 0 AND close_text NOT LIKE 'no longer watched%' THEN ended_at END, findings, told_times, text), E'\n' ORDER BY id), '') FROM alerts WHERE rule <> 'clock'`) + "\n\n" +
		st.text(`SELECT coalesce(string_agg(format('%s %s %s %s %s', toolspec_id, metric, from_at, step, values), E'\n' ORDER BY toolspec_id, from_at), '') FROM regdata`) + "\n\n" +
		st.text(`SELECT coalesce(string_agg(format('%s %s %s %s %s %s', toolspec_id, rule, from_at, forecast, low, high), E'\n' ORDER BY toolspec_id, from_at), '') FROM hwgraphs`) + "\n\n" +
		st.text(`SELECT coalesce(string_agg(format('%s %s %s-%s %s %s %s %s', toolspec_id, rule, began_at, CASE WHEN ended_at < now() - interval '2 minutes' THEN ended_at END, forecast, value, score, alert_id IS NULL),
			E'\n' ORDER BY toolspec_id, began_at), '') FROM hwalerts`) + "\n\n" +
		st.text(`SELECT coalesce(string_agg(kind || ' ' || subject, E'\n' ORDER BY id), '') FROM notices WHERE subject NOT LIKE '%clock%'`)
}

func (st *stage) states() string {
	st.Helper()
	// A fresh detector is told the time; silence counts from then on.
	rows, err := st.db.Query(context.Background(), `SELECT format('%s %s %s', toolspec_id, judged_to, not_judged), state FROM detectors WHERE judged_to IS NOT NULL ORDER BY toolspec_id`)
	if err != nil {
		st.Fatal(err)
	}
	var all, line string
	var packed []byte
	if _, err := pgx.ForEachRow(rows, []any{&line, &packed}, func() error {
		s, err := readState(packed)
		all += fmt.Sprint(line, " ", s.Well, "\n")
		for _, d := range s.Rules {
			all += fmt.Sprintf("  %s %s %s %q\n", d.Rule, d.Print, d.Interval, d.State)
		}
		return err
	}); err != nil {
		st.Fatal(err)
	}
	return all
}

func (st *stage) text(sql string, args ...any) string {
	st.Helper()
	var s string
	if err := st.db.QueryRow(context.Background(), sql, args...).Scan(&s); err != nil {
		st.Fatalf("%s: %v", sql, err)
	}
	return s
}

// act is one thing that happens between two passes, the same on every stage.
type act func(*stage)

const storing = `INSERT INTO pingdata (toolspec_id, due_at, outcome, reason, loss_pct, rtt_median_ms, late) VALUES ($1, $2, $3, nullif($4, ''), $5, $6, $7)
	ON CONFLICT (toolspec_id, due_at) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason, loss_pct = excluded.loss_pct, rtt_median_ms = excluded.rtt_median_ms,
		late = excluded.late, stored_xid = pg_current_xact_id() WHERE pingdata.outcome = 'missed'`

// refuse lets the database take no alert of a rule, or take them again.
func (st *stage) refuse(on bool) {
	if on {
		st.exec(`CREATE TRIGGER refused BEFORE INSERT ON alerts FOR EACH ROW WHEN (NEW.rule IN ('jumps', 'clock')) EXECUTE FUNCTION refused()`)
	} else {
		st.exec(`DROP TRIGGER IF EXISTS refused ON alerts`)
	}
}

// story makes up what happens in n passes: results in order and late ones, runs
// that fail, that are missed, and that come all the same, transactions that stay
// open, spools that are waited for, gaps, rules that change, specs that are
// switched off and on, a clock that steps back, and alerts that cannot be raised.
func story(r *rand.Rand, n int) []act {
	var acts []act
	minute := make([]int, stageSpecs+1)
	var missed, kept [][]any
	row := func(spec int, at time.Duration, late bool) []any {
		loss, rtt := []any{0.0, 10.0, 100.0, 100.0}[r.IntN(4)], any(10+r.Float64())
		if loss == 100.0 {
			rtt = nil
		}
		switch r.IntN(8) {
		case 0:
			return []any{spec, at, "fail", "name does not resolve", nil, nil, late}
		case 1:
			return []any{spec, at, "missed", "no worker: silent", nil, nil, late}
		}
		return []any{spec, at, "ok", "", loss, rtt, late}
	}
	stored := func(rows [][]any, open bool) act {
		return func(st *stage) {
			if open && st.slow == nil {
				var err error
				if st.slow, err = st.db.Begin(context.Background()); err != nil {
					st.Fatal(err)
				}
			}
			batch := &pgx.Batch{}
			for _, row := range rows {
				batch.Queue(storing, append([]any{row[0], st.start.Add(row[1].(time.Duration))}, row[2:]...)...)
			}
			var err error
			if open {
				err = st.slow.SendBatch(context.Background(), batch).Close()
			} else {
				err = st.db.SendBatch(context.Background(), batch).Close()
			}
			if err != nil {
				st.Fatal(err)
			}
		}
	}
	enabled, held, refused := true, false, false
	for range n {
		var rows [][]any
		for spec := 1; spec <= stageSpecs; spec++ {
			for range r.IntN(4) {
				minute[spec]++
				one := row(spec, time.Duration(minute[spec])*time.Minute+time.Duration(spec)*time.Second, false)
				if r.IntN(10) == 0 {
					kept = append(kept, one) // it comes late
					continue
				}
				if one[2] == "missed" {
					missed = append(missed, one)
				}
				rows = append(rows, one)
			}
		}
		acts = append(acts, stored(rows, false))
		switch r.IntN(10) {
		case 0:
			acts = append(acts, stored(kept, false))
			kept = nil
		case 1: // the results of missed runs come in after all
			var again [][]any
			for _, m := range missed {
				again = append(again, []any{m[0], m[1], "ok", "", 0.0, 12.0, true})
			}
			missed = nil
			acts = append(acts, stored(again, r.IntN(4) == 0))
		case 2:
			spec := 1 + r.IntN(stageSpecs)
			minute[spec]++
			acts = append(acts, stored([][]any{row(spec, time.Duration(minute[spec])*time.Minute+time.Duration(spec)*time.Second, false)}, true))
		case 3:
			acts = append(acts, func(st *stage) {
				if st.slow != nil {
					if err := st.slow.Commit(context.Background()); err != nil {
						st.Fatal(err)
					}
					st.slow = nil
				}
			})
		case 4:
			held = !held
			files := 0
			if held {
				files = 3
			}
			acts = append(acts, func(st *stage) { st.exec(`UPDATE daemons SET spool_files = $1`, files) })
		case 5:
			spec := 1 + r.IntN(stageSpecs)
			from := minute[spec] + 1
			minute[spec] += 3
			acts = append(acts, func(st *stage) {
				st.exec(`INSERT INTO gaps (toolspec_id, from_at, until_at, runs, reason) VALUES ($1, $2, $3, 3, 'the scheduler was down')`, spec,
					st.start.Add(time.Duration(from)*time.Minute+time.Duration(spec)*time.Second), st.start.Add(time.Duration(from+2)*time.Minute+time.Duration(spec)*time.Second))
			})
		case 6:
			runs := 2 + r.IntN(3)
			acts = append(acts, func(st *stage) {
				st.exec(`UPDATE rules SET options = $1::jsonb WHERE name = 'no answer'`, fmt.Sprintf(`{"runs": %d}`, runs))
			})
		case 7:
			enabled = !enabled
			on := enabled
			acts = append(acts, func(st *stage) { st.exec(`UPDATE toolspecs SET enabled = $1 WHERE id = 2`, on) })
		case 8:
			if r.IntN(3) == 0 {
				back := max(0, minute[1]-3)
				acts = append(acts, func(st *stage) {
					st.exec(`INSERT INTO clock_steps (seconds, from_at, until_at) VALUES (-180, $1, $2)`, st.start.Add(time.Duration(back)*time.Minute), st.start.Add(time.Duration(back+3)*time.Minute))
				})
			}
		case 9:
			refused = !refused
			on := refused
			acts = append(acts, func(st *stage) { st.refuse(on) })
		}
		tick := r.IntN(4) == 0
		acts = append(acts, func(st *stage) { st.pass(tick) })
	}
	acts = append(acts, func(st *stage) {
		if st.slow != nil {
			if err := st.slow.Commit(context.Background()); err != nil {
				st.Fatal(err)
			}
		}
		st.exec(`UPDATE daemons SET spool_files = 0`)
		st.refuse(false)
		st.pass(true)
		st.pass(false)
	})
	return acts
}

// Whatever comes, and whenever the analyst is killed, what is found and what the
// detectors know in the end are what they are when nobody disturbs it.
func TestKilledAtAnyPassItFindsTheSameAndKnowsTheSame(t *testing.T) {
	start := time.Now().UTC().Add(-3 * time.Hour).Truncate(time.Minute)
	seeds, passes := 2, 50
	if n := os.Getenv("SONDE_SEEDS"); n != "" {
		fmt.Sscan(n, &seeds)
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			acts := story(rand.New(rand.NewPCG(seed, 7)), passes)
			calm, rough := newStage(t, start), newStage(t, start)
			r := rand.New(rand.NewPCG(seed, 8))
			kills := 0
			for _, a := range acts {
				a(calm)
				switch r.IntN(12) {
				case 0, 1:
					rough.kill()
					kills++
				case 2:
					rough.killing = true
					kills++
				case 3:
					rough.stop()
				}
				a(rough)
			}
			calm.stop()
			rough.stop()
			if kills < 10 {
				t.Errorf("only %d kills", kills)
			}
			same(t, "what was found", calm.found(), rough.found())
			same(t, "what the detectors know", calm.states(), rough.states())
			if n := calm.text(`SELECT format('%s %s', (SELECT count(*) FROM regvalues) > 100, (SELECT count(*) FROM hwalerts WHERE ended_at IS NOT NULL) > 0)`); n != "t t" {
				t.Errorf("too little was recorded to compare: %s", n)
			}
			if strings.Count(calm.found(), "\n") < 100 {
				t.Errorf("too little was found to compare:\n%s", calm.found())
			}
		})
	}
}

func same(t *testing.T, what, calm, rough string) {
	t.Helper()
	if calm == rough {
		return
	}
	a, b := strings.Split(calm, "\n"), strings.Split(rough, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Fatalf("%s differs, line %d\n  undisturbed %s\n  killed      %s", what, i, a[i], b[i])
		}
	}
	t.Fatalf("%s: %d lines undisturbed, %d killed", what, len(a), len(b))
}
