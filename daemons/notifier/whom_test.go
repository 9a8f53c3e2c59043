package notifier_test

import (
	"fmt"
	"strings"
	"testing"

	"sonde/internal/store"
)

func TestPlannedMaintenanceIsRecordedAndNotSent(t *testing.T) {
	w := newWorld(t)
	w.logMedium("sms")
	w.step("anna", 1, "sms", true)
	w.exec("INSERT INTO nodes (name, address, labels) VALUES ('cern', '192.0.2.1', '{core}'), ('fnal', '192.0.2.2', '{}')")
	w.exec("INSERT INTO maintenance (label, until_at) VALUES ('core', now() + interval '1 hour')")
	w.run(w.notifier("n"))
	alert, planned := w.alert("cern")
	_, sent := w.alert("fnal")
	over := w.notice(alert, "clear", "cern")
	for _, n := range []int64{planned, sent, over} {
		w.done(n)
	}
	if s := w.text("SELECT done_text FROM notices WHERE id = $1", planned); !strings.HasPrefix(s, "not sent: maintenance 1 until") {
		t.Errorf("%q", s)
	}
	if s := w.text("SELECT done_text FROM notices WHERE id = $1", over); s != "not sent: nobody was told that it began" {
		t.Errorf("%q", s)
	}
	if s := w.text("SELECT planned::text FROM alerts WHERE id = $1", alert); s != "true" {
		t.Error("the alert is not marked planned")
	}
	if got := w.got("sms"); len(got) != 1 || !strings.HasPrefix(got[0].Short, "DOWN fnal") {
		t.Errorf("sent: %+v", got)
	}
}

func TestPolicyAndAcknowledgementAreObeyedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.logMedium("sms")
	w.step("anna", 1, "sms", true)
	w.step("bob", 1, "sms", true)
	w.exec("INSERT INTO nodes (name, address, labels) VALUES ('cern', '192.0.2.1', '{core}'), ('fnal', '192.0.2.2', '{edge}')")
	w.exec("INSERT INTO policies (recipient, label, severity) VALUES ('anna', 'core', 'warning')")
	w.run(w.notifier("n"))
	core, first := w.alert("cern")
	_, second := w.alert("fnal")
	w.done(first)
	w.done(second)
	if s := w.text("SELECT string_agg(done_text, ' | ' ORDER BY id) FROM notices"); s != "anna by sms | not sent: no policy chooses anybody for it" {
		t.Errorf("%q", s)
	}
	w.exec("UPDATE alerts SET acked_at = now(), acked_by = 'anna' WHERE id = $1", core)
	w.done(w.notice(core, "remind", "cern"))
	w.exec("INSERT INTO policies (recipient) VALUES ('bob')")
	w.exec("UPDATE recipients SET enabled = false WHERE name = 'anna'")
	w.done(w.notice(core, "clear", "cern"))
	if s := w.text("SELECT string_agg(kind || ': ' || done_text, ' | ' ORDER BY id) FROM notices WHERE id > $1", second); s != "remind: not sent: acknowledged by anna | clear: bob by sms" {
		t.Errorf("%q", s)
	}
	if got := w.got("sms"); len(got) != 2 {
		t.Errorf("%d messages, want 2", len(got))
	}
}

