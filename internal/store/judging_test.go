package store_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"sonde/internal/store"
)

// pass makes one pass of an analyst.
func (w *world) pass(f func(context.Context, store.Judging) error) {
	w.Helper()
	a, err := w.Analyse(w.Context())
	if err != nil || a == nil {
		w.Fatalf("no right to judge: %v", err)
	}
	defer a.Close(w.Context())
	if err := a.Pass(w.Context(), func(j store.Judging) error { return f(w.Context(), j) }); err != nil {
		w.Fatal(err)
	}
}

func TestAnExcursionThatBeganWhenOneDidThatIsOverIsThatOneAgain(t *testing.T) {
	w := newWorld(t)
	began := time.Now().UTC().Truncate(time.Second)
	number := func(f float64) *float64 { return &f }
	e := store.Excursion{ToolspecID: 1, Rule: "sum", Metric: "rtt", Began: began, Forecast: number(1), Low: number(0), High: number(2), Value: number(3), Score: number(1), AlertID: 7}
	over, again := e, e
	over.Ended, again.Score, again.AlertID = began.Add(time.Minute), number(2), 8
	for _, e := range []store.Excursion{e, over, again, again} {
		w.pass(func(ctx context.Context, j store.Judging) error {
			return j.Write(ctx, store.Found{Excursions: []store.Excursion{e}})
		})
	}
	if got := one[string](w, `SELECT string_agg(format('%s %s %s', ended_at IS NULL, score, alert_id), ', ') FROM hwalerts`); got != "t 2 8" {
		t.Errorf("excursions: %s", got)
	}
}

func TestAPassSurvivesWhatFailsInASavepoint(t *testing.T) {
	w := newWorld(t)
	w.pass(func(ctx context.Context, j store.Judging) error {
		failed, err := j.Try(ctx, func(j store.Judging) error {
			_, err := j.Mesh(ctx, "pingdata", "no_such_column", []int64{1, 2, 3}, time.Now().Add(-time.Hour), time.Now(), time.Minute)
			return err
		})
		if err != nil || failed == nil {
			t.Errorf("failed %v, error %v", failed, err)
		}
		if failed, err = j.Try(ctx, func(store.Judging) error { return errors.New("mine") }); err != nil || failed == nil {
			t.Errorf("failed %v, error %v", failed, err)
		}
		_, err = j.Mark(ctx)
		return err
	})
}

func TestBooleansAreNumbersToTheAnalyst(t *testing.T) {
	w := newWorld(t)
	id := w.newSpec("traceroute", "")
	w.exec(`INSERT INTO routedata (toolspec_id, due_at, outcome, hops, reached) SELECT $1, date_trunc('minute', now()) - n * interval '30 seconds', 'ok', '{203.0.113.9}', n <= 12 FROM generate_series(1, 16) n`, id)
	now := one[time.Time](w, `SELECT date_trunc('minute', now())`)
	w.pass(func(ctx context.Context, j store.Judging) error {
		rows, err := j.Mesh(ctx, "routedata", "reached", []int64{id}, now.Add(-4*time.Minute), now, time.Minute)
		if err != nil || rows[0][0] != 1 || rows[3][0] != 1 {
			t.Errorf("mesh %v: %v", rows, err)
		}
		low, high, known, err := j.Usual(ctx, "routedata", "reached", id, now)
		if err != nil || !known || low != 0 || high != 1 {
			t.Errorf("usual %v to %v, %v: %v", low, high, known, err)
		}
		return nil
	})
}

