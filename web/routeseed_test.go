package web

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sonde/internal/store"
)

// probesAHop is how many flows the seed's traceroutes have.
const probesAHop = 3

// traced stores runs of a traceroute. Hops are one word each: an address, two
// arms "a/b", "*"; behind "!" a code, behind "L" an MPLS label.
type traced struct {
	spec        int64
	from, until string
	every       time.Duration
	hops        string
	reached     bool
	slower      float64 // ms more than usual
}

func (r traced) store(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	from, err := time.Parse("01-02 15:04", r.from)
	until, err2 := time.Parse("01-02 15:04", r.until)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	from, until = from.AddDate(2026, 0, 0), until.AddDate(2026, 0, 0)
	words := strings.Fields(r.hops)
	var hops, addresses, codes, labels []string
	var base []float64
	labelled := false
	for i, w := range words {
		w, label, _ := strings.Cut(w, "L")
		w, code, _ := strings.Cut(w, "!")
		arms := strings.Split(w, "/")
		first := arms[0]
		if first == "*" {
			first = "NULL"
		}
		hops = append(hops, first)
		var a, c, l []string
		for p := range probesAHop {
			arm := arms[p%len(arms)]
			if arm == "*" {
				arm = "NULL"
			}
			a = append(a, arm)
			c, l = append(c, "NULL"), append(l, "NULL")
			if code != "" {
				c[p] = `"` + code + `"`
				if code != "cksum" {
					c[p] = `"!` + code + `"`
				}
			}
			if label != "" {
				l[p], labelled = `"L=`+label+`,E=0,S=1,T=1"`, true
			}
		}
		addresses, codes, labels = append(addresses, "{"+strings.Join(a, ",")+"}"), append(codes, "{"+strings.Join(c, ",")+"}"), append(labels, "{"+strings.Join(l, ",")+"}")
		base = append(base, 0.4+float64(i*i)*0.9+r.slower*float64(i)/float64(len(words)))
	}
	list := func(of []string) string { return "{" + strings.Join(of, ",") + "}" }
	var stack any
	if labelled {
		stack = list(labels)
	}
	batch := &pgx.Batch{}
	n := 0
	for at := from; !at.After(until); at = at.Add(r.every) {
		n++
		var rtts, ttls []string
		for i, a := range addresses {
			var v, b []string
			for p := range probesAHop {
				if strings.Split(strings.Trim(a, "{}"), ",")[p] == "NULL" {
					v, b = append(v, "NULL"), append(b, "NULL")
					continue
				}
				v = append(v, fmt.Sprint(int(base[i]*1000*(1+0.1*float64((n*7+p*3+i)%5)/5))))
				back := i
				if i == 4 {
					back += 3 // a longer way back
				}
				b = append(b, fmt.Sprint(255-back))
			}
			rtts, ttls = append(rtts, "{"+strings.Join(v, ",")+"}"), append(ttls, "{"+strings.Join(b, ",")+"}")
		}
		end, rtt := "target", any(base[len(base)-1])
		if !r.reached {
			end, rtt = "silent", nil
		}
		batch.Queue(`INSERT INTO routedata (toolspec_id, due_at, started_at, took_ms, outcome, attempt, address, method, first_ttl, hops, hop_addresses, hop_rtts_us, hop_codes, hop_ttls, hop_labels, hop_count, reached, rtt_ms, end_reason)
			VALUES ($1, $2, $2, 900, 'ok', 1, '203.0.113.99', 'icmp', 1, $3::text::inet[], $4::text::inet[], $5::text::int[], $6::text::text[], $7::text::int[], $8::text::text[], $9, $10, $11, $12)`,
			r.spec, at, list(hops), list(addresses), list(rtts), list(codes), list(ttls), stack, len(hops), r.reached, rtt, end)
	}
	if err := conn.SendBatch(context.Background(), batch).Close(); err != nil {
		t.Fatal(err)
	}
}

