package analyst_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sonde/analysis/route"
	"sonde/internal/store"
)

const (
	geant   = "10.0.0.1 188.1.1.1 62.40.98.1 192.65.184.1"
	arelion = "10.0.0.1 188.1.1.1 62.115.1.1 192.65.184.1"
)

// lookUp stores who an address belongs to, as the daemon that looks it up does.
func (b *bench) lookUp(address string, as int, name string) {
	b.Helper()
	b.exec(`INSERT INTO asn (address, asn, asn_source, asn_at) VALUES ($1::text::inet, $2, 'dns', now()) ON CONFLICT DO NOTHING`, address, as)
	b.exec(`INSERT INTO asninfo (asn, name, source) VALUES ($1, $2, 'dns') ON CONFLICT DO NOTHING`, as, name)
}

// newTraceroute makes a spec and a rule that learns in a minute.
func (b *bench) newTraceroute(node int) (spec int) {
	b.Helper()
	b.exec(`UPDATE rules SET options = '{"learn": "1m"}' WHERE name = 'route'`)
	if err := b.db.QueryRow(b.Context(), `INSERT INTO toolspecs (node, tool, run_interval) VALUES ($1, 'traceroute', '1 day') RETURNING id`, fmt.Sprintf("n%d", node)).Scan(&spec); err != nil {
		b.Fatal(err)
	}
	return spec
}

// routes stores n runs of a route, one a minute, with a round trip to each hop.
func (b *bench) routes(spec, minute, n int, hops string, ms float64) {
	b.Helper()
	list := strings.Fields(hops)
	flows, rtts := make([]string, len(list)), make([]string, len(list))
	for i, h := range list {
		flows[i], rtts[i] = "{"+h+","+h+"}", fmt.Sprintf("{%d,%d}", int(1000*ms), int(1000*ms))
	}
	for i := range n {
		b.exec(`INSERT INTO routedata (toolspec_id, due_at, outcome, first_ttl, hops, hop_addresses, hop_rtts_us, reached, rtt_ms)
			VALUES ($1, $2, 'ok', 1, $3::text[]::inet[], $4::text::inet[], $5::text::int[], true, $6)`,
			spec, b.start.Add(time.Duration(minute+i)*time.Minute+30*time.Second), list, "{"+strings.Join(flows, ",")+"}", "{"+strings.Join(rtts, ",")+"}", ms)
	}
}

