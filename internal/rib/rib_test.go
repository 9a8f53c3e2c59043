package rib_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"sonde/internal/rib"
)

// read gives what files bring as lines "1.0.0.0/24 13335 4134", then "AS15169 GOOGLE|US".
func read(t *testing.T, files ...string) (form string, lines []string) {
	t.Helper()
	var tables rib.Tables
	for _, f := range files {
		var err error
		if form, err = tables.Read(strings.NewReader(f)); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
	}
	for e := range tables.Prefixes.All() {
		lines = append(lines, strings.Trim(fmt.Sprintf("%s %v", e.Prefix, e.Origins), "]"))
	}
	for i := range lines {
		lines[i] = strings.Replace(lines[i], "[", "", 1)
	}
	for as := range uint32(1 << 20) {
		if n, is := tables.Names[as]; is {
			lines = append(lines, fmt.Sprintf("AS%d %s|%s", as, n.Name, n.Country))
		}
	}
	return form, lines
}

func expect(t *testing.T, what string, lines []string, want ...string) {
	t.Helper()
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s brought\n%s\nnot\n%s", what, strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestFormsOfTextAreToldByWhatIsInThem(t *testing.T) {
	for _, c := range []struct {
		form, file string
		want       []string
	}{
		{"prefix AS", "; IP-ASN32-DAT file\n1.0.0.0/24\t13335\n\n2001:db8::/32 AS64500\r\n1.0.0.0/8 1\n", []string{"1.0.0.0/8 1", "1.0.0.0/24 13335", "2001:db8::/32 64500"}},
		{"prefix AS", "1.0.0.7/24 13335\n0.0.0.0/0 1\n::/0 1\n1.1.0.0/16 0\n", []string{"1.0.0.0/24 13335"}}, // host bits, default routes, nobody
		{"AS prefix", "% riswhois\n13335\t1.0.0.0/24\t380\n64500\t1.0.0.0/24\t2\n{64501,64502}\t1.2.0.0/16\t9\n", []string{"1.0.0.0/24 13335 64500", "1.2.0.0/16 64501 64502"}},
		{"pfx2as", "1.0.0.0\t24\t13335_4134\n1.0.4.0\t22\t1,2\n2001:db8::\t32\t7\n", []string{"1.0.0.0/24 13335 4134", "1.0.4.0/22 1 2", "2001:db8::/32 7"}},
		{"bgpdump -m", strings.Join([]string{
			"TABLE_DUMP2|1700000000|B|192.0.2.1|64500|1.0.0.0/24|64500 3356 13335|IGP|192.0.2.1|0|0||NAG||",
			"TABLE_DUMP2|1700000000|B|192.0.2.2|64501|1.0.0.0/24|64501 4134|IGP|192.0.2.2|0|0||NAG||",
			"TABLE_DUMP2|1700000000|B|192.0.2.3|64502|1.0.0.0/24|64502 13335|IGP|192.0.2.3|0|0||NAG||",
			"TABLE_DUMP2|1700000000|B|192.0.2.1|64500|1.2.0.0/16|64500 3356 {1,2}|IGP|192.0.2.1|0|0||AG|3356 192.0.2.9|",
			"TABLE_DUMP2|1700000000|B|192.0.2.1|64500|1.3.0.0/16||IGP|192.0.2.1|0|0||NAG||",
			"TABLE_DUMP2|1700000000|B|192.0.2.1|64500|1.4.0.0/16|64500 (65001 65002)|IGP|192.0.2.1|0|0||NAG||",
			"TABLE_DUMP2|1700000000|B|192.0.2.1|64500|2001:db8::/32|64500 4200000001|IGP|192.0.2.1|0|0||NAG||",
		}, "\n"), []string{"1.0.0.0/24 13335 4134", "1.2.0.0/16 3356", "1.3.0.0/16 64500", "1.4.0.0/16 64500", "2001:db8::/32 4200000001"}},
		{"AS names", "AS15169 GOOGLE, US\nAS20965   GEANT The GEANT IP Service, EU\n", []string{"AS15169 GOOGLE|US", "AS20965 GEANT The GEANT IP Service|EU"}},
		{"AS names", "  0 -Reserved AS-, ZZ\n15169 GOOGLE, US\n3 MIT-GATEWAYS,US\n4\tISI-AS\n", []string{"AS0 -Reserved AS-|", "AS3 MIT-GATEWAYS|US", "AS4 ISI-AS|", "AS15169 GOOGLE|US"}},
		{"as-org2info", strings.Join([]string{
			"# name: AS Org", "# format:org_id|changed|org_name|country|source", "GOGL-ARIN|20190101|Google LLC|US|ARIN",
			"# format:aut|changed|aut_name|org_id|opaque_id|source", "15169|20120330|GOOGLE|GOGL-ARIN|e5e3|ARIN", "64500||NONE|@x||RIPE",
		}, "\n"), []string{"AS15169 GOOGLE|US", "AS64500 NONE|"}},
	} {
		form, lines := read(t, c.file)
		if form != c.form {
			t.Errorf("%q is %s, not %s", c.file, form, c.form)
		}
		expect(t, c.form, lines, c.want...)
	}
}

