package main

import (
	"path/filepath"
	"strings"
	"testing"

	"sonde/internal/lab"
)

// A doubtful finding orders a run that the real worker makes: it contradicts the
// finding, and nobody is told; on a cut link it bears it out, and the medium has it.
func TestADoubtfulFindingIsLookedAtAgainByARealProbe(t *testing.T) {
	network := lab.New(t)
	here, _, target := network.Chain(1)
	link := network.Links()[len(network.Links())-1]
	state := filepath.Join(t.TempDir(), "state")
	upReadyIn(t, here, state)
	db := connect(t, state)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := db.Exec(t.Context(), sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	count := func(sql string) (n int) {
		t.Helper()
		if err := db.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return n
	}
	exec(`UPDATE rules SET second_look = true, options = '{"runs": 1, "clear": 1}' WHERE name = 'no answer'`)
	exec(`INSERT INTO mediums (name, type) VALUES ('paper', 'log')`)
	exec(`INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 1, 'paper', 'x')`)
	exec(`INSERT INTO nodes (name, address) VALUES ('far', $1)`, target.V4().String())
	exec(`INSERT INTO toolspecs (node, tool, run_interval, options) VALUES ('far', 'ping', '1 day', '{"count": 3, "interval": "50ms", "timeout": "300ms"}')`)
	until(t, "a first answer that is judged", func() bool {
		return count(`SELECT count(*) FROM detectors WHERE judged_to IS NOT NULL`) == 1
	})

	// One run of which nothing came back, on a link that is well.
	exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, sent, received, loss_pct) VALUES (1, now(), 'ok', 3, 0, 100)`)
	until(t, "what the second look said", func() bool {
		return count(`SELECT count(*) FROM newalerts WHERE decision = 'look' AND text LIKE 'a second look from % 0 of 3 lost' AND reason LIKE 'not told%'`) == 1
	})
	until(t, "the end of the alert", func() bool { return count(`SELECT count(*) FROM alerts WHERE closed_at IS NOT NULL`) == 1 })
	if n := count(`SELECT count(*) FROM notices`); n != 0 {
		t.Errorf("%d messages of what a second look contradicted", n)
	}
	var why string
	if err := db.QueryRow(t.Context(), `SELECT reason FROM newalerts WHERE decision = 'clear'`).Scan(&why); err != nil || !strings.Contains(why, "not told: nobody was told of its beginning") {
		t.Errorf("%q, %v", why, err)
	}

	link.Cut()
	exec(`INSERT INTO schedule (toolspec_id) VALUES (1)`)
	until(t, "a second look that bears it out", func() bool {
		return count(`SELECT count(*) FROM newalerts WHERE decision = 'look' AND text LIKE '% 3 of 3 lost' AND reason LIKE 'told%'`) == 1
	})
	until(t, "the message", func() bool {
		return count(`SELECT count(*) FROM deliveries d JOIN notices n ON n.id = d.notice_id WHERE n.kind = 'raise' AND d.state = 'ok'`) == 1
	})
	if n := count(`SELECT count(*) FROM pingdata WHERE outcome = 'ok'`); n != 5 {
		t.Errorf("%d runs, want the first, the one that never was, a look, the one that was ordered by hand and a look", n)
	}
}
