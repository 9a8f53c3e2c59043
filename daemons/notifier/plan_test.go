package notifier

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sonde/internal/store"
)

var now = time.Date(2026, 11, 20, 3, 15, 0, 0, time.UTC)

// box is anna with a ladder of two visible mediums and an invisible one, and a notice.
func box(change ...func(*store.Outbox)) store.Outbox {
	b := store.Outbox{
		Now:        now,
		Notices:    []store.Notice{{ID: 1, AlertID: 4711, Kind: "raise", Severity: "critical", Node: "cern", Labels: []string{"core"}, Subject: "DOWN cern: no answer", CreatedAt: now, Rule: "no answer", AlertOpen: true}},
		Deliveries: map[int64][]store.Delivery{}, Digested: map[int64][]string{}, Told: map[int64]store.Notice{},
		People: store.People{
			Recipients: []store.Recipient{{Name: "anna"}},
			Ladders: map[string][]store.Step{"anna": {
				{Recipient: "anna", Step: 1, Medium: "sms", Visible: true},
				{Recipient: "anna", Step: 2, Medium: "mail", Visible: true},
				{Recipient: "anna", Step: 3, Medium: "trace"},
			}},
		},
	}
	for _, f := range change {
		f(&b)
	}
	return b
}

// tried adds the attempts of notice 1: "1 failed" is step and state, more words are tries and doubts.
func tried(attempts ...string) func(*store.Outbox) {
	return func(b *store.Outbox) {
		for i, a := range attempts {
			d := store.Delivery{ID: int64(i + 1), NoticeID: 1, Recipient: "anna", Tries: 1, EndedAt: now.Add(-time.Second)}
			_, _ = fmt.Sscan(a, &d.Step, &d.State, &d.Tries, &d.Doubts)
			if d.State == "unknown" && d.Doubts == 0 {
				d.Doubts = 1
			}
			for _, s := range b.Ladders["anna"] {
				if s.Step == d.Step {
					d.Medium, d.Visible = s.Medium, s.Visible
				}
			}
			b.Deliveries[1] = append(b.Deliveries[1], d)
		}
	}
}

func older(age time.Duration) func(*store.Outbox) {
	return func(b *store.Outbox) { b.Notices[0].CreatedAt = b.Now.Add(-age) }
}

// said writes actions as a line: "begin 1, begin 3, again 2, finish …, digest".
func said(a actions) string {
	var s []string
	for _, b := range a.begin {
		word := "begin"
		if b.again != nil {
			word = "again"
		}
		s = append(s, fmt.Sprintf("%s %d", word, b.step.Step))
	}
	for _, f := range a.finish {
		s = append(s, "finish: "+f.why)
	}
	for _, d := range a.digest {
		s = append(s, fmt.Sprintf("digest of %d", len(d.notices)+len(d.told)))
	}
	if !a.wake.IsZero() {
		s = append(s, "wait "+a.wake.Sub(now).Round(time.Second).String())
	}
	return strings.Join(s, ", ")
}

