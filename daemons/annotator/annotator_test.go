package annotator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAddressesOfNewResultsGetTheirASAndNames(t *testing.T) {
	w := newWorld(t)
	w.dns.told(func() {
		w.dns.texts["4.4.8.8.origin.test."] = []string{"15169 | 8.8.4.0/24 | US | arin | 1992-12-01"}
		w.dns.texts["AS15169.as.test."] = []string{"15169 | US | arin | 2000-03-30 | GOOGLE, US"}
		w.dns.names["4.4.8.8.in-addr.arpa."] = []string{"dns.google."}
		w.dns.texts["8.8.8.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.8.4.0.6.8.4.1.0.0.2.origin6.test."] = []string{"15169 | 2001:4860::/32 | US | arin | 2005-03-14"}
	})
	w.traced("1.1.1.1", "10.0.0.1", "-", "8.8.4.4", "2001:4860:4860::8888")
	w.start()
	w.until("15169 8.8.4.0/24 dns dns.google", known, "8.8.4.4")
	w.until("15169 2001:4860::/32 dns -", known, "2001:4860:4860::8888")
	w.until("- - dns -", known, "1.1.1.1") // nobody announces it: an answer, too
	w.until("GOOGLE US dns", `SELECT coalesce((SELECT format('%s %s %s', name, country, source) FROM asninfo WHERE asn = 15169 AND looked_up_at IS NOT NULL), '')`)
	w.until("- - - -", known, "10.0.0.1")
	// What comes later is seen, too: one flow of several that met another router,
	// the target of a ping, each address of a name.
	w.exec(`INSERT INTO routedata (toolspec_id, due_at, outcome, hops, hop_addresses) VALUES (1, now(), 'ok', '{9.9.1.1}', '{{9.9.1.1,9.9.1.2},{NULL,9.9.1.3}}')`)
	w.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, address) VALUES (2, now(), 'ok', '9.9.9.9')`)
	w.exec(`INSERT INTO pingdata (toolspec_id, due_at, outcome, address, addresses) VALUES (3, now(), 'ok', '9.9.2.1', '{9.9.2.1,9.9.2.2}')`)
	for _, a := range []string{"9.9.1.1", "9.9.1.2", "9.9.1.3", "9.9.9.9", "9.9.2.1", "9.9.2.2"} {
		w.until("- - dns -", known, a)
	}
	if n := w.dns.times("1.0.0.10"); n != 0 {
		t.Errorf("a private address was asked for %d times", n)
	}
	// The TTL of three days holds.
	if got := w.text(`SELECT (next_at - now() BETWEEN interval '2.6 days' AND interval '3.4 days')::text || ' ' || failures FROM asn WHERE address = '8.8.4.4'`); got != "true 0" {
		t.Errorf("%s: %s", got, w.text(`SELECT next_at - now() || '' FROM asn WHERE address = '8.8.4.4'`))
	}
}

// Transactions commit out of order; what was open during a pass is read later.
func TestResultOfATransactionThatWasLongOpenIsSeen(t *testing.T) {
	w := newWorld(t)
	tx, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), `INSERT INTO routedata (toolspec_id, due_at, outcome, hops) VALUES (7, now(), 'ok', '{8.8.1.1}')`); err != nil {
		t.Fatal(err)
	}
	_, stop := w.start()
	w.traced("8.8.2.2")
	w.until("- - dns -", known, "8.8.2.2")
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.until("- - dns -", known, "8.8.1.1")
	// And what came while no annotator ran.
	stop()
	w.traced("8.8.3.3")
	w.start()
	w.until("- - dns -", known, "8.8.3.3")
	if n := w.dns.times("1.1.8.8.origin"); n != 1 {
		t.Errorf("an address was asked for %d times", n)
	}
}

func TestTableOfTheOperatorWinsAndIsNotAskedFor(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO asprefixes VALUES ('8.8.0.0/16', 15169), ('198.18.0.0/15', 64500)`)
	w.traced("8.9.9.9", "8.8.4.4", "198.18.0.1")
	w.start()
	w.until("15169 8.8.0.0/16 table -", `SELECT coalesce((SELECT format('%s %s %s -', asn, prefix, asn_source) FROM asn WHERE address = '8.8.4.4' AND name_at IS NOT NULL), '')`)
	w.until("- - dns -", known, "8.9.9.9")
	w.until("64500 198.18.0.0/15 table -", known, "198.18.0.1") // also where nobody would be asked
	if n := w.dns.times("4.4.8.8.origin") + w.dns.times("18.198"); n != 0 {
		t.Errorf("%d questions about what the table knows", n)
	}
	w.until("infinity", `SELECT coalesce((SELECT next_at::text FROM asninfo WHERE asn = 64500), '')`) // nobody is given that number
}