func TestVotesOfSeveralFilesAreAddedUp(t *testing.T) {
	_, lines := read(t, "1.0.0.0/24 7\n2.0.0.0/16 9", "1.0.0.0 24 8", "8 1.0.0.0/24 2")
	expect(t, "three files", lines, "1.0.0.0/24 8 7", "2.0.0.0/16 9")
}

// The collector's own routes have no path; a set and a confederation do not count.
func TestRIBDumpsBringTheAtMostPeersSeenOrigin(t *testing.T) {
	dump := peers(64500, 64501, 64502) +
		ribV2(2, "1.0.0.0/24", route{0, seq(64500, 3356, 13335)}, route{1, seq(64501, 4134)}, route{2, seq(64502, 13335)}) +
		ribV2(2, "1.2.0.0/15", route{0, seq(64500, 3356) + set(1, 2)}) +
		ribV2(2, "1.4.0.0/16", route{1, ""}) +
		ribV2(2, "1.5.128.0/17", route{2, confed(65001) + seq(64502, 4200000001)}) +
		ribV2(2, "0.0.0.0/0", route{2, seq(64502)}) +
		ribV2(4, "2001:db8::/32", route{0, seq(64500, 64496)}) +
		ribV2(3, "224.0.0.0/4", route{0, seq(64500, 64496)}) + // multicast
		addPath(8, "1.6.0.0/16", route{0, seq(64500, 7)}, route{0, seq(64500, 9, 7)}, route{1, seq(64501, 8)}, route{2, seq(64502, 8)}) +
		addPath(10, "2001:db8:1::/48", route{0, seq(64500, 7)})
	form, lines := read(t, dump)
	if form != "MRT" {
		t.Errorf("it is %s", form)
	}
	want := []string{"1.0.0.0/24 13335 4134", "1.2.0.0/15 3356", "1.4.0.0/16 64501", "1.5.128.0/17 4200000001", "1.6.0.0/16 8 7", "2001:db8::/32 64496", "2001:db8:1::/48 7"}
	expect(t, "the dump", lines, want...)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(dump))
	_ = z.Close()
	_, lines = read(t, packed.String())
	expect(t, "gzip", lines, want...)
}

func TestOldTableDumpsHaveASNumbersOfTwoBytes(t *testing.T) {
	path := "\x40\x02\x06\x02\x02\xfb\xf4\x34\x17" // 64500 13335
	trans := "\x40\x02\x06\x02\x02\xfb\xf4\x5b\xa0" + "\xc0\x11\x0a\x02\x02" + be32(64500) + be32(4200000001)
	_, lines := read(t, tableDump("1.0.0.0/24", 64500, path)+tableDump("1.1.0.0/16", 64500, trans)+tableDump("2001:db8::/32", 64500, path))
	expect(t, "TABLE_DUMP", lines, "1.0.0.0/24 13335", "1.1.0.0/16 4200000001", "2001:db8::/32 13335")
}

