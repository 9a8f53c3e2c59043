package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/internal/embeddedpg"
	"sonde/migrations"
)

const howTo = "no PostgreSQL for tests: run `make test`, or apt-get install postgresql, or set SONDE_TEST_DSN"

// New gives a pool on a migrated database of the test's own, with an empty catalogue.
func New(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return NewWith(t, migrations.Catalog{})
}

// NewWith gives a pool on a migrated database with this catalogue in it.
func NewWith(t testing.TB, catalog migrations.Catalog) *pgxpool.Pool {
	t.Helper()
	return pool(t, DSNWith(t, catalog))
}

// DSN gives the connection string of a migrated database of the test's own.
func DSN(t testing.TB) string {
	t.Helper()
	return DSNWith(t, migrations.Catalog{})
}

// DSNWith is DSN with a catalogue.
func DSNWith(t testing.TB, catalog migrations.Catalog) string {
	t.Helper()
	template, err := templateFor(catalog)
	if err != nil {
		t.Fatal(err)
	}
	return create(t, template)
}

// Bare gives the connection string of an empty database of the test's own.
func Bare(t testing.TB) string {
	t.Helper()
	return create(t, "template0")
}

// NewServer gives a server of the test's own, empty, to be killed and stopped.
func NewServer(t testing.TB) *embeddedpg.Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "sonde-pgserver-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return startAt(t, dir)
}

// Restart starts a server of NewServer again, in its folder and with its data.
func Restart(t testing.TB, s *embeddedpg.Server) *embeddedpg.Server {
	t.Helper()
	return startAt(t, s.Dir())
}

func startAt(t testing.TB, dir string) *embeddedpg.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s, err := embeddedpg.Start(ctx, embeddedpg.Options{Dir: dir, Ephemeral: true})
	if err != nil {
		t.Fatalf("%s: %v", howTo, err)
	}
	t.Cleanup(func() {
		if err := s.Discard(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func pool(t testing.TB, dsn string) *pgxpool.Pool {
	t.Helper()
	p, err := pgxpool.New(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// create makes a database from a template and drops it at the test's end.
func create(t testing.TB, template string) string {
	t.Helper()
	base, err := server()
	if err != nil {
		t.Fatal(err)
	}
	name := prefix() + "_" + random()
	if err := admin(base, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE "+pgx.Identifier{template}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin(base, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	dsn, err := inDatabase(base, name)
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// templates holds one migrated template for each catalogue.
var templates = struct {
	sync.Mutex
	names map[string]string
}{names: map[string]string{}}

func templateFor(catalog migrations.Catalog) (string, error) {
	raw, err := json.Marshal(catalog)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	key := hex.EncodeToString(sum[:4])
	templates.Lock()
	defer templates.Unlock()
	if name, ok := templates.names[key]; ok {
		return name, nil
	}
	base, err := server()
	if err != nil {
		return "", err
	}
	name := prefix() + "_tpl_" + key
	// A migration that failed in an earlier test of this process leaves its template half made.
	if err := admin(base, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
		return "", err
	}
	if err := admin(base, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	dsn, err := inDatabase(base, name)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if _, err := migrations.Up(ctx, dsn, catalog); err != nil {
		return "", fmt.Errorf("migrate the template database: %w", err)
	}
	templates.names[key] = name
	return name, nil
}

// admin runs one statement in the server's maintenance database.
func admin(base, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// inDatabase gives the connection string of another database on the same server.
func inDatabase(base, name string) (string, error) {
	if !strings.HasPrefix(base, "postgres://") && !strings.HasPrefix(base, "postgresql://") {
		return base + " dbname=" + name, nil // key=value: the last one counts
	}
	u, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("SONDE_TEST_DSN: %w", err)
	}
	u.Path = "/" + name
	return u.String(), nil
}

// prefix names the databases of this process.
var prefix = sync.OnceValue(func() string { return fmt.Sprintf("pgtest_%d_%s", os.Getpid(), random()) })

func random() string {
	raw := make([]byte, 4)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}
