package migrations_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/internal/pgtest"
	"sonde/internal/schema"
	"sonde/migrations"
	"sonde/probes/catalog"
)

func real(t *testing.T) migrations.Catalog {
	t.Helper()
	c, err := schema.Catalog(catalog.All())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// db is a database with the real catalogue, two nodes and one monitoring host.
type db struct {
	*testing.T
	*pgxpool.Pool
}

func newDB(t *testing.T) *db {
	t.Helper()
	d := &db{t, pgtest.NewWith(t, real(t))}
	d.exec(`INSERT INTO nodes (name, address) VALUES ('m1', '127.0.0.1'), ('cern', 'www.cern.ch')`)
	d.exec(`INSERT INTO monhosts (name, tools) VALUES ('m1', '{ping,traceroute}')`)
	return d
}

func (d *db) exec(sql string, args ...any) {
	d.Helper()
	if _, err := d.Exec(d.Context(), sql, args...); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
}

func get[T any](d *db, sql string, args ...any) T {
	d.Helper()
	var v T
	if err := d.QueryRow(d.Context(), sql, args...).Scan(&v); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
	return v
}

// refused demands that sql is refused with a message that begins with
// table.column and has these words, message and hint taken together.
func (d *db) refused(sql, column string, words ...string) {
	d.Helper()
	_, err := d.Exec(d.Context(), sql)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		d.Errorf("%s\nwas not refused: %v", sql, err)
		return
	}
	text := pg.Message + " HINT " + pg.Hint
	if !strings.HasPrefix(text, column+": ") || pg.TableName+"."+pg.ColumnName != column {
		d.Errorf("%s\nwas refused by %q, which does not begin with %s", sql, text, column)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			d.Errorf("%s\nwas refused by %q, no word of %q", sql, text, w)
		}
	}
}
