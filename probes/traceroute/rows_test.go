package traceroute

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sonde/internal/measure"
	"sonde/internal/pgtest"
	"sonde/probes"
)

var noEnv probes.Env

// exampleRow is a route with all there can be in a row.
func exampleRow(t *testing.T) []any {
	t.Helper()
	p := plan{firstTTL: 1, maxTTL: 12, probes: 2, parallel: 4, maxSilent: 3, all: true, mtu: true}
	found := walk(t, p, func(hop, n, try int) slot {
		if hop == 0 && n == 1 {
			return slot{}
		}
		s := chain("1 * 3!")(hop, n, try)
		if hop == 0 {
			s.ttl, s.labels = 255, "L=16004,E=0,S=1,T=1"
			s.interfaces, s.notes = "in index=7 name=xe-0/0/1", "nat,qttl=0"
		}
		return s
	})
	found.errnos["EPERM"] = 2
	found.confidence, found.mtu, found.mtuHop = 0.96875, 1400, 2
	return rowOf(p, found)
}

// oneRow is a source for COPY.
type oneRow struct {
	values []any
	given  bool
}

func (o *oneRow) Next() bool {
	given := o.given
	o.given = true
	return !given
}
func (o *oneRow) Values() ([]any, error) { return o.values, nil }
func (o *oneRow) Err() error             { return nil }

func TestRowFitsTheTableByCopyAndByJSON(t *testing.T) {
	pool := pgtest.New(t)
	due := time.Now().UTC().Truncate(time.Second)
	columns := append([]string{"toolspec_id", "due_at", "outcome"}, Tool().Columns...)
	store := func(id int, row []any) {
		t.Helper()
		if _, err := pool.CopyFrom(t.Context(), []string{"routedata"}, columns, &oneRow{values: append([]any{id, due, "ok"}, row...)}); err != nil {
			t.Fatal(err)
		}
	}
	row := exampleRow(t)
	store(1, row)
	// As the spool keeps it.
	object := map[string]any{"toolspec_id": 2, "due_at": due, "outcome": "ok"}
	for i, name := range Tool().Columns {
		object[name] = row[i]
	}
	spooled, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Join(columns, ", ")
	if _, err := pool.Exec(t.Context(), `INSERT INTO routedata (`+names+`) SELECT `+names+` FROM jsonb_populate_record(NULL::routedata, $1)`, spooled); err != nil {
		t.Fatal(err)
	}
	want := "[icmp 1 {192.0.2.1,NULL,192.0.2.3} {{192.0.2.1,NULL},{NULL,NULL},{192.0.2.3,192.0.2.3}} {{1000,NULL},{NULL,NULL},{0,0}} " +
		"{{NULL,NULL},{NULL,NULL},{!H,!H}} 3 false <nil> unreachable !H from 192.0.2.3 {\"EPERM\": 2} " +
		"{{255,NULL},{NULL,NULL},{NULL,NULL}} {{\"L=16004,E=0,S=1,T=1\",NULL},{NULL,NULL},{NULL,NULL}} " +
		"{{\"in index=7 name=xe-0/0/1\",NULL},{NULL,NULL},{NULL,NULL}} {{\"nat,qttl=0\",NULL},{NULL,NULL},{NULL,NULL}} {2,2,2} 0.96875 1400 2]"
	texts := make([]string, len(Tool().Columns))
	for i, name := range Tool().Columns {
		texts[i] = name + "::text"
	}
	for id := 1; id <= 2; id++ {
		var got []any
		values := make([]*string, len(texts))
		into := make([]any, len(texts))
		for i := range values {
			into[i] = &values[i]
		}
		if err := pool.QueryRow(t.Context(), `SELECT `+strings.Join(texts, ", ")+` FROM routedata WHERE toolspec_id = $1`, id).Scan(into...); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if v == nil {
				got = append(got, nil)
			} else {
				got = append(got, *v)
			}
		}
		if fmt.Sprint(got) != want {
			t.Errorf("row %d is\n%v, want\n%s", id, got, want)
		}
	}
	// A route that ended at the target, and one nobody answered on.
	store(3, rowOf(plan{firstTTL: 1}, walk(t, plan{firstTTL: 1, maxTTL: 3, probes: 3, parallel: 3, maxSilent: 3}, chain("T"))))
	store(4, rowOf(plan{firstTTL: 1}, walk(t, plan{firstTTL: 1, maxTTL: 3, probes: 3, parallel: 3, maxSilent: 3}, chain("*"))))
	var numbered, reached int
	if err := pool.QueryRow(t.Context(), `SELECT count(route_no), count(*) FILTER (WHERE reached AND rtt_ms = 1) FROM routedata`).Scan(&numbered, &reached); err != nil {
		t.Fatal(err)
	}
	if numbered != 3 || reached != 1 {
		t.Errorf("%d routes have numbers, %d reached the target; want 3 and 1", numbered, reached)
	}
}

func TestPrintedLikeTraceroute(t *testing.T) {
	row := exampleRow(t)
	want := ` 1  192.0.2.1  1.000 ms <MPLS:L=16004,E=0,S=1,T=1> <in index=7 name=xe-0/0/1> [nat,qttl=0]
 2  *
 3  192.0.2.3  0.000 ms !H
all paths, with a confidence of 96.9 %
path MTU 1400, larger packets end behind hop 2
ended: unreachable !H from 192.0.2.3
refused by our own kernel: 2 EPERM
`
	if got := printRow(row); got != want {
		t.Errorf("printed\n%s, want\n%s", got, want)
	}
	row[slices.Index(columns(), "confidence")], row[slices.Index(columns(), "mtu")] = nil, nil
	want = ` 1  192.0.2.1  1.000 ms <MPLS:L=16004,E=0,S=1,T=1> <in index=7 name=xe-0/0/1> [nat,qttl=0] *
 2  * *
 3  192.0.2.3  0.000 ms !H  0.000 ms !H
ended: unreachable !H from 192.0.2.3
refused by our own kernel: 2 EPERM
`
	if got := printRow(row); got != want {
		t.Errorf("printed\n%s, want\n%s", got, want)
	}
}

func TestCheckForNagios(t *testing.T) {
	state, text, data := perf(exampleRow(t))
	if state != 2 || text != "target not reached, ended after 3 hops: unreachable !H from 192.0.2.3 (2 EPERM)" || data != "hops=3 reached=0 rta=U" {
		t.Errorf("%d %q %q", state, text, data)
	}
	p := plan{firstTTL: 1, maxTTL: 3, probes: 1, parallel: 1, maxSilent: 3}
	state, text, data = perf(rowOf(p, walk(t, p, chain("T"))))
	if state != 0 || text != "target reached, 1 hop, rta 1 ms" || data != "hops=1 reached=1 rta=1.000ms" {
		t.Errorf("%d %q %q", state, text, data)
	}
}

func TestDescribedInOneLine(t *testing.T) {
	for spec, want := range map[string]string{
		`{}`: "ICMP, TTL 1 to 30, 3 packets of 60 bytes each, 6 hops at a time, ends after 5 silent hops",
		`{"method":"udp","probes":1,"parallel":1,"max_silent":1}`: "UDP to port 33434, TTL 1 to 30, 1 packet of 60 bytes each, 1 hop at a time, ends after 1 silent hop",
	} {
		o, err := measure.ReadOptions(options(), json.RawMessage(spec))
		if err != nil {
			t.Fatal(err)
		}
		if got := Tool().Describe(o); got != want {
			t.Errorf("%s: %q", spec, got)
		}
	}
}
