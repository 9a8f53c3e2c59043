package daygrid

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sonde/internal/measure"
)

var morning = time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)

// runs reads one run a word: "1:1,2,3" is route 1 over hops 10.0.1.1, 10.0.2.1, …;
// "2.7" is the address 10.0.2.7, "2/9" two arms, "*" silence, a "…" at the end a target that was
// not reached, "!H" and "cksum" codes; "?", "t", "u" and "-" end otherwise.
func runs(t *testing.T, text string) []Run {
	t.Helper()
	var out []Run
	for i, w := range strings.Fields(text) {
		r := Run{DueAt: morning.Add(time.Duration(i) * 10 * time.Minute), Outcome: measure.OK, Route: measure.Route{Reached: true}}
		switch w {
		case "?":
			r.Outcome, r.Reason = measure.Fail, `resolve "www.example.org": no such host`
		case "t":
			r.Outcome, r.Reason = measure.Fail, "time_to_run is over (15s): context canceled"
		case "u":
			r.Outcome, r.Reason = measure.Fail, "no socket"
		case "-":
			r.Outcome, r.Reason = measure.Missed, "overload"
		default:
			number, hops, _ := strings.Cut(w, ":")
			if _, err := fmt.Sscan(number, &r.Route.Number); err != nil {
				t.Fatal(w, err)
			}
			for _, h := range strings.Split(hops, ",") {
				switch {
				case h == "…":
					r.Route.Reached = false
				case h == "*":
					r.Route.Hops = append(r.Route.Hops, measure.Hop{})
				case strings.HasPrefix(h, "!"), h == "cksum":
					r.Codes = append(r.Codes, h)
				case h == "":
				case strings.Contains(h, "/"):
					arms := strings.Split(h, "/")
					x := hop("10.0." + arms[0] + ".1")
					for _, a := range arms {
						x.Arms = append(x.Arms, netip.MustParseAddr("10.0."+a+".1"))
					}
					r.Route.Hops = append(r.Route.Hops, x)
				case strings.Contains(h, "."):
					r.Route.Hops = append(r.Route.Hops, hop("10.0."+h))
				default:
					r.Route.Hops = append(r.Route.Hops, hop("10.0."+h+".1"))
				}
			}
		}
		out = append(out, r)
	}
	return out
}

// Networks 10.0.20 to 10.0.29 are of one AS.
func hop(address string) measure.Hop {
	h := measure.Hop{Address: netip.MustParseAddr(address)}
	if b := h.Address.As4(); b[2] >= 20 && b[2] < 30 {
		h.AS = 64500
	}
	return h
}

// shown writes a mark: what stands there, "!" before it when it is news.
func shown(m Mark) string {
	s := m.Text + m.Beside
	if m.News {
		s = "!" + s
	}
	if m.Checksum {
		s += "_"
	}
	return s
}

