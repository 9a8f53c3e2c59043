package migrations_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// route stores a run of spec that saw these hops, "-" being a silent one, and gives its number.
func (d *db) route(spec int, hops string, reached bool) string {
	d.Helper()
	return d.routeAt(spec, time.Now(), hops, reached)
}

func (d *db) routeAt(spec int, at time.Time, hops string, reached bool) string {
	d.Helper()
	var list []*string
	for _, h := range strings.Fields(hops) {
		if h == "-" {
			list = append(list, nil)
			continue
		}
		h = "192.0.2." + h
		list = append(list, &h)
	}
	return get[string](d, `INSERT INTO routedata (toolspec_id, due_at, outcome, hops, reached) VALUES ($1, $2, 'ok', $3::text[]::inet[], $4) RETURNING coalesce(route_no::text, 'none')`, spec, at, list, reached)
}

func (d *db) numbers(spec int, want string) {
	d.Helper()
	got := get[string](d, `SELECT string_agg(format('%s:%s:%s', route_no, (SELECT string_agg(coalesce(host(h), '-'), ' ' ORDER BY i) FROM unnest(hops) WITH ORDINALITY x (h, i)), times_seen), ', ' ORDER BY route_no) FROM routeno WHERE toolspec_id = $1`, spec)
	if got = strings.ReplaceAll(got, "192.0.2.", ""); got != want {
		d.Errorf("routes are %q, want %q", got, want)
	}
}

func TestNumberComesBackWhenTheRouteDoes(t *testing.T) {
	d := newDB(t)
	for _, c := range []struct {
		hops    string
		reached bool
		want    string
	}{
		{"1 2 3", true, "1"}, {"1 4 3", true, "2"}, {"1 2 3", true, "1"}, {"1 4 3", true, "2"},
		{"1 2 3", false, "3"},     // not reached is another route, and has a number too
		{"1 2 3 - -", false, "3"}, // silence behind the end says nothing
		{"1 2", true, "4"}, {"1 2 3 4", true, "5"},
		{"- -", false, "none"}, {"", false, "none"},
	} {
		if got := d.route(1, c.hops, c.reached); got != c.want {
			t.Errorf("%q is route %s, want %s", c.hops, got, c.want)
		}
	}
	if got := d.route(2, "1 4 3", true); got != "1" {
		t.Errorf("another spec begins with %s", got)
	}
}

func TestSilentHopsAreWildCardsForAtMostHalfOfTheRoute(t *testing.T) {
	d := newDB(t)
	d.route(1, "1 2 3 4 5", true)
	for _, c := range []struct{ hops, want string }{
		{"1 - 3 4 5", "1"}, {"- - 3 4 5", "1"},
		{"- - - 4 5", "2"}, // three of five are silent
		{"1 - 3 - 6", "3"}, // another end
		{"1 - 9 4 5", "4"}, // another hop
	} {
		if got := d.route(1, c.hops, true); got != c.want {
			t.Errorf("%q is route %s, want %s", c.hops, got, c.want)
		}
	}
	d.numbers(1, "1:1 2 3 4 5:3, 2:- - - 4 5:1, 3:1 - 3 - 6:1, 4:1 - 9 4 5:1")
}

func TestSameHopsGoBeforeAWildCardAndTheMostRecentBeforeOlderOnes(t *testing.T) {
	d := newDB(t)
	at := time.Now().Add(-time.Minute)
	tick := func() time.Time { at = at.Add(time.Second); return at }
	d.routeAt(1, tick(), "1 2 9", true)                         // 1
	d.routeAt(1, tick(), "1 3 9", true)                         // 2
	if got := d.routeAt(1, tick(), "1 - 9", true); got != "2" { // both match, 2 was seen last
		t.Errorf("route %s", got)
	}
	d.routeAt(1, tick(), "1 2 9", true)
	if got := d.routeAt(1, tick(), "1 - 9", true); got != "1" {
		t.Errorf("route %s", got)
	}
	// A stored route with a silent hop is never rewritten by what is learnt later.
	if got := d.routeAt(2, tick(), "1 - 9", true); got != "1" {
		t.Errorf("route %s", got)
	}
	if got := d.routeAt(2, tick(), "1 5 9", true); got != "1" {
		t.Errorf("route %s", got)
	}
	d.numbers(2, "1:1 - 9:2")
	if got := d.routeAt(2, tick(), "1 - 9", true); got != "1" {
		t.Errorf("route %s", got)
	}
	// What comes late does not make a route recent.
	if got := d.routeAt(1, at.Add(-time.Hour), "1 3 9", true); got != "2" {
		t.Errorf("route %s", got)
	}
	if got := d.routeAt(1, tick(), "1 - 9", true); got != "1" {
		t.Errorf("route %s", got)
	}
}

func TestManyWritersMakeOneNumberOfOneRoute(t *testing.T) {
	d := newDB(t)
	var wg sync.WaitGroup
	at := time.Now()
	for w := range 8 {
		wg.Go(func() {
			for i := range 20 {
				var n int
				hops := fmt.Sprintf("{192.0.2.1,192.0.2.%d,192.0.2.9}", 10+i%5)
				if err := d.QueryRow(t.Context(), `INSERT INTO routedata (toolspec_id, due_at, outcome, hops, reached) VALUES (1, $1, 'ok', $2::text::inet[], true) RETURNING route_no`,
					at.Add(time.Duration(w*1000+i)*time.Millisecond), hops).Scan(&n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := get[string](d, `SELECT format('%s %s %s %s', count(*), count(DISTINCT hops), max(route_no), sum(times_seen)) FROM routeno`); got != "5 5 5 160" {
		t.Errorf("%q", got)
	}
	if n := get[int](d, `SELECT count(*)::int FROM routedata d JOIN routeno r USING (toolspec_id, route_no) WHERE d.hops = r.hops`); n != 160 {
		t.Errorf("%d rows carry the number of their hops", n)
	}
}

func TestRouteFromAnotherFirstTTLIsAnotherRoute(t *testing.T) {
	d := newDB(t)
	from := func(minute, ttl int) string {
		return get[string](d, `INSERT INTO routedata (toolspec_id, due_at, outcome, first_ttl, hops, reached) VALUES (1, now() + $1 * interval '1 minute', 'ok', nullif($2, 0), '{192.0.2.1,192.0.2.2}', true) RETURNING route_no::text`, minute, ttl)
	}
	for i, c := range []struct {
		ttl  int
		want string
	}{{0, "1"}, {1, "1"}, {3, "2"}, {1, "1"}, {3, "2"}} {
		if got := from(i, c.ttl); got != c.want {
			t.Errorf("from TTL %d on it is route %s, want %s", c.ttl, got, c.want)
		}
	}
	if got := get[string](d, `SELECT string_agg(first_ttl::text, ' ' ORDER BY route_no) FROM routeno`); got != "1 3" {
		t.Errorf("first TTLs %s", got)
	}
}
