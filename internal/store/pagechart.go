package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
)

// PageBucket sums up the runs of one spec that were due within a stretch of time.
type PageBucket struct {
	At                          time.Time
	Runs, OK, Fail, Missed      int
	Sent, Received              int64
	Min, Low, Median, High, Max float64 // NaN when no run gave any
}

func (b *PageBucket) setValues(v [5]*float64) {
	for i, to := range []*float64{&b.Min, &b.Low, &b.Median, &b.High, &b.Max} {
		if *to = math.NaN(); v[i] != nil {
			*to = *v[i]
		}
	}
}

// PageSeries is what a chart is drawn from.
type PageSeries struct {
	Width   time.Duration
	Buckets []PageBucket
	Sampled bool // of each bucket some runs only were read
}

const (
	// MostBuckets is how many points a chart has at most.
	MostBuckets = 600
	// mostRuns is how many runs are read one by one for a chart. Beyond it some of
	// each stretch are taken, spread evenly: rows of one spec lie far apart on the
	// disk, and half a million of them would take minutes where memory is small.
	mostRuns   = 100_000
	perStretch = 10
	perBucket  = 8 // stretches
)

// BucketWidth is the width of a chart's buckets: whole intervals, so that each
// holds the same number of runs.
func BucketWidth(from, until time.Time, interval time.Duration) time.Duration {
	interval = max(interval, time.Second).Round(time.Microsecond)
	least := until.Sub(from) / (MostBuckets - 1)
	n := (least + interval - 1) / interval
	return max(n, 1) * interval
}

// Series sums up the runs of a spec due in [from, until) in at most MostBuckets
// buckets; interval is how often it runs, about.
func (r *Reading) Series(ctx context.Context, s PageSpec, interval time.Duration, from, until time.Time) (PageSeries, error) {
	width := BucketWidth(from, until, interval)
	out := PageSeries{Width: width, Sampled: until.Sub(from)/max(interval, time.Second) > mostRuns}
	known, err := r.isDataTable(ctx, s.Table)
	if err != nil || !known {
		return out, err
	}
	table := quoted(s.Table)
	var packets, values string
	switch {
	case s.Only != "":
		packets, values = `0::bigint, 0::bigint`, spread(s.Only)
	case s.Table == "pingdata":
		packets = `coalesce(sum(sent), 0), coalesce(sum(received), 0)`
		// Of a single run the quartiles are those of its packets, of many those of their medians.
		values = `min(rtt_min_ms), CASE WHEN count(*) = 1 THEN min(q[1]) ELSE percentile_cont(0.25) WITHIN GROUP (ORDER BY rtt_median_ms) END,
			percentile_cont(0.5) WITHIN GROUP (ORDER BY rtt_median_ms),
			CASE WHEN count(*) = 1 THEN min(q[2]) ELSE percentile_cont(0.75) WITHIN GROUP (ORDER BY rtt_median_ms) END, max(rtt_max_ms)`
	case s.Table == "routedata" || s.Column != "":
		column := `rtt_ms`
		if s.Table != "routedata" {
			column = quoted(s.Column)
		}
		packets, values = `0::bigint, 0::bigint`, spread(column)
	default:
		packets, values = `0::bigint, 0::bigint`, `NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8`
	}
	source := table + ` WHERE toolspec_id = $1 AND due_at >= $2 AND due_at < $3`
	args := []any{s.ID, from, until, width.Microseconds()}
	if out.Sampled {
		source = `(SELECT d.* FROM generate_series(0, $5::bigint - 1) AS n CROSS JOIN LATERAL (
			SELECT * FROM ` + table + ` WHERE toolspec_id = $1 AND due_at >= $2 AND due_at < $3
				AND due_at >= $2::timestamptz + n * $6::bigint * interval '1 microsecond' AND due_at < $2::timestamptz + (n + 1) * $6::bigint * interval '1 microsecond'
			ORDER BY due_at LIMIT ` + fmt.Sprint(perStretch) + `) d) sampled`
		stretch := width / perBucket
		args = append(args, int64((until.Sub(from)+stretch-1)/stretch), stretch.Microseconds())
	}
	quartiles := `, NULL::float8[] AS q`
	if s.Table == "pingdata" && s.Only == "" && width <= interval {
		quartiles = `, (SELECT percentile_cont(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY x / 1000.0) FROM unnest(rtts_us) x) AS q`
	}
	rows, err := r.tx.Query(ctx, `
		SELECT floor(extract(epoch FROM due_at) * 1e6 / $4::bigint)::bigint AS bucket, count(*)::int,
			(count(*) FILTER (WHERE outcome = 'ok'))::int, (count(*) FILTER (WHERE outcome = 'fail'))::int, (count(*) FILTER (WHERE outcome = 'missed'))::int,
			`+packets+`, `+values+`
		FROM (SELECT *`+quartiles+` FROM `+source+`) d GROUP BY 1 ORDER BY 1`, args...)
	if err != nil {
		return out, fmt.Errorf("read the numbers of spec %d: %w", s.ID, err)
	}
	out.Buckets, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (PageBucket, error) {
		var b PageBucket
		var n int64
		var v [5]*float64
		err := row.Scan(&n, &b.Runs, &b.OK, &b.Fail, &b.Missed, &b.Sent, &b.Received, &v[0], &v[1], &v[2], &v[3], &v[4])
		b.At = time.UnixMicro(n * width.Microseconds()).UTC()
		b.setValues(v)
		return b, err
	})
	if err != nil {
		return out, fmt.Errorf("read the numbers of spec %d: %w", s.ID, err)
	}
	return out, nil
}

// spread sums up a column, which must be fit for SQL.
func spread(column string) string {
	return fmt.Sprintf(`min(%[1]s)::float8, percentile_cont(0.25) WITHIN GROUP (ORDER BY %[1]s), percentile_cont(0.5) WITHIN GROUP (ORDER BY %[1]s),
		percentile_cont(0.75) WITHIN GROUP (ORDER BY %[1]s), max(%[1]s)::float8`, column)
}

// PageGap is a stretch of instants that never became runs.
type PageGap struct {
	ToolspecID  int64
	From, Until time.Time
	Runs        int
	Reason      string
}

const mostGaps = 500

// Gaps gives the gaps of a spec that touch [from, until], less what was measured
// inside them all the same.
func (r *Reading) Gaps(ctx context.Context, spec int64, from, until time.Time) ([]PageGap, error) {
	return collect[PageGap](ctx, r, "gaps", `SELECT * FROM (SELECT toolspec_id, due_at, until_at, runs, reason FROM runs
		WHERE toolspec_id = $1 AND until_at IS NOT NULL AND due_at <= $3 AND until_at >= $2 ORDER BY due_at DESC LIMIT $4) g ORDER BY due_at`, spec, from, until, mostGaps)
}
