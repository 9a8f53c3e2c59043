package route_test

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"sonde/analysis/analysistest"
	"sonde/analysis/route"
	"sonde/internal/measure"
)

func TestMethodSitsTheExamination(t *testing.T) {
	analysistest.Examine(t, route.Method(), `{}`)
	analysistest.Examine(t, route.Method(), `{"least":"major","alarm":"route","learn":"10m","adopt":"20m","history":"1h","persist":1}`)
}

func FuzzState(f *testing.F) { analysistest.FuzzState(f, route.Method(), "") }

// parse reads "192.0.2.1 * 198.51.100.1"; a route that ends in "…" did not reach its target.
func parse(t *testing.T, text string) *measure.Route {
	t.Helper()
	r := &measure.Route{Reached: true}
	for f := range strings.FieldsSeq(text) {
		switch f {
		case "*":
			r.Hops = append(r.Hops, measure.Hop{})
		case "…":
			r.Reached = false
		default:
			address, as, _ := strings.Cut(f, "/")
			n, _ := strconv.ParseUint(as, 10, 32)
			r.Hops = append(r.Hops, measure.Hop{Address: netip.MustParseAddr(address), AS: uint32(n)})
		}
	}
	return r
}

func TestClassesAreIEPMs(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     route.Class
		changes  int
	}{
		{"192.0.2.1 198.51.100.1", "192.0.2.1 198.51.100.1", route.None, 0},
		{"192.0.2.1 * 198.51.100.1", "192.0.2.1 203.0.113.9 198.51.100.1", route.None, 0},
		{"192.0.2.1 192.0.3.1", "192.0.2.7 192.0.3.1", route.MinorBlock, 1},
		{"198.51.100.1/64500 192.0.2.1", "198.51.7.1/64500 192.0.2.1", route.MinorAS, 1},
		{"198.51.100.1/64500 192.0.2.1", "198.51.7.1/64500 192.0.2.2", route.MinorAS, 2},
		{"198.51.100.1 192.0.2.1", "198.51.7.1 192.0.2.1", route.MinorSignificant, 1},
		{"198.51.100.1/64500 192.0.2.1", "203.0.113.1/64501 192.0.2.1", route.MinorSignificant, 1},
		{"198.51.100.1/64500 192.0.9.1", "192.0.2.5 192.0.9.1", route.MinorSignificant, 1}, // AS unknown
		{"192.0.2.1 192.0.3.1 192.0.4.1", "192.0.2.1 198.51.100.1 203.0.113.1", route.MajorSignificant, 2},
		{"2001:db8:0:1::1", "2001:db8:0:1::2", route.MinorBlock, 1},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", route.MinorSignificant, 1},
		{"::ffff:192.0.2.1", "192.0.2.1", route.None, 0},
		{"192.0.2.1", "2001:db8::1", route.MinorSignificant, 1},
		// A hop more before the target: from there on every hop is another.
		{"192.0.2.1 192.0.4.1", "192.0.2.1 192.0.3.1 192.0.4.1", route.MajorSignificant, 2},
		{"192.0.2.1 192.0.4.1", "192.0.2.1 192.0.4.1 192.0.5.1", route.MinorSignificant, 1},
		// What lies beyond the last answer of a route that broke off is not known.
		{"192.0.2.1 192.0.3.1 192.0.4.1", "192.0.2.1 …", route.None, 0},
		{"192.0.2.1 …", "192.0.2.1 192.0.3.1 192.0.4.1", route.None, 0},
	} {
		got, changes := route.Compare(*parse(t, c.from), *parse(t, c.to))
		if got != c.want || len(changes) != c.changes {
			t.Errorf("%s → %s: %q with %+v, want %q with %d", c.from, c.to, got, changes, c.want, c.changes)
		}
	}
}

