package store_test

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"testing"

	"sonde/internal/store"
)

// announced is a table "8.8.0.0/16 15169 36040".
func announced(lines ...string) iter.Seq[store.ASPrefix] {
	return func(yield func(store.ASPrefix) bool) {
		for _, l := range lines {
			var text string
			origins := make([]uint32, 2)
			n, _ := fmt.Sscan(l, &text, &origins[0], &origins[1])
			if !yield(store.ASPrefix{Prefix: netip.MustParsePrefix(text), Origins: origins[:n-1]}) {
				return
			}
		}
	}
}

func TestLoadedTableReplacesTheOneBeforeAndDoesAddressesOver(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO asn (address, asn, asn_source, asn_at, next_at) VALUES
		('8.8.8.8', NULL, NULL, NULL, now()), ('9.9.9.9', 7, 'dns', now() - interval '1 day', now() + interval '1 day'), ('1.1.1.1', 8, 'dns', now() - interval '1 day', now() + interval '1 day')`)
	load := func(lines ...string) string {
		t.Helper()
		entries, known, err := w.LoadPrefixes(t.Context(), "x", "pfx2as", announced(lines...))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(entries, known)
	}
	rows := func() string {
		t.Helper()
		return one[string](w, `SELECT string_agg(format('%s %s %s %s', host(address), coalesce(asn::text, '-'), coalesce(asn_source, '-'), coalesce((asn_at > now() - interval '1 hour')::text, '-')), ', ' ORDER BY address) FROM asn`)
	}
	if got := load("8.8.0.0/16 15169", "9.0.0.0/8 36040 7", "2001:db8::/32 9"); got != "3 2" {
		t.Errorf("loaded %s", got)
	}
	// Of several it stays with the AS it had; what the table does not know stays.
	if got := rows(); got != "1.1.1.1 8 dns false, 8.8.8.8 15169 table true, 9.9.9.9 7 table true" {
		t.Errorf("%s", got)
	}
	if got := one[string](w, `SELECT string_agg(format('%s %s', asn, looked_up_at IS NULL), ', ' ORDER BY asn) FROM asninfo`); got != "7 t, 8 t, 15169 t" {
		t.Errorf("AS %s", got)
	}
	if got := load("8.8.8.0/24 1"); got != "1 1" {
		t.Errorf("loaded %s", got)
	}
	// What only the table before knew is asked for.
	if got := rows(); got != "1.1.1.1 8 dns false, 8.8.8.8 1 table true, 9.9.9.9 - - -" {
		t.Errorf("%s", got)
	}
	if got := one[string](w, `SELECT format('%s %s %s', kind, form, entries) FROM asloads`) + one[string](w, `SELECT (next_at <= now())::text FROM asn WHERE address = '9.9.9.9'`); got != "prefixes pfx2as 1true" {
		t.Errorf("%s", got)
	}
	o, err := w.ASOverview(t.Context())
	if err != nil || o.Addresses != 3 || o.ByTable != 1 || o.ByDNS != 1 || len(o.Loads) != 1 || o.Loads[0].Entries != 1 {
		t.Errorf("%+v %v", o, err)
	}
	known, err := w.KnownAddresses(t.Context(), []netip.Addr{netip.MustParseAddr("8.8.8.9"), netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("10.0.0.1")})
	if err != nil || len(known) != 3 || known[0].Met || *known[0].AS != 1 || known[0].Source != "table" || !known[1].Met || *known[1].AS != 8 || known[2].Special != "private" || known[2].AS != nil {
		t.Errorf("%+v %v", known, err)
	}
}

func TestReadersSeeTheOldTableUntilTheNewOneIsWhole(t *testing.T) {
	w := newWorld(t)
	if _, _, err := w.LoadPrefixes(t.Context(), "x", "MRT", announced("8.8.0.0/16 15169", "9.0.0.0/8 7")); err != nil {
		t.Fatal(err)
	}
	seen := func() string {
		t.Helper()
		return one[string](w, `SELECT string_agg(asn::text, ' ' ORDER BY asn) FROM asprefixes`)
	}
	// Half of it is with the database, and then the program ends.
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := w.LoadPrefixes(ctx, "y", "MRT", func(yield func(store.ASPrefix) bool) {
		for i := range 20000 {
			if i == 10000 {
				if got := seen(); got != "7 15169" {
					t.Errorf("a reader sees %s", got)
				}
				cancel()
			}
			if !yield(store.ASPrefix{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{1, byte(i >> 8), byte(i), 0}), 24), Origins: []uint32{1}}) {
				return
			}
		}
	})
	if err == nil {
		t.Error("half a table was loaded")
	}
	if got := seen(); got != "7 15169" {
		t.Errorf("a reader sees %s", got)
	}
}

func TestLoadedNamesWinOverThoseOfDNS(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO asninfo (asn, name, country) VALUES (15169, 'by DNS', 'US'), (9, 'NINE', '')`)
	w.exec(`INSERT INTO asn (address, asn) VALUES ('8.8.8.8', 15169), ('1.1.1.1', 13335)`)
	names := func() string {
		t.Helper()
		return one[string](w, `SELECT string_agg(format('%s %s %s %s', asn, coalesce(nullif(name, ''), '-'), country, source), ', ' ORDER BY asn) FROM asninfo`)
	}
	if err := w.LoadASNames(t.Context(), "asn.txt", "AS names", []store.ASName{{AS: 15169, Name: "GOOGLE", Country: "US"}, {AS: 4200000000, Name: "X"}}); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != "9 NINE  dns, 13335 -  dns, 15169 GOOGLE US table, 4200000000 X  table" {
		t.Errorf("%s", got)
	}
	if err := w.LoadASNames(t.Context(), "asn.txt", "AS names", []store.ASName{{AS: 9, Name: "NEUN", Country: "DE"}}); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != "9 NEUN DE table, 13335 -  dns, 15169 -  dns" {
		t.Errorf("%s", got)
	}
}

