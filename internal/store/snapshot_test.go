package store

import "testing"

func TestSnapshotSaysWhatAPassHasRead(t *testing.T) {
	s, err := ParseSnapshot("10:20:12,15")
	if err != nil {
		t.Fatal(err)
	}
	for xid, want := range map[uint64]bool{9: true, 10: true, 12: false, 13: true, 15: false, 19: true, 20: false} {
		if s.Sees(xid) != want {
			t.Errorf("%v sees %d: %v, want %v", s, xid, !want, want)
		}
	}
	for until, want := range map[uint64]string{25: "10:20:12,15", 20: "10:20:12,15", 15: "10:15:12", 13: "10:13:12", 11: "10:11:", 8: "8:8:"} {
		if got := s.Before(until).String(); got != want {
			t.Errorf("before %d: %s, want %s", until, got, want)
		}
	}
}

func FuzzParseSnapshot(f *testing.F) {
	for _, s := range []string{"10:20:12,15", "1:1:", "0:0:", "5:4:", "10:20:9", "10:20:15,12", "10:20", "a:b:c", "18446744073709551615:18446744073709551615:"} {
		f.Add(s, uint64(13))
	}
	f.Fuzz(func(t *testing.T, text string, until uint64) {
		s, err := ParseSnapshot(text)
		if err != nil {
			return
		}
		again, err := ParseSnapshot(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q: %v, %v", text, again, err)
		}
		if until == 0 || until > 1<<62 {
			return
		}
		part := s.Before(until)
		if _, err := ParseSnapshot(part.String()); err != nil {
			t.Fatalf("%q before %d is %v: %v", text, until, part, err)
		}
		for _, xid := range append([]uint64{1, until - 1, until, s.Xmin, s.Xmax}, s.Open...) {
			if part.Sees(xid) != (s.Sees(xid) && xid < until) {
				t.Fatalf("%q before %d sees %d: %v", text, until, xid, part.Sees(xid))
			}
		}
	})
}
