package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/embeddedpg"
	"sonde/internal/lab"
	"sonde/notify/smstools/smsdtest"
)

// The whole path as a stranger walks it: rows in SQL, measurements of a host
// behind two routers, the link cut, an alert, an SMS through the real smsd, a
// page; the link mended, the alert closed, an SMS that says so.
func TestARowInSQLBecomesAMeasurementAnAlertAnSMSAndAPage(t *testing.T) {
	network := lab.New(t)
	here, _, target := network.Chain(2)
	last := network.Links()[len(network.Links())-1]
	modem := smsdtest.NewModem(t)
	spool := smsdtest.NewSpool(t)
	spool.Modem = modem
	spool.Start()

	state := filepath.Join(t.TempDir(), "state")
	_, line := upReadyIn(t, here, state)
	address, _, ok := strings.Cut(strings.TrimPrefix(line, "ready "), " psql ")
	if !ok {
		t.Fatalf("the line is %q", line)
	}
	db := connect(t, state)
	get := func(path string) string { return page(t, here, address+path) }

	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := db.Exec(t.Context(), sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	count := func(sql string, args ...any) (n int) {
		t.Helper()
		if err := db.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return n
	}

	exec(`INSERT INTO nodes (name, address) VALUES ('far', $1)`, target.V4().String())
	exec(`INSERT INTO toolspecs (node, tool, run_interval, options) VALUES ('far', 'ping', '1 second', '{"count": 3, "interval": "50ms", "timeout": "300ms"}')`)
	exec(`INSERT INTO toolspecs (node, tool, run_interval, options) VALUES ('far', 'traceroute', '5 seconds', '{"timeout": "300ms"}')`)
	until(t, "answers in pingdata", func() bool {
		return count(`SELECT count(*) FROM pingdata WHERE outcome = 'ok' AND received = 3 AND cardinality(rtts_us) = 3`) >= 3
	})
	until(t, "a route in routedata", func() bool {
		return count(`SELECT count(*) FROM routedata WHERE outcome = 'ok' AND reached AND hop_count = 3 AND route_no = 1 AND hops[3] = $1::inet`, target.V4().String()) >= 1
	})

	options, err := json.Marshal(map[string]string{"spool": spool.Dir})
	if err != nil {
		t.Fatal(err)
	}
	exec(`INSERT INTO mediums (name, type, options) VALUES ('sms', 'smstools', $1)`, string(options))
	exec(`INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 1, 'sms', '4915112345678')`)

	last.Cut()
	until(t, "an alert", func() bool {
		return count(`SELECT count(*) FROM alerts WHERE node = 'far' AND rule = 'no answer' AND closed_at IS NULL`) == 1
	})
	until(t, "an SMS", func() bool { return heard(modem, "far", "no answer") })
	until(t, "the proof of its delivery", func() bool {
		return count(`SELECT count(*) FROM deliveries d JOIN notices n ON n.id = d.notice_id WHERE n.kind = 'raise' AND d.state = 'ok'`) >= 1
	})
	if said := get("/"); !strings.Contains(said, "far") || !strings.Contains(said, "no answer") {
		t.Errorf("the overview does not show it:\n%.2000s", said)
	}

	last.Mend()
	until(t, "the end of the alert", func() bool {
		return count(`SELECT count(*) FROM alerts WHERE node = 'far' AND rule = 'no answer' AND closed_at IS NOT NULL AND ended_at IS NOT NULL`) == 1
	})
	until(t, "an SMS about it", func() bool { return heard(modem, "far", "answers again") })

	// Every instant is accounted for once: the runs of each spec follow each
	// other by its interval, the one soon after the insert apart.
	if n := count(`SELECT count(*) FROM pingdata WHERE outcome <> 'ok'`); n > 0 {
		t.Errorf("%d pings were not made", n)
	}
	if n := count(`SELECT count(*) FROM (SELECT due_at - lag(due_at, 2) OVER (ORDER BY due_at) AS d, row_number() OVER (ORDER BY due_at) AS i FROM pingdata) x
		WHERE i > 5 AND d <> interval '2 seconds'`); n > 0 {
		t.Errorf("%d instants are lost or doubled", n)
	}
	if n := count(`SELECT count(*) FROM gaps`); n > 0 {
		t.Errorf("%d gaps", n)
	}
}

// heard reports whether one SMS holds all these words.
func heard(m *smsdtest.Modem, words ...string) bool {
	for _, sms := range m.Sent() {
		found := true
		for _, w := range words {
			found = found && strings.Contains(sms.Text, w)
		}
		if found {
			return true
		}
	}
	return false
}

func upReadyIn(t *testing.T, host *lab.Host, state string) (*program, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, host.Command(self, "up", "--data", state, "--listen", "127.0.0.1:0"))
	select {
	case line, ok := <-p.lines:
		if !ok {
			t.Fatalf("it ended: %s", p.stderr())
		}
		return p, line
	case <-time.After(2 * time.Minute):
		t.Fatal("it is not ready")
	}
	return nil, ""
}

func connect(t *testing.T, state string) *pgx.Conn {
	t.Helper()
	dsn, err := embeddedpg.DSN(filepath.Join(state, "pg"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// page fetches a page from inside a host.
func page(t *testing.T, host *lab.Host, url string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: host.DialContext}, Timeout: 20 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(fmt.Errorf("%s: %s %w", url, resp.Status, err))
	}
	return string(body)
}
