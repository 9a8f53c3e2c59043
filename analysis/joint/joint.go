package joint

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Model is what many series usually do together.
type Model struct {
	center, scale []float64
	usual         *mat.Dense // a component a column
	limit         float64
}

// Setting of a fit.
type Setting struct {
	Share      float64 // components are taken until they hold so much of the variance, 0 to 1
	FalseAlarm float64 // the probability with which a usual instant passes the limit
}

// Usual is a setting that works on meshes of some ten to some hundred series.
var Usual = Setting{Share: 0.9, FalseAlarm: 0.001}

// clip bounds what one value counts for, in scales.
const clip = 8

// Fit learns from the past: a row an instant, a column a series, NaN a hole.
// Rows with fewer than half of their values are left out, and so is, for ever,
// a series with fewer than half of its values or without any change.
func Fit(rows [][]float64, s Setting) (*Model, error) {
	if len(rows) == 0 || len(rows[0]) < 3 {
		return nil, fmt.Errorf("joint: needs at least three series")
	}
	n := len(rows[0])
	m := &Model{center: make([]float64, n), scale: make([]float64, n)}
	column := make([]float64, 0, len(rows))
	for j := range n {
		column = column[:0]
		for i, row := range rows {
			if len(row) != n {
				return nil, fmt.Errorf("joint: row %d has %d values, the first has %d", i, len(row), n)
			}
			if usable(row[j]) {
				column = append(column, row[j])
			}
		}
		if 2*len(column) < len(rows) || len(column) == 0 {
			continue // its scale stays nought: it is never looked at
		}
		m.center[j] = median(column)
		for i, v := range column {
			column[i] = math.Abs(v - m.center[j])
		}
		m.scale[j] = 1.4826 * median(column)
	}
	var past []instant
	for _, row := range rows {
		if z, known := m.standard(row); 2*len(known) >= m.watched() {
			past = append(past, instant{z: z, known: known})
		}
	}
	if len(past) < 2*m.watched() || m.watched() < 3 {
		return nil, fmt.Errorf("joint: %d instants with most of their values say too little of %d series; twice as many are needed", len(past), m.watched())
	}
	// Holes begin at their centres and move to where the components see them;
	// instants that fit worst are not learnt from.
	kept := past
	var rest []float64
	for range rounds {
		var err error
		if rest, err = m.components(kept, s.Share); err != nil {
			return nil, err
		}
		for i, p := range past {
			past[i].q = m.beside(p)
		}
		slices.SortStableFunc(past, func(a, b instant) int { return cmp.Compare(a.q, b.q) })
		kept = past[:max(2*m.watched(), len(past)*19/20)]
		for _, i := range kept {
			m.fill(i)
		}
	}
	// The worst are left out of the variances, so these are a little small; the
	// median of Q says by how much.
	m.limit = limit(rest, s.FalseAlarm)
	if expected := medianQ(rest); expected > 0 {
		m.limit *= past[len(past)/2].q / expected
	}
	return m, nil
}

// rounds of leaving out and filling in; more change little.
const rounds = 5

// instant is one row in scales, which series it has, and how far it lies beside the usual.
type instant struct {
	z     []float64
	known []int
	q     float64
}

// components takes the directions that hold share of the variance of past, and
// gives the variances of the others.
func (m *Model) components(past []instant, share float64) (rest []float64, err error) {
	n := len(m.center)
	rows := mat.NewDense(len(past), n, nil)
	for i, p := range past {
		rows.SetRow(i, p.z)
	}
	var svd mat.SVD
	if !svd.Factorize(rows, mat.SVDThin) {
		return nil, fmt.Errorf("joint: the components of %d series cannot be found", n)
	}
	variances := svd.Values(nil)
	total := 0.0
	for i, v := range variances {
		variances[i] = v * v / float64(len(past)-1)
		total += variances[i]
	}
	k, held := 0, 0.0
	for k < m.watched()-1 && held < share*total {
		held += variances[k]
		k++
	}
	var v mat.Dense
	svd.VTo(&v)
	m.usual = mat.DenseCopyOf(v.Slice(0, n, 0, k))
	return variances[k:], nil
}

// explain gives what the components make of an instant, by the series it has. The
// scores that fit those best are those that are left when each hole holds what the
// components make of it: (I - H Hᵀ) x = H Pᵀ z, with H the rows of the holes of P
// and z nought there. So the system is only as large as the holes are many.
func (m *Model) explain(i instant) (explained []float64, ok bool) {
	n, k := m.usual.Dims()
	if len(i.known) <= k+1 {
		return nil, false
	}
	z := mat.NewVecDense(n, nil)
	for _, j := range i.known {
		z.SetVec(j, i.z[j])
	}
	var scores mat.VecDense
	scores.MulVec(m.usual.T(), z)
	if holes := m.holes(i); len(holes) > 0 {
		h := mat.NewDense(len(holes), k, nil)
		for row, j := range holes {
			h.SetRow(row, m.usual.RawRowView(j))
		}
		var a mat.Dense
		a.Mul(h, h.T())
		a.Apply(func(row, column int, v float64) float64 {
			if row == column {
				return 1 - v
			}
			return -v
		}, &a)
		var b, x, more mat.VecDense
		b.MulVec(h, &scores)
		if err := x.SolveVec(&a, &b); err != nil {
			return nil, false // a component shows in the holes only
		}
		more.MulVec(h.T(), &x)
		scores.AddVec(&scores, &more)
	}
	out := mat.NewVecDense(n, nil)
	out.MulVec(m.usual, &scores)
	return out.RawVector().Data, true
}

