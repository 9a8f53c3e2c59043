package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/internal/pgtest"
	"sonde/internal/schema"
	tools "sonde/probes/catalog"
)

// past is a database with ten days of pings a minute apart to near and far (20 ms,
// no loss), up to the last midnight but one, where a test digs in.
type past struct {
	*testing.T
	dsn string
	db  *pgxpool.Pool
	day time.Time // the first midnight
}

func newPast(t *testing.T) *past {
	t.Helper()
	catalog, err := schema.Catalog(tools.All())
	if err != nil {
		t.Fatal(err)
	}
	p := &past{T: t, dsn: pgtest.DSNWith(t, catalog), day: time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -11)}
	if p.db, err = pgxpool.New(context.Background(), p.dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.db.Close)
	p.exec(`INSERT INTO nodes (name, address, labels) VALUES ('pi', '192.0.2.1', '{}'), ('near', '192.0.2.2', '{core}'), ('far', '192.0.2.3', '{}')`)
	p.exec(`INSERT INTO monhosts (name) VALUES ('pi')`)
	p.exec(`INSERT INTO toolspecs (node, tool, run_interval) VALUES ('near', 'ping', '1 minute'), ('far', 'ping', '1 minute')`)
	p.exec(`SELECT sonde_make_partitions('pingdata', $1::date, now()::date)`, p.day)
	p.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, loss_pct, rtt_median_ms) SELECT s, at, 'ok', 0, 20 FROM generate_series(1, 2) s, generate_series($1::timestamptz, $1::timestamptz + interval '10 days' - interval '1 minute', '1 minute') at`, p.day)
	return p
}

func (p *past) exec(sql string, args ...any) {
	p.Helper()
	if _, err := p.db.Exec(context.Background(), sql, args...); err != nil {
		p.Fatalf("%s: %v", sql, err)
	}
}

// at is an instant of a day, counted from 0.
func (p *past) at(day int, clock string) time.Time {
	p.Helper()
	c, err := time.Parse("15:04", clock)
	if err != nil {
		p.Fatal(err)
	}
	return p.day.AddDate(0, 0, day).Add(time.Duration(c.Hour())*time.Hour + time.Duration(c.Minute())*time.Minute)
}

// loses makes a spec lose so much for a while.
func (p *past) loses(spec, day int, clock string, minutes int, loss float64) {
	p.Helper()
	from := p.at(day, clock)
	p.exec(`UPDATE pingdata SET loss_pct = $4 WHERE toolspec_id = $1 AND due_at >= $2 AND due_at < $3`, spec, from, from.Add(time.Duration(minutes)*time.Minute), loss)
}

func (p *past) incident(spec, day int, clock string, minutes int, verdict, text string) {
	p.Helper()
	from := p.at(day, clock)
	p.exec(`INSERT INTO incidents (toolspec_id, from_at, until_at, verdict, author, text) VALUES ($1, $2, $3, $4, 'anna', $5)`, spec, from, from.Add(time.Duration(minutes)*time.Minute), verdict, text)
}

// backtest runs the verb and gives what it printed.
func (p *past) backtest(args ...string) string {
	p.Helper()
	var out bytes.Buffer
	if err := backtestOnce(context.Background(), append(args, "--database", p.dsn), &out, io.Discard, false); err != nil {
		p.Fatalf("sonde backtest %s: %v", strings.Join(args, " "), err)
	}
	return out.String()
}

// reported is the same as JSON.
func (p *past) reported(args ...string) report {
	p.Helper()
	var r report
	text := p.backtest(append(args, "--json")...)
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		p.Fatalf("%v in\n%s", err, text)
	}
	return r
}

// squeezed has one blank between words, as tables line up by what is in them.
func squeezed(text string) string { return strings.Join(strings.Fields(text), " ") }

func TestBacktestSaysWhatARuleWouldHaveRaisedAndWhatItMissed(t *testing.T) {
	p := newPast(t)
	p.loses(1, 8, "03:10", 30, 100) // caught, at night
	p.loses(2, 9, "12:00", 4, 100)  // an alert, and it was nothing
	p.incident(1, 8, "03:10", 30, "right", "the cable was cut")
	p.incident(2, 7, "10:00", 60, "right", "slow, without loss")
	p.incident(2, 9, "12:00", 10, "wrong", "the target was rebooted")
	p.exec(`INSERT INTO incidents (node, from_at) VALUES ('pi', $1)`, p.at(8, "00:00"))
	p.exec(`UPDATE settings SET value = 'Europe/Berlin' WHERE name = 'time_zone'`)

	text := p.backtest("--rule", "no answer", "--since", "5d")
	t.Log(text)
	zone, _ := time.LoadLocation("Europe/Berlin")
	night := p.at(8, "03:12").In(zone)
	holds(t, text, `rule "no answer": no-answer on ping loss_pct`, "alerts by hour of day, Europe/Berlin", fmt.Sprintf("  %02d  # 1\n", night.Hour()))
	holds(t, squeezed(text), "alerts 2 a week 2.8", "at night (22 to 7) 1", "messages 4 at night 2", "incidents caught 1 of 2", "wrong alerts repeated 1 of 1", "alerts nobody marked 0",
		"30m near ping, spec 1 the cable was cut after 2m", "1h far ping, spec 2 slow, without loss no alert", "10m far ping, spec 2 the target was rebooted after 2m",
		"1 more concern nothing that this rule watches",
		night.Format("2006-01-02 15:04 MST")+" "+p.at(8, "03:10").In(zone).Format("15:04")+" 30m later near ping from pi critical no answer, 3 runs in a row",
		"Not replayed: what hides an alert behind another, second looks")

	r := p.reported("--rule", "no answer", "--since", "5d")
	s := r.Settings[0]
	if s.Figures.Alerts != 2 || s.Figures.Night != 1 || len(s.Alerts) != 2 || s.Alerts[0].Raised != p.at(8, "03:12") || len(s.Incidents.Right) != 2 || *s.Incidents.Right[1].DelayS != 120 || s.Incidents.Right[0].Alert != nil {
		t.Errorf("%+v", s)
	}
	if r.Facts.Specs != 2 || r.Facts.Rows == 0 || r.Difference != nil || r.Apply != "" {
		t.Errorf("%+v", r)
	}
	if r = p.reported("--rule", "no answer", "--since", "5d", "--node", "far"); r.Settings[0].Figures.Alerts != 1 {
		t.Errorf("far alone: %+v", r.Settings[0].Figures)
	}
	if r = p.reported("--rule", "no answer", "--since", "5d", "--label", "core"); r.Settings[0].Figures.Alerts != 1 || r.Settings[0].Alerts[0].Node != "near" {
		t.Errorf("core alone: %+v", r.Settings[0].Figures)
	}
}

func TestBacktestShowsTheDifferenceOfAChangedSettingAndHowToApplyIt(t *testing.T) {
	p := newPast(t)
	p.loses(1, 7, "09:00", 20, 60)
	p.loses(2, 8, "14:00", 20, 30)
	const rule = "loss"
	text := p.backtest("--rule", rule, "--set", "limit=50", "--set", "runs=3", "--since", "6d")
	t.Log(text)
	holds(t, squeezed(text), "as it is limit=50 runs=3", "alerts 2 1", "1 alerts with both, of them 1 earlier and 0 later with limit=50 runs=3; 1 only as it is, 0 only with limit=50 runs=3",
		"5 of the last 10 values over 20 %", "2m earlier near ping from pi")
	r := p.reported("--rule", rule, "--set", "limit=50", "--set", "runs=3", "--since", "6d")
	want := `UPDATE rules SET options = options || '{"limit":50,"runs":3}' WHERE name = 'loss';`
	if r.Apply != want || !strings.Contains(text, want) {
		t.Errorf("apply with %q, want %q", r.Apply, want)
	}
	if len(r.Difference.Both) != 1 || r.Difference.Both[0].LaterS != -120 || len(r.Difference.OnlyNow) != 1 || r.Difference.OnlyNow[0].Node != "far" {
		t.Errorf("%+v", r.Difference)
	}
	then := r.Settings[1]
	p.exec(r.Apply)
	if now := p.reported("--rule", rule, "--since", "6d"); fmt.Sprint(jsonOfTest(t, now.Settings[0].Alerts)) != jsonOfTest(t, then.Alerts) {
		t.Errorf("applied it is\n%s\nnot\n%s", jsonOfTest(t, now.Settings[0].Alerts), jsonOfTest(t, then.Alerts))
	}
	// What is no option of the method is a column of the rule.
	r = p.reported("--rule", rule, "--set", "tolerance=10m", "--set", "severity=critical", "--set", "repeat_limit=2h", "--since", "6d")
	if r.Apply != `UPDATE rules SET tolerance = '600 seconds', repeat_limit = '7200 seconds', severity = 'critical' WHERE name = 'loss';` {
		t.Errorf("apply with %q", r.Apply)
	}
	p.exec(r.Apply)
}

func jsonOfTest(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBacktestProposesByWhatPeopleMarkedAndChangesNothing(t *testing.T) {
	p := newPast(t)
	for day := 5; day < 9; day++ {
		p.loses(1, day, "09:00", 20, 70)
		p.incident(1, day, "09:00", 20, "right", "provider")
		p.loses(2, day, "02:00", 20, 25)
		p.incident(2, day, "02:00", 20, "wrong", "backup")
	}
	const options = `SELECT options::text FROM rules WHERE name = 'loss'`
	var before, after string
	if err := p.db.QueryRow(t.Context(), options).Scan(&before); err != nil {
		t.Fatal(err)
	}
	text := p.backtest("--rule", "loss", "--propose", "--since", "7d")
	t.Log(text)
	holds(t, squeezed(text), "as it is 4 of 4", "4 of 4 0 8", "proposed: limit=", "It is judged by 4 right and 4 wrong", "sonde backtest --rule loss --set limit=", "Nothing was changed.")
	r := p.reported("--rule", "loss", "--propose=limit,runs", "--since", "7d")
	if !strings.HasPrefix(r.Apply, "UPDATE rules SET options = options || ") || r.Proposed == "" || len(r.Settings) < 40 {
		t.Errorf("%q %q %d settings", r.Apply, r.Proposed, len(r.Settings))
	}
	if err := p.db.QueryRow(t.Context(), options).Scan(&after); err != nil || after != before {
		t.Errorf("%v: the rule became %s", err, after)
	}
	p.exec(r.Apply)
	if now := p.reported("--rule", "loss", "--since", "7d").Settings[0]; now.Figures.Alerts != 4 || now.Incidents.Right[3].Alert == nil || now.Incidents.Wrong[0].Alert != nil {
		t.Errorf("applied: %+v", now.Figures)
	}
	holds(t, p.backtest("--rule", "loss", "--propose", "--since", "7d"), "Nothing is proposed: none catches more")
	p.exec(`DELETE FROM incidents WHERE verdict = 'right'`)
	holds(t, p.backtest("--rule", "loss", "--propose", "--since", "7d"), "Nothing is proposed. Nothing is marked right")
	p.exec(`DELETE FROM incidents`)
	holds(t, p.backtest("--rule", "loss", "--propose", "--since", "7d"), "Nothing is proposed. Nobody has marked anything")
}

func TestBacktestTriesARuleThatIsNotThereYet(t *testing.T) {
	p := newPast(t)
	p.exec(`UPDATE pingdata SET rtt_median_ms = 200 WHERE toolspec_id = 2 AND due_at >= $1`, p.at(9, "12:00"))
	text := p.backtest("--method", "limit", "--tool", "ping", "--metric", "rtt_median_ms", "-o", "limit=100", "-o", "unit=ms", "--since", "3d")
	holds(t, text, "a rule that is not there yet: limit on ping rtt_median_ms", "5 of the last 10 values over 100 ms, now 200 ms")
	r := p.reported("--method", "limit", "--tool", "ping", "--metric", "rtt_median_ms", "-o", "limit=100", "-o", "unit=ms", "--since", "3d")
	if len(r.Settings[0].Alerts) != 1 || r.Settings[0].Alerts[0].Ended != nil || r.Settings[0].Figures.Standing != 1 {
		t.Errorf("%+v", r.Settings[0])
	}
	p.exec(strings.Replace(r.Apply, "'NAME'", "'slow'", 1))
	var shadow bool
	if err := p.db.QueryRow(t.Context(), `SELECT shadow FROM rules WHERE name = 'slow' AND options = '{"limit": 100, "unit": "ms"}'`).Scan(&shadow); err != nil || !shadow {
		t.Errorf("%v, in shadow: %v", err, shadow)
	}
}

func TestBacktestKnowsGapsSilenceAndMaintenance(t *testing.T) {
	p := newPast(t)
	// Nothing came for an hour, and nobody knows why; for another nobody planned.
	p.exec(`DELETE FROM pingdata WHERE toolspec_id = 1 AND due_at >= $1 AND due_at < $2`, p.at(7, "10:00"), p.at(7, "11:00"))
	p.exec(`DELETE FROM pingdata WHERE toolspec_id = 2 AND due_at >= $1 AND due_at < $2`, p.at(8, "10:00"), p.at(8, "11:00"))
	p.exec(`INSERT INTO gaps (toolspec_id, from_at, until_at, runs, reason) VALUES (2, $1, $2, 60, 'the database was away')`, p.at(8, "10:00"), p.at(8, "10:59"))
	p.exec(`UPDATE pingdata SET outcome = 'missed', reason = 'no worker: silent', loss_pct = NULL WHERE toolspec_id = 1 AND due_at >= $1 AND due_at < $2`, p.at(9, "10:00"), p.at(9, "10:10"))
	p.exec(`INSERT INTO maintenance (node, from_at, until_at, text) VALUES ('near', $1, $2, 'new cables')`, p.at(9, "09:00"), p.at(9, "12:00"))
	r := p.reported("--rule", "no data", "--since", "5d")
	var got []string
	for _, a := range r.Settings[0].Alerts {
		if a.Ended == nil {
			continue // the last day, of which there are no data
		}
		got = append(got, fmt.Sprintf("%s %s %v %s: %d", a.Node, a.Raised.Sub(p.day).Round(time.Second), a.Planned, a.Text, len(a.Messages)))
	}
	want := []string{
		"near 178h3m0s false no data, 3 runs in a row: nothing has come, not even a missed run: 2",
		"far 202h59m0s false no data, 60 runs in a row: the database was away: 0",
		"near 226h2m0s true no data, 3 runs in a row: no worker: silent: 0",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestBacktestRaisesWhatTheAnalystRaised(t *testing.T) {
	dsn, _, db := judged(t)
	var out bytes.Buffer
	if err := backtestOnce(t.Context(), []string{"--rule", "no answer", "--json", "--database", dsn, "--since", "1h"}, &out, io.Discard, false); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Settings[0].Alerts) != 1 {
		t.Fatalf("%s", out.String())
	}
	a := r.Settings[0].Alerts[0]
	var same bool
	if err := db.QueryRow(t.Context(), `SELECT raised_at = $1 AND began_at = $2 AND severity = $3 AND node = $4 FROM alerts WHERE rule = 'no answer'`, a.Raised, a.Began, a.Severity, a.Node).Scan(&same); err != nil || !same {
		t.Errorf("%v: %+v", err, a)
	}
	holds(t, strings.Join(r.Doubts, "\n"), "The analyst itself raised 1 alerts of this rule in the time, the replay 1 of them")
}

func TestWhoMayReadMayBacktestAndCtrlCStopsIt(t *testing.T) {
	p := newPast(t)
	p.loses(1, 8, "03:10", 30, 100)
	dsn := p.dsn
	if strings.Contains(dsn, "?") {
		dsn += "&"
	} else {
		dsn += "?"
	}
	var out bytes.Buffer
	if err := backtestOnce(t.Context(), []string{"--rule", "no answer", "--since", "5d", "--database", dsn + "options=-c%20role%3Dsonde_read"}, &out, io.Discard, false); err != nil {
		t.Error(err)
	}
	holds(t, squeezed(out.String()), "alerts 1 a week")
	ctx, stop := context.WithCancel(t.Context())
	var progress writerFunc = func(b []byte) (int, error) { stop(); return len(b), nil }
	err := backtestOnce(ctx, []string{"--rule", "no answer", "--since", "5d", "--database", p.dsn}, io.Discard, progress, true)
	if err == nil || !strings.Contains(err.Error(), "stopped after ") || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("%v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestWrongUseOfBacktestIsToldInASentence(t *testing.T) {
	p := newPast(t)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "name one: --rule NAME, or --method METHOD"},
		{[]string{"--rule", "x"}, 1, `there is no rule "x"; rules: cannot be measured, `},
		{[]string{"--rule", "loss", "--set", "limt=5"}, 2, `method limit has no option "limt"; it has limit, clear_limit`},
		{[]string{"--rule", "loss", "--set", "limit=high"}, 2, `option "limit" must be a number`},
		{[]string{"--rule", "loss", "--set", "runs=11"}, 2, `option "runs" (11) must be at most "of" (10)`},
		{[]string{"--rule", "loss", "--set", "limit"}, 2, "write option=value"},
		{[]string{"--rule", "loss", "--set", "severity=bad"}, 2, "none of info, warning, critical"},
		{[]string{"--rule", "loss", "--since", "soon"}, 2, `"soon" is no moment`},
		{[]string{"--rule", "loss", "--since", "1d", "--until", "2d"}, 2, "is not before"},
		{[]string{"--rule", "loss", "--learn", "5"}, 2, "write how long, such as 14d"},
		{[]string{"--rule", "loss", "--node", "nowhere"}, 1, `no enabled spec is watched by this: tool "ping", node "nowhere"`},
		{[]string{"--rule", "loss", "--propose=unit"}, 2, `option "unit" of method limit is no number`},
		{[]string{"--rule", "loss", "--propose=lmit"}, 2, "has no such option: lmit; it has limit"},
		{[]string{"--rule", "loss", "--propose", "--set", "limit=5"}, 2, "without --set"},
		{[]string{"--method", "guess", "--tool", "ping"}, 2, `there is no method "guess"; methods: no-answer`},
		{[]string{"--method", "limit", "--tool", "pign"}, 2, `there is no tool "pign"`},
		{[]string{"--method", "limit", "--tool", "ping", "--metric", "rtt"}, 2, `ping has no metric "rtt"; metrics: `},
		{[]string{"--method", "limit", "--metric", "rtt"}, 2, "--metric needs --tool"},
		{[]string{"--method", "limit", "--tool", "ping"}, 2, `method "limit" judges a number: --tool and --metric say which`},
		{[]string{"--method", "no-data", "--tool", "ping", "--metric", "loss_pct"}, 2, `method "no-data" looks at how runs end, and at no metric`},
		{[]string{"--method", "limit", "--rule", "loss"}, 2, "name one"},
		{[]string{"--rule", "loss", "-o", "limit=5"}, 2, "--set changes a rule"},
	} {
		if code, says := call(t, append(append([]string{"backtest"}, c.args...), "--database", p.dsn)...); code != c.code || !strings.Contains(says, c.says) {
			t.Errorf("%q: exit code %d and %q, want %d and %q", c.args, code, says, c.code, c.says)
		}
	}
}