func TestEveryMarkOfTheLegend(t *testing.T) {
	for _, c := range []struct{ name, before, day, want string }{
		{"the first is a number, then dots", "", "1:1,2,3 1:1,2,3 1:1,2,3", "1 . ."},
		{"the first is a number though it is as yesterday", "1:1,2,3", "1:1,2,3 1:1,2,3", "1 ."},
		{"the first is another than yesterday's last", "1:1,2,3", "2:1,9,3 2:1,9,3", "!2 ."},
		{"one significant difference", "", "1:1,2,3 2:1,9,3 1:1,2,3", "1 !2 !1"},
		{"more than one", "", "1:1,2,3,4 2:1,8,9,4", "1 !2"},
		{"three digits", "", "1:1,2,3 100:1,9,3 99:1,2,3", "1 !# !99"},
		{"last octet", "", "1:1,2,3 2:1,2.7,3 2:1,2.7,3", "1 !: ."},
		{"same AS", "", "1:1,20,3 2:1,21,3 2:1,21,3", "1 !a ."},
		{"a hop falls silent, is silent, comes back", "", "1:1,2,3 1:1,*,3 1:1,*,3 1:1,2,3 1:1,*,3", "1 !* . . !*"},
		{"a hop that never answers", "1:1,*,3", "1:1,*,3 1:1,*,3 1:1,*,3", "1 . ."},
		{"one more hop is silent", "", "1:1,*,3,4 1:1,*,*,4 1:1,*,3,4", "1 !* ."},
		{"another comes back after silence", "", "1:1,2,3 1:1,*,3 2:1,9,3", "1 !* !2"},
		{"stutter", "", "1:1,2,3 2:1,2,2 2:1,2,2", "1 !2 '"},
		{"stutter in the same block", "", "1:1,2.1,2.2,3 2:1,2.1,2.1,3 2:1,2.1,2.1,3", "1 !: '"},
		{"the target is lost", "", "1:1,2,3 2:1,2,… 2:1,2,… 1:1,2,3", "1 !| | ."},
		{"a target that never answers", "1:1,2,…", "1:1,2,… 1:1,2,…", "1| |"},
		{"nobody answers", "", "1:1,2,3 0:*,*,… 0:*,*,… 1:1,2,3", "1 !| | ."},
		{"nobody ever answered", "", "0:*,… 0:*,…", "!| |"},
		{"an error", "", "1:1,2,3 2:1,2,!H,… 2:1,2,!H,… 2:1,2,!X,… 1:1,2,3", "1 !H H !X ."},
		{"an error that routers tell now and then", "", "1:1,2,3 2:1,!N,… 2:1,… 2:1,… 2:1,!N,… 1:1,2,3 2:1,!N,…", "1 !N | | N . !N"},
		{"an error of the target", "1:1,2,3,!P", "1:1,2,3,!P 1:1,2,3,!P 1:1,2,3,!<13>", "1P P !13"},
		{"an error beside a number", "", "1:1,2,3 2:1,9,!X,…", "1 !2X"},
		{"news goes before what is as before", "1:1,2,3,…", "1:1,2,3,… 1:1,2.7,3,… 1:1,*,3,… 1:1,2,3,!N,…", "1| !: !* !N"},
		{"a wrong checksum", "", "1:1,2,3 1:1,2,3,cksum 2:1,9,3,cksum 2:1,9,3,!X,cksum", "1 ._ !2_ !X_"},
		{"failures", "", "? ? t t u 1:1,2,3 ?", "!? ? !t t !u 1 !?"},
		{"the first after a failure is still the first", "1:1,2,3", "? - 1:1,2,3 1:1,2,3", "!? - 1 ."},
		{"missed runs change nothing", "", "1:1,2,3 - - 1:1,2,3 ? - ?", "1 - - . !? - ?"},
		{"equal paths take turns", "", "1:1,2/9,3 2:1,9/2,3 1:1,2/9,3 3:1,9,3 4:1,8,3", "1 . . . !4"},
		{"equal paths take turns while another hop changes", "", "1:1,2/9,3,4 2:1,9/2,3.7,4 3:1,2/9,5,4", "1 !: !3"},
		{"a route that gets longer", "", "1:1,2,3 2:1,2,8,3", "1 !2"},
		{"a loop through the longest route", "", "1:" + strings.Repeat("1,2,", 127) + "… 1:" + strings.Repeat("1,2,", 127) + "…", "1| |"},
	} {
		var before *Run
		if c.before != "" {
			b := runs(t, c.before)[0]
			before = &b
		}
		var got []string
		for _, m := range Marks(runs(t, c.day), before) {
			got = append(got, shown(m))
			if m.Says == "" {
				t.Errorf("%s: %s says nothing", c.name, m.Text)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s, want %s", c.name, strings.Join(got, " "), c.want)
		}
	}
}

func TestColourOfANumberTellsHowManyHopsDiffer(t *testing.T) {
	marks := Marks(runs(t, "1:1,2,3,4 2:1,9,3,4 3:1,8,7,4"), nil)
	if marks[0].Kind != First || marks[1].Kind != Minor || marks[2].Kind != Major {
		t.Errorf("%s %s %s", marks[0].Kind, marks[1].Kind, marks[2].Kind)
	}
	if !strings.Contains(marks[1].Says, "hop 2 moved from 10.0.2.1 to 10.0.9.1") {
		t.Error(marks[1].Says)
	}
}

func TestLegendExplainsEveryKind(t *testing.T) {
	there := map[Kind]bool{}
	for _, e := range Legend() {
		there[e.Mark.Kind] = true
	}
	for _, k := range []Kind{Same, Silent, SameBlock, SameAS, Stutter, Unreached, Code, Unresolved, TimedOut, Failed, Major, Minor, First, Missed, Gap} {
		if !there[k] {
			t.Errorf("the legend says nothing of %s", k)
		}
	}
}

func TestDaysHaveTheHoursTheyHave(t *testing.T) {
	for _, c := range []struct {
		zone, day string
		n         int
		holds     string
	}{
		{"UTC", "2026-03-28", 24, "00 01 02 03"},
		{"Europe/Berlin", "2026-03-29", 23, "00 01 03 04"},
		{"Europe/Berlin", "2026-10-25", 25, "00 01 02 +02:00 02 +01:00 03"},
		{"Australia/Lord_Howe", "2026-04-05", 25, "01 +11:00 01 +10:30 02"}, // half an hour back
		{"America/Sao_Paulo", "2018-11-04", 23, "01 02 03"},                 // there was no midnight
		{"Asia/Kathmandu", "2026-03-28", 24, "00 01"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		noon, err := time.ParseInLocation("2006-01-02 15", c.day+" 12", zone)
		if err != nil {
			t.Fatal(err)
		}
		hours := Hours(noon, zone)
		var labels []string
		for i, h := range hours {
			labels = append(labels, h.Label)
			if !h.Until.After(h.From) || i > 0 && !h.From.Equal(hours[i-1].Until) {
				t.Errorf("%s %s: hour %s is %s to %s", c.zone, c.day, h.Label, h.From, h.Until)
			}
		}
		if len(hours) != c.n || !strings.Contains(strings.Join(labels, " "), c.holds) {
			t.Errorf("%s %s: %d hours %v", c.zone, c.day, len(hours), labels)
		}
	}
}

func TestCellsNeverHideNews(t *testing.T) {
	var text []string
	for i := range 60 {
		switch {
		case i%20 == 7:
			text = append(text, fmt.Sprintf("%d:1,%d,3", i, 100+i))
		case i == 33:
			text = append(text, "?")
		default:
			text = append(text, "1:1,2,3")
		}
	}
	day := runs(t, strings.Join(text, " "))
	for i := range day {
		day[i].DueAt = morning.Add(time.Duration(i) * time.Minute)
	}
	marks := Marks(day, nil)
	cells := Cells(marks, Hours(morning, time.UTC))
	var got []string
	n := 0
	for _, g := range cells[0] {
		got = append(got, g.Signs)
		n += g.Times
	}
	if want := "1 .×6 7 1 .×18 27 1 .×4 ? .×13 47 1 .×11"; strings.Join(got, " ") != want || n != 60 {
		t.Errorf("%d: %s, want %s", n, strings.Join(got, " "), want)
	}
	few := Cells(marks[:6], Hours(morning, time.UTC))
	if few[0][1].Signs != "....." {
		t.Errorf("%+v", few[0])
	}
}

func TestGapsAreMarkedInEachHourTheyTouch(t *testing.T) {
	hole := Hole{From: morning.Add(50 * time.Minute), Until: morning.Add(2*time.Hour + 20*time.Minute), Runs: 10, Reason: "no scheduler"}
	for _, c := range []struct {
		now  time.Time
		want string
	}{
		{morning.AddDate(0, 0, 1), "~1 ~6 ~3"},
		{morning.Add(90 * time.Minute), "~1 ~3"},
	} {
		marks := Marks(runs(t, "1:1,2,3 1:1,2,3 1:1,2,3 1:1,2,3 1:1,2,3"), nil)
		var got []string
		for _, m := range WithHoles(marks, []Hole{hole}, Hours(morning, time.UTC), c.now) {
			if m.Kind == Gap {
				got = append(got, fmt.Sprintf("%s%d", m.Text, m.Runs))
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v, want %s", got, c.want)
		}
	}
	one := WithHoles(nil, []Hole{{From: morning, Until: morning, Runs: 1}}, Hours(morning, time.UTC), morning.AddDate(0, 0, 1))
	if len(one) != 1 || one[0].Runs != 1 {
		t.Errorf("%+v", one)
	}
}

// Whatever a day's runs are, each has one mark that says something, and no cell loses one.
func FuzzEveryRunIsInTheGridOnce(f *testing.F) {
	f.Add([]byte{10, 20, 30, 255, 10, 21, 30, 254, 253, 10, 0, 30, 255})
	f.Add([]byte{0, 0, 255, 255, 252, 251, 250, 1, 1, 1, 255})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 2000 {
			return
		}
		var day []Run
		r := Run{Outcome: measure.OK}
		end := func() {
			r.DueAt = morning.Add(time.Duration(len(day)) * time.Minute)
			if r.Outcome != measure.OK {
				r.Reason = "why"
			}
			day = append(day, r)
			r = Run{Outcome: measure.OK}
		}
		for i, b := range raw {
			switch {
			case b == 255:
				r.Route.Number = i + 1
				end()
			case b == 254:
				r.Route.Reached = true
			case b == 253:
				r.Outcome = measure.Missed
			case b == 252:
				r.Outcome = measure.Fail
			case b > 240:
				r.Codes = append(r.Codes, string([]byte{'!', b})+",cksum")
			case b == 0:
				r.Route.Hops = append(r.Route.Hops, measure.Hop{})
			default:
				r.Route.Hops = append(r.Route.Hops, measure.Hop{Address: netip.AddrFrom4([4]byte{10, b / 16, b, 1}), AS: uint32(b % 3), Arms: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, b / 2, 1})}})
			}
		}
		end()
		marks := Marks(day, nil)
		if len(marks) != len(day) {
			t.Fatalf("%d marks of %d runs", len(marks), len(day))
		}
		hours := Hours(morning, time.UTC)
		shown, news := 0, 0
		for _, cell := range Cells(marks, hours) {
			for _, g := range cell {
				shown += g.Times
				if g.News && g.Times != 1 {
					t.Fatalf("news was put together: %+v", g)
				}
				if g.News {
					news++
				}
			}
		}
		within, wantNews := 0, 0
		for _, m := range marks {
			if m.Text == "" || m.Says == "" {
				t.Fatalf("%+v says nothing", m)
			}
			if m.At.Before(hours[len(hours)-1].Until) {
				within++
				if m.News {
					wantNews++
				}
			}
		}
		if shown != within || news != wantNews {
			t.Fatalf("%d of %d marks, %d of %d news", shown, within, news, wantNews)
		}
	})
}
