package bench

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// BenchmarkPlatform pings 10,000 addresses of loopback with 10 packets every
// minute by `sonde up`, and reads the processor time of each process over a
// minute. The replies are made by the same kernel, at the worker's cost.
func BenchmarkPlatform(b *testing.B) {
	path := program(b)
	for b.Loop() {
		c := start(b, path, nil, "up", "--data", filepath.Join(b.TempDir(), "state"), "--listen", "127.0.0.1:0")
		conn, err := pgx.Connect(b.Context(), ready(b, c))
		if err != nil {
			b.Fatal(err)
		}
		for _, sql := range []string{
			`INSERT INTO nodes (name, address) SELECT 'node' || n, '127.1.' || n / 250 || '.' || 1 + n % 250 FROM generate_series(1, 10000) n`,
			`INSERT INTO toolspecs (node, tool, run_interval) SELECT 'node' || n, 'ping', '1 minute' FROM generate_series(1, 10000) n`,
		} {
			if _, err := conn.Exec(b.Context(), sql); err != nil {
				b.Fatal(err)
			}
		}
		wait(90 * time.Second) // the first runs of new specs are spread over a minute

		var from time.Time
		if err := conn.QueryRow(b.Context(), `SELECT clock_timestamp()`).Scan(&from); err != nil {
			b.Fatal(err)
		}
		before := processorTimes(b, c)
		wait(time.Minute)
		after := processorTimes(b, c)
		wait(25 * time.Second) // the last of them take nine seconds; what is missed is named by then
		var ok, other, lost, users int
		if err := conn.QueryRow(b.Context(), `
			SELECT count(*) FILTER (WHERE outcome = 'ok'), count(*) FILTER (WHERE outcome <> 'ok') + (SELECT count(*) FROM gaps WHERE until_at > $1),
				coalesce(sum(sent - received), 0), coalesce(sum(user_stamped), 0)
			FROM pingdata WHERE due_at >= $1 AND due_at < $1 + interval '1 minute'`, from).Scan(&ok, &other, &lost, &users); err != nil {
			b.Fatal(err)
		}
		conn.Close(context.Background())
		each, three, all := "", 0.0, 0.0
		for _, name := range slices.Sorted(maps.Keys(after)) {
			used := (after[name] - before[name]).Seconds()
			each += fmt.Sprintf("%s %.2f s, ", name, used)
			all += used
			if name == "worker ping" || name == "scheduler" || name == "postgres" {
				three += used
			}
		}
		b.Logf("%d runs ok, %d not, %d packets lost, %d stamped in user space; %s together %.2f s", ok, other, lost, users, each, all)
		b.ReportMetric(three/60*100, "%_of_a_core")
		b.ReportMetric(all/60*100, "%_of_a_core_all")
		b.ReportMetric(float64(ok), "ok")
		b.ReportMetric(float64(other), "not_ok")
		b.ReportMetric(float64(lost), "lost")
	}
}

// processorTimes is what the processes below c have used, by what they are.
func processorTimes(b *testing.B, c *child) map[string]time.Duration {
	b.Helper()
	all, err := family(c.cmd.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	times := map[string]time.Duration{}
	for _, p := range all {
		used, err := cpu(p.pid)
		if err != nil {
			continue // gone meanwhile
		}
		times[role(p)] += used
	}
	return times
}
