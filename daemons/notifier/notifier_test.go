package notifier_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/daemons/notifier"
	"sonde/internal/measure"
	"sonde/internal/pgtest"
	"sonde/internal/store"
	"sonde/migrations"
	"sonde/notify"
	"sonde/notify/catalog"
	"sonde/notify/log"
)

// types are the real mediums and one that tests play with.
func types() []notify.Type { return append(catalog.All(), scripted(nil)) }

func find(name string) (notify.Type, bool) {
	i := slices.IndexFunc(types(), func(t notify.Type) bool { return t.Name == name })
	if i < 0 {
		return notify.Type{}, false
	}
	return types()[i], true
}

// scripted is a medium whose ways are a function.
func scripted(send func(ctx context.Context, m notify.Message) (notify.Proof, error)) notify.Type {
	return notify.Type{
		Name: "scripted", Meaning: "for tests", Options: []measure.Option{{Name: "path", Type: measure.TextOption, Meaning: "anything"}},
		New: func(json.RawMessage, notify.Env) (notify.Medium, error) { return script(send), nil },
	}
}

type script func(ctx context.Context, m notify.Message) (notify.Proof, error)

func (s script) Send(ctx context.Context, m notify.Message) (notify.Proof, error) { return s(ctx, m) }
func (s script) Ask(context.Context, notify.Message) (notify.Proof, error) {
	return notify.Proof{}, fmt.Errorf("%w: it forgets", notify.ErrUnknown)
}

func known() migrations.Catalog {
	var c migrations.Catalog
	for _, t := range types() {
		options, _ := json.Marshal(t.Options)
		c.MediumTypes = append(c.MediumTypes, migrations.Described{Name: t.Name, Meaning: t.Meaning, Options: options})
	}
	return c
}

// world is a database, and a file for each medium of type log.
type world struct {
	*testing.T
	pool *pgxpool.Pool
	dsn  string
	dir  string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dsn: pgtest.DSNWith(t, known()), dir: t.TempDir()}
	pool, err := pgxpool.New(t.Context(), w.dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w.pool = pool
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	if _, err := w.pool.Exec(w.Context(), sql, args...); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

// logMedium makes a medium that writes to a file of its name.
func (w *world) logMedium(name string) {
	w.exec("INSERT INTO mediums (name, type, options) VALUES ($1, 'log', jsonb_build_object('path', $2::text))", name, filepath.Join(w.dir, name+".jsonl"))
}

// brokenMedium cannot send.
func (w *world) brokenMedium(name string) {
	w.exec("INSERT INTO mediums (name, type, options) VALUES ($1, 'log', jsonb_build_object('path', $2::text))", name, filepath.Join(w.dir, "nowhere", name+".jsonl"))
}

func (w *world) step(recipient string, step int, medium string, visible bool) {
	w.exec("INSERT INTO ladders (recipient, step, medium, address, visible) VALUES ($1, $2, $3, $1, $4)", recipient, step, medium, visible)
}

// got are the messages in a medium's file.
func (w *world) got(medium string) []log.Line {
	w.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, medium+".jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		w.Fatal(err)
	}
	var lines []log.Line
	for l := range strings.Lines(string(b)) {
		if !strings.HasSuffix(l, "\n") {
			break // just being written
		}
		var line log.Line
		if err := json.Unmarshal([]byte(l), &line); err != nil {
			w.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

// alert raises an alert with its notice, as the analyst does.
func (w *world) alert(node string) (alert, notice int64) {
	w.Helper()
	if err := w.pool.QueryRow(w.Context(), `INSERT INTO alerts (toolspec_id, node, tool, monhost, rule, severity, text, began_at, raised_at)
		VALUES ((SELECT count(*) + 1 FROM alerts), $1, 'ping', 'pi1', 'no answer', 'critical', 'no answer, 3 runs in a row', now() - interval '3 minutes', now()) RETURNING id`, node).Scan(&alert); err != nil {
		w.Fatal(err)
	}
	return alert, w.notice(alert, "raise", node)
}

func (w *world) notice(alert int64, kind, node string) (id int64) {
	w.Helper()
	words := notify.AlertWords(kind, notify.Alert{ID: alert, Severity: measure.Critical, Rule: "no answer", Node: node, Tool: "ping", Monhost: "pi1",
		Text: "no answer, 3 runs in a row", BeganAt: time.Now().Add(-3 * time.Minute)}, time.Now())
	if err := w.pool.QueryRow(w.Context(), `INSERT INTO notices (alert_id, kind, severity, node, subject, text, short) VALUES ($1, $2, 'critical', $3, $4, $5, $6) RETURNING id`,
		alert, kind, node, words.Subject, words.Text, words.Short).Scan(&id); err != nil {
		w.Fatal(err)
	}
	return id
}

func (w *world) notifier(name string, change ...func(*notifier.Notifier)) *notifier.Notifier {
	n := &notifier.Notifier{
		Store: store.New(w.pool), Type: find, Name: name, Log: slog.New(slog.NewTextHandler(w.Output(), nil)),
		Report: func(string, time.Duration) {}, Lease: 2 * time.Second,
	}
	for _, f := range change {
		f(n)
	}
	return n
}

// run has a notifier run until the test ends or stop is called.
func (w *world) run(n *notifier.Notifier) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := n.Run(ctx); err != nil {
			w.Errorf("the notifier ended: %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); done.Wait() })
	w.Cleanup(stop)
	return stop
}

func (w *world) wait(what, sql string, args ...any) {
	w.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-tick.C {
		var is bool
		if err := w.pool.QueryRow(w.Context(), "SELECT coalesce(("+sql+"), false)", args...).Scan(&is); err != nil {
			w.Fatal(err)
		}
		if is {
			return
		}
		if time.Now().After(end) {
			rows, _ := w.pool.Query(w.Context(), "SELECT 'notice ' || n::text FROM notices n UNION ALL SELECT 'delivery ' || d::text FROM deliveries d")
			var line string
			for rows.Next() {
				_ = rows.Scan(&line)
				w.Log(line)
			}
			rows.Close()
			w.Fatalf("waited half a minute for: %s", what)
		}
	}
}

func (w *world) done(notice int64) {
	w.Helper()
	w.wait(fmt.Sprintf("the end of notice %d", notice), "SELECT done_at IS NOT NULL FROM notices WHERE id = $1", notice)
}

func (w *world) text(sql string, args ...any) (s string) {
	w.Helper()
	if err := w.pool.QueryRow(w.Context(), sql, args...).Scan(&s); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	return s
}

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
