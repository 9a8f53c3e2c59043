package bench

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// BenchmarkMemory starts `sonde up` with its own PostgreSQL and reads what each
// process holds, at rest and while it pings 10,000 times a minute.
func BenchmarkMemory(b *testing.B) {
	path := program(b)
	for b.Loop() {
		c := start(b, path, nil, "up", "--data", filepath.Join(b.TempDir(), "state"), "--listen", "127.0.0.1:0")
		dsn := ready(b, c)
		wait(20 * time.Second)
		total, rest := memory(b, c)
		b.ReportMetric(total, "MiB_at_rest")
		b.Logf("at rest: %s", rest)

		conn, err := pgx.Connect(b.Context(), dsn)
		if err != nil {
			b.Fatal(err)
		}
		for _, sql := range []string{
			`INSERT INTO nodes (name, address) SELECT 'node' || n, '127.0.0.1' FROM generate_series(1, 10000) n`,
			`INSERT INTO toolspecs (node, tool, run_interval, options) SELECT 'node' || n, 'ping', '1 minute', '{"count": 1, "timeout": "100ms"}' FROM generate_series(1, 10000) n`,
		} {
			if _, err := conn.Exec(b.Context(), sql); err != nil {
				b.Fatal(err)
			}
		}
		wait(100 * time.Second)
		total, busy := memory(b, c)
		var ok, other int
		if err := conn.QueryRow(b.Context(), `SELECT count(*) FILTER (WHERE outcome = 'ok'), count(*) FILTER (WHERE outcome <> 'ok') FROM pingdata`).Scan(&ok, &other); err != nil {
			b.Fatal(err)
		}
		conn.Close(context.Background())
		b.ReportMetric(total, "MiB_with_10000_specs")
		b.ReportMetric(float64(ok), "ok")
		b.ReportMetric(float64(other), "not_ok")
		b.Logf("with 10,000 specs, %d runs ok and %d not: %s", ok, other, busy)
	}
}

// ready waits for the line that says that everything works.
func ready(b *testing.B, c *child) (dsn string) {
	b.Helper()
	limit := time.After(2 * time.Minute)
	for {
		select {
		case line, more := <-c.lines:
			if m := regexp.MustCompile(`^ready \S+ psql "(.*)"$`).FindStringSubmatch(line); m != nil {
				return m[1]
			}
			if !more {
				b.Fatal("sonde up ended")
			}
		case <-limit:
			b.Fatal("sonde up is not ready after two minutes")
		}
	}
}

// memory gives the sum in MiB, and each process in words; PostgreSQL is one.
func memory(b *testing.B, c *child) (total float64, each string) {
	b.Helper()
	all, err := family(c.cmd.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	sums := map[string]float64{}
	for _, p := range all {
		held, err := pss(p.pid)
		if err != nil {
			continue // gone meanwhile
		}
		name := role(p)
		sums[name] += float64(held) / (1 << 20)
		total += float64(held) / (1 << 20)
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		each += fmt.Sprintf("%s %.1f MiB, ", name, sums[name])
	}
	return total, each + fmt.Sprintf("together %.1f MiB", total)
}

// role is the daemon that a process is; PostgreSQL is one.
func role(p process) string {
	if filepath.Base(p.args[0]) != "sonde" {
		return "postgres"
	}
	if name := strings.Join(p.args[1:min(3, len(p.args))], " "); !strings.HasPrefix(name, "up") {
		return name
	}
	return "up (supervisor)"
}
