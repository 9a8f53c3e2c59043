package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"sonde/internal/lab"
)

// Real routers between: one that balances, two arms, one that joins them. To
// the target's IPv4 address the first router takes one arm; to its IPv6 address
// both, by flow.
//
//	         ┌─ arm1 ─┐
//	src ─ first        last ─ dst
//	         └─ arm2 ─┘
func TestRoutesOfRealRoutersGiveOneChangeAndOneAlarmEach(t *testing.T) {
	network := lab.New(t)
	here, routers, target := network.Diamond(2)
	first, arms := routers[0], routers[1:3]
	first.Via(lab.One(target.V4()), arms[0].V4())

	state := filepath.Join(t.TempDir(), "state")
	upReadyIn(t, here, state)
	db := connect(t, state)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := db.Exec(t.Context(), sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	ask := func(sql string, args ...any) (text string) {
		t.Helper()
		if err := db.QueryRow(t.Context(), sql, args...).Scan(&text); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return text
	}
	wait := func(want, sql string, args ...any) {
		t.Helper()
		got := ""
		t.Cleanup(func() {
			if t.Failed() && got != want {
				t.Logf("got  %s\nwant %s", got, want)
			}
		})
		until(t, want, func() bool { got = ask(sql, args...); return got == want })
	}
	now := func() string { return ask(`SELECT now()::text`) }
	// judged waits until n runs of a spec since an instant are judged.
	judged := func(spec, n int, from string) {
		t.Helper()
		until(t, "runs that are judged", func() bool {
			return ask(`SELECT (count(*) >= $3)::text FROM routedata r JOIN detectors d USING (toolspec_id) WHERE toolspec_id = $1 AND due_at > $2::text::timestamptz AND due_at <= judged_to AND outcome = 'ok'`, spec, from, n) == "true"
		})
	}
	const (
		notes   = `SELECT coalesce(string_agg(text, '|' ORDER BY id), '') FROM newalerts WHERE rule = 'route' AND kind = 'note' AND toolspec_id = $1`
		alarms  = `SELECT coalesce(string_agg(format('%s: %s', text, coalesce(close_text, 'stands')), '|' ORDER BY id), '') FROM alerts WHERE rule = 'route' AND toolspec_id = $1`
		numbers = `SELECT count(*)::text FROM routeno WHERE toolspec_id = $1`
	)
	// The last router answers from the link it was reached by.
	links := network.Links()
	joins := []netip.Addr{links[2].B.V4, links[4].B.V4}
	for address, as := range map[netip.Addr]int{first.V4(): 680, arms[0].V4(): 20965, arms[1].V4(): 1299, joins[0]: 513, joins[1]: 513, target.V4(): 513, arms[0].V6(): 20965, arms[1].V6(): 1299} {
		exec(`INSERT INTO asn (address, asn, asn_source, asn_at) VALUES ($1, $2, 'dns', now())`, address, as)
	}
	exec(`UPDATE rules SET options = '{"learn": "1s"}' WHERE name = 'route'`)
	exec(`INSERT INTO nodes (name, address) VALUES ('one', $1), ('many', $2)`, target.V4().String(), target.V6().String())
	exec(`INSERT INTO toolspecs (node, tool, run_interval, options) VALUES ('one', 'traceroute', '1 second', '{"timeout": "300ms", "probes": 2}'),
		('many', 'traceroute', '1 second', '{"timeout": "300ms", "method": "udp", "probes": 8}')`)
	judged(1, 20, "-infinity")
	judged(2, 20, "-infinity")
	wait("1", numbers, 1)
	wait("1", numbers, 2)
	wait("2", `SELECT count(DISTINCT a)::text FROM routedata, unnest(hop_addresses[2:2][1:8]) a WHERE toolspec_id = 2`) // many flows saw both arms

	// One router gets another address.
	device := strings.Fields(arms[0].Run("ip", "-o", "-4", "addr", "show", "to", arms[0].V4().String()))[1]
	prefix := strings.Fields(arms[0].Run("ip", "-o", "-4", "addr", "show", "to", arms[0].V4().String()))[3]
	exec(`INSERT INTO asn (address, asn, asn_source, asn_at) VALUES ('10.99.0.1', 20965, 'dns', now())`)
	arms[0].Run("ip", "addr", "add", "10.99.0.1/32", "dev", device)
	arms[0].Run("ip", "addr", "del", prefix, "dev", device)
	arms[0].Run("ip", "addr", "add", prefix, "dev", device)
	network.Route()
	first.Via(lab.One(target.V4()), arms[0].V4())
	wait("2", numbers, 1)
	judged(1, 6, now())
	within := fmt.Sprintf("hop 2 moved from %s to 10.99.0.1 within AS 20965", arms[0].V4())
	wait(within, notes, 1)
	wait("", alarms, 1)

	// The way goes through another carrier, and back.
	first.Via(lab.One(target.V4()), arms[1].V4())
	join := "; hop 3 moved from %s to %s within AS 513"
	there, andBack := fmt.Sprintf("hop 2 moved from AS 20965 to AS 1299"+join, joins[0], joins[1]), fmt.Sprintf("hop 2 moved from AS 1299 to AS 20965"+join, joins[1], joins[0])
	left := "route left its history: " + there + "; AS path 680 1299 513, before 680 20965 513"
	wait(left+": stands", alarms, 1)
	first.Via(lab.One(target.V4()), arms[0].V4())
	wait(left+": the old route is back: AS path 680 20965 513", alarms, 1)
	wait(within+"|"+there+"|"+andBack, notes, 1)
	wait("raise clear", `SELECT coalesce(string_agg(kind, ' ' ORDER BY id), '') FROM notices`)

	// The arm that flow 1 takes goes: it takes the other, which is known, and nobody hears of it.
	took := netip.MustParseAddr(ask(`SELECT host(hops[2]) FROM routedata WHERE toolspec_id = 2 AND outcome = 'ok' ORDER BY due_at DESC LIMIT 1`))
	other := arms[0]
	if took == other.V6() {
		other = arms[1]
	}
	first.Via(lab.One(target.V6()), other.V6())
	until(t, "the other arm", func() bool {
		return ask(`SELECT host(hops[2]) FROM routedata WHERE toolspec_id = 2 AND outcome = 'ok' ORDER BY due_at DESC LIMIT 1`) == other.V6().String()
	})
	judged(2, 6, now())
	wait("", notes, 2)
	wait("", alarms, 2)
}