func TestNotesNameTheHop(t *testing.T) {
	for _, c := range []struct {
		name   string
		routes []string
		want   []string
	}{
		{"nothing", []string{"192.0.2.1 192.0.3.1", "192.0.2.1 192.0.3.1"}, nil},
		{"one hop", []string{"192.0.2.1 192.0.3.1", "192.0.2.1 198.51.100.1"}, []string{"hop 2 moved from 192.0.3.1 to 198.51.100.1"}},
		{"two hops", []string{"192.0.2.1 192.0.3.1", "192.0.2.9 198.51.100.1"}, []string{"hop 1 moved from 192.0.2.1 to 192.0.2.9; hop 2 moved from 192.0.3.1 to 198.51.100.1"}},
		{"longer", []string{"192.0.2.1 192.0.4.1", "192.0.2.1 192.0.3.1 192.0.4.1"}, []string{"hop 2 is new: 192.0.3.1; the path is one hop longer"}},
		{"a hop more", []string{"192.0.2.1 192.0.4.1", "192.0.2.1 192.0.4.1 192.0.5.1"}, []string{"hop 3 is new: 192.0.5.1; the path is one hop longer"}},
		{"another AS first", []string{"192.0.2.1 62.40.98.1/20965 192.0.3.1", "192.0.2.9 62.115.1.1/1299 192.0.3.1"},
			[]string{"hop 2 moved from AS 20965 to AS 1299; hop 1 moved from 192.0.2.1 to 192.0.2.9"}},
		{"five at once", []string{"192.0.2.1 192.0.3.1 192.0.4.1 192.0.5.1 192.0.6.1 192.0.7.1", "192.0.2.2 192.0.3.2 192.0.4.2 192.0.5.2 192.0.6.2 192.0.7.1"},
			[]string{"hop 1 moved from 192.0.2.1 to 192.0.2.2; hop 2 moved from 192.0.3.1 to 192.0.3.2; hop 3 moved from 192.0.4.1 to 192.0.4.2; and 2 more changes"}},
		{"there and back", []string{"192.0.2.1 192.0.3.1", "192.0.2.1 198.51.100.1", "192.0.2.1 192.0.3.1"},
			[]string{"hop 2 moved from 192.0.3.1 to 198.51.100.1", "hop 2 moved from 198.51.100.1 to 192.0.3.1"}},
		{"a hop that answers now and then", []string{"192.0.2.1 192.0.3.1 192.0.4.1", "192.0.2.1 * 192.0.4.1", "192.0.2.1 192.0.3.1 192.0.4.1", "192.0.2.1 * 192.0.4.1"}, nil},
		{"another comes back after silence", []string{"192.0.2.1 192.0.3.1 192.0.4.1", "192.0.2.1 * 192.0.4.1", "192.0.2.1 198.51.100.1 192.0.4.1"},
			[]string{"hop 2 moved from 192.0.3.1 to 198.51.100.1"}},
		{"nobody answers for a while", []string{"192.0.2.1 192.0.3.1", "* * * …", "fail", "192.0.2.1 192.0.3.1"}, nil},
		{"the target is lost and found", []string{"192.0.2.1 192.0.3.1 192.0.4.1", "192.0.2.1 * * …", "192.0.2.1 * * …", "192.0.2.1 192.0.3.1 192.0.4.1"},
			[]string{"the route no longer reaches the target, the last answer came from 192.0.2.1 at hop 1", "the route reaches the target again"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := analysistest.New(t, route.Method(), "")
			var got []string
			for i, r := range c.routes {
				s := measure.Sample{RunKey: measure.RunKey{DueAt: analysistest.Start.Add(time.Duration(i) * time.Minute)}, Outcome: measure.OK}
				if r == "fail" {
					s.Outcome, s.Reason = measure.Fail, "no socket"
				} else {
					s.Route = parse(t, r)
				}
				for _, v := range d.Feed(s) {
					if v.Kind != measure.Note {
						t.Errorf("a route change is %s: %+v", v.Kind, v)
					}
					got = append(got, v.Text)
				}
			}
			if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("notes\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}
