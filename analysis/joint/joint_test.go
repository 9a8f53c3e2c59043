package joint

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// mesh makes twelve delays that follow two things they share, and noise of their own.
func mesh(r *rand.Rand, n int) [][]float64 {
	rows := make([][]float64, n)
	for i := range rows {
		day, link := math.Sin(2*math.Pi*float64(i)/288), r.NormFloat64()
		rows[i] = make([]float64, 12)
		for j := range rows[i] {
			rows[i][j] = 20 + float64(j) + 5*day + 3*float64(j%3)*link + 0.3*r.NormFloat64()
		}
	}
	return rows
}

func fitted(t *testing.T, rows [][]float64) *Model {
	t.Helper()
	m, err := Fit(rows, Usual)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheUsualIsSeldomBad(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m := fitted(t, mesh(r, 2000))
	bad := 0
	for _, row := range mesh(r, 5000) {
		f, ok := m.Judge(row)
		if !ok {
			t.Fatal("not judged")
		}
		if f.Bad {
			bad++
		}
	}
	if bad > 25 { // 5 are expected
		t.Errorf("%d of 5000 usual instants are bad", bad)
	}
}

// Each delay is within what it does every day; only together they are odd.
func TestWhatNoSeriesShowsAloneIsFoundAndNamed(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	m := fitted(t, mesh(r, 2000))
	for i, row := range mesh(r, 300) {
		row[4] += 4
		f, ok := m.Judge(row)
		if !ok || !f.Bad {
			t.Fatalf("instant %d: %+v", i, f)
		}
		for j, share := range f.Shares {
			if j != 4 && share >= f.Shares[4] {
				t.Errorf("instant %d: series %d has %.2f of it, the one at fault %.2f", i, j, share, f.Shares[4])
			}
		}
	}
}

func TestHolesInventNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	past := mesh(r, 2000)
	for _, row := range past {
		for j := range row {
			if r.IntN(10) == 0 {
				row[j] = math.NaN()
			}
		}
	}
	m := fitted(t, past)
	bad, found := 0, 0
	for _, row := range mesh(r, 500) {
		row[1], row[7], row[8] = math.NaN(), math.Inf(1), math.NaN()
		f, ok := m.Judge(row)
		if !ok || f.Missing != 3 || f.Shares[7] != 0 {
			t.Fatalf("%+v", f)
		}
		if f.Bad {
			bad++
		}
		row[4] += 6
		if f, _ := m.Judge(row); f.Bad {
			found++
		}
	}
	if bad > 10 || found < 450 {
		t.Errorf("with holes %d of 500 usual instants are bad, %d of 500 bad ones are found", bad, found)
	}
	row := mesh(r, 1)[0]
	for j := range 7 {
		row[j] = math.NaN()
	}
	if _, ok := m.Judge(row); ok {
		t.Error("judged by fewer than half of the series")
	}
}

func TestOutliersOfThePastDoNotBlind(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	past := mesh(r, 2000)
	for range 5 {
		past[r.IntN(len(past))][r.IntN(12)] = 1e9
	}
	m := fitted(t, past)
	found := 0
	for _, row := range mesh(r, 200) {
		row[4] += 8
		if f, ok := m.Judge(row); ok && f.Bad {
			found++
		}
	}
	if found < 190 {
		t.Errorf("%d of 200 found", found)
	}
}

func TestWhatCannotBeLearntIsAnError(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	flat := make([][]float64, 100)
	for i := range flat {
		flat[i] = []float64{1, 1, 1, 1}
	}
	ragged := mesh(r, 50)
	ragged[7] = ragged[7][:3]
	for name, rows := range map[string][][]float64{"none": nil, "two": {{1, 2}}, "flat": flat, "ragged": ragged, "few": mesh(r, 10)} {
		if _, err := Fit(rows, Usual); err == nil {
			t.Errorf("%s was learnt from", name)
		}
	}
}

// Independent normal values with variances v: Q of all of them passes the limit
// with the probability that was asked for.
func TestTheLimitIsPassedAsOftenAsAsked(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	rest := []float64{3, 2, 1, 1, 0.5, 0.5}
	over, n, l := 0, 200_000, limit(rest, 0.01)
	for range n {
		q := 0.0
		for _, v := range rest {
			x := r.NormFloat64()
			q += v * x * x
		}
		if q > l {
			over++
		}
	}
	if share := float64(over) / float64(n); math.Abs(share-0.01) > 0.003 {
		t.Errorf("%v of instants pass the limit of 1 %%", share)
	}
}

// The analyst fits within its pass: the largest past a rule may have takes seconds, holes or not.
func TestTheLargestPastIsFittedInTime(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	rows := make([][]float64, MostInstants)
	for i := range rows {
		rows[i] = make([]float64, 200)
		for j := range rows[i] {
			rows[i][j] = r.NormFloat64()
		}
		rows[i][i%200] = math.NaN()
	}
	began := time.Now()
	fitted(t, rows)
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v", took)
	} else {
		t.Log(took)
	}
}