// The plan is made once, most often while today's partition is empty: a table that was
// found empty is read whole, and of its indexes one is as good as another, but the key
// would be walked from end to end every second of the day.
func TestNewRowsAreReadByTheirTransactionFromTheBeginning(t *testing.T) {
	w := newWorld(t)
	w.exec(`ANALYZE pingdata`)
	w.exec(`UPDATE analyst_mark SET whole_at = now()`)
	scans := func() map[string]int64 {
		return one[map[string]int64](w, `SELECT jsonb_object_agg(kind, scans) FROM (
			SELECT CASE WHEN indexrelname LIKE '%\_pkey' THEN 'key' ELSE 'new' END AS kind, sum(idx_scan) AS scans FROM pg_stat_user_indexes WHERE relname LIKE 'pingdata\_%' GROUP BY 1
			UNION ALL SELECT 'whole', sum(seq_scan) FROM pg_stat_user_tables WHERE relname LIKE 'pingdata\_%') x`)
	}
	told := func(who string, before map[string]int64) { // a backend tells what it did when it ends
		w.Helper()
		after := scans()
		for maps.Equal(after, before) {
			if w.Context().Err() != nil {
				t.Fatal("the connection has told nothing")
			}
			after = scans()
		}
		if after["new"] == before["new"] || after["key"] != before["key"] || after["whole"] != before["whole"] {
			t.Errorf("the %s: scans of partitions before %v, after %v", who, before, after)
		}
	}
	before := scans()
	w.pass(func(ctx context.Context, j store.Judging) error {
		mark, err := j.Mark(ctx)
		if err != nil {
			return err
		}
		part, err := j.Part(ctx, []string{"pingdata"}, mark.News(), 100)
		if err != nil {
			return err
		}
		_, err = j.News(ctx, []store.Series{{Table: "pingdata", Columns: []string{"loss_pct"}}}, part, nil, func(int, store.Run) {})
		return err
	})
	told("analyst", before)
	w.exec(`INSERT INTO asn_mark (read, whole_at) VALUES (pg_current_snapshot(), now())`)
	before = scans()
	a, err := w.Annotate(t.Context())
	if err != nil || a == nil {
		t.Fatal(err)
	}
	_, _, err = a.Collect(t.Context(), 1000)
	a.Close(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	told("annotator", before)
}

// Hundreds of partitions are not looked into each second: only the last days, and what
// old_days tells of.
func TestOldPartitionsAreLeftAloneUntilSomethingIsStoredThere(t *testing.T) {
	w := newWorld(t)
	w.exec(`SELECT sonde_make_partitions('pingdata', (now() AT TIME ZONE 'UTC')::date - 40, (now() AT TIME ZONE 'UTC')::date - 30)`)
	looked := func() (old, rows int) {
		w.pass(func(ctx context.Context, j store.Judging) error {
			mark, err := j.Mark(ctx)
			if err != nil {
				return err
			}
			part, err := j.Part(ctx, []string{"pingdata"}, mark.News(), 100)
			if err != nil {
				return err
			}
			if _, err := j.News(ctx, []store.Series{{Table: "pingdata", Columns: []string{"loss_pct"}}}, part, nil, func(int, store.Run) { rows++ }); err != nil {
				return err
			}
			// What a query looks into it holds a lock of, until the transaction ends.
			old = one[int](w, `SELECT count(DISTINCT relation)::int FROM pg_locks JOIN pg_class c ON c.oid = relation
				WHERE c.relname ~ '^pingdata_[0-9]{8}$' AND right(c.relname, 8)::date < (now() AT TIME ZONE 'UTC')::date - 29 AND pid <> pg_backend_pid()
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
			mark.Read, mark.Whole = mark.Seen, mark.Now
			return j.SaveMark(ctx, mark, true)
		})
		return old, rows
	}
	if old, _ := looked(); old != 11 {
		t.Errorf("%d of 11 old partitions were looked into where nobody knew of the time before", old)
	}
	if old, _ := looked(); old != 0 {
		t.Errorf("%d old partitions were looked into for nothing", old)
	}
	w.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, loss_pct) SELECT $1, now() - d * interval '1 day', 'ok', 0 FROM unnest(ARRAY[0, 33, 33.1, 31]) d`, 1)
	if old, rows := looked(); old == 0 || rows != 4 {
		t.Errorf("%d old partitions were looked into, and %d of 4 rows found", old, rows)
	}
	if days := one[string](w, `SELECT string_agg(((now() AT TIME ZONE 'UTC')::date - day)::text, ' ' ORDER BY day) FROM old_days`); !strings.HasPrefix(days, "33") && !strings.HasPrefix(days, "34") {
		t.Errorf("old days: %s", days)
	}
	l := w.lead()
	if _, _, err := l.Partitions(w.Context()); err != nil {
		t.Fatal(err)
	}
	if n := one[int](w, `SELECT count(*)::int FROM old_days`); n != 0 {
		t.Errorf("%d days stand there after they were read", n)
	}
	if old, _ := looked(); old != 0 {
		t.Errorf("%d old partitions were looked into again for nothing", old)
	}
}
