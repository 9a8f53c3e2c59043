package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"sonde/internal/measure"
)

// reading is a question for rows of a data table.
type reading struct {
	Series
	condition, order string
	args             []any
	xids             bool // say which transaction stored them
	each             func(Run)

	runs   []Run // with routes, until what is known of their hops is read
	routes []*measure.Route
}

// queue puts it among other questions.
func (q *reading) queue(batch *pgx.Batch) {
	columns := "toolspec_id, due_at, outcome, reason, late"
	if q.xids {
		columns += ", stored_xid"
	}
	for i, c := range q.Columns {
		if q.reads(i) {
			columns += ", " + sanitized(c)
		}
	}
	if q.Routes {
		columns += ", " + routeColumns
	}
	batch.Queue(`SELECT `+columns+` FROM `+sanitized(q.Table)+` WHERE `+q.condition+q.order, q.args...).Query(func(rows pgx.Rows) error {
		if err := q.take(rows); err != nil {
			return fmt.Errorf("read rows of %s: %w", q.Table, err)
		}
		return nil
	})
}

// take reads the answer.
func (q *reading) take(rows pgx.Rows) error {
	defer rows.Close()
	fields := rows.FieldDescriptions()
	var values []float64 // many rows' in one piece of memory
	for rows.Next() {
		raw := rows.RawValues()
		if len(values)+len(q.Columns) > cap(values) {
			values = make([]float64, 0, 1024*max(1, len(q.Columns)))
		}
		r, read, err := q.run(raw, fields)
		if err != nil {
			return err
		}
		from := len(values)
		if values, read, err = q.numbers(values, read, raw, fields); err != nil {
			return err
		}
		r.Values = values[from:len(values):len(values)]
		if !q.Routes {
			q.each(r)
			continue
		}
		var found routeRow
		if err := rows.Scan(append(make([]any, read), found.into()...)...); err != nil {
			return err
		}
		if r.Outcome == measure.OK {
			r.Route = found.route()
			q.routes = append(q.routes, r.Route)
		}
		q.runs = append(q.runs, r)
	}
	return rows.Err()
}

// finish gives runs with routes to each, when other questions can be asked again.
func (q *reading) finish(ctx context.Context, tx pgx.Tx) error {
	if err := knowHops(ctx, tx, q.routes); err != nil {
		return err
	}
	for _, r := range q.runs {
		q.each(r)
	}
	return nil
}

// run reads the columns that all data tables have from the wire: a pass reads
// many rows, and scanning each by reflection took longer than reading them. It gives
// how many columns they were.
func (q *reading) run(raw [][]byte, fields []pgconn.FieldDescription) (r Run, read int, err error) {
	sizes := [...]int{8, 8, -1, -1, 1, 8}
	if read = len(sizes); !q.xids {
		read--
	}
	for i, size := range sizes[:read] {
		if size > 0 && (len(raw[i]) != size || fields[i].Format != pgx.BinaryFormatCode) {
			return r, read, fmt.Errorf("column %s came as %d bytes", fields[i].Name, len(raw[i]))
		}
	}
	r.ToolspecID = int64(binary.BigEndian.Uint64(raw[0]))
	r.DueAt = time.UnixMicro(int64(binary.BigEndian.Uint64(raw[1])) + microsTo2000).UTC()
	switch string(raw[2]) {
	case string(measure.OK):
		r.Outcome = measure.OK
	case string(measure.Fail):
		r.Outcome = measure.Fail
	default:
		r.Outcome = measure.Missed
	}
	r.Reason = string(raw[3])
	r.Late = raw[4][0] != 0
	if q.xids {
		r.XID = binary.BigEndian.Uint64(raw[5])
	}
	return r, read, nil
}

// reads reports whether column i is wanted.
func (s Series) reads(i int) bool { return s.Unread == nil || !s.Unread[i] }

// numbers appends those of a row, which follow the columns that have been read, and
// gives how many columns were read with them.
func (s Series) numbers(values []float64, read int, raw [][]byte, fields []pgconn.FieldDescription) (_ []float64, _ int, err error) {
	for i := range s.Columns {
		v := math.NaN()
		if s.reads(i) {
			if v, err = number64(raw[read], fields[read]); err != nil {
				return values, read, fmt.Errorf("column %s: %w", s.Columns[i], err)
			}
			read++
		}
		values = append(values, v)
	}
	return values, read, nil
}

// microsTo2000 is PostgreSQL's epoch on Unix's.
var microsTo2000 = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// number64 reads a number, or a boolean as 0 or 1, from the wire; NaN for NULL.
func number64(raw []byte, f pgconn.FieldDescription) (float64, error) {
	if raw == nil {
		return math.NaN(), nil
	}
	if f.Format != pgx.BinaryFormatCode {
		return 0, fmt.Errorf("it came as text")
	}
	switch {
	case f.DataTypeOID == pgtype.Float8OID && len(raw) == 8:
		return math.Float64frombits(binary.BigEndian.Uint64(raw)), nil
	case f.DataTypeOID == pgtype.Float4OID && len(raw) == 4:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(raw))), nil
	case f.DataTypeOID == pgtype.Int8OID && len(raw) == 8:
		return float64(int64(binary.BigEndian.Uint64(raw))), nil
	case f.DataTypeOID == pgtype.Int4OID && len(raw) == 4:
		return float64(int32(binary.BigEndian.Uint32(raw))), nil
	case f.DataTypeOID == pgtype.Int2OID && len(raw) == 2:
		return float64(int16(binary.BigEndian.Uint16(raw))), nil
	case f.DataTypeOID == pgtype.BoolOID && len(raw) == 1:
		return float64(raw[0]), nil
	}
	return math.NaN(), nil // no number
}
