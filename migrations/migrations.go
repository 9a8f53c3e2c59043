// Package migrations holds the schema: SQL files that goose runs under a lock,
// and the rows of TOOLS, MEDIUM_TYPES and METHODS that this version of the
// program brings along. It imports nothing of ours; who calls it hands it the
// catalogue as rows.
//
// Ten daemons may call Up at once: one works, the others wait and find it done.
// A migration that fails leaves the schema as it was (each file is one
// transaction) and Up says which.
package migrations

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // goose speaks database/sql
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var files embed.FS

// Tool is one row of TOOLS.
type Tool struct {
	Name, Meaning, Class, Table string
	Options, Metrics            json.RawMessage // arrays
	TimeToRun                   time.Duration
	LeastTime                   string
}

// Described is one row of MEDIUM_TYPES or METHODS.
type Described struct {
	Name, Meaning string
	Options       json.RawMessage // array
	Outcomes      bool            // of a method: it judges no metric
	Address       string          // of a type of medium: the form of an address, a regular expression; "" for any
	AddressLike   string          // one that fits
}

// Rule is a row of RULES that comes with the program. It is inserted once;
// what people change in it stays.
type Rule struct {
	Name, Method, Tool, Metric string // Tool and Metric "" for any
	Options                    json.RawMessage
	Severity                   string
	Tolerance                  time.Duration
	Repeat                     time.Duration // 0: as the setting repeat_limit says
	Shadow                     bool
}

// Catalog is what this version of the program knows.
type Catalog struct {
	Tools       []Tool
	MediumTypes []Described
	Methods     []Described
	Rules       []Rule
}

// Report says what Up did.
type Report struct {
	Applied  []string `json:"applied"`  // migrations that were run now
	Version  int64    `json:"version"`  // version of the schema afterwards
	Problems []string `json:"problems"` // rows that this version can no longer use, one sentence each
}

// Up brings the schema and the catalogue to this version. It switches off no
// row that no longer fits: it lists them.
func Up(ctx context.Context, dsn string, catalog Catalog) (Report, error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return Report{}, fmt.Errorf("open database: %w", err)
	}
	defer db.Close()
	db.SetMaxOpenConns(3) // one holds the lock, one works, one is goose's own

	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return Report{}, fmt.Errorf("migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		return Report{}, fmt.Errorf("read migrations: %w", err)
	}
	report := Report{Applied: []string{}, Problems: []string{}}
	if err := foreign(ctx, db); err != nil {
		return report, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return report, fmt.Errorf("migrate: %w", explain(err))
	}
	for _, r := range results {
		report.Applied = append(report.Applied, r.Source.Path)
	}
	if report.Version, err = provider.GetDBVersion(ctx); err != nil {
		return report, fmt.Errorf("read schema version: %w", err)
	}
	if err := fill(ctx, db, catalog, report.Version); err != nil {
		return report, fmt.Errorf("write catalogue: %w", explain(err))
	}
	report.Problems, err = recheck(ctx, db)
	return report, err
}

// oldestProgram may use the schema that these migrations make.
const oldestProgram = "0.1.0"

