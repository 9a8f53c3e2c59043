package web

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/store"
)

func seriesOf(t testing.TB, pages *store.Pages, id int64, interval, span time.Duration) (out store.PageSeries) {
	t.Helper()
	if err := pages.Read(t.Context(), func(r *store.Reading) error {
		spec, err := r.Spec(t.Context(), id)
		if err != nil {
			return err
		}
		out, err = r.Series(t.Context(), spec, interval, r.Now.Add(-span), r.Now)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBucketsHoldEveryRunOnceWhateverTheRange(t *testing.T) {
	pages, conn := seeded(t)
	for _, span := range []time.Duration{10 * time.Minute, 3 * time.Hour, 30 * time.Hour, 60 * 24 * time.Hour} {
		var want [4]int
		var sent, received int64
		var least, most float64
		if err := conn.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE outcome = 'ok'), count(*) FILTER (WHERE outcome = 'fail'), count(*) FILTER (WHERE outcome = 'missed'),
			sum(sent), sum(received), min(rtt_min_ms), max(rtt_max_ms) FROM pingdata WHERE toolspec_id = 1 AND due_at >= $1 AND due_at < $2`, asOf.Add(-span), asOf).
			Scan(&want[0], &want[1], &want[2], &want[3], &sent, &received, &least, &most); err != nil {
			t.Fatal(err)
		}
		s := seriesOf(t, pages, 1, time.Minute, span)
		if s.Sampled || len(s.Buckets) > store.MostBuckets || s.Width%time.Minute != 0 {
			t.Errorf("%v: %d buckets of %v, sampled %v", span, len(s.Buckets), s.Width, s.Sampled)
		}
		var got [4]int
		low, high := math.Inf(1), math.Inf(-1)
		for i, b := range s.Buckets {
			got[0], got[1], got[2], got[3] = got[0]+b.Runs, got[1]+b.OK, got[2]+b.Fail, got[3]+b.Missed
			sent, received = sent-b.Sent, received-b.Received
			if i > 0 && b.At.Sub(s.Buckets[i-1].At)%s.Width != 0 {
				t.Errorf("%v: a bucket begins at %v", span, b.At)
			}
			if !math.IsNaN(b.Median) {
				low, high = min(low, b.Min), max(high, b.Max)
				if b.Min > b.Median || b.Median > b.Max || b.Low > b.High {
					t.Errorf("%v: %+v", span, b)
				}
			}
		}
		if got != want || sent != 0 || received != 0 || low != least || high != most {
			t.Errorf("%v: runs %v, want %v; %d sent and %d received too few; %v to %v, want %v to %v", span, got, want, sent, received, low, high, least, most)
		}
	}
}

func TestQuartilesOfASingleRunAreThoseOfItsPackets(t *testing.T) {
	pages, conn := seeded(t)
	run(t, conn, `UPDATE pingdata SET rtts_us = '{1000, 2000, NULL, 3000, 4000, 5000}', rtt_median_ms = 3, rtt_min_ms = 1, rtt_max_ms = 5 WHERE toolspec_id = 2 AND due_at = '2026-03-29 11:59+00'`)
	s := seriesOf(t, pages, 2, time.Minute, 5*time.Minute)
	for _, b := range s.Buckets {
		if b.At.Equal(asOf.Add(-90 * time.Second)) {
			if b.Low != 2 || b.Median != 3 || b.High != 4 || b.Min != 1 || b.Max != 5 {
				t.Errorf("%+v", b)
			}
			return
		}
	}
	t.Errorf("no such bucket in %+v", s.Buckets)
}

func TestTooManyRunsAreSampledAndTheChartSaysSo(t *testing.T) {
	pages, conn := seeded(t)
	// 20 days of a spec that runs every second are 1.7 million runs; two hours of them are there.
	run(t, conn, `INSERT INTO pingdata (toolspec_id, due_at, outcome, sent, received, loss_pct, rtt_min_ms, rtt_median_ms, rtt_max_ms)
		SELECT 7, at, 'ok', 10, 9, 10, 4, 5, 6 FROM generate_series('2026-03-29 10:00:00+00'::timestamptz, '2026-03-29 11:59:59+00', '1 second') at`)
	run(t, conn, `UPDATE toolspecs SET run_interval = '1 second' WHERE id = 7`)
	s := seriesOf(t, pages, 7, time.Second, 20*24*time.Hour)
	runs := 0
	for _, b := range s.Buckets {
		runs += b.Runs
		if b.Median != 5 || b.Received*10 != b.Sent*9 {
			t.Errorf("%+v", b)
		}
	}
	if !s.Sampled || runs == 0 || runs > 1000 || len(s.Buckets) < 2 {
		t.Errorf("sampled %v, %d runs in %d buckets", s.Sampled, runs, len(s.Buckets))
	}
	if _, body := get(t, New(pages, "", logTo(t)).Handler(), "/node/nikhef?range=20d"); !strings.Contains(body, "Too many runs to read them all") {
		t.Error("the page does not say that it shows a sample")
	}
}

func TestGapsInsideWideBucketsAreStillShown(t *testing.T) {
	pages, _ := seeded(t)
	_, body := get(t, New(pages, "", logTo(t)).Handler(), "/node/cern?range=30d&spec=1")
	if !strings.Contains(body, `url(#c1wide-gap)`) || !strings.Contains(body, `url(#c1wide-fail)`) || !strings.Contains(body, ">gap: no run<") {
		t.Error("in a month's chart the gap cannot be seen")
	}
}

// manySpecs seeds 10,000 specs with a day of data of one partition's width.
func manySpecs(t testing.TB, conn *pgx.Conn, specs int) {
	t.Helper()
	run(t, conn, `SELECT sonde_make_partitions('pingdata', current_date - 400, current_date)`)
	run(t, conn, `INSERT INTO nodes (name, address) VALUES ('lab', '127.0.0.1')`)
	run(t, conn, `INSERT INTO monhosts (name) VALUES ('lab')`)
	run(t, conn, `SET session_replication_role = replica`)
	run(t, conn, `INSERT INTO nodes (name, address, enabled_since) SELECT 'node' || i, '192.0.2.1', now() - interval '400 days' FROM generate_series(1, $1::int) i`, specs)
	run(t, conn, `INSERT INTO toolspecs (node, monhost, tool, run_interval, time_to_run, test_type, timing_since) SELECT 'node' || i, 'lab', 'ping', '1 minute', '30 s', 'background', now() - interval '400 days' FROM generate_series(1, $1::int) i`, specs)
	run(t, conn, `SET session_replication_role = origin`)
	run(t, conn, `INSERT INTO pingdata (toolspec_id, due_at, outcome, sent, received, loss_pct, rtts_us, rtt_min_ms, rtt_median_ms, rtt_max_ms)
		SELECT s.id, at, 'ok', 10, 10, 0, '{1,2,3,4,5,6,7,8,9,10}', 4, 5, 6 FROM generate_series(now() - interval '20 minutes', now(), interval '1 minute') at, toolspecs s`)
	run(t, conn, `INSERT INTO pingdata (toolspec_id, due_at, outcome, sent, received, loss_pct, rtts_us, rtt_min_ms, rtt_median_ms, rtt_max_ms)
		SELECT (SELECT min(id) FROM toolspecs), at, 'ok', 10, 10, 0, '{1,2,3,4,5,6,7,8,9,10}', 4, 5, 6 FROM generate_series(now() - interval '400 days', now() - interval '25 minutes', interval '1 minute') at`)
	run(t, conn, `ANALYZE`)
}

// With 10,000 specs and 400 days of partitions pages come within seconds on a small machine.
func BenchmarkPagesOfTenThousandSpecs(b *testing.B) {
	dsn, conn := database(b)
	manySpecs(b, conn, 10_000)
	pages, err := store.OpenPages(dsn)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pages.Close)
	h := New(pages, "", logTo(b)).Handler()
	for _, target := range []string{"/", "/node/node1?range=3h", "/node/node1?range=30h", "/node/node1?range=10d", "/node/node1?range=400d", "/alerts", "/daemons"} {
		b.Run(target[1:], func(b *testing.B) {
			for b.Loop() {
				if status, body := get(b, h, target); status != 200 {
					b.Fatalf("%d %.300s", status, body)
				}
			}
		})
	}
}

func TestOverviewIsCutIntoPages(t *testing.T) {
	pages, conn := seeded(t)
	h := New(pages, "", logTo(t)).Handler()
	run(t, conn, `SET session_replication_role = replica`)
	run(t, conn, `INSERT INTO nodes (name, address) SELECT 'many' || i, '192.0.2.1' FROM generate_series(1, 450) i`)
	run(t, conn, `SET session_replication_role = origin`)
	status, body := get(t, h, "/?page=3")
	if status != 200 || !strings.Contains(body, "page 3 of 3, 461 nodes") {
		t.Errorf("%d %.500s", status, body)
	}
	if _, body := get(t, h, "/?page=2"); len(body) > 400_000 {
		t.Errorf("a page of %d bytes", len(body))
	}
}
