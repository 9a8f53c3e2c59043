package notifier_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sonde/daemons/notifier"
	"sonde/internal/store"
	"sonde/notify"
)

func TestMediumThatFailsIsAnAlertOfItsOwnToldByTheOthers(t *testing.T) {
	w := newWorld(t)
	w.brokenMedium("sms")
	w.logMedium("mail")
	w.step("anna", 1, "sms", true)
	w.step("anna", 2, "mail", true)
	w.run(w.notifier("n"))
	_, first := w.alert("cern")
	_, second := w.alert("fnal")
	w.done(first)
	w.done(second)
	w.wait("the message about the medium", "SELECT count(*) = 1 FROM notices WHERE kind = 'raise' AND subject LIKE 'WARNING medium sms:%' AND done_text = 'anna by mail'")
	if got := w.text("SELECT string_agg(subject || findings, ',') FROM alerts WHERE rule = $1 AND closed_at IS NULL", store.MediumFails); got != "medium sms2" {
		t.Errorf("open alerts about mediums: %s, want one that holds both failures", got)
	}
	if got := w.got("mail"); len(got) != 3 {
		t.Errorf("mail got %d messages, want 3", len(got))
	}
	w.exec("UPDATE mediums SET options = jsonb_build_object('path', $1::text) WHERE name = 'sms'", filepath.Join(w.dir, "sms.jsonl"))
	_, third := w.alert("desy")
	w.done(third)
	w.wait("the recovery", "SELECT count(*) = 1 FROM notices WHERE kind = 'clear' AND subject LIKE 'OK medium sms: works again%' AND done_at IS NOT NULL")
	w.wait("the end of its alert", "SELECT bool_and(closed_at IS NOT NULL) FROM alerts WHERE rule = $1", store.MediumFails)
}

func TestOnlyMediumThatFailsMakesNoLoop(t *testing.T) {
	w := newWorld(t)
	w.brokenMedium("sms")
	w.step("anna", 1, "sms", true)
	w.run(w.notifier("n"))
	_, notice := w.alert("cern")
	w.wait("the failure", "SELECT state = 'failed' FROM deliveries WHERE notice_id = $1", notice)
	w.wait("the notice about the medium to end", "SELECT count(*) = 1 FROM notices WHERE alert_id IN (SELECT id FROM alerts WHERE rule = $1) AND done_text LIKE '%no medium to use%'", store.MediumFails)
	// A minute later it is tried again, and works.
	w.exec("UPDATE mediums SET options = jsonb_build_object('path', $1::text) WHERE name = 'sms'", filepath.Join(w.dir, "sms.jsonl"))
	w.exec("UPDATE deliveries SET ended_at = ended_at - interval '1 minute'")
	w.done(notice)
	if got := w.got("sms"); len(got) == 0 || !strings.HasPrefix(got[0].Short, "DOWN cern") {
		t.Errorf("anna got %+v", got)
	}
	if n := w.text("SELECT count(*)::text FROM notices"); n != "3" {
		t.Errorf("%s notices, want 3: the alert, the medium, its recovery", n)
	}
}

func TestSlowMediumDoesNotHoldUpTheOthers(t *testing.T) {
	w := newWorld(t)
	w.logMedium("mail")
	w.exec("INSERT INTO mediums (name, type) VALUES ('slow', 'scripted')")
	w.step("anna", 1, "slow", true)
	w.step("bob", 1, "mail", true)
	var mu sync.Mutex
	at, most := 0, 0
	free := make(chan struct{})
	slow := scripted(func(ctx context.Context, m notify.Message) (notify.Proof, error) {
		mu.Lock()
		at++
		most = max(most, at)
		mu.Unlock()
		defer func() { mu.Lock(); at--; mu.Unlock() }()
		select {
		case <-free:
			return notify.Proof{Reference: m.Name, Text: "at last"}, nil
		case <-ctx.Done():
			return notify.Proof{}, fmt.Errorf("%w: %w", notify.ErrUnknown, ctx.Err())
		}
	})
	w.run(w.notifier("n", func(n *notifier.Notifier) {
		n.PerMedium = 3
		n.Type = func(name string) (notify.Type, bool) {
			if name == "scripted" {
				return slow, true
			}
			return find(name)
		}
	}))
	for i := range 30 {
		w.alert(fmt.Sprintf("host%d", i))
	}
	w.wait("bob's messages", "SELECT count(*) = 30 FROM deliveries WHERE recipient = 'bob' AND state = 'ok'")
	// The leases of the slow ones are renewed, so nobody takes them over.
	w.wait("leases to be renewed", "SELECT count(*) = 3 AND bool_and(began_at < clock_timestamp() - interval '3 seconds' AND lease_until > clock_timestamp()) FROM deliveries WHERE recipient = 'anna' AND state = 'trying'")
	close(free)
	w.wait("anna's messages", "SELECT count(*) = 30 FROM deliveries WHERE recipient = 'anna' AND state = 'ok' AND tries = 1")
	if most != 3 {
		t.Errorf("the slow medium had %d messages in hand, want 3", most)
	}
}

func TestAlertAboutAMediumEndsWhenNobodyUsesItAnyMore(t *testing.T) {
	w := newWorld(t)
	w.brokenMedium("sms")
	w.logMedium("mail")
	w.step("anna", 1, "sms", true)
	w.step("anna", 2, "mail", true)
	stop := w.run(w.notifier("n"))
	_, notice := w.alert("cern")
	w.done(notice)
	stop()
	w.exec("UPDATE mediums SET enabled = false WHERE name = 'sms'")
	w.run(w.notifier("m"))
	w.wait("its end", "SELECT close_text = 'no ladder uses it any more' FROM alerts WHERE rule = $1", store.MediumFails)
}
