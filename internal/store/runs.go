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

// readRuns gives the rows of a data table that fit a condition to each.
func readRuns(ctx context.Context, tx pgx.Tx, s Series, order, condition string, args []any, each func(Run)) error {
	wrap := func(err error) error { return fmt.Errorf("read rows of %s: %w", s.Table, err) }
	columns := "toolspec_id, due_at, outcome, reason, late, stored_xid"
	for i, c := range s.Columns {
		if c = sanitized(c); s.Unread != nil && s.Unread[i] {
			c = "NULL"
		}
		columns += ", " + c
	}
	if s.Routes {
		columns += ", " + routeColumns
	}
	rows, err := tx.Query(ctx, `SELECT `+columns+` FROM `+sanitized(s.Table)+` WHERE `+condition+order, args...)
	if err != nil {
		return wrap(err)
	}
	if s.Routes {
		return readRoutes(ctx, tx, s, rows, wrap, each)
	}
	defer rows.Close()
	fields := rows.FieldDescriptions()
	var values []float64 // many rows' in one piece of memory
	for rows.Next() {
		raw := rows.RawValues()
		if len(values)+len(s.Columns) > cap(values) {
			values = make([]float64, 0, 1024*max(1, len(s.Columns)))
		}
		r, err := runOf(raw, fields)
		if err != nil {
			return wrap(err)
		}
		from := len(values)
		for i := range s.Columns {
			v, err := number64(raw[6+i], fields[6+i])
			if err != nil {
				return wrap(fmt.Errorf("column %s: %w", s.Columns[i], err))
			}
			values = append(values, v)
		}
		r.Values = values[from:len(values):len(values)]
		each(r)
	}
	if err := rows.Err(); err != nil {
		return wrap(err)
	}
	return nil
}

// readRoutes reads rows that have a route; what is known of its hops is read when
// all are there.
func readRoutes(ctx context.Context, tx pgx.Tx, s Series, rows pgx.Rows, wrap func(error) error, each func(Run)) error {
	var routes []*measure.Route
	runs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Run, error) {
		raw, fields := row.RawValues(), row.FieldDescriptions()
		r, err := runOf(raw, fields)
		if err != nil {
			return r, err
		}
		var found routeRow
		into := make([]any, 6+len(s.Columns))
		for i := range s.Columns {
			v, err := number64(raw[6+i], fields[6+i])
			if err != nil {
				return r, fmt.Errorf("column %s: %w", s.Columns[i], err)
			}
			r.Values = append(r.Values, v)
		}
		if err := row.Scan(append(into, found.into()...)...); err != nil {
			return r, err
		}
		if r.Outcome == measure.OK {
			r.Route = found.route()
			routes = append(routes, r.Route)
		}
		return r, nil
	})
	if err != nil {
		return wrap(err)
	}
	if err := knowHops(ctx, tx, routes); err != nil {
		return err
	}
	for _, r := range runs {
		each(r)
	}
	return nil
}

// runOf reads the columns that all data tables have from the wire: a pass reads
// many rows, and scanning each by reflection took longer than reading them.
func runOf(raw [][]byte, fields []pgconn.FieldDescription) (Run, error) {
	var r Run
	for i, size := range [...]int{8, 8, -1, -1, 1, 8} {
		if size > 0 && (len(raw[i]) != size || fields[i].Format != pgx.BinaryFormatCode) {
			return r, fmt.Errorf("column %s came as %d bytes", fields[i].Name, len(raw[i]))
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
	r.XID = binary.BigEndian.Uint64(raw[5])
	return r, nil
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
