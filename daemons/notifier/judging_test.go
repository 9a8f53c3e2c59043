package notifier_test

import (
	"strings"
	"testing"
	"time"

	"sonde/daemons/notifier"
	"sonde/internal/store"
)

// Whoever judges nothing raises no alert either, so somebody else must say it.
func TestPeopleAreToldOnceThatNothingIsJudgedAndThatItIsAgain(t *testing.T) {
	w := newWorld(t)
	w.logMedium("mail")
	w.step("anna", 1, "mail", true)
	w.exec(`UPDATE analyst_mark SET ticked_at = '2026-03-02 03:12+00'`)
	w.exec(`INSERT INTO daemons (monhost, name, pid, version, started_at, doing, promised_at) VALUES ('pi1', 'analyst', 1, '', now(), 'the pass fails: read maintenance', now() + interval '1 hour')`)
	w.run(w.notifier("n", func(n *notifier.Notifier) { n.Judging = time.Millisecond }))
	w.wait("the message", "SELECT count(*) = 1 FROM notices WHERE kind = 'raise' AND done_text = 'anna by mail'")
	if got, want := w.text("SELECT severity || ': ' || text || to_char(began_at AT TIME ZONE 'UTC', ', HH24:MI') FROM alerts WHERE rule = $1", store.NothingJudged),
		"critical: nothing is judged and no alert is raised: the pass fails: read maintenance, 03:12"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	w.exec(`UPDATE analyst_mark SET ticked_at = now()`)
	w.wait("the end", "SELECT count(*) = 1 FROM notices WHERE kind = 'clear' AND done_text = 'anna by mail'")
	if got := w.text("SELECT string_agg(format('%s %s', kind, decision), ', ' ORDER BY id) FROM newalerts WHERE rule = $1", store.NothingJudged); !strings.HasPrefix(got, "bad raise, good clear") {
		t.Errorf("findings: %s", got) // with this little patience it is raised again, too
	}
}

func TestDailyMessageNamesWhoIsBehind(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO daemons (monhost, name, pid, version, started_at, promised_at, lag) VALUES
		('pi1', 'analyst', 1, '', now(), now() + interval '1 minute', '8 hours'), ('pi1', 'loader', 2, '', now(), now() + interval '1 minute', '10 s')`)
	day, err := store.New(w.pool).CountDay(t.Context(), time.Now().Add(-time.Hour), time.Now(), time.Minute)
	if err != nil || len(day.DaemonsBehind) != 1 || day.DaemonsBehind[0] != "analyst on pi1" || len(day.DaemonsLate) != 0 {
		t.Errorf("behind %v, late %v, error %v", day.DaemonsBehind, day.DaemonsLate, err)
	}
}
