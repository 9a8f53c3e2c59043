package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func lines(t testing.TB, n int) []byte {
	var raw []byte
	for _, r := range records(0, n) {
		var err error
		if raw, err = appendLine(raw, r); err != nil {
			t.Fatal(err)
		}
	}
	return raw
}

func readBytes(t testing.TB, raw []byte) (*Segment, []json.RawMessage, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x"+suffix)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Segment{Path: path}
	t.Cleanup(s.Close)
	found, err := s.Read()
	return s, found, err
}

func TestEveryPrefixGivesExactlyTheWholeRecords(t *testing.T) {
	whole := lines(t, 20)
	for n := range len(whole) + 1 {
		found, damage := parse(whole[:n])
		if want := bytes.Count(whole[:n], []byte("\n")); len(found) != want || damage != nil {
			t.Fatalf("prefix of %d bytes: %d records, want %d; %v", n, len(found), want, damage)
		}
	}
}

func TestBadLineInTheMiddleIsDamageAndTheGoodOnesAreGiven(t *testing.T) {
	for name, spoil := range map[string]func([]byte){
		"a bit of the record": func(b []byte) { b[len(b)/2] ^= 1 },
		"zeros":               func(b []byte) { clear(b[len(b)/2 : len(b)/2+3]) },
		"another sum":         func(b []byte) { copy(b[bytes.IndexByte(b, '\n')+1:], "00000000") },
	} {
		raw := lines(t, 10)
		spoil(raw)
		s, found, err := readBytes(t, raw)
		var d *Damage
		if !errors.As(err, &d) || len(found) < 8 || len(found) > 9 {
			t.Errorf("%s: %d records, %v", name, len(found), err)
			continue
		}
		to, err := s.SetAside()
		if err != nil || filepath.Base(filepath.Dir(to)) != "damaged" {
			t.Errorf("set aside to %q: %v", to, err)
		}
		if list, _ := Scan(filepath.Dir(s.Path)); len(list) != 0 {
			t.Errorf("%s: %v would be read again", name, list)
		}
		if kept, err := os.ReadFile(to); err != nil || !bytes.Equal(kept, raw) {
			t.Errorf("%s: what was set aside is not what was there: %v", name, err)
		}
	}
}

func TestLastLineWithAWrongSumWasNeverFinished(t *testing.T) {
	raw := lines(t, 3)
	raw[len(raw)-3] ^= 1
	if _, found, err := readBytes(t, raw); err != nil || len(found) != 2 {
		t.Errorf("%d records, %v", len(found), err)
	}
	// Power that fails leaves zeros where data was to come.
	if _, found, err := readBytes(t, append(lines(t, 3), make([]byte, 5000)...)); err != nil || len(found) != 3 {
		t.Errorf("%d records, %v", len(found), err)
	}
}

func TestSecondDamagedFileOfANameDoesNotReplaceTheFirst(t *testing.T) {
	dir := t.TempDir()
	var at []string
	for range 2 {
		path := filepath.Join(dir, "x"+suffix)
		if err := os.WriteFile(path, []byte("a\nb\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		to, err := (&Segment{Path: path}).SetAside()
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, to)
	}
	if at[0] == at[1] {
		t.Errorf("both are at %s", at[0])
	}
}

func FuzzSegment(f *testing.F) {
	whole := lines(f, 5)
	f.Add(whole, 17)
	f.Add([]byte("00000000 \n"), 0)
	f.Add([]byte("\n\n\n"), 1)
	f.Add(append([]byte("garbage\n"), whole...), 3)
	f.Fuzz(func(t *testing.T, raw []byte, cut int) {
		found, damage := parse(raw)
		for _, r := range found {
			if !json.Valid(r) || bytes.IndexByte(r, '\n') >= 0 {
				t.Fatalf("a record %q", r)
			}
		}
		if bad := bytes.Count(raw, []byte("\n")) + 1 - len(found); damage != nil && (damage.Lines > bad || damage.First >= int64(len(raw))) {
			t.Fatalf("%v of %d bad lines in %d bytes", damage, bad, len(raw))
		}
		// What is written again is read again.
		var again []byte
		for _, r := range found {
			var err error
			if again, err = appendLine(again, r); err != nil {
				t.Fatal(err)
			}
		}
		back, damage := parse(again)
		if len(back) != len(found) || damage != nil {
			t.Fatalf("%d records became %d, %v", len(found), len(back), damage)
		}
		// A prefix never gives other records than the whole.
		if cut >= 0 && cut < len(raw) {
			part, _ := parse(raw[:cut])
			if len(part) > len(found) {
				t.Fatalf("%d records in a part, %d in the whole", len(part), len(found))
			}
		}
	})
}
