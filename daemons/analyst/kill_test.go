package analyst_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/internal/pgtest"
	"sonde/internal/schema"
)

// The server is killed while the analyst reads, again and again. In the end
// every verdict is there once.
func TestADatabaseThatIsKilledLosesAndDoublesNothing(t *testing.T) {
	server := pgtest.NewServer(t)
	ctx := context.Background()
	if _, err := schema.Up(ctx, server.DSN()); err != nil {
		t.Fatal(err)
	}
	db, err := pgxpool.New(ctx, server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	b := &bench{T: t, db: db, start: time.Now().UTC().Add(-30 * time.Minute).Truncate(time.Minute)}
	b.exec(`INSERT INTO nodes (name, address) VALUES ('pi', '192.0.2.250')`)
	b.exec(`INSERT INTO monhosts (name, last_seen_at) VALUES ('pi', now() + interval '1 hour')`)
	const nodes = 20
	for i := 1; i <= nodes; i++ {
		b.exec(`INSERT INTO nodes (name, address) VALUES ($1, '192.0.2.1')`, fmt.Sprintf("n%d", i))
		b.exec(`INSERT INTO toolspecs (node, tool, run_interval) VALUES ($1, 'ping', '1 day')`, fmt.Sprintf("n%d", i))
	}
	stop := b.judge()
	letters := ".LLLLL..LLL.."
	for minute, letter := range letters {
		for i := 1; i <= nodes; i++ {
			l := string(letter)
			if i == nodes {
				l = "." // so that the host is not the trouble
			}
			b.runs(i, minute, l)
		}
		if minute%3 != 2 {
			continue
		}
		if err := syscall.Kill(server.Pid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-server.Done()
		server = pgtest.Restart(t, server)
		for db.Ping(ctx) != nil {
			<-time.After(10 * time.Millisecond)
		}
	}
	b.settled()
	stop()
	b.await(fmt.Sprint(nodes), `SELECT count(*)::text FROM detectors WHERE judged_to >= $1 AND toolspec_id <= 20`, b.start.Add(time.Duration(len(letters)-1)*time.Minute))
	b.await("2 4 2", `SELECT format('%s %s %s', min(n), min(f), min(told)) FROM (
		SELECT count(*) AS n, sum(findings) AS f, min(told_times) AS told FROM alerts WHERE rule = 'no answer' AND closed_at IS NOT NULL GROUP BY toolspec_id) x`)
	b.await(fmt.Sprintf("clear %d, feed %d, raise %d", 2*(nodes-1), 2*(nodes-1), 2*(nodes-1)), `SELECT string_agg(format('%s %s', decision, n), ', ' ORDER BY decision) FROM (
		SELECT decision, count(*) AS n FROM newalerts WHERE rule = 'no answer' GROUP BY 1) x`)
	b.await("0", `SELECT count(*)::text FROM newalerts WHERE rule = 'late'`)
	b.await("0", `SELECT count(*)::text FROM (SELECT alert_id, kind FROM notices WHERE kind IN ('raise', 'clear') GROUP BY 1, 2 HAVING count(*) > 1) x`)
}
