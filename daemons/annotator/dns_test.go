package annotator

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestQuestionsAreInThePublishedForm(t *testing.T) {
	for address, want := range map[string]string{
		"216.90.108.31":        "31.108.90.216",
		"2001:4860:b002::68":   "8.6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.b.0.6.8.4.1.0.0.2",
		"2001:db8:abcd:12::ff": "f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.1.0.0.d.c.b.a.8.b.d.0.1.0.0.2",
	} {
		if got := reversed(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is asked for as %s, not %s", address, got, want)
		}
	}
	if absolute("x.test") != "x.test." || absolute("x.test.") != "x.test." {
		t.Error("the system's search list could take part")
	}
}

func TestFailuresAreTriedAgainEverLater(t *testing.T) {
	var last time.Duration
	for n := range 12 {
		got := again(0, leastHold, mostHold, errMade, n)
		if got < leastBackoff*8/10 || got > mostBackoff*12/10 || n < 8 && got < last*3/2 {
			t.Errorf("after %d failures it waits %s, before it was %s", n, got, last)
		}
		last = got
	}
	for _, c := range []struct{ ttl, least, most time.Duration }{{time.Second, 21 * time.Hour, 27 * time.Hour}, {3 * 24 * time.Hour, 64 * time.Hour, 80 * time.Hour}, {1 << 62, 150 * time.Hour, 186 * time.Hour}} {
		if got := again(c.ttl, leastHold, mostHold, nil, 0); got < c.least || got > c.most {
			t.Errorf("a TTL of %s holds for %s", c.ttl, got)
		}
	}
}

var errMade = errorText("made")

type errorText string

func (e errorText) Error() string { return string(e) }

// Whatever is answered: an error, or a prefix that the address is in and AS that were named.
func FuzzOrigin(f *testing.F) {
	f.Add("15169 | 8.8.8.0/24 | US | arin | 1992-12-01", "3356 | 8.0.0.0/9 | US | arin | 1992-12-01")
	f.Add("15169 36040 | 8.8.8.0/24 | US | arin |", "")
	f.Add("0 | 8.8.8.0/24 |", "1|0.0.0.0/0")
	f.Add("4294967296 | 8.8.8.8/32", "1 | ::ffff:8.8.8.0/120")
	a := netip.MustParseAddr("8.8.8.8")
	f.Fuzz(func(t *testing.T, one, two string) {
		o, err := parseOrigin(a, []string{one, two})
		if err != nil {
			return
		}
		if !o.Prefix.Contains(a) || o.Prefix != o.Prefix.Masked() || o.AS == 0 || !slices.Contains(o.All, o.AS) || len(o.All) > mostOrigins {
			t.Errorf("%+v", o)
		}
	})
}

func FuzzASName(f *testing.F) {
	f.Add("15169 | US | arin | 2000-03-30 | GOOGLE, US")
	f.Add("15169||||\x00\xff,ZZ")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseASName(15169, []string{text})
		if err != nil {
			return
		}
		if !strings.HasPrefix(strings.TrimSpace(text), "15169") || len([]rune(n.Name)) > 200 || strings.ContainsAny(n.Name, "\x00\n") || n.Country != "" && len(n.Country) != 2 {
			t.Errorf("%q is %+v", text, n)
		}
	})
}

func TestFailureNamesTheServerThatWasAsked(t *testing.T) {
	s := newNameServer(func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no way there") }, "192.0.2.53", time.Second)
	if _, r := s.name(t.Context(), netip.MustParseAddr("8.8.8.8")); r.err == nil || !strings.Contains(r.err.Error(), "on 192.0.2.53:53: no way there") {
		t.Error(r.err)
	}
}