func TestLadderIsClimbedUntilOneSucceeds(t *testing.T) {
	for _, c := range []struct {
		about string
		box   store.Outbox
		want  string
	}{
		{"fresh: the first step, and the invisible one besides", box(), "begin 3, begin 1"},
		{"under way: wait", box(tried("1 trying", "3 trying")), ""},
		{"success ends it", box(tried("1 ok", "3 ok")), "finish: anna by sms"},
		{"success waits for the invisible one", box(tried("1 ok", "3 trying")), ""},
		{"failure climbs on", box(tried("1 failed", "3 ok")), "begin 2"},
		{"an invisible failure changes nothing", box(tried("1 ok", "3 failed")), "finish: anna by sms"},
		{"the second step succeeds", box(tried("1 failed", "2 ok", "3 ok")), "finish: anna by mail"},
		{"not known: one more, by the next step", box(tried("1 unknown", "3 ok")), "begin 2"},
		{"not known twice is enough", box(tried("1 unknown", "2 unknown", "3 ok")), "finish: anna perhaps (two attempts, neither proven)"},
		{"not known, and nothing else works: one more by the same", box(tried("1 unknown", "2 failed", "3 ok")), "again 1"},
		{"one more was not known either", box(tried("1 unknown 2 2", "2 failed", "3 ok")), "finish: anna perhaps (two attempts, neither proven)"},
		{"all failed: again after a minute", box(tried("1 failed", "2 failed", "3 ok")), "wait 59s"},
		{"the minute is over", box(tried("1 failed", "2 failed", "3 ok"), func(b *store.Outbox) { b.Now = now.Add(time.Minute) }), "again 1"},
		{"second climb: the second step again too", box(tried("1 failed 2", "2 failed 1", "3 ok")), "again 2"},
		{"second climb failed: two minutes", box(tried("1 failed 2", "2 failed 2", "3 ok")), "wait 1m59s"},
		{"a medium on the way up was switched off", box(tried("1 failed", "3 ok"), func(b *store.Outbox) { b.Ladders["anna"] = b.Ladders["anna"][:1] }), "wait 59s"},
		{"no visible step", box(func(b *store.Outbox) { b.Ladders["anna"] = b.Ladders["anna"][2:] }, tried("3 ok")), "finish: anna by invisible mediums only"},
		{"no step at all", box(func(b *store.Outbox) { b.Ladders["anna"] = nil }), "finish: anna not at all: no medium to use"},
	} {
		if got := said(plan(c.box)); got != c.want {
			t.Errorf("%s: %q, want %q", c.about, got, c.want)
		}
	}
}

func TestNotifierSaysWhyItDoesNotSend(t *testing.T) {
	first := func(f func(*store.Notice)) store.Outbox { return box(func(b *store.Outbox) { f(&b.Notices[0]) }) }
	for _, c := range []struct {
		box     store.Outbox
		want    string
		planned bool
	}{
		{first(func(n *store.Notice) { n.Planned = "maintenance 3 until 2026-11-20 04:00 UTC" }), "not sent: maintenance 3 until 2026-11-20 04:00 UTC", true},
		{first(func(n *store.Notice) { n.Kind, n.AckedBy = "remind", "bob" }), "not sent: acknowledged by bob", false},
		{first(func(n *store.Notice) { n.Silent = true }), "not sent: the alert is silenced", false},
		{first(func(n *store.Notice) { n.Kind, n.BeginningUnsent = "clear", true }), "not sent: nobody was told that it began", false},
		{box(func(b *store.Outbox) { b.Recipients = nil }), "not sent: there are no recipients; insert a medium and a ladder", false},
		{box(func(b *store.Outbox) { b.Policies = []store.Policy{{Recipient: "bob"}} }), "not sent: no policy chooses anybody for it", false},
	} {
		a := plan(c.box)
		if len(a.begin) != 0 || len(a.finish) != 1 || a.finish[0].why != c.want || a.finish[0].planned != c.planned {
			t.Errorf("%+v, want %q", a, c.want)
		}
	}
	// An acknowledged alert still says when it is over.
	if got := said(plan(first(func(n *store.Notice) { n.Kind, n.AckedBy = "clear", "bob" }))); got != "begin 3, begin 1" {
		t.Errorf("the recovery of an acknowledged alert: %q", got)
	}
}

func TestPoliciesChooseByNodeLabelAndSeverity(t *testing.T) {
	for _, c := range []struct {
		policy store.Policy
		want   bool
	}{
		{store.Policy{Recipient: "anna", Severity: "info"}, true},
		{store.Policy{Recipient: "anna", Severity: "critical"}, true},
		{store.Policy{Recipient: "anna", Severity: "info", Node: "cern"}, true},
		{store.Policy{Recipient: "anna", Severity: "info", Node: "fnal"}, false},
		{store.Policy{Recipient: "anna", Severity: "info", Label: "core"}, true},
		{store.Policy{Recipient: "anna", Severity: "info", Label: "edge"}, false},
		{store.Policy{Recipient: "bob", Severity: "info"}, false},
	} {
		b := box(func(b *store.Outbox) { b.Policies = []store.Policy{c.policy} })
		if got := len(plan(b).begin) > 0; got != c.want {
			t.Errorf("%+v tells anna: %v, want %v", c.policy, got, c.want)
		}
	}
	warning := box(func(b *store.Outbox) {
		b.Policies = []store.Policy{{Recipient: "anna", Severity: "critical"}}
		b.Notices[0].Severity = "warning"
	})
	if len(plan(warning).begin) > 0 {
		t.Error("a warning was sent to who wants critical ones only")
	}
}

