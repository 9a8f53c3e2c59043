package store

import (
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"sonde/internal/measure"
)

// array is an array as a parameter. pgx turns each element of a plain slice into
// an interface of its own, and an instant into three: for batches of thousands
// that was a third of what a worker allocates. This one shows it the elements
// where they lie.
type array[E any] []E

func (a array[E]) Dimensions() []pgtype.ArrayDimension {
	return []pgtype.ArrayDimension{{Length: int32(len(a)), LowerBound: 1}}
}
func (a array[E]) Index(i int) any { return &a[i] }
func (array[E]) IndexType() any    { return new(E) }

// The element types are those of pgtype, which need no conversion.
type (
	bigints  = array[pgtype.Int8]
	ints     = array[pgtype.Int4]
	instants = array[pgtype.Timestamptz]
	tids     = array[pgtype.TID]
)

// reals are numbers as PostgreSQL's real has them, NaN and what is too great for it
// NULL. Each element is made when it is asked for, in one place.
type reals struct {
	of  []float64
	one pgtype.Float4
}

func (r *reals) Dimensions() []pgtype.ArrayDimension {
	return []pgtype.ArrayDimension{{Length: int32(len(r.of)), LowerBound: 1}}
}
func (r *reals) Index(i int) any {
	f := float32(r.of[i])
	r.one = pgtype.Float4{Float32: f, Valid: f-f == 0} // of NaN and Inf that is NaN
	return &r.one
}
func (*reals) IndexType() any { return new(pgtype.Float4) }

func bigint(n int64) pgtype.Int8             { return pgtype.Int8{Int64: n, Valid: true} }
func instant(t time.Time) pgtype.Timestamptz { return pgtype.Timestamptz{Time: t, Valid: true} }

// keys gives the columns of runs' keys.
func keys(runs []measure.RunKey) (bigints, instants) {
	ids, dues := make(bigints, len(runs)), make(instants, len(runs))
	for i, r := range runs {
		ids[i], dues[i] = bigint(r.ToolspecID), instant(r.DueAt)
	}
	return ids, dues
}