// Several announce it: it stays with the one it had. The longest prefix holds,
// and what is told of another address does not.
func TestAnswersAreHeldAgainstTheQuestion(t *testing.T) {
	w := newWorld(t)
	w.dns.told(func() {
		w.dns.texts["1.0.8.8.origin.test."] = []string{"3356 | 8.0.0.0/9 | US | arin | ", "15169 36040 | 8.8.0.0/16 | US | arin | ", "7 | 8.8.0.0/33 | |", "9 | 9.9.9.0/24 | |"}
		w.dns.texts["2.0.8.8.origin.test."] = []string{"15169 | 9.9.9.0/24 | US | arin | "}
		w.dns.texts["3.0.8.8.origin.test."] = []string{strings.Repeat("x", 5000), "15169 | 8.8.0.0/24 | US | arin | "} // truncated: by TCP
		w.dns.loops["4.0.8.8.origin.test."] = true
		w.dns.texts["5.0.8.8.origin.test."] = []string{"\x00\xff|\xfe"}
		w.dns.fails["6.0.8.8.origin.test."] = true
		w.dns.texts["AS36040.as.test."] = []string{"15169 | US | arin | 2000-03-30 | GOOGLE, US"}
		w.dns.names["1.0.8.8.in-addr.arpa."] = []string{"z.example.", "b.example.", "m.example."}
		w.dns.names["2.0.8.8.in-addr.arpa."] = []string{"$(reboot).example."}
	})
	w.exec(`INSERT INTO asn (address, asn) VALUES ('8.8.0.1', 36040)`)
	w.traced("8.8.0.2", "8.8.0.3", "8.8.0.4", "8.8.0.5", "8.8.0.6")
	w.start()
	w.until("36040 8.8.0.0/16 dns b.example", known, "8.8.0.1")
	w.until("{15169,36040}", `SELECT coalesce(origins::text, '') FROM asn WHERE address = '8.8.0.1'`)
	w.until("15169 8.8.0.0/24 dns -", known, "8.8.0.3")
	w.until("- - dns -", known, "8.8.0.4")
	for _, a := range []string{"8.8.0.2", "8.8.0.5", "8.8.0.6"} { // the name is known, the AS is asked for again soon
		w.until("t t t t", `SELECT format('%s %s %s %s', asn_at IS NULL, name_at IS NOT NULL, next_at BETWEEN now() AND now() + interval '2 minutes', coalesce(failure, '') ~ 'what is answered|misbehaving') FROM asn WHERE address = $1::text::inet`, a)
	}
	w.until("- 1", `SELECT format('%s %s', coalesce(nullif(name, ''), '-'), failures) FROM asninfo WHERE asn = 36040`)
	w.until("t", `SELECT (name IS NULL)::text::char FROM asn WHERE address = '8.8.0.2'`)
}

