package notifier_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sonde/daemons/notifier"
	"sonde/notify"
)

func TestEachRecipientGetsAnAlertOnceInTheirOwnTime(t *testing.T) {
	w := newWorld(t)
	w.logMedium("sms")
	w.logMedium("trace")
	w.step("anna", 1, "sms", true)
	w.step("bob", 1, "sms", true)
	w.step("bob", 9, "trace", false)
	w.exec("UPDATE recipients SET time_zone = 'Asia/Tokyo' WHERE name = 'bob'")
	for i := range 3 { // several notifiers at once
		w.run(w.notifier(fmt.Sprintf("n%d", i)))
	}
	began := time.Now()
	var notices []int64
	for i := range 20 {
		_, n := w.alert(fmt.Sprintf("host%d", i))
		notices = append(notices, n)
	}
	for _, n := range notices {
		w.done(n)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("it took %s", took)
	}
	if got := w.got("trace"); len(got) != 20 {
		t.Errorf("the invisible medium got %d messages, want 20", len(got))
	}
	count := map[string]int{}
	for _, m := range w.got("sms") {
		count[m.To+" "+m.Subject]++
		zone := "UTC"
		if m.To == "bob" {
			zone = "JST"
		}
		if !strings.Contains(m.Short, " "+zone+" ") || !strings.HasPrefix(m.Short, "DOWN host") {
			t.Errorf("to %s: %q", m.To, m.Short)
		}
	}
	if len(count) != 40 {
		t.Errorf("%d different messages, want 40", len(count))
	}
	for what, n := range count {
		if n != 1 {
			t.Errorf("%s: %d times", what, n)
		}
	}
	if s := w.text("SELECT done_text FROM notices WHERE id = $1", notices[0]); s != "anna by sms; bob by sms" {
		t.Errorf("done_text %q", s)
	}
}

func TestAfterALongSilenceThereIsOneMessage(t *testing.T) {
	w := newWorld(t)
	w.logMedium("sms")
	w.step("anna", 1, "sms", true)
	w.step("bob", 1, "sms", true)
	for i := range 30 {
		alert, notice := w.alert(fmt.Sprintf("host%d", i))
		w.exec("UPDATE notices SET created_at = now() - interval '2 hours' WHERE id = $1", notice)
		if i > 1 {
			w.exec("UPDATE alerts SET closed_at = now(), ended_at = now() WHERE id = $1", alert)
		}
	}
	for i := range 2 {
		w.run(w.notifier(fmt.Sprintf("n%d", i)))
	}
	w.wait("everything to be told", "SELECT bool_and(done_at IS NOT NULL) AND count(*) > 30 FROM notices")
	got := w.got("sms")
	if len(got) != 2 {
		t.Fatalf("%d messages, want one to anna and one to bob: %+v", len(got), got)
	}
	for _, m := range got {
		if !strings.HasPrefix(m.Short, "LATE, 30 messages since ") || !strings.Contains(m.Short, "OPEN 2: DOWN host0: no answer, 3 runs in a row; DOWN host1:") || strings.Count(m.Text, "DOWN host") < 30 {
			t.Errorf("to %s: %q", m.To, m.Short)
		}
	}
}

func TestDailyMessageIsWrittenOnceAndCounts(t *testing.T) {
	w := newWorld(t)
	w.logMedium("sms")
	w.step("anna", 1, "sms", true)
	w.exec("UPDATE recipients SET created_at = now() - interval '3 days'")
	w.exec("INSERT INTO pingdata (toolspec_id, due_at, outcome, reason) SELECT 1, now() - interval '13 hours' - n * interval '1 second', CASE WHEN n <= 2 THEN 'missed' ELSE 'ok' END, 'test' FROM generate_series(1, 100) n")
	// A time of day that was an hour ago at most, whatever the time is now.
	w.exec("UPDATE settings SET value = to_char(now() AT TIME ZONE 'UTC', 'HH24:MI') WHERE name = 'daily_message_at'")
	for i := range 3 {
		w.run(w.notifier(fmt.Sprintf("n%d", i)))
	}
	w.wait("the daily message", "SELECT count(*) = 1 FROM notices WHERE kind = 'daily' AND done_text = 'anna by sms'")
	w.exec("SELECT pg_notify('sonde_notice', '')")
	_, n := w.alert("cern")
	w.done(n)
	got := w.got("sms")
	if len(got) != 2 || !strings.Contains(got[0].Short, "98 runs made, 2 missed") {
		t.Errorf("anna got %+v", got)
	}
}