// Made by bird 2 with its protocol mrt, and by `bzip2`.
func TestDumpOfARealRouterIsRead(t *testing.T) {
	for _, name := range []string{"bird4.mrt", "bird6.mrt.bz2"} {
		f, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		form, lines := read(t, string(f))
		if form != "MRT" {
			t.Errorf("%s is %s", name, form)
		}
		want := map[string][]string{
			"bird4.mrt":     {"1.0.0.0/24 13335", "1.2.0.0/15 3356", "1.4.0.0/16 4200000001", "8.8.8.0/24 15169"},
			"bird6.mrt.bz2": {"2001:4860::/32 15169", "2606:4700::/32 13335"},
		}[name]
		expect(t, name, lines, want...)
	}
}

func TestDamagedFileIsAnErrorThatSaysWhere(t *testing.T) {
	whole := peers(64500) + ribV2(2, "1.0.0.0/24", route{0, seq(64500, 1)})
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	for i := range 5000 {
		fmt.Fprintf(z, "10.%d.%d.0/24 %d\n", i/256, i%256, i+1)
	}
	_ = z.Close()
	flipped := bytes.Clone(packed.Bytes())
	flipped[len(flipped)-6] ^= 1
	for _, c := range []struct{ what, file, want string }{
		{"empty", "", "empty"},
		{"only comments", "# nothing\n", "no line"},
		{"a web page", "<!DOCTYPE html>\n", "none of the forms"},
		{"a prefix too long", "1.0.0.0/24 13335\n1.0.0.0/33 13335\n", `line 2, "1.0.0.0/33 13335": "1.0.0.0/33" is no prefix; a line should be like "1.0.0.0/24 13335"`},
		{"no number", "1.0.0.0/24 ASX\n", `line 1, "1.0.0.0/24 ASX": "ASX" is no AS number`},
		{"a number too great", "1.0.0.0/24 4294967296\n", "is no AS number"},
		{"a word too many", "1.0.0.0/24 1 2 3\n", "4 words"},
		{"a length too great", "1.0.0.0 24 1\n1.0.0.0 33 1\n", `line 2, "1.0.0.0 33 1": "33" is no length of a prefix`},
		{"a line cut short", "TABLE_DUMP2|1700000000|B|192.0.2.1|64500|1.0.0.0/24|1|IGP\nTABLE_DUMP2|1700000000|B|192.0\n", "line 2"},
		{"updates as text", "BGP4MP|1700000000|A|192.0.2.1|64500|1.0.0.0/24|1|IGP\n", "update of BGP"},
		{"a line without end", "1.0.0.0/24 1\n" + strings.Repeat("x", 2<<20), "line 2: it is too long"},
		{"show ip bgp", "*> 1.0.0.0/24  192.0.2.1  0 64500 13335 i\n", "none of the forms"},
		{"organisations only", "# format:org_id|changed|org_name|country|source\nX|1|x|US|ARIN\n", "no AS"},
		{"names without one", "AS15169 GOOGLE, US\nAS7\n", `line 2, "AS7"`},

		{"MRT cut in a head", whole[:len(peers(64500))+5], "offset 33: a record is cut short"},
		{"MRT cut in a body", whole[:len(whole)-3], "offset 33: a record is cut short"},
		{"MRT of updates", mrt(16, 4, strings.Repeat("\x00", 30)), "updates of BGP"},
		{"MRT of nothing", peers(64500), "without a route"},
		{"MRT of an unknown peer", peers(64500) + ribV2(2, "1.0.0.0/24", route{3, seq(1)}), "offset 33: peer 3 of 1.0.0.0/24 is not in the table of 1 peers"},
		{"MRT of a prefix too long", peers(64500) + mrt(13, 2, be32(1)+"\x21\x01\x02\x03\x04\x05\x00\x00"), "a prefix of 33 bits"},
		{"MRT with an attribute that lies", peers(64500) + ribRaw(2, "1.0.0.0/24", 0, "\x40\x02\xff\x02\x01"), "longer than the record"},
		{"MRT with a segment that lies", peers(64500) + ribRaw(2, "1.0.0.0/24", 0, "\x40\x02\x04\x02\xff\x00\x00"), "longer than the record"},
		{"MRT with more entries than there are", peers(64500) + mrt(13, 2, be32(1)+"\x08\x01\xff\xff"), "shorter than what it says"},
		{"MRT whose record is huge", whole + "\x00\x00\x00\x00\x00\x0d\x00\x02\xff\xff\xff\xff", "too long"},

		{"gzip cut short", packed.String()[:packed.Len()/2], "gzip file is damaged, or was not fetched whole"},
		{"gzip with a wrong sum", string(flipped), "gzip file is damaged"},
		{"gzip of no gzip", "\x1f\x8b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "begins like gzip"},
		{"bzip2 of no bzip2", "BZh9nothing of the kind", "bzip2 file is damaged"},
		{"xz", "\xfd7zXZ\x00\x00\x00", "unpack it"},
	} {
		var tables rib.Tables
		_, err := tables.Read(strings.NewReader(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s gave %v, not %q", c.what, err, c.want)
		}
	}
}

func TestNamesAreOneLineTheDatabaseTakes(t *testing.T) {
	for given, want := range map[string]rib.Name{
		"GOOGLE, US": {Name: "GOOGLE", Country: "US"}, "Level 3 Parent, LLC, US": {Name: "Level 3 Parent, LLC", Country: "US"}, "X, Inc": {Name: "X, Inc"},
		" a\x00b\n c\xff, DE ": {Name: "a b c\uFFFD", Country: "DE"}, "": {}, ", US": {Country: "US"},
	} {
		if got := rib.NewName(given); got != want {
			t.Errorf("%q is %q, not %q", given, got, want)
		}
	}
	if n := rib.NewName(strings.Repeat("ü", 5000)); len([]rune(n.Name)) != 200 {
		t.Errorf("%d letters", len([]rune(n.Name)))
	}
}

// Whatever the bytes: an error, or prefixes in order, each once, with origins.
func FuzzTables(f *testing.F) {
	f.Add([]byte("1.0.0.0/24 13335\n"))
	f.Add([]byte("13335 1.0.0.0/24 380\n"))
	f.Add([]byte("1.0.0.0 24 13335_4134\n2001:db8:: 32 1,2\n"))
	f.Add([]byte("AS15169 GOOGLE, US\n"))
	f.Add([]byte("TABLE_DUMP2|1700000000|B|192.0.2.1|64500|1.4.0.0/16|64500 (65001 65002) {1,2}|IGP|\n"))
	f.Add([]byte("# format:aut|\n15169|20120330|GOOGLE|GOGL-ARIN|e5e3|ARIN\n"))
	f.Add([]byte(peers(64500) + ribV2(2, "1.0.0.0/24", route{0, seq(64500, 1)}) + addPath(10, "2001:db8:1::/48", route{0, set(7)})))
	f.Add([]byte(tableDump("1.0.0.0/24", 64500, "\x40\x02\x06\x02\x02\xfb\xf4\x34\x17")))
	f.Fuzz(func(t *testing.T, b []byte) {
		var tables rib.Tables
		if _, err := tables.Read(bytes.NewReader(b)); err != nil {
			return
		}
		var last netip.Prefix
		for e := range tables.Prefixes.All() {
			if !e.Prefix.IsValid() || e.Prefix != e.Prefix.Masked() || e.Prefix.Bits() == 0 || len(e.Origins) == 0 {
				t.Fatalf("%v", e)
			}
			if last.IsValid() && (last.Addr().Compare(e.Prefix.Addr()) > 0 || last == e.Prefix) {
				t.Fatalf("%s after %s", e.Prefix, last)
			}
			last = e.Prefix
			for i, o := range e.Origins {
				if o == 0 || i > 0 && o == e.Origins[0] {
					t.Fatalf("%v", e)
				}
			}
		}
		for _, n := range tables.Names {
			if strings.ContainsRune(n.Name, 0) || len([]rune(n.Name)) > 200 || n.Country != "" && len(n.Country) != 2 {
				t.Fatalf("%q", n)
			}
		}
	})
}