func TestNameServerThatIsAwayLosesNoAddressAndIsNotHammered(t *testing.T) {
	for _, way := range []string{"refused", "silent"} {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t)
			if way == "silent" {
				w.dns.told(func() { w.dns.silent = true })
			}
			if way == "refused" {
				w.dns.udp.Close()
			}
			var hops []string
			for i := range 60 {
				hops = append(hops, fmt.Sprintf("8.8.7.%d", i))
			}
			w.traced("8.8.7.100", hops...)
			a, _ := w.start()
			w.until("61", `SELECT count(*)::text FROM asn`)
			w.eventually(func() bool { _, _, failed := a.Counts(); return failed >= 8 }, func() string { return "nothing was tried" })
			// Another address enters meanwhile, and nobody is blamed.
			w.traced("8.8.7.101")
			w.until("62 0", `SELECT format('%s %s', count(*), sum(failures)) FROM asn`)
			if _, lookUps, _ := a.Counts(); lookUps > 60 {
				t.Errorf("%d look-ups while nobody answers", lookUps)
			}
			if way == "refused" {
				// Another one, which a row names.
				fresh := newNameServer(t)
				w.exec(`UPDATE settings SET value = $1 WHERE name = 'dns_server'`, fresh.udp.LocalAddr().String())
			}
			w.dns.told(func() { w.dns.silent = false })
			w.until("62", `SELECT count(*)::text FROM asn WHERE asn_at IS NOT NULL AND name_at IS NOT NULL AND failures = 0`)
		})
	}
}

func TestLookUpsAreTurnedOffAndOnByRows(t *testing.T) {
	w := newWorld(t)
	w.exec(`UPDATE settings SET value = CASE name WHEN 'names_by_dns' THEN 'off' ELSE '' END WHERE name IN ('as_zone', 'as_zone6', 'as_names_zone', 'names_by_dns')`)
	w.traced("8.8.8.8", "10.0.0.1", "100.64.0.1", "127.0.0.1", "192.0.2.1")
	w.start()
	w.until("5", `SELECT count(*)::text FROM asn WHERE next_at = 'infinity'`)
	if n := w.dns.times(""); n != 0 {
		t.Errorf("%d questions", n)
	}
	w.exec(`UPDATE settings SET value = 'origin.test' WHERE name = 'as_zone'`)
	w.until("- - dns -", known, "8.8.8.8")
	w.dns.told(func() { w.dns.names["1.0.0.10.in-addr.arpa."] = []string{"core1.example."} })
	w.exec(`UPDATE settings SET value = 'on' WHERE name IN ('names_by_dns', 'names_of_private')`)
	w.until("- - - core1.example", known, "10.0.0.1")
	w.until("t", `SELECT (name_at IS NOT NULL)::text::char FROM asn WHERE address = '100.64.0.1'`)
	if n := w.dns.times("1.0.0.10.origin") + w.dns.times("1.2.0.192") + w.dns.times("1.0.0.127"); n != 0 {
		t.Errorf("%d questions about special addresses", n)
	}
}

func TestWhatIsNotMeasuredAnyMoreRestsAndIsForgotten(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO asn (address, seen_at, next_at) VALUES ('8.8.8.1', now() - interval '20 days', now()), ('8.8.8.2', now() - interval '402 days', now())`)
	w.exec(`INSERT INTO asn_mark (read) VALUES (pg_current_snapshot())`)
	_, stop := w.start()
	w.until("8.8.8.1 infinity", `SELECT string_agg(host(address) || ' ' || next_at, ', ') FROM asn`)
	stop()
	w.traced("8.8.8.1")
	w.start()
	w.until("- - dns -", known, "8.8.8.1")
	w.until("t", `SELECT (seen_at > now() - interval '1 minute')::text::char FROM asn`)
}

func TestWhatIsOldIsAskedForAgain(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO asn (address, asn, asn_source, asn_at, name, name_at, next_at) VALUES ('8.8.8.8', 7, 'dns', now() - interval '2 days', 'old.example', now() - interval '1 hour', now())`)
	w.dns.told(func() {
		w.dns.texts["8.8.8.8.origin.test."] = []string{"15169 | 8.8.8.0/24 | US | arin | 1992-12-01"}
		w.dns.names["8.8.8.8.in-addr.arpa."] = []string{"new.example."}
	})
	w.start()
	w.until("15169 8.8.8.0/24 dns old.example", known, "8.8.8.8") // the name is an hour old
	w.exec(`UPDATE asn SET name_at = now() - interval '2 days', next_at = now()`)
	w.until("15169 8.8.8.0/24 dns new.example", known, "8.8.8.8")
	if n := w.dns.times("8.8.8.8.origin"); n != 1 {
		t.Errorf("the AS was asked for %d times", n)
	}
}