// Alerts that one other stands for are not told for themselves: who looks after
// their nodes only hears of the one that speaks, once, and of its end.
func TestWhoWouldHearOfAHiddenAlertHearsOfTheOneThatHidesItOnce(t *testing.T) {
	w := newWorld(t)
	w.logMedium("sms")
	for _, name := range []string{"all", "anna", "bob", "carol", "dora", "eve"} {
		w.step(name, 1, "sms", true)
	}
	w.exec("INSERT INTO nodes (name, address, labels) VALUES ('a', '192.0.2.1', '{}'), ('b', '192.0.2.2', '{edge}'), ('c', '192.0.2.3', '{}'), ('d', '192.0.2.4', '{}')")
	w.exec("INSERT INTO policies (recipient, node, label, severity) VALUES ('all', NULL, NULL, 'info'), ('anna', 'a', NULL, 'info'), ('bob', NULL, 'edge', 'warning'), ('carol', 'c', NULL, 'info'), ('dora', 'b', NULL, 'critical'), ('eve', 'd', NULL, 'info')")
	speaks, raised := w.alert("a")
	hides := func(node string) {
		w.exec(`INSERT INTO alerts (toolspec_id, node, tool, monhost, rule, severity, text, began_at, raised_at, part_of, planned)
			VALUES ((SELECT count(*) + 1 FROM alerts), $1, 'traceroute', 'pi1', 'route', 'warning', 'route left its history', now() - interval '2 minutes', now(), $2, $1 = 'd')`, node, speaks)
	}
	hides("b")
	hides("b")
	hides("d") // planned: nobody would have heard
	w.exec(`INSERT INTO alerts (toolspec_id, node, tool, monhost, rule, severity, text, began_at, raised_at, part_of, shadow)
		VALUES (99, 'd', 'ping', 'pi1', 'on trial', 'critical', 'no answer', now() - interval '2 minutes', now(), $1, true)`, speaks)
	w.run(w.notifier("n"))
	w.run(w.notifier("m")) // and only one of two says it
	w.done(raised)
	w.wait("bob's message", "SELECT count(*) = 1 FROM notices WHERE recipient = 'bob' AND done_text = 'bob by sms'")
	hides("c") // it took the turn later
	w.wait("carol's message", "SELECT count(*) = 1 FROM notices WHERE recipient = 'carol' AND done_text = 'carol by sms'")
	w.exec("UPDATE alerts SET closed_at = now(), close_text = 'over' WHERE id = $1", speaks)
	w.done(w.notice(speaks, "clear", "a"))
	got := map[string][]string{}
	for _, l := range w.got("sms") {
		short, _, _ := strings.Cut(l.Short, ", since")
		got[l.To] = append(got[l.To], short)
	}
	raise, clear := "DOWN a: no answer, 3 runs in a row", "OK a: over after "
	want := map[string][]string{
		"all": {raise, clear}, "anna": {raise, clear},
		"bob":   {fmt.Sprintf("WARNING b: route left its history (and 1 more); part of a%d about a", speaks), clear},
		"carol": {fmt.Sprintf("WARNING c: route left its history; part of a%d about a", speaks), clear},
	}
	for name, list := range want {
		if len(got[name]) != len(list) || got[name][0] != list[0] || !strings.HasPrefix(got[name][1], list[1]) {
			t.Errorf("%s hears %q, want %q", name, got[name], list)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("and these hear: %q", got)
	}
	story, err := store.New(w.pool).ExplainAlert(t.Context(), speaks)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range story.Ladders {
		if told := l.Recipient != "dora" && l.Recipient != "eve"; told != (l.Problem == "") {
			t.Errorf("sonde explain says of %s: %q", l.Recipient, l.Problem)
		}
	}
}

func TestWhoHeardOfTheBeginningHearsOfTheEndWhateverPoliciesSayByThen(t *testing.T) {
	w := newWorld(t)
	w.logMedium("sms")
	w.step("anna", 1, "sms", true)
	w.step("bob", 1, "sms", true)
	w.exec("INSERT INTO nodes (name, address) VALUES ('cern', '192.0.2.1'), ('fnal', '192.0.2.2')")
	w.exec("INSERT INTO policies (recipient, node) VALUES ('anna', 'cern')")
	w.run(w.notifier("n"))
	alert, first := w.alert("cern")
	w.done(first)
	w.exec("UPDATE policies SET node = 'fnal'")
	last := w.notice(alert, "clear", "cern")
	w.done(last)
	if s := w.text("SELECT done_text FROM notices WHERE id = $1", last); s != "anna by sms" {
		t.Errorf("the end is told: %q", s)
	}
}
