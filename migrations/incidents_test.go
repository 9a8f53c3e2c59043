package migrations_test

import (
	"testing"
)

// anAlert gives a database with spec 1, ping to cern, and its alert 1.
func anAlert(t *testing.T) *db {
	d := newDB(t)
	d.exec(every("", ""))
	d.exec(`INSERT INTO alerts (toolspec_id, monhost, node, tool, metric, rule, severity, text, began_at, raised_at, ended_at, closed_at)
		VALUES (1, 'm1', 'cern', 'ping', 'loss_pct', 'loss', 'warning', 'loss', '2026-03-01 10:00+00', '2026-03-01 10:05+00', '2026-03-01 11:00+00', '2026-03-01 11:00+00')`)
	return d
}

func TestAnIncidentIsOneInsert(t *testing.T) {
	d := anAlert(t)
	d.exec(`INSERT INTO incidents (node, from_at, text) VALUES ('cern', '2026-03-02', 'the cable was cut')`)
	d.exec(`INSERT INTO incidents (alert_id, verdict) VALUES (1, 'wrong')`)
	d.exec(`INSERT INTO incidents (toolspec_id, from_at, until_at, verdict) VALUES (1, '2026-03-03 08:00+00', '2026-03-03 09:00+00', 'planned')`)
	d.exec(`INSERT INTO incidents (label, tool, from_at) VALUES ('core', 'ping', '2026-03-04')`)
	got := get[string](d, `SELECT string_agg(format('%s %s %s %s %s %s', verdict, coalesce(node, label), tool, toolspec_id, to_char(from_at AT TIME ZONE 'UTC', 'HH24:MI'), to_char(until_at AT TIME ZONE 'UTC', 'HH24:MI')), '; ' ORDER BY id) FROM incidents`)
	if want := "right cern   00:00 ; wrong cern ping 1 10:00 11:00; planned cern ping 1 08:00 09:00; right core ping  00:00 "; got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
	// A renamed node is renamed here too, also where an alert keeps the name of its time.
	d.exec(`UPDATE nodes SET name = 'CERN Geneva' WHERE name = 'cern'`)
	if n := get[int](d, `SELECT count(*)::int FROM incidents WHERE node = 'CERN Geneva'`); n != 3 {
		t.Errorf("%d rows follow the node", n)
	}
	// People change their minds.
	d.exec(`UPDATE incidents SET verdict = 'right', text = 'it was real' WHERE alert_id = 1`)
}

func TestAWrongIncidentIsRefusedWithASentence(t *testing.T) {
	d := anAlert(t)
	d.exec(`INSERT INTO incidents (alert_id, verdict) VALUES (1, 'wrong')`)
	for _, c := range []struct {
		sql, column string
		words       []string
	}{
		{`INSERT INTO incidents (node, from_at, verdict) VALUES ('cern', now(), 'good')`, "incidents.verdict", []string{`"good" is none`, "planned"}},
		{`INSERT INTO incidents (alert_id, verdict) VALUES (99, 'right')`, "incidents.alert_id", []string{"there is no alert 99"}},
		{`INSERT INTO incidents (alert_id, verdict) VALUES (1, 'right')`, "incidents.alert_id", []string{"alert 1 is marked wrong already", "UPDATE incidents SET verdict = 'right' WHERE alert_id = 1"}},
		{`UPDATE incidents SET node = 'nowhere'`, "incidents.node", []string{`no node "nowhere"`, "cern, m1"}},
		{`INSERT INTO incidents (node, from_at) VALUES ('cren', now())`, "incidents.node", []string{`no node "cren"`, "cern, m1"}},
		{`INSERT INTO incidents (from_at) VALUES (now())`, "incidents.node", []string{"say what it happened to", "alert_id"}},
		{`INSERT INTO incidents (label, from_at) VALUES ('', now())`, "incidents.node", []string{"say what it happened to"}},
		{`INSERT INTO incidents (node, label, from_at) VALUES ('cern', 'core', now())`, "incidents.label", []string{"both node (cern) and label (core)"}},
		{`INSERT INTO incidents (node, tool, from_at) VALUES ('cern', 'pign', now())`, "incidents.tool", []string{`no tool "pign"`, "ping"}},
		{`INSERT INTO incidents (toolspec_id, from_at) VALUES (7, now())`, "incidents.toolspec_id", []string{"no spec 7"}},
		{`INSERT INTO incidents (toolspec_id, node, from_at) VALUES (1, 'm1', now())`, "incidents.toolspec_id", []string{"spec 1 is ping to cern", "leave out"}},
		{`INSERT INTO incidents (node) VALUES ('cern')`, "incidents.from_at", []string{"say when it began"}},
		{`INSERT INTO incidents (node, from_at) VALUES ('cern', '-infinity')`, "incidents.from_at", []string{"say when it began"}},
		{`INSERT INTO incidents (node, from_at, until_at) VALUES ('cern', now(), 'infinity')`, "incidents.until_at", []string{"is no end"}},
		{`INSERT INTO incidents (node, from_at, until_at) VALUES ('cern', now(), now() - interval '1 h')`, "incidents.until_at", []string{"is before from_at"}},
		{`INSERT INTO incidents (node, from_at, text) VALUES ('cern', now(), repeat('x', 10001))`, "incidents.text", []string{"10001 characters"}},
	} {
		d.refused(c.sql, c.column, c.words...)
	}
	d.exec(`DELETE FROM incidents`)
	d.refused(`INSERT INTO incidents (alert_id, node) VALUES (1, 'cern')`, "incidents.alert_id", "alert 1 says itself what it is about")
}