func TestASThatWasKnownIsNotLostByOneAnswer(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO asn (address, asn, prefix, asn_source, asn_at, next_at) VALUES ('8.8.8.8', 7, '8.0.0.0/9', 'dns', now() - interval '2 days', now())`)
	w.start()
	w.until("7 1 t t", `SELECT format('%s %s %s %s', asn, failures, failure ~ 'nobody announces it any more', next_at < now() + interval '2 minutes') FROM asn`)
	w.exec(`UPDATE asn SET failures = 5, next_at = now()`) // half an hour later
	w.until("- - dns -", known, "8.8.8.8")
	w.until("0", `SELECT failures::text FROM asn`)
}

func TestOneAnnotatorWorksAndAnotherTakesOver(t *testing.T) {
	w := newWorld(t)
	first, stop := w.start()
	w.eventually(first.Works, func() string { return "the first does not work" })
	second, _ := w.start()
	w.traced("8.8.8.8")
	w.until("- - dns -", known, "8.8.8.8")
	if second.Works() {
		t.Error("both work")
	}
	stop()
	w.eventually(second.Works, func() string { return "nobody took over" })
	w.traced("8.8.4.4")
	w.until("- - dns -", known, "8.8.4.4")
}

// A database restored into another server counts transactions anew.
func TestMarkAheadOfTheDatabaseBeginsAnew(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO asn_mark (read) VALUES ('900000000:900000000:')`)
	w.traced("8.8.9.9", "8.8.8.8")
	w.start()
	w.until("- - dns -", known, "8.8.8.8") // its route has a number
	w.traced("8.8.4.4")
	w.until("- - dns -", known, "8.8.4.4")
}

func TestAnnotatorStartsAndStopsAHundredTimes(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		w.traced("8.8.8." + string(rune('1'+i%9)))
		_, stop := w.start()
		if i%3 == 0 {
			w.eventually(func() bool { return w.dns.times("8.8.8") > 0 }, func() string { return "nothing was asked" })
		}
		stop()
	}
	w.start()
	w.until("9", `SELECT count(*)::text FROM asn WHERE asn_at IS NOT NULL`)
}

func TestLookUpsKeepTheirRateAndEnd(t *testing.T) {
	w := newWorld(t)
	w.exec(`UPDATE settings SET value = '50' WHERE name = 'lookups_per_second'`)
	var hops []string
	for i := range 40 {
		hops = append(hops, fmt.Sprintf("8.8.7.%d", i))
	}
	w.traced("8.8.7.40", hops...)
	began := time.Now()
	a, stop := w.start()
	w.until("41", `SELECT count(*)::text FROM asn WHERE asn_at IS NOT NULL AND name_at IS NOT NULL`)
	if took := time.Since(began); took < 1500*time.Millisecond {
		t.Errorf("82 look-ups at 50 a second took %s", took)
	}
	// Passes go on, and nothing is asked twice.
	w.traced("8.8.7.0", "8.8.7.1")
	w.traced("8.8.6.6")
	w.until("- - dns -", known, "8.8.6.6")
	stop()
	if _, lookUps, failed := a.Counts(); lookUps != 84 || failed != 0 {
		t.Errorf("%d look-ups, %d failed, for 42 addresses", lookUps, failed)
	}
}
