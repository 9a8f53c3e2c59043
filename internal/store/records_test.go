package store_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"sonde/internal/store"
)

// Two rules may read one series; after a gap a pass may bring many hours of one; what
// was judged anew brings those that are there. It is all as if each were inserted alone.
func TestStretchesAreStoredAsIfOneByOne(t *testing.T) {
	w := newWorld(t)
	w.exec(`CREATE TABLE plain_reg (LIKE regdata INCLUDING ALL)`)
	w.exec(`CREATE TABLE plain_hw (LIKE hwgraphs INCLUDING ALL)`)
	random := rand.New(rand.NewPCG(1, 2))
	day := time.Now().UTC().Truncate(24 * time.Hour)
	numbers := func(n int) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = []float64{random.NormFloat64(), math.NaN(), math.Inf(1), 1e300, 1e-300, 0.1}[random.IntN(6)]
		}
		return out
	}
	reals := func(values []float64) []*float32 {
		out := make([]*float32, len(values))
		for i, v := range values {
			if f := float32(v); !math.IsNaN(v) && !math.IsInf(float64(f), 0) {
				out[i] = &f
			}
		}
		return out
	}
	a, err := w.Analyse(w.Context())
	if err != nil || a == nil {
		t.Fatalf("no right to judge: %v", err)
	}
	defer a.Close(w.Context())
	twice := 0
	for range 40 {
		stretches := make([]store.Stretch, 1+random.IntN(12))
		for i := range stretches {
			n := random.IntN(4)
			s := store.Stretch{ToolspecID: 1 + random.Int64N(3), Metric: []string{"loss_pct", "rtt_median_ms"}[random.IntN(2)], Rule: []string{"a", "b", "c"}[random.IntN(3)],
				// Two hours, many days, and what only Go tells apart.
				From: day.Add(time.Duration(random.IntN(12))*24*time.Hour + time.Duration(random.IntN(2))*time.Hour + time.Duration(random.IntN(1000))),
				Step: []time.Duration{time.Minute, time.Hour / 7, time.Hour/7 + 400}[random.IntN(3)], Values: numbers(n)}
			if random.IntN(4) > 0 {
				s.Forecast, s.Low, s.High = numbers(n), numbers(n), numbers(n)
			}
			stretches[i] = s
		}
		plain := &pgx.Batch{}
		for _, s := range stretches {
			plain.Queue(`INSERT INTO plain_reg VALUES ($1, $2, $3, $4::float8 * interval '1 second', $5) ON CONFLICT DO NOTHING`, s.ToolspecID, s.Metric, s.From, s.Step.Seconds(), reals(s.Values)).
				Exec(func(tag pgconn.CommandTag) error { twice += 1 - int(tag.RowsAffected()); return nil })
			if s.Forecast != nil {
				plain.Queue(`INSERT INTO plain_hw VALUES ($1, $2, $3, $4::float8 * interval '1 second', $5, $6, $7) ON CONFLICT DO NOTHING`,
					s.ToolspecID, s.Rule, s.From, s.Step.Seconds(), reals(s.Forecast), reals(s.Low), reals(s.High))
			}
		}
		if err := w.pool.SendBatch(w.Context(), plain).Close(); err != nil {
			t.Fatal(err)
		}
		if err := a.Pass(w.Context(), func(j store.Judging) error { return j.Write(w.Context(), store.Found{Stretches: stretches}) }); err != nil {
			t.Fatal(err)
		}
		if n := one[int](w, `SELECT (SELECT count(*) FROM ((TABLE regdata EXCEPT TABLE plain_reg) UNION ALL (TABLE plain_reg EXCEPT TABLE regdata)) x)
			+ (SELECT count(*) FROM ((TABLE hwgraphs EXCEPT TABLE plain_hw) UNION ALL (TABLE plain_hw EXCEPT TABLE hwgraphs)) x)`); n > 0 {
			t.Fatalf("%d rows are others than one by one; written: %+v", n, stretches)
		}
	}
	if twice == 0 {
		t.Error("nothing came twice")
	}
}

// One that is there costs the pass nothing else, and a pass that is given up leaves none.
func TestStretchesComeAndGoWithTheirPass(t *testing.T) {
	w := newWorld(t)
	hour := time.Now().UTC().Truncate(time.Hour)
	first := store.Stretch{ToolspecID: 1, Metric: "loss_pct", Rule: "a", From: hour, Step: time.Minute, Values: []float64{1}}
	second, other := first, first
	second.From, second.Forecast, second.Low, second.High = hour.Add(time.Hour), []float64{1}, []float64{0}, []float64{2}
	other.ToolspecID = 2
	w.pass(func(ctx context.Context, j store.Judging) error {
		return j.Write(ctx, store.Found{Stretches: []store.Stretch{first}})
	})
	tick := func(rule string) []store.NewTick { return []store.NewTick{{At: hour, ToolspecID: 1, Rule: rule}} }
	a, err := w.Analyse(w.Context())
	if err != nil || a == nil {
		t.Fatalf("no right to judge: %v", err)
	}
	broken := errors.New("broken")
	err = a.Pass(w.Context(), func(j store.Judging) error {
		if err := j.Write(w.Context(), store.Found{Ticks: tick("given up"), Stretches: []store.Stretch{first, second, other}}); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	a.Close(w.Context())
	const all = `SELECT format('%s %s %s', (SELECT count(*) FROM regdata), (SELECT count(*) FROM hwgraphs), (SELECT string_agg(rule, ',') FROM ticks))`
	if got := one[string](w, all); got != "1 0 " {
		t.Errorf("after a pass that was given up: %s", got)
	}
	w.pass(func(ctx context.Context, j store.Judging) error {
		return j.Write(ctx, store.Found{Ticks: tick("kept"), Stretches: []store.Stretch{first, second, other, second}})
	})
	if got := one[string](w, all); got != "3 1 kept" {
		t.Errorf("with one that was there: %s", got)
	}
}