// seededRoutes adds to the seed what pages of routes show: two monitoring hosts,
// changes, silent hops, load balancing, names and ASes, failures, a stretch missed.
func seededRoutes(t testing.TB) (*store.Pages, *pgx.Conn) {
	t.Helper()
	pages, conn := seeded(t)
	run(t, conn, `SELECT sonde_make_partitions('routedata', '2026-03-20', '2026-03-26')`)
	run(t, conn, `INSERT INTO nodes (name, address, site) VALUES ('paris', '192.0.2.200', 'Paris')`)
	run(t, conn, `INSERT INTO monhosts (name, tools, version, described, last_seen_at) VALUES ('paris', '{ping,traceroute}', '0.1.0', 'host paris', $1)`, asOf.Add(-3*time.Second))
	for _, s := range [][4]string{{"lab", "fermilab", "", "10 minutes"}, {"lab", "desy", "", "10 minutes"}, {"lab", "kek", "", "10 minutes"}, {"lab", "slac", "", "10 minutes"},
		{"lab", "in2p3", "each minute", "1 minute"}, {"lab", hostile, "", "30 minutes"}, {"paris", "cern", "", "10 minutes"}, {"paris", "fermilab", "", "10 minutes"}, {"paris", "core-router", "", "10 minutes"}} {
		run(t, conn, `INSERT INTO toolspecs (monhost, node, label, tool, run_interval) VALUES ($1, $2, $3, 'traceroute', $4::text::interval)`, s[0], s[1], s[2], s[3]) // 12 to 20
	}
	run(t, conn, `SET session_replication_role = replica`)
	run(t, conn, `UPDATE toolspecs SET timing_since = '2026-02-26' WHERE id >= 12`)
	run(t, conn, `SET session_replication_role = origin`)
	const ten = 10 * time.Minute
	lab := "192.0.2.1 198.51.100.1 198.51.100.33/198.51.100.37 "
	for _, r := range []traced{
		// fermilab: GEANT to ESnet through two arms, then through another AS for a while.
		{12, "03-27 00:00", "03-29 03:00", ten, lab + "62.40.98.1L16004 62.40.98.77L16011 198.124.80.9 198.124.218.2 131.225.1.1", true, 0},
		{12, "03-29 03:10", "03-29 05:00", ten, lab + "62.40.98.1L16004 80.91.246.1 80.91.249.9 198.124.218.2 131.225.1.1", true, 34},
		{12, "03-29 05:10", "03-29 12:00", ten, lab + "62.40.98.1L16004 62.40.98.77L16011 198.124.80.9 198.124.218.2 131.225.1.1", true, 0},
		// desy: a hop that is always silent, one that is at times; the same AS, the last octet, a stutter.
		{13, "03-28 00:00", "03-29 01:50", ten, lab + "* 188.1.144.9 131.169.1.1", true, 0},
		{13, "03-29 02:00", "03-29 03:50", ten, lab + "* 188.1.144.10 131.169.1.1", true, 0},
		{13, "03-29 04:00", "03-29 05:50", ten, lab + "* 188.1.230.5 131.169.1.1", true, 0},
		{13, "03-29 06:00", "03-29 06:20", ten, "192.0.2.1 * 198.51.100.33/198.51.100.37 * 188.1.230.5 131.169.1.1", true, 0},
		{13, "03-29 06:30", "03-29 08:50", ten, lab + "* 188.1.230.5 131.169.1.1", true, 0},
		{13, "03-29 09:00", "03-29 09:20", ten, lab + "188.1.230.5 188.1.230.5 131.169.1.1", true, 0},
		{13, "03-29 09:30", "03-29 12:00", ten, lab + "* 188.1.230.5 131.169.1.1!cksum", true, 0},
		// kek: never answers at the end; a code for a while.
		{14, "03-28 12:00", "03-29 07:50", ten, lab + "62.40.98.1 150.99.89.1 150.99.90.6", false, 0},
		{14, "03-29 08:00", "03-29 08:50", ten, lab + "62.40.98.1 150.99.89.1 150.99.90.6!X", false, 0},
		{14, "03-29 09:00", "03-29 12:00", ten, lab + "62.40.98.1 150.99.89.1 150.99.90.6", false, 0},
		// in2p3: each minute.
		{16, "03-28 22:00", "03-29 08:29", time.Minute, lab + "62.40.98.5 193.51.180.2 134.158.1.1", true, 0},
		{16, "03-29 08:30", "03-29 08:34", time.Minute, lab + "62.40.98.5 193.51.180.2 193.51.190.7 134.158.1.1", true, 0},
		{16, "03-29 08:35", "03-29 12:00", time.Minute, lab + "62.40.98.5 193.51.180.2 134.158.1.1", true, 0},
		{17, "03-29 00:00", "03-29 12:00", 30 * time.Minute, lab + "203.0.113.66", true, 0},
		{18, "03-28 00:00", "03-29 04:40", ten, "192.0.2.254 193.51.178.1 62.40.98.5 198.51.100.9 203.0.113.7", true, 0},
		{18, "03-29 04:50", "03-29 12:00", ten, "192.0.2.254 193.51.178.1 * * 198.51.100.9 203.0.113.7", true, 0},
		{19, "03-28 00:00", "03-29 03:00", ten, "192.0.2.254 193.51.178.1 62.40.98.5 62.40.98.77L16011 198.124.80.9 198.124.218.2 131.225.1.1", true, 0},
		{19, "03-29 03:10", "03-29 05:00", ten, "192.0.2.254 193.51.178.1 62.40.98.5 80.91.246.1 80.91.249.9 198.124.218.2 131.225.1.1", true, 20},
		{19, "03-29 05:10", "03-29 12:00", ten, "192.0.2.254 193.51.178.1 62.40.98.5 62.40.98.77L16011 198.124.80.9 198.124.218.2 131.225.1.1", true, 0},
		{20, "03-28 12:00", "03-29 12:00", ten, "192.0.2.254 193.51.178.1 62.40.98.5 198.51.100.1 192.0.2.1", true, 0},
	} {
		r.store(t, conn)
	}
	// Over a hundred routes lie behind in2p3's minute by minute.
	run(t, conn, `SET session_replication_role = replica`)
	run(t, conn, `UPDATE routedata SET route_no = route_no + 120 WHERE toolspec_id = 16 AND route_no > 1`)
	run(t, conn, `UPDATE routeno SET route_no = route_no + 120 WHERE toolspec_id = 16 AND route_no > 1`)
	run(t, conn, `SET session_replication_role = origin`)
	bad := func(spec int64, outcome, reason, from, until string) {
		run(t, conn, `DELETE FROM routedata WHERE toolspec_id = $1 AND due_at BETWEEN $2 AND $3`, spec, from, until)
		run(t, conn, `INSERT INTO routedata (toolspec_id, due_at, outcome, reason) SELECT $1, at, $2, $3 FROM generate_series($4::timestamptz, $5::timestamptz, '10 minutes') at`, spec, outcome, reason, from, until)
	}
	bad(15, "fail", `resolve "www.slac.example": no such host`, "2026-03-28 00:00+00", "2026-03-29 10:50+00")
	bad(15, "fail", "time_to_run is over (30s): context deadline exceeded", "2026-03-29 11:00+00", "2026-03-29 11:20+00")
	bad(15, "fail", "the worker may not open raw sockets", "2026-03-29 11:30+00", "2026-03-29 12:00+00")
	bad(12, "missed", "the worker was down", "2026-03-29 06:00+00", "2026-03-29 07:20+00")
	run(t, conn, `DELETE FROM routedata WHERE toolspec_id = 12 AND due_at BETWEEN '2026-03-29 09:10+00' AND '2026-03-29 10:20+00'`)
	run(t, conn, `INSERT INTO gaps (toolspec_id, from_at, until_at, runs, reason, stored_at) VALUES (12, '2026-03-29 09:10+00', '2026-03-29 10:20+00', 8, 'no scheduler was leading', '2026-03-29 10:30+00')`)
	for _, a := range []struct {
		address, name string
		asn           int
	}{{"198.51.100.1", "gw.lab.example", 64500}, {"198.51.100.33", "ecmp-a.lab.example", 64500}, {"198.51.100.37", "ecmp-b.lab.example", 64500}, {"198.51.100.9", "ext.cern.example", 513},
		{"62.40.98.1", "ae1.mx1.ham.de.geant.example", 20965}, {"62.40.98.5", "ae3.mx1.par.fr.geant.example", 20965}, {"62.40.98.77", "ae7.mx1.lon.uk.geant.example", 20965},
		{"80.91.246.1", "hbg-b1-link.arelion.example", 1299}, {"80.91.249.9", "nyk-bb2-link.arelion.example", 1299}, {"198.124.80.9", "newy-cr6.es.example", 293}, {"198.124.218.2", "fnal-mr2.es.example", 293},
		{"131.225.1.1", "www.fnal.example", 3152}, {"188.1.144.9", "cr-han2.x-win.example", 680}, {"188.1.144.10", "cr-han3.x-win.example", 680}, {"188.1.230.5", "kr-desy1.x-win.example", 680},
		{"131.169.1.1", "www.desy.example", 680}, {"150.99.89.1", "tokyo-dc.sinet.example", 2907}, {"150.99.90.6", "", 2907}, {"193.51.180.2", "te0-renater-lyon.example", 2200}, {"193.51.178.1", "te1-renater-paris.example", 2200},
		{"193.51.190.7", "", 2200}, {"134.158.1.1", "www.in2p3.example", 789}, {"203.0.113.7", "www.cern.example", 513}, {"203.0.113.66", hostile, 64666}} {
		run(t, conn, `INSERT INTO asn (address, asn, asn_source, asn_at, name, name_at) VALUES ($1, $2, 'table', $3, nullif($4, ''), $3)`, a.address, a.asn, asOf.AddDate(0, 0, -2), a.name)
	}
	for n, name := range map[int]string{64500: "LAB", 513: "CERN", 20965: "GEANT", 1299: "ARELION", 293: "ESNET", 3152: "FNAL", 680: "DFN", 2907: "SINET", 2200: "RENATER", 789: "IN2P3", 64666: "<b>AS</b>"} {
		run(t, conn, `INSERT INTO asninfo (asn, name, country, source) VALUES ($1, $2, $3, 'table')`, n, name, map[bool]string{true: "US", false: "DE"}[n == 293 || n == 3152])
	}
	run(t, conn, `UPDATE pingdata SET rtt_min_ms = rtt_min_ms + 34, rtt_median_ms = rtt_median_ms + 34, rtt_mean_ms = rtt_mean_ms + 34, rtt_max_ms = rtt_max_ms + 34 WHERE toolspec_id = 2 AND due_at BETWEEN '2026-03-29 03:08+00' AND '2026-03-29 05:04+00'`)
	// What the engine says beside the hops.
	run(t, conn, `UPDATE routedata SET method = 'udp', confidence = 0.95, mtu = 1400, mtu_hop = 3, hop_notes = '{{NULL,NULL,NULL},{nat,nat,NULL},{NULL,NULL,NULL},{NULL,NULL,NULL},{NULL,NULL,NULL},{"qttl=0",NULL,NULL}}',
		hop_interfaces = '{{NULL,NULL,NULL},{NULL,NULL,NULL},{NULL,NULL,NULL},{NULL,NULL,NULL},{"in index=7 name=xe-0/0/1 mtu=9000",NULL,NULL},{NULL,NULL,NULL}}' WHERE toolspec_id = 18 AND due_at > '2026-03-29 05:00+00'`)
	note := func(spec int64, monhost, node, at, text, changes string) {
		run(t, conn, `INSERT INTO newalerts (toolspec_id, monhost, node, tool, rule, kind, severity, at, decision, text, evidence) VALUES ($1, $2, $3, 'traceroute', 'route', 'note', 'info', $4, 'note', $5, jsonb_build_object('changes', $6::jsonb))`,
			spec, monhost, node, at, text, changes)
	}
	away := `[{"hop": 5, "from": "62.40.98.77", "to": "80.91.246.1", "class": "other AS"}, {"hop": 6, "from": "198.124.80.9", "to": "80.91.249.9", "class": "other AS"}]`
	note(12, "lab", "fermilab", "2026-03-29 03:10+00", "hops 5–6 now run through AS 1299 (ARELION) instead of AS 20965 (GEANT), +14 ms", away)
	note(19, "paris", "fermilab", "2026-03-29 03:10+00", "hops 4–5 now run through AS 1299 (ARELION) instead of AS 20965 (GEANT), +9 ms", away)
	note(18, "paris", "cern", "2026-03-29 04:50+00", "hop 3 fell silent", `[{"hop": 3, "from": "62.40.98.5", "to": "*"}]`)
	run(t, conn, `ANALYZE`)
	return pages, conn
}