func TestFailingMediumIsToldByTheOthers(t *testing.T) {
	about := func(b *store.Outbox) {
		b.Notices[0].Rule, b.Notices[0].AlertSubject, b.Notices[0].Node = store.MediumFails, "medium sms", ""
	}
	if got := said(plan(box(about))); got != "begin 3, begin 2" {
		t.Errorf("%q, want the steps of the other mediums", got)
	}
	only := box(about, func(b *store.Outbox) { b.Ladders["anna"] = b.Ladders["anna"][:1] })
	if got := said(plan(only)); got != "finish: anna not at all: no medium to use" {
		t.Errorf("no other medium: %q", got)
	}
}

func TestWhatIsOlderThanAnHourGoesIntoOneDigest(t *testing.T) {
	b := box(older(2 * time.Hour))
	for i := range 40 {
		n := b.Notices[0]
		n.ID, n.AlertID, n.Node, n.Subject = int64(i+2), int64(i/2), fmt.Sprintf("host%d", i/2), fmt.Sprintf("DOWN host%d: no answer", i/2)
		n.AlertOpen = i/2 >= 18
		b.Notices = append(b.Notices, n)
	}
	a := plan(b)
	if got := said(a); got != "digest of 41" {
		t.Fatalf("%q, want one digest and nothing else", got)
	}
	n, fresh, _ := digestNotice(a.digest[0], now)
	if len(fresh) != 41 || n.Recipient != "anna" || n.Severity != "critical" {
		t.Errorf("%+v tells of %d", n, len(fresh))
	}
	if want := "LATE, 41 messages since 01:15 UTC. OPEN 3: DOWN cern: no answer; DOWN host18: no answer; DOWN host19: no answer. Over"; !strings.HasPrefix(n.Short, want) {
		t.Errorf("%q, want it to begin with %q", n.Short, want)
	}
	for _, n := range b.Notices {
		b.Digested[n.ID] = []string{"anna"}
	}
	digest := n
	digest.ID, digest.Tells, digest.CreatedAt = 100, fresh, now
	b.Notices = append(b.Notices, digest)
	a = plan(b)
	if len(a.finish) != 41 || a.finish[0].why != "anna in a digest" || len(a.begin) != 2 || a.begin[0].notice.ID != 100 {
		t.Errorf("then: %s", said(a))
	}
}

func TestDigestThatFailsIsTakenOverByTheNext(t *testing.T) {
	b := box(older(90*time.Minute), tried("1 failed 8", "2 failed 8", "3 ok"))
	old := b.Notices[0]
	old.ID = 1
	b.Notices[0].ID = 50
	b.Deliveries[50] = b.Deliveries[1]
	b.Notices[0].Kind, b.Notices[0].AlertID, b.Notices[0].Recipient, b.Notices[0].Tells = "digest", 0, "anna", []int64{1}
	b.Told[1] = old
	late := old
	late.ID, late.AlertID, late.Subject = 51, 4712, "DOWN fnal: no answer"
	b.Notices = append(b.Notices, late)
	a := plan(b)
	if got := said(a); got != "digest of 2" {
		t.Fatalf("%q", got)
	}
	n, fresh, takesOver := digestNotice(a.digest[0], now)
	if len(takesOver) != 1 || len(fresh) != 1 || !strings.Contains(n.Short, "DOWN cern: no answer; DOWN fnal: no answer") {
		t.Errorf("%+v %v %v", n, fresh, takesOver)
	}
}

