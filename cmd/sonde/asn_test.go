package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"sonde/internal/pgtest"
)

// asn runs `sonde asn` on a database, with a standard input, and gives all it says.
func asn(t *testing.T, dsn, stdin string, args ...string) (string, int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, append([]string{"asn", "--database", dsn, "--data", t.TempDir()}, args...)...)
	cmd.Env = append(os.Environ(), asSonde+"=1")
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestTablesAreLoadedAndAddressesShown(t *testing.T) {
	dsn := pgtest.DSN(t)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `INSERT INTO asn (address, name, name_at) VALUES ('8.8.8.8', 'dns.google', now()), ('10.0.0.1', NULL, NULL)`); err != nil {
		t.Fatal(err)
	}
	expect := func(code int, stdin string, args []string, words ...string) {
		t.Helper()
		out, got := asn(t, dsn, stdin, args...)
		if got != code {
			t.Errorf("sonde asn %s ended with %d, not %d", strings.Join(args, " "), got, code)
		}
		for _, w := range words {
			if !strings.Contains(strings.Join(strings.Fields(out), " "), w) {
				t.Errorf("sonde asn %s says no word of %q:\n%s", strings.Join(args, " "), w, out)
			}
		}
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte("8.8.8.0\t24\t15169_36040\n1.0.0.0\t24\t13335\n"))
	_ = z.Close()
	four, six := filepath.Join(t.TempDir(), "v4.gz"), filepath.Join(t.TempDir(), "v6.txt")
	for name, content := range map[string]string{four: packed.String(), six: "2001:db8::/32 64500\n"} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	expect(0, "", nil, "prefixes none is loaded: sonde asn load FILE", "names none is loaded", "addresses 2 of results, 1 of them private")
	expect(0, "", []string{"load", four, six}, "loaded 3 prefixes from v4.gz, v6.txt (pfx2as, prefix AS); they hold 1 addresses of results")
	expect(0, "AS15169 GOOGLE, US\nAS13335 CLOUDFLARENET, US\n", []string{"load", "-"}, "loaded 2 names of AS from standard input (AS names)")
	expect(0, "", []string{"show", "8.8.8.8", "10.0.0.1", "1.0.0.7", "9.9.9.9"}, "8.8.8.8 AS15169,36040 GOOGLE, US 8.8.8.0/24 table dns.google known",
		"10.0.0.1 - - - - - private, not looked up", "1.0.0.7 AS13335 CLOUDFLARENET, US 1.0.0.0/24 table - no result has it", "9.9.9.9 - - - - - no result has it")
	expect(0, "", []string{"show", "8.8.8.8", "--json"}, `"asn": 15169`, `"name": "dns.google"`)
	expect(0, "", nil, "prefixes 3 from v4.gz, v6.txt (pfx2as, prefix AS), loaded", "AS of 1 addresses by the table")

	// A damaged file changes nothing.
	if err := os.WriteFile(four, packed.Bytes()[:packed.Len()-12], 0o644); err != nil {
		t.Fatal(err)
	}
	expect(1, "", []string{"load", four}, "damaged, or was not fetched whole", "nothing is changed")
	expect(1, "1.0.0.0/24 7\n1.0.0.0/99 7\n", []string{"load", "-"}, `-: line 2, "1.0.0.0/99 7"`, "nothing is changed")
	expect(1, "0.0.0.0/0 7\n", []string{"load", "-"}, "no prefix and no name in it")
	expect(1, "AS7 X\n", []string{"load", "-", six}, "one kind at a time")
	expect(1, "", []string{"load", "/nowhere"}, "no such file")
	expect(0, "", []string{"show", "1.0.0.7"}, "AS13335")

	expect(2, "", []string{"lod"}, `"lod" is neither load nor show`)
	expect(2, "", []string{"load"}, "sonde asn load FILE")
	expect(2, "", []string{"show", "www.cern.ch"}, `"www.cern.ch" is no IP address`)
}
