package bench

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/store"
)

const (
	hourSeries = 20_000 // of 10,000 pings
	hourSteps  = 60
	hourRounds = 7
)

// BenchmarkHourEnd is a pass of the analyst in which an hour ends for the 20,000
// series of 10,000 pings, as when it catches up, and nothing else happens: their grids
// and forecasts in REGDATA and HWGRAPHS. Beside it, by turns, a bare COPY of the same
// rows into the same tables.
func BenchmarkHourEnd(b *testing.B) {
	_, pool, drop := platform(b, 1, "1 hour")
	defer drop()
	analyst, err := store.New(pool).Analyse(b.Context())
	if err != nil || analyst == nil {
		b.Fatalf("no right to judge: %v", err)
	}
	defer analyst.Close(context.Background())
	conn, err := pool.Acquire(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Release()

	hour := time.Now().UTC().Truncate(24 * time.Hour)
	var ours, bare, ratio []float64
	for b.Loop() {
		for range hourRounds {
			hour = hour.Add(time.Hour)
			stretches := anHour(hour)
			regdata, hwgraphs := hourRows(stretches)
			began := time.Now()
			if err := analyst.Pass(b.Context(), func(j store.Judging) error { return j.Write(b.Context(), store.Found{Stretches: stretches}) }); err != nil {
				b.Fatal(err)
			}
			took := time.Since(began)
			began = time.Now()
			err := pgx.BeginFunc(b.Context(), conn, func(tx pgx.Tx) error {
				if _, err := tx.CopyFrom(b.Context(), pgx.Identifier{"regdata"}, []string{"toolspec_id", "metric", "from_at", "step", "values"}, pgx.CopyFromRows(regdata)); err != nil {
					return err
				}
				_, err := tx.CopyFrom(b.Context(), pgx.Identifier{"hwgraphs"}, []string{"toolspec_id", "rule", "from_at", "step", "forecast", "low", "high"}, pgx.CopyFromRows(hwgraphs))
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			plain := time.Since(began)
			ours, bare, ratio = append(ours, took.Seconds()*1000), append(bare, plain.Seconds()*1000), append(ratio, plain.Seconds()/took.Seconds())
			b.Logf("bare COPY %.0f ms, a pass %.0f ms: %.2f", plain.Seconds()*1000, took.Seconds()*1000, plain.Seconds()/took.Seconds())
		}
	}
	spread(b, ours, "ms_a_pass")
	spread(b, bare, "ms_copy")
	spread(b, ratio, "x_copy")
}

// anHour is what the default detector records of an hour of each series.
func anHour(from time.Time) []store.Stretch {
	out := make([]store.Stretch, hourSeries)
	for n := range out {
		s := store.Stretch{ToolspecID: int64(n / 2), Metric: "rtt_median_ms", Rule: "delay", From: from, Step: time.Hour / hourSteps}
		if n%2 == 1 {
			s.Metric, s.Rule = "loss_pct", "loss"
		}
		for i := range hourSteps {
			v := 12 + float64((n*7+i*131)%900)/1000
			if i == n%hourSteps {
				v = math.NaN()
			}
			s.Values, s.Forecast, s.Low, s.High = append(s.Values, v), append(s.Forecast, 12.4), append(s.Low, 11+v/100), append(s.High, 14)
		}
		out[n] = s
	}
	return out
}

// hourRows are the same as rows of other specs, made beforehand, to be fair.
func hourRows(stretches []store.Stretch) (regdata, hwgraphs [][]any) {
	reals := func(values []float64) []*float32 {
		out := make([]*float32, len(values))
		for i, v := range values {
			if f := float32(v); !math.IsNaN(v) {
				out[i] = &f
			}
		}
		return out
	}
	for _, s := range stretches {
		spec := s.ToolspecID + 1_000_000
		regdata = append(regdata, []any{spec, s.Metric, s.From, s.Step, reals(s.Values)})
		hwgraphs = append(hwgraphs, []any{spec, s.Rule, s.From, s.Step, reals(s.Forecast), reals(s.Low), reals(s.High)})
	}
	return regdata, hwgraphs
}