func TestRoleOfPeopleLoadsTables(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO asn (address) VALUES ('8.8.8.8')`)
	st, _ := w.as("sonde_admin")
	if _, _, err := st.LoadPrefixes(t.Context(), "x", "MRT", announced("8.8.0.0/16 15169")); err != nil {
		t.Error(err)
	}
	if err := st.LoadASNames(t.Context(), "x", "AS names", []store.ASName{{AS: 15169, Name: "GOOGLE"}}); err != nil {
		t.Error(err)
	}
	reader, _ := w.as("sonde_read")
	if known, err := reader.KnownAddresses(t.Context(), []netip.Addr{netip.MustParseAddr("8.8.8.8")}); err != nil || known[0].ASName != "GOOGLE" {
		t.Errorf("%+v %v", known, err)
	}
	if _, _, err := reader.LoadPrefixes(t.Context(), "x", "MRT", announced("8.8.0.0/16 1")); err == nil {
		t.Error("a reader loaded a table")
	}
	daemon, _ := w.as("sonde_daemon")
	a, err := daemon.Annotate(t.Context())
	if err != nil || a == nil {
		t.Fatalf("%v %v", a, err)
	}
	defer a.Close(context.Background())
	if _, _, err := a.Collect(t.Context(), 1000); err != nil {
		t.Error(err)
	}
	if due, systems, err := a.Due(t.Context(), 10); err != nil || len(due) != 1 || len(systems) != 0 {
		t.Errorf("%v %v %v", due, systems, err)
	}
	if _, err := a.Forget(t.Context()); err != nil {
		t.Error(err)
	}
}

// What a look-up brings after a table was loaded does not replace the table's.
func TestTableThatWasLoadedDuringALookUpStays(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO asn (address) VALUES ('8.8.8.8'), ('1.1.1.1')`)
	a, err := w.Annotate(t.Context())
	if err != nil || a == nil {
		t.Fatalf("%v %v", a, err)
	}
	defer a.Close(context.Background())
	if _, _, err := w.LoadPrefixes(t.Context(), "x", "MRT", announced("8.8.0.0/16 15169")); err != nil {
		t.Fatal(err)
	}
	var found []store.LookedUp
	for _, address := range []string{"8.8.8.8", "1.1.1.1", "7.7.7.7"} { // the last is forgotten meanwhile
		found = append(found, store.LookedUp{Address: netip.MustParseAddr(address), Origin: &store.Origin{AS: 666, Prefix: netip.MustParsePrefix("0.0.0.0/1")}})
	}
	if err := a.Save(t.Context(), found, []store.LookedUpAS{{AS: 4711, Asked: true, Name: "x"}}); err != nil {
		t.Fatal(err)
	}
	got := one[[]string](w, `SELECT array_agg(format('%s %s', host(address), asn) ORDER BY address) FROM asn`)
	if !slices.Equal(got, []string{"1.1.1.1 666", "8.8.8.8 15169"}) {
		t.Errorf("%q", got)
	}
}