// digest is the SHA-256 of the text of all migrations up to a version. Once a
// version is released their text stays as it is, comments included.
func digest(version int64) (string, error) {
	names, err := fs.Glob(files, "*.sql") // sorted
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, name := range names {
		n, err := goose.NumericComponent(name)
		if err != nil {
			return "", err
		}
		if n > version {
			break
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return "", err
		}
		sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Foreign says whether the database at dsn was made by other migrations of the
// same numbers than these; nil when it was not, or has no schema yet.
func Foreign(ctx context.Context, dsn string) error {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer db.Close()
	return foreign(ctx, db)
}

// foreign refuses a schema that was made by other migrations of the same
// numbers: until a version is released they change in place.
func foreign(ctx context.Context, db *sql.DB) error {
	var made bool
	if err := db.QueryRowContext(ctx, `SELECT to_regclass('schema_info') IS NOT NULL`).Scan(&made); err != nil || !made {
		return err
	}
	var version int64
	var sum string
	err := db.QueryRowContext(ctx, `SELECT version, sha256 FROM schema_info`).Scan(&version, &sum)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // somebody else is about to write it
	}
	var pg *pgconn.PgError
	if err != nil && !(errors.As(err, &pg) && pg.Code == "42703") { // no such column: older still
		return fmt.Errorf("read the schema's version: %w", err)
	}
	all, err := fs.Glob(files, "*.sql")
	if err != nil || version > int64(len(all)) {
		return err // a newer schema: oldest_program says whether we may use it
	}
	ours, err := digest(version)
	if err != nil || ours == sum {
		return err
	}
	return errors.New("this database was made by another state of Sonde: its migrations were not these, and until a version is released they change in place. " +
		"Use the program that made it, or give this one a database of its own (another folder for --data, another name in the URL)")
}

// fill writes the catalogue in one transaction. Rows of tools this version does
// not know stay, because specs refer to them; they are marked.
func fill(ctx context.Context, db *sql.DB, c Catalog, version int64) error {
	sum, err := digest(version)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // a no-op after Commit
	exec := func(query string, args ...any) {
		if err == nil {
			_, err = tx.ExecContext(ctx, query, args...)
		}
	}
	exec(`SELECT pg_advisory_xact_lock(hashtext('sonde catalogue'))`)
	exec(`INSERT INTO schema_info (version, sha256, oldest_program) VALUES ($1, $2, $3)
		ON CONFLICT (only_one) DO UPDATE SET version = excluded.version, sha256 = excluded.sha256, oldest_program = excluded.oldest_program
		WHERE schema_info.version < excluded.version`, version, sum, oldestProgram)
	exec(`INSERT INTO schedule_mark (planned_to) VALUES (now()) ON CONFLICT DO NOTHING`)
	exec(`INSERT INTO analyst_mark (read_xid) VALUES (pg_snapshot_xmin(pg_current_snapshot())) ON CONFLICT DO NOTHING`)
	exec(`UPDATE tools SET known = false`)
	for _, t := range c.Tools {
		exec(`INSERT INTO tools (name, meaning, class, table_name, options, metrics, time_to_run, least_time, known)
			VALUES ($1, $2, $3, $4, $5, $6, make_interval(secs => $7), $8, true)
			ON CONFLICT (name) DO UPDATE SET meaning = excluded.meaning, class = excluded.class, table_name = excluded.table_name,
				options = excluded.options, metrics = excluded.metrics, time_to_run = excluded.time_to_run,
				least_time = excluded.least_time, known = true`,
			t.Name, t.Meaning, t.Class, t.Table, array(t.Options), array(t.Metrics), t.TimeToRun.Seconds(), t.LeastTime)
	}
	exec(`UPDATE medium_types SET known = false`)
	for _, m := range c.MediumTypes {
		exec(`INSERT INTO medium_types (name, meaning, options, address, address_like, known) VALUES ($1, $2, $3, $4, $5, true)
			ON CONFLICT (name) DO UPDATE SET meaning = excluded.meaning, options = excluded.options, address = excluded.address,
				address_like = excluded.address_like, known = true`,
			m.Name, m.Meaning, array(m.Options), m.Address, m.AddressLike)
	}
	for _, m := range c.Methods {
		exec(`INSERT INTO methods (name, meaning, options, outcomes) VALUES ($1, $2, $3, $4)
			ON CONFLICT (name) DO UPDATE SET meaning = excluded.meaning, options = excluded.options, outcomes = excluded.outcomes`,
			m.Name, m.Meaning, array(m.Options), m.Outcomes)
	}
	for _, r := range c.Rules {
		options := string(r.Options)
		if options == "" {
			options = "{}"
		}
		exec(`INSERT INTO rules (name, method, tool, metric, options, severity, tolerance, repeat_limit, shadow, shipped)
			SELECT $1, $2, nullif($3, ''), nullif($4, ''), $5, $6, make_interval(secs => $7), nullif(make_interval(secs => $8), interval '0'), $9, true
			WHERE NOT EXISTS (SELECT FROM rules WHERE name = $1)`,
			r.Name, r.Method, r.Tool, r.Metric, options, r.Severity, r.Tolerance.Seconds(), r.Repeat.Seconds(), r.Shadow)
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}

func array(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return "[]"
	}
	return string(raw)
}

// recheck lists the rows whose options this version cannot use.
func recheck(ctx context.Context, db *sql.DB) ([]string, error) {
	rows, err := db.QueryContext(ctx, `
		SELECT format('spec %s (%s to %s): %s', s.id, s.tool, s.node,
			CASE WHEN NOT t.known THEN 'this version has no such tool' ELSE sonde_options_problem(t.options, s.options) END)
		FROM toolspecs s JOIN tools t ON t.name = s.tool
		WHERE NOT t.known OR sonde_options_problem(t.options, s.options) IS NOT NULL
		UNION ALL
		SELECT format('medium %s: %s', m.name,
			CASE WHEN NOT t.known THEN 'this version has no such type' ELSE sonde_options_problem(t.options, m.options) END)
		FROM mediums m JOIN medium_types t ON t.name = m.type
		WHERE NOT t.known OR sonde_options_problem(t.options, m.options) IS NOT NULL
		UNION ALL
		SELECT format('rule %s: %s', r.name, sonde_options_problem(m.options, r.options))
		FROM rules r JOIN methods m ON m.name = r.method
		WHERE sonde_options_problem(m.options, r.options) IS NOT NULL`)
	if err != nil {
		return nil, fmt.Errorf("check rows again: %w", err)
	}
	defer rows.Close()
	problems := []string{}
	for rows.Next() {
		var p string
		if err := rows.Scan(&p); err != nil {
			return nil, fmt.Errorf("check rows again: %w", err)
		}
		problems = append(problems, p)
	}
	return problems, rows.Err()
}

// explain adds what PostgreSQL says beside its message.
func explain(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Hint+pg.Detail+pg.Where != "" {
		return fmt.Errorf("%w (%s %s %s)", err, pg.Detail, pg.Hint, pg.Where)
	}
	return err
}