func TestStoppedNotifierLeavesNoLeaseBehind(t *testing.T) {
	w := newWorld(t)
	w.exec("INSERT INTO mediums (name, type) VALUES ('slow', 'scripted')")
	w.step("anna", 1, "slow", true)
	called := make(chan struct{}, 10)
	slow := scripted(func(ctx context.Context, _ notify.Message) (notify.Proof, error) {
		called <- struct{}{}
		<-ctx.Done()
		return notify.Proof{}, fmt.Errorf("%w: %w", notify.ErrUnknown, ctx.Err())
	})
	cancelled, cancel := context.WithCancel(t.Context())
	stop := w.run(w.notifier("n", func(n *notifier.Notifier) {
		n.Cancelled = cancelled
		n.Lease = time.Hour
		n.Type = func(string) (notify.Type, bool) { return slow, true }
	}))
	_, notice := w.alert("cern")
	<-called
	cancel()
	stop()
	w.wait("the lease to be given back", "SELECT state = 'trying' AND lease_until = '-infinity' FROM deliveries WHERE notice_id = $1", notice)
	// The medium forgets, so the attempt is unknown and one more is made.
	w.logMedium("other")
	w.step("anna", 2, "other", true)
	w.run(w.notifier("m"))
	w.done(notice)
	if s := w.text("SELECT string_agg(step || ' ' || state, ', ' ORDER BY step) FROM deliveries WHERE notice_id = $1", notice); s != "1 unknown, 2 ok" {
		t.Errorf("deliveries: %s", s)
	}
}

func TestStartedAndStoppedAHundredTimes(t *testing.T) {
	w := newWorld(t)
	w.logMedium("sms")
	w.step("anna", 1, "sms", true)
	for i := range 100 {
		stop := w.run(w.notifier(fmt.Sprintf("n%d", i), func(n *notifier.Notifier) { n.Log = slog.New(slog.DiscardHandler) }))
		if i%5 == 0 {
			w.alert(fmt.Sprintf("host%d", i))
		}
		if i%10 == 0 {
			w.wait("a message", "SELECT count(*) > 0 FROM deliveries WHERE state = 'ok'")
		}
		stop()
	}
	w.run(w.notifier("last"))
	w.wait("all to be told", "SELECT bool_and(done_at IS NOT NULL) FROM notices")
	if got := w.got("sms"); len(got) != 20 {
		t.Errorf("%d messages, want 20", len(got))
	}
}

func TestOldNoticesAreForgottenUnlessTheirAlertIsOpen(t *testing.T) {
	w := newWorld(t)
	w.logMedium("sms")
	w.step("anna", 1, "sms", true)
	stop := w.run(w.notifier("n"))
	open, first := w.alert("cern")
	over, second := w.alert("fnal")
	_, third := w.alert("desy")
	for _, n := range []int64{first, second, third} {
		w.done(n)
	}
	stop()
	w.exec("UPDATE alerts SET closed_at = now() WHERE id <> $1", open)
	w.exec("UPDATE notices SET done_at = now() - interval '31 days' WHERE alert_id IN ($1, $2)", open, over)
	w.exec("INSERT INTO newalerts (rule, kind, severity, at, decision, text, recorded_at) VALUES ('route', 'note', 'info', now(), 'note', 'old', now() - interval '31 days'), ('route', 'note', 'info', now(), 'note', 'new', now())")
	w.run(w.notifier("m"))
	w.wait("the old ones to go", "SELECT count(*) = 2 FROM notices")
	if s := w.text("SELECT (SELECT string_agg(node, ',' ORDER BY id) FROM notices) || ' ' || (SELECT count(*) FROM deliveries) || ' ' || (SELECT string_agg(text, ',') FROM newalerts)"); s != "cern,desy 2 new" {
		t.Errorf("left: %s", s)
	}
}