// holes are the series that are looked at and that an instant has not.
func (m *Model) holes(i instant) (holes []int) {
	at := 0
	for j, scale := range m.scale {
		if at < len(i.known) && i.known[at] == j {
			at++
		} else if scale > 0 {
			holes = append(holes, j)
		}
	}
	return holes
}

// beside is Q of an instant: what the components leave, as if all series were there.
func (m *Model) beside(i instant) float64 {
	explained, ok := m.explain(i)
	if !ok {
		return math.Inf(1)
	}
	q := 0.0
	for _, j := range i.known {
		q += (i.z[j] - explained[j]) * (i.z[j] - explained[j])
	}
	_, k := m.usual.Dims()
	// Of the series that are there, k degrees of freedom went into the scores.
	return q * float64(m.watched()-k) / float64(len(i.known)-k)
}

// fill puts what the components see where an instant has holes.
func (m *Model) fill(i instant) {
	explained, ok := m.explain(i)
	if !ok {
		return
	}
	for _, j := range m.holes(i) {
		i.z[j] = max(-clip, min(clip, explained[j]))
	}
}

// Finding is what one instant is beside the usual.
type Finding struct {
	Q, Limit float64
	Bad      bool
	Shares   []float64 // of Q, by series; they sum to 1
	Missing  int       // series without a value
}

// Judge looks at one instant, a value a series, NaN a hole. The false return
// means that too little is there to judge.
func (m *Model) Judge(row []float64) (Finding, bool) {
	if len(row) != len(m.center) {
		return Finding{}, false
	}
	i := instant{}
	i.z, i.known = m.standard(row)
	explained, ok := m.explain(i)
	if !ok || 2*len(i.known) < m.watched() {
		return Finding{}, false
	}
	f := Finding{Q: m.beside(i), Limit: m.limit, Shares: make([]float64, len(row)), Missing: m.watched() - len(i.known)}
	sum := 0.0
	for _, j := range i.known {
		f.Shares[j] = (i.z[j] - explained[j]) * (i.z[j] - explained[j])
		sum += f.Shares[j]
	}
	for j := range f.Shares {
		if sum > 0 {
			f.Shares[j] /= sum
		}
	}
	f.Bad = f.Q > m.limit
	return f, true
}

// standard counts values in scales from their centres; a hole is at its centre.
func (m *Model) standard(row []float64) (z []float64, known []int) {
	z = make([]float64, len(row))
	for j, v := range row {
		if m.scale[j] > 0 && usable(v) {
			z[j] = max(-clip, min(clip, (v-m.center[j])/m.scale[j]))
			known = append(known, j)
		}
	}
	return z, known
}

// watched is how many series are looked at.
func (m *Model) watched() (n int) {
	for _, s := range m.scale {
		if s > 0 {
			n++
		}
	}
	return n
}

// limit is what Q passes with probability p, by the variances of the directions
// that are not usual (Jackson and Mudholkar 1979).
func limit(rest []float64, p float64) float64 {
	var f1, f2, f3 float64
	for _, v := range rest {
		f1, f2, f3 = f1+v, f2+v*v, f3+v*v*v
	}
	if f1 <= 0 || f2 <= 0 {
		return 0
	}
	h := 1 - 2*f1*f3/(3*f2*f2)
	c := distuv.UnitNormal.Quantile(1 - p)
	base := c*math.Sqrt(2*f2*h*h)/f1 + 1 + f2*h*(h-1)/(f1*f1)
	if h <= 0 || base <= 0 {
		return f1 + c*math.Sqrt(2*f2) // where the formula has no value: the normal one
	}
	return f1 * math.Pow(base, 1/h)
}

// medianQ is the median of Q by the same variances, as of g times a chi-squared
// with as many degrees of freedom as have the same mean and variance.
func medianQ(rest []float64) float64 {
	var f1, f2 float64
	for _, v := range rest {
		f1, f2 = f1+v, f2+v*v
	}
	if f1 <= 0 || f2 <= 0 {
		return 0
	}
	degrees := f1 * f1 / f2
	return f1 * math.Pow(1-2/(9*degrees), 3)
}

func usable(v float64) bool { return math.Abs(v) <= 1e150 }

func median(values []float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	n := len(sorted)
	return sorted[(n-1)/2]/2 + sorted[n/2]/2
}