func TestDailyMessageComesOnceADayInTheReadersZone(t *testing.T) {
	r := store.Recipient{Name: "anna", Daily: true, DailyAt: "08:00", TimeZone: "Europe/Berlin"}
	for at, want := range map[string]bool{
		"2026-11-20T06:59:00Z": false, "2026-11-20T07:00:00Z": true, "2026-11-20T18:59:00Z": true, "2026-11-20T19:00:00Z": false,
		"2026-07-20T06:00:00Z": true,
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if _, due := theDay(r, when); due != want {
			t.Errorf("at %s due: %v, want %v", at, due, want)
		}
	}
	r.CreatedAt = now
	if _, due := theDay(r, now.Add(6*time.Hour)); !due {
		t.Error("a recipient of last night gets no message this morning")
	}
	if _, due := theDay(store.Recipient{Daily: true, DailyAt: "08:00", TimeZone: "UTC", CreatedAt: now.Add(6 * time.Hour)}, now.Add(7*time.Hour)); due {
		t.Error("a recipient entered after eight gets this morning's message")
	}
}

func TestDailyMessageSaysWhatIsNotWell(t *testing.T) {
	well := dailyNotice("anna", store.Day{Counted: true, OK: 1438, Failed: 1, Missed: 2, Nodes: 3}, now)
	if want := "Sonde 03:15 UTC: all is well. 24h: 1439 runs made (1 could not measure), 2 missed, 3 nodes, 0 alerts began."; well.Short != want {
		t.Errorf("%q\nwant %q", well.Short, want)
	}
	ill := dailyNotice("anna", store.Day{Counted: true, OK: 1, OpenAlerts: 1, Worst: []string{"cern: no answer, 3 runs in a row"}, DaemonsLate: []string{"worker-ping on pi1"}}, now)
	if !strings.HasPrefix(ill.Short, "Sonde 03:15 UTC: NOT all is well.") || !strings.Contains(ill.Short, "1 open alert: cern") || !strings.Contains(ill.Short, "worker-ping on pi1") || !strings.HasSuffix(ill.Short, "24h: 1 runs made, 0 missed") {
		t.Errorf("%q", ill.Short)
	}
	if blind := dailyNotice("anna", store.Day{Counted: true, OK: 1, DaemonsBehind: []string{"analyst on pi1"}}, now); !strings.Contains(blind.Short, "NOT all is well. daemons that are behind: analyst on pi1") {
		t.Errorf("%q", blind.Short)
	}
	if idle := dailyNotice("anna", store.Day{Counted: true}, now); !strings.Contains(idle.Short, "NOT") || !strings.Contains(idle.Short, "nothing was measured") {
		t.Errorf("%q", idle.Short)
	}
}

func TestMessageInAnotherZoneKeepsItsID(t *testing.T) {
	n := store.Notice{Short: "DOWN cern: " + strings.Repeat("x", 120) + ", since 03:12 UTC [a4711]", CreatedAt: now}
	m := message(n, store.Delivery{ID: 7, Token: "abc", Tries: 2, Address: "49"}, zone("America/Argentina/Buenos_Aires"))
	if !strings.HasSuffix(m.Short, " [a4711]") || len(m.Short) > 160 || !strings.Contains(m.Short, "00:12 -03") || m.Name != "sonde-7-abc-2" {
		t.Errorf("%+v", m)
	}
}

func TestEndOfAnAlertIsNotToldBeforeItsBeginning(t *testing.T) {
	both := func(more ...func(*store.Outbox)) store.Outbox {
		return box(append([]func(*store.Outbox){func(b *store.Outbox) {
			end := b.Notices[0]
			end.ID, end.Kind = 2, "clear"
			b.Notices = append(b.Notices, end)
		}}, more...)...)
	}
	for want, b := range map[string]store.Outbox{
		"begin 3, begin 1":                      both(),
		"":                                      both(tried("1 trying", "3 ok")),
		"wait 59s":                              both(tried("1 failed", "2 failed", "3 ok")),
		"begin 3, begin 1, finish: anna by sms": both(tried("1 ok", "3 ok")),
		"finish: not sent: maintenance":         both(func(b *store.Outbox) { b.Notices[0].Planned = "maintenance" }),
	} {
		if got := said(plan(b)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
