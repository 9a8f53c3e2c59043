package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sonde/internal/store"
)

func page(t *testing.T, h http.Handler, target string) string {
	t.Helper()
	status, body := get(t, h, target)
	if status != http.StatusOK {
		t.Fatalf("%s: status %d\n%.500s", target, status, body)
	}
	return body
}

func TestPageOfAHopListsEveryoneWhoCrossesIt(t *testing.T) {
	pages, _ := seededRoutes(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	for _, c := range []struct {
		hop  string
		want []string
	}{
		{"62.40.98.77", []string{"2 pairs cross it now, 2 have so far", `<td class="n" data-l="Hop">5</td><td class="n" data-l="Round trip">15.1 ms`, `<td class="n" data-l="Hop">4</td>`,
			"ae1.mx1.ham.de.geant.example", "hops 5–6 now run through AS 1299", "AS 20965 GEANT, DE"}},
		// Nobody's first flow runs over the other arm.
		{"198.51.100.37", []string{"5 pairs cross it now", "only as another of several equal paths", `<td class="n" data-l="Hop">3</td>`, "Round trip to 198.51.100.37"}},
		// A detour of this morning.
		{"80.91.246.1", []string{"0 pairs cross it now, 2 have so far", "not now"}},
		{"203.0.113.7", []string{`node <a href="/node/cern">cern</a>`, "the end: it is the target of cern"}},
		{"193.51.178.1", []string{"a silent hop"}},
	} {
		body := page(t, h, "/hop/"+c.hop)
		for _, want := range c.want {
			if !strings.Contains(body, want) {
				t.Errorf("hop %s does not say %q", c.hop, want)
			}
		}
	}
	csv := page(t, h, "/hopchart/62.40.98.77.csv?range=3h")
	if n := strings.Count(csv, "\nruns,"); n < 15 {
		t.Errorf("%d buckets:\n%s", n, csv)
	}
}

func TestAlarmOfAChangeIsNoSecondChangeAtAHop(t *testing.T) {
	pages, conn := seededRoutes(t)
	for _, since := range []string{"2026-03-29 03:10+00", "2026-03-29 09:00+00"} {
		run(t, conn, `INSERT INTO newalerts (toolspec_id, monhost, node, tool, rule, kind, severity, at, since, decision, text, evidence)
			SELECT toolspec_id, monhost, node, tool, rule, 'bad', 'warning', $1::timestamptz + interval '20 min', $1, 'raise', 'route left its history: ' || $1::text, evidence FROM newalerts WHERE toolspec_id = 12 AND kind = 'note' LIMIT 1`, since)
	}
	body := page(t, New(pages, "0.1.0", logTo(t)).Handler(), "/hop/62.40.98.77")
	if strings.Contains(body, "history: 2026-03-29 03:10") || !strings.Contains(body, "history: 2026-03-29 09:00") {
		t.Error("what was noted stands there once, what was not as its alarm")
	}
}

func TestHoursOfTheGridAreThoseOfTheDay(t *testing.T) {
	pages, _ := seededRoutes(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	column := regexp.MustCompile(`<th scope="col">(\d\d[^<]*)</th>`)
	for day, want := range map[string]string{"2026-03-28": "00 01 02 03", "2026-03-29": "00 01 03 04", "2025-10-26": "00 01 02 +02:00 02 +01:00 03"} {
		table, _, _ := strings.Cut(page(t, h, "/routes?day="+day+"&monhost=paris"), "</thead>")
		var labels []string
		for _, m := range column.FindAllStringSubmatch(table, -1) {
			labels = append(labels, strings.ReplaceAll(m[1], "&#43;", "+"))
		}
		if !strings.HasPrefix(strings.Join(labels, " "), want) {
			t.Errorf("%s has the hours %v", day, labels)
		}
	}
}

func TestGridSaysWhatItsNumbersSay(t *testing.T) {
	pages, _ := seededRoutes(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	var got struct {
		Day   string
		Marks []struct {
			Node, Mark, Kind string
			Runs             int
			News             bool
		}
	}
	if err := json.Unmarshal([]byte(page(t, h, "/routes.json?day=2026-03-29&monhost=lab")), &got); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, m := range got.Marks {
		kinds[m.Node+" "+m.Kind] += m.Runs
	}
	for want, n := range map[string]int{"fermilab major": 2, "fermilab missed": 9, "fermilab gap": 8, "slac timeout": 3, "slac failed": 4, "desy block": 1, "desy as": 1, "in2p3 major": 2, "kek code": 6} {
		if kinds[want] != n {
			t.Errorf("%s: %d runs, want %d", want, kinds[want], n)
		}
	}
	// A route of three digits is a sign, and its number where it leads.
	if body := page(t, h, "/routes?day=2026-03-29"); !strings.Contains(body, "route 122, 7 hops") || !strings.Contains(body, ">#</a>") || !strings.Contains(body, `/routes/16?run=2026-03-29T08:30:00Z`) {
		t.Error("route 122 is not told")
	}
}

func TestTimeOfWhichNothingIsKnownIsNobodysShare(t *testing.T) {
	pages, conn := seededRoutes(t)
	run(t, conn, `DELETE FROM routedata WHERE toolspec_id = 20`)
	run(t, conn, `DELETE FROM routeno WHERE toolspec_id = 20`)
	traced{20, "03-29 00:00", "03-29 00:50", 10 * time.Minute, "192.0.2.254 192.0.2.1", true, 0}.store(t, conn)
	traced{20, "03-29 09:00", "03-29 09:20", 10 * time.Minute, "192.0.2.253 192.0.2.1", true, 0}.store(t, conn)
	if err := pages.Read(t.Context(), func(r *store.Reading) error {
		list, err := r.RouteShares(t.Context(), 20, asOf.Add(-24*time.Hour), asOf, 10*time.Minute)
		if err != nil {
			return err
		}
		// The last run before each hole speaks for two intervals.
		if len(list) != 2 || list[0].Number != 1 || list[0].Runs != 6 || list[0].Held != 70*time.Minute || list[1].Runs != 3 || list[1].Held != 40*time.Minute {
			t.Errorf("%+v", list)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestHugeRoutesHavePages(t *testing.T) {
	pages, conn := seededRoutes(t)
	var hops []string
	for i := range 255 {
		hops = append(hops, fmt.Sprintf("10.%d.%d.1/10.%d.%d.2", i, i, i, i))
	}
	traced{20, "03-29 11:01", "03-29 11:41", 10 * time.Minute, strings.Join(hops, " "), true, 0}.store(t, conn)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	for _, target := range []string{"/routes", "/routes/20", "/routes/20?run=2026-03-29T11:01:00Z", "/hop/10.200.200.2", "/topology?node=core-router&range=1d", "/topology.svg"} {
		begin := time.Now()
		page(t, h, target)
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("%s took %s", target, took)
		}
	}
	if body := page(t, h, "/topology?node=core-router&range=1d"); !strings.Contains(body, "too many for a picture") {
		t.Error("five hundred routers are drawn")
	}
}

func TestTooManyRoutersAreDrawnByAS(t *testing.T) {
	pages, conn := seededRoutes(t)
	var hops []string
	for i := range 250 {
		hops = append(hops, fmt.Sprintf("10.%d.0.1", i))
	}
	run(t, conn, `DELETE FROM routedata WHERE toolspec_id = 20`)
	run(t, conn, `DELETE FROM routeno WHERE toolspec_id = 20`)
	traced{20, "03-29 12:00", "03-29 12:00", 10 * time.Minute, strings.Join(hops, " "), true, 0}.store(t, conn)
	run(t, conn, `INSERT INTO asn (address, asn, asn_source, asn_at) SELECT ('10.' || i || '.0.1')::inet, 65000 + i / 50, 'table', now() FROM generate_series(0, 249) i`)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	var got struct {
		Nodes []struct {
			Kind string
			AS   int
		}
	}
	if err := json.Unmarshal([]byte(page(t, h, "/topology.json")), &got); err != nil {
		t.Fatal(err)
	}
	systems := 0
	for _, n := range got.Nodes {
		if n.Kind == "router" {
			t.Errorf("a router: %+v", n)
		}
		if n.AS >= 65000 {
			systems++
		}
	}
	if systems != 5 {
		t.Errorf("%d of 5 ASes", systems)
	}
	// One pair alone that is too much for a picture of routers still is one of ASes.
	if body := page(t, h, "/topology?monhost=paris&node=core-router"); !strings.Contains(body, "AS 65004") {
		t.Error("the ASes are not drawn")
	}
}

func TestHopsAreCountedFromTheFirstTTL(t *testing.T) {
	pages, conn := seededRoutes(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	csv := page(t, h, "/hopchart/62.40.98.77.csv")
	run(t, conn, `UPDATE routedata SET first_ttl = 4 WHERE toolspec_id = 12`)
	run(t, conn, `UPDATE routeno SET first_ttl = 4 WHERE toolspec_id = 12`)
	if after := page(t, h, "/hopchart/62.40.98.77.csv"); after != csv {
		t.Errorf("the chart of a hop has other numbers:\n%s\nthey were\n%s", after, csv)
	}
	for target, want := range map[string][]string{
		"/hop/62.40.98.77":                    {`<td class="n" data-l="Hop">8</td>`},
		"/hop/192.0.2.1":                      {"hops that are silent or were not asked"},
		"/hop/198.51.100.37":                  {`<td class="n" data-l="Hop">6</td>`},
		"/routes/12":                          {`<td class="n" data-l="Hop">11</td>`, "hop 8 moved from AS 20965 (GEANT) to AS 1299", `data-l="Hops">11</td>`, `<td>8</td>`},
		"/routes?day=2026-03-29":              {"hop 8 moved from AS 20965 (GEANT) to AS 1299", "11 hops"},
		"/topology.json?node=fermilab":        {`"hops_from":3`},
		"/routes/12?a=1&b=2":                  {"2 hops differ"},
		"/topology.csv?monhost=paris":         {"193.51.178.1"},
		"/hopchart/62.40.98.77.csv":           {"runs"},
		"/routes/12?run=2026-03-29T11:00:00Z": {`<td class="n" data-l="Hop">4</td>`},
	} {
		body := page(t, h, target)
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s does not say %q", target, w)
			}
		}
	}
}

// With option share most runs ask few hops themselves; whom their route has there, and
// beside it, the runs before them tell.
func TestArmsAreThoseOfTheNewestRunThatAsked(t *testing.T) {
	pages, conn := seededRoutes(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	const news = "/routes.json?day=2026-03-29&node=slac"
	two := "192.0.2.1 198.51.100.1 198.51.100.33/198.51.100.37 62.40.98.5 203.0.113.50"
	other := strings.Replace(two, "198.51.100.33/198.51.100.37", "198.51.100.37/198.51.100.33", 1)
	run(t, conn, `DELETE FROM routedata WHERE toolspec_id = 15`)
	for i, hops := range []string{two, other, two, other, two, other} {
		at := fmt.Sprintf("03-29 11:%d0", i)
		traced{15, at, at, time.Minute, hops, true, 0}.store(t, conn)
	}
	before, picture, hop := page(t, h, news), page(t, h, "/topology.csv?node=slac"), page(t, h, "/hop/198.51.100.37")
	if strings.Contains(before, `"news":true`) {
		t.Fatal(before)
	}
	// The same, but the last run of each route asked nobody at the first three hops.
	run(t, conn, `UPDATE routedata SET hop_asked = '{0,0,0,3,3}' WHERE toolspec_id = 15 AND due_at >= '2026-03-29 11:40+00'`)
	run(t, conn, `UPDATE routedata SET hop_addresses = '{{NULL,NULL,NULL},{NULL,NULL,NULL},{NULL,NULL,NULL},{62.40.98.5,62.40.98.5,62.40.98.5},{203.0.113.50,203.0.113.50,203.0.113.50}}',
		hop_rtts_us = '{{NULL,NULL,NULL},{NULL,NULL,NULL},{NULL,NULL,NULL},{8100,8100,8100},{14400,14400,14400}}' WHERE toolspec_id = 15 AND hop_asked IS NOT NULL`)
	if after := page(t, h, news); after != before {
		t.Errorf("the grid says\n%s\nand said before\n%s", after, before)
	}
	nodes := func(csv string) (out []string) {
		for line := range strings.Lines(csv) {
			for f := range strings.SplitSeq(line, ",") {
				if strings.HasPrefix(f, "198.51.100.") {
					out = append(out, f)
				}
			}
		}
		return out
	}
	if after := page(t, h, "/topology.csv?node=slac"); !slices.Equal(nodes(after), nodes(picture)) || len(nodes(picture)) == 0 {
		t.Errorf("the picture has\n%s\nand had before\n%s", after, picture)
	}
	crossed := regexp.MustCompile(`routes/15">routes</a>.*?data-l="Round trip">[\d.]+ ms`)
	if after := page(t, h, "/hop/198.51.100.37"); !crossed.MatchString(hop) || !crossed.MatchString(after) {
		t.Error("spec 15 crosses the second arm, as the run before its last showed")
	}
}

func TestChartOfAHopReadsNotAllRuns(t *testing.T) {
	usual := chartRuns
	defer func() { chartRuns = usual }()
	chartRuns = 400
	pages, _ := seededRoutes(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	if body := page(t, h, "/hop/198.51.100.33?range=30h"); !strings.Contains(body, "seen last are drawn: the chart reads 400 runs at most") {
		t.Error("it is not said that not all is drawn")
	}
	if body := page(t, h, "/hop/193.51.180.2?range=30h"); strings.Contains(body, "seen last are drawn") == false {
		t.Error("of three routes of 800 runs one is drawn, and that is said")
	}
}

func TestTwoRoutesAreSetSideBySideAsTheWordsTellThem(t *testing.T) {
	pages, _ := seededRoutes(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	body := page(t, h, "/routes/16?a=1&b=122")
	for _, want := range []string{"hop 6 is new: 193.51.190.7", "1 hop differs;", "<td>6 → 7</td>"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not told", want)
		}
	}
}

func TestWayBackIsToldByTheTTLThatIsLeft(t *testing.T) {
	for ttl, want := range map[int]int{255: 1, 250: 6, 64: 1, 52: 13, 128: 1, 120: 9, 65: 64} {
		if got := wayBack(ttl); got != want {
			t.Errorf("%d left: %d hops, want %d", ttl, got, want)
		}
	}
}

func TestRunTellsWhatTheEngineSaysBesideTheHops(t *testing.T) {
	pages, _ := seededRoutes(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	body := page(t, h, "/routes/18?run=2026-03-29T11:00:00Z")
	for _, want := range []string{"udp", "a confidence of 0.95", "MTU 1400 bytes, larger packets end behind hop 3", "nat", "qttl=0", "in index=7 name=xe-0/0/1 mtu=9000", "≠ 5"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not told", want)
		}
	}
}

// Where all paths are looked for flows are not asked at every hop, and what runs share is told.
func TestFlowThatWasNotAskedIsNotLost(t *testing.T) {
	pages, conn := seededRoutes(t)
	run(t, conn, `UPDATE routedata SET hop_asked = '{1,0,3,3,3,3,3}', hop_addresses[1][2] = NULL, hop_addresses[1][3] = NULL,
		hop_addresses[2][1] = NULL, hop_addresses[2][2] = NULL, hop_addresses[2][3] = NULL WHERE toolspec_id = 19`)
	if err := pages.Read(t.Context(), func(r *store.Reading) error {
		hops, _, err := r.RouteHops(t.Context(), 19, 1, asOf.Add(-time.Hour), asOf, 10)
		if err == nil && (len(hops) != 7 || hops[0].Probes != hops[0].Answered || hops[0].Probes == 0 || hops[1].Probes != 0 || len(hops[1].Addresses) != 1) {
			t.Errorf("%+v", hops)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAddressWithAMaskStopsNoPage(t *testing.T) {
	pages, conn := seededRoutes(t)
	run(t, conn, `UPDATE routedata SET hops[2] = '198.51.100.1/24', hop_addresses[2][1] = '198.51.100.1/24', address = '203.0.113.99/24' WHERE toolspec_id = 13`)
	run(t, conn, `UPDATE routeno SET hops[2] = '198.51.100.1/24' WHERE toolspec_id = 13`)
	run(t, conn, `UPDATE asn SET address = '198.51.100.1/24' WHERE address = '198.51.100.1'`)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	for _, target := range []string{"/routes", "/routes/13", "/hop/198.51.100.1", "/hop/131.169.1.1", "/topology", "/topology?range=7d"} {
		page(t, h, target)
	}
}

func TestChartOfAHopIsNoLongerThanItIsKnown(t *testing.T) {
	pages, conn := seededRoutes(t)
	traced{20, "03-29 11:51", "03-29 11:59", time.Minute, "192.0.2.254 10.7.7.7 192.0.2.1", true, 0}.store(t, conn)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	if body := page(t, h, "/hop/10.7.7.7"); !strings.Contains(body, "2026-03-29 13:30:30") || !strings.Contains(body, `<dt>runs over it</dt><dd>9</dd>`) {
		t.Error("a quarter of an hour is shown in thirty hours")
	}
	if body := page(t, h, "/hop/10.7.7.7?range=30h"); !strings.Contains(body, "2026-03-28 07:00:30") {
		t.Error("who asks for thirty hours gets them")
	}
}

func TestMarksOfADayHaveALimit(t *testing.T) {
	usual := mostMarks
	defer func() { mostMarks = usual }()
	mostMarks = 20
	pages, _ := seededRoutes(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest("GET", "/routes.json?day=2026-03-29", nil))
	if answer.Code != 400 || !strings.Contains(answer.Body.String(), "ask for a monhost, a node or a label") {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}