// pings stores n runs of a ping, one a minute.
func (b *bench) pings(spec, minute, n int, ms, loss float64) {
	b.Helper()
	for i := range n {
		b.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, loss_pct, rtt_median_ms) VALUES ($1, $2, 'ok', $3, $4)`,
			spec, b.start.Add(time.Duration(minute+i)*time.Minute), loss, ms)
	}
}

func TestRouteOffItsHistoryIsToldWithWhatCameWithIt(t *testing.T) {
	b := setUp(t, 1)
	spec := b.newTraceroute(1)
	b.lookUp("188.1.1.1", 680, "DFN")
	b.lookUp("62.40.98.1", 20965, "GEANT")
	b.lookUp("192.65.184.1", 513, "CERN")
	b.routes(spec, 0, 15, geant, 12)
	b.pings(1, 0, 15, 12.1, 0)
	b.judge()
	b.settled()
	b.await("", alerts)
	b.routes(spec, 15, 1, arelion, 46)
	b.pings(1, 15, 5, 46, 2)
	b.settled()
	b.await("hop 3 moved from 62.40.98.1 (AS 20965 GEANT) to 62.115.1.1, +34 ms", `SELECT string_agg(text, '|') FROM newalerts WHERE rule = 'route'`)
	b.lookUp("62.115.1.1", 1299, "ARELION") // some time after the route was seen
	b.routes(spec, 16, 1, arelion, 46)
	b.settled()
	b.await("", alerts)
	b.routes(spec, 17, 1, arelion, 46)
	b.await("n1 route", alerts)
	text := "route left its history: hop 3 moved from AS 20965 (GEANT) to AS 1299 (ARELION), +34 ms; ping loss from 0 to 2 %, rtt median from 12.1 to 46 ms; AS path 680 1299 513, before 680 20965 513"
	b.await(text, `SELECT text FROM alerts`)
	b.await("raise WARNING n1: "+text, sent)
	short := b.text(`SELECT short FROM notices`)
	if want := "WARNING n1: route left its history: hop 3 moved from AS 20965 (GEANT) to AS 1299 (ARELION), +34 ms; ping loss from 0 to 2 %, rtt median from 12.1 to 46 ms"; !strings.HasPrefix(short, want[:140]) {
		t.Errorf("the short message is\n %s", short)
	}
	b.await("warning 680 20965 513|680 1299 513|12|46", `SELECT format('%s %s|%s|%s|%s', severity, evidence ->> 'before_as_path', evidence ->> 'after_as_path', evidence ->> 'target_rtt_before_ms', evidence ->> 'target_rtt_after_ms') FROM alerts`)
	b.await("rtt_median_ms 12.1 46 15 4", `SELECT format('%s %s %s %s %s', e ->> 'metric', e ->> 'before', e ->> 'after', e ->> 'runs_before', e ->> 'runs_after') FROM alerts, jsonb_array_elements(evidence -> 'effects') e WHERE e ->> 'unit' = 'ms'`)
	b.routes(spec, 18, 5, arelion, 46)
	b.settled()
	b.await("note raise", finds, "route") // told once
	b.routes(spec, 23, 1, geant, 12)
	b.await("n1 route closed", alerts)
	b.await("the old route is back: AS path 680 20965 513", `SELECT close_text FROM alerts`)
	b.await("2", `SELECT count(*)::text FROM notices`)
}

// The same rows give the same alerts, though by then all ASes are known from the start.
func TestRoutesReadAgainGiveTheSameAlerts(t *testing.T) {
	b := setUp(t, 1)
	spec := b.newTraceroute(1)
	b.lookUp("188.1.1.1", 680, "DFN")
	b.lookUp("62.40.98.1", 20965, "GEANT")
	b.lookUp("192.65.184.1", 513, "CERN")
	stop := b.judge()
	b.routes(spec, 0, 15, geant, 12)
	b.settled()
	b.routes(spec, 15, 2, arelion, 46)
	b.settled()
	b.lookUp("62.115.1.1", 1299, "ARELION")
	b.routes(spec, 17, 3, arelion, 46)
	b.await("n1 route", alerts)
	b.routes(spec, 20, 3, geant, 12)
	b.await("n1 route closed", alerts)
	stop()
	const story = `SELECT string_agg(format('%s %s %s %s %s', began_at, raised_at, ended_at, text, close_text), '|' ORDER BY id) FROM alerts WHERE rule = 'route'`
	first := b.text(story)
	b.exec(`DELETE FROM notices`)
	b.exec(`DELETE FROM alerts`)
	b.exec(`DELETE FROM newalerts`)
	b.exec(`DELETE FROM detectors`)
	b.exec(`UPDATE analyst_mark SET read_xid = '3', state = '{}'`)
	b.judge()
	b.await("n1 route closed", alerts)
	if again := b.text(story); again != first {
		t.Errorf("live\n  %s\nread again\n  %s", first, again)
	}
}

func TestOneRoutersNewAddressIsOneNoteAndOneNumber(t *testing.T) {
	b := setUp(t, 1)
	spec := b.newTraceroute(1)
	for address, as := range map[string]int{"188.1.1.1": 680, "62.40.98.1": 20965, "62.40.99.9": 20965, "192.65.184.1": 513} {
		b.lookUp(address, as, "")
	}
	b.routes(spec, 0, 15, geant, 12)
	b.routes(spec, 15, 15, "10.0.0.1 188.1.1.1 62.40.99.9 192.65.184.1", 12)
	b.judge()
	b.await("hop 3 moved from 62.40.98.1 to 62.40.99.9 within AS 20965", `SELECT coalesce(string_agg(text, '|'), '') FROM newalerts WHERE rule = 'route'`)
	b.settled()
	b.await("note", finds, "route")
	b.await("", alerts)
	b.await("2", `SELECT count(*)::text FROM routeno WHERE toolspec_id = $1`, spec)
}

// A carrier is left for another: all that ran over it is one message, and no
// series of messages when the routes come back one after the other.
func TestRoutesThatTakeOneTurnAreOneMessage(t *testing.T) {
	b := setUp(t, 4)
	var specs []int
	for n := 1; n <= 4; n++ {
		specs = append(specs, b.newTraceroute(n))
	}
	for address, as := range map[string]int{"188.1.1.1": 680, "62.40.98.1": 20965, "62.115.1.1": 1299} {
		b.lookUp(address, as, "")
	}
	to := func(hops string, i int) string {
		return strings.Replace(hops, "192.65.184.1", fmt.Sprintf("192.65.18%d.1", i), 1)
	}
	for i, spec := range specs {
		b.routes(spec, 0, 15, to(geant, i), 12)
	}
	b.judge()
	b.settled()
	for i, spec := range specs {
		b.routes(spec, 15, 3, to(arelion, i), 12)
	}
	b.await("4", `SELECT count(*)::text FROM alerts WHERE rule = 'route'`)
	b.settled()
	b.await("1", `SELECT count(*)::text FROM notices`)
	b.await("3", `SELECT count(*)::text FROM alerts WHERE part_of = (SELECT min(id) FROM alerts)`)
	b.await("true", `SELECT (text LIKE '%3 of 3 other pairs over 62.40.98.1 changed too%')::text FROM alerts ORDER BY id LIMIT 1`)
	b.await("true", `SELECT (reason LIKE '%not told: a1 tells of all routes from pi that turned from AS 20965 to AS 1299 behind AS 680%')::text FROM newalerts WHERE decision = 'raise' ORDER BY id DESC LIMIT 1`)
	for i, spec := range specs {
		b.routes(spec, 18, 1, to(geant, i), 12)
		b.await(fmt.Sprint(i+1), `SELECT count(*)::text FROM alerts WHERE rule = 'route' AND closed_at IS NOT NULL`)
	}
	b.settled()
	b.await("raise clear", `SELECT string_agg(kind, ' ' ORDER BY id) FROM notices`)
}

func TestWhatCameWithAChangeIsToldOfAnyChangeLater(t *testing.T) {
	b := setUp(t, 2)
	one, two := b.newTraceroute(1), b.newTraceroute(2)
	b.routes(one, 0, 10, geant, 12)
	b.routes(two, 0, 20, strings.Replace(geant, "192.65.184.1", "192.65.185.1", 1), 12) // stays
	b.routes(one, 10, 5, arelion, 46)
	b.routes(one, 15, 5, geant, 12)
	b.pings(1, 0, 10, 12, 0)
	b.pings(1, 10, 5, 46, 4)
	b.pings(1, 15, 5, 99, 50) // about the next change, and behind it
	b.exec(`INSERT INTO alerts (toolspec_id, monhost, node, tool, rule, severity, text, began_at, raised_at) VALUES (1, 'pi', 'n1', 'ping', 'delay', 'warning', 'slow', $1, $1)`, b.start.Add(11*time.Minute))
	// A tool that comes later is seen by the metrics it declares.
	b.exec(`CREATE TABLE bwdata (toolspec_id bigint, due_at timestamptz, outcome text, throughput_mbps float8)`)
	b.exec(`INSERT INTO tools (name, meaning, class, table_name, metrics, time_to_run) VALUES ('iperf', 'throughput', 'background-syn', 'bwdata', '[{"name": "throughput_mbps", "column": "throughput_mbps", "unit": "Mbit/s"}]', '30 s')`)
	b.exec(`INSERT INTO rules (name, method, tool, metric) VALUES ('throughput', 'plateau', 'iperf', 'throughput_mbps')`)
	b.exec(`INSERT INTO toolspecs (node, tool, run_interval) VALUES ('n1', 'iperf', '1 day')`)
	b.exec(`INSERT INTO bwdata SELECT max(id), $1::timestamptz + i * interval '1 minute', 'ok', CASE WHEN i <= 10 THEN 940 ELSE 310 END FROM toolspecs, generate_series(1, 15) i GROUP BY i`, b.start)
	at := b.start.Add(10*time.Minute + 30*time.Second)
	c, err := store.New(b.db).RouteChangeEffects(t.Context(), int64(one), at.Add(-20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if !c.At.Equal(at) || !c.Last.Equal(at.Add(-time.Minute)) || c.Node != "n1" || c.Before.Number != 1 || c.After.Number != 2 || c.After.RTT != 46*time.Millisecond {
		t.Errorf("%+v", c)
	}
	var got []string
	for _, e := range c.Effects {
		got = append(got, fmt.Sprintf("%s %g %g %d %d %v", e.Metric, e.Before, e.After, e.RunsBefore, e.RunsAfter, e.Watched))
	}
	for _, a := range c.Alerts {
		got = append(got, a.Rule+" "+a.Text)
	}
	for _, s := range c.Sharers {
		got = append(got, fmt.Sprintf("%d %s %s %v %v", s.ToolspecID, s.Node, s.Address, s.Gone, s.ChangedAt.IsZero()))
	}
	if want := fmt.Sprintf("loss_pct 0 4 10 4 true, rtt_median_ms 12 46 10 4 true, rtt_max_ms 0 0 0 0 false, throughput_mbps 940 310 9 4 true, delay slow, %d n2 62.40.98.1 true true", two); strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
	if got, want := strings.Join(route.Effects(c), "; "), "ping loss from 0 to 4 %, rtt median from 12 to 46 ms; iperf throughput from 940 to 310 Mbit/s"; got != want {
		t.Errorf("in words %q, want %q", got, want)
	}
	if _, err := store.New(b.db).RouteChangeEffects(t.Context(), int64(one), b.start.Add(-time.Hour)); err == nil {
		t.Error("before the first route there is none")
	}
}
