package alert_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"sonde/internal/alert"
	"sonde/internal/measure"
)

var start = time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)

// A story is told minute by minute: "12 bad", "13 good", "14 tick", "15 worse"
// (bad and critical), "16 note"; with facts behind it: late, quiet, acked, silenced, mute.
// Told is what people hear: "12 raise", "40 clear" …
func tell(t *testing.T, p alert.Policy, story string) (told []string, all []measure.Decision, e alert.Episode) {
	t.Helper()
	var since time.Time
	for line := range strings.SplitSeq(strings.TrimSpace(story), "\n") {
		fields := strings.Fields(line)
		var minute int
		if _, err := fmt.Sscan(fields[0], &minute); err != nil {
			t.Fatal(err)
		}
		at := start.Add(time.Duration(minute) * time.Minute)
		var f alert.Facts
		for _, fact := range fields[2:] {
			switch fact {
			case "late":
				f.Late = true
			case "quiet":
				f.Quiet = "planned: new cables"
			case "acked":
				f.Acked = true
			case "silenced":
				f.Silenced = "silenced until 06:00"
			case "mute":
				f.Mute = "the rule is recorded only"
			}
		}
		v := measure.Verdict{Severity: measure.Warning, At: at, Text: "no answer"}
		var d measure.Decision
		did := true
		switch fields[1] {
		case "bad", "worse":
			if since.IsZero() {
				since = at
			}
			v.Kind, v.Since = measure.Bad, since
			if fields[1] == "worse" {
				v.Severity = measure.Critical
			}
			e, d = e.Verdict(p, f, v)
		case "good":
			v.Kind, v.Since, v.Text = measure.Good, at, "answers again"
			since = time.Time{}
			e, d = e.Verdict(p, f, v)
		case "note":
			v.Kind = measure.Note
			e, d = e.Verdict(p, f, v)
		case "tick":
			e, d, did = e.Tick(p, f, at)
		default:
			t.Fatalf("story: %q", line)
		}
		if !did {
			continue
		}
		if d.Reason == "" || d.Text == "" || !d.At.Equal(at) || d.Severity == "" {
			t.Errorf("%s: a decision without reason, text, time or severity: %+v", line, d)
		}
		all = append(all, d)
		if d.Tell {
			told = append(told, fmt.Sprintf("%d %s", minute, d.Action))
		}
	}
	return told, all, e
}

func TestWhatPeopleHear(t *testing.T) {
	usual := alert.Usual()
	patient := usual
	patient.Tolerance = 5 * time.Minute
	slow := usual
	slow.Recovery = 3 * time.Minute
	for _, c := range []struct {
		name   string
		policy alert.Policy
		story  string
		want   string
	}{
		{"raised once, cleared once", usual, "0 bad\n1 bad\n2 bad\n3 good\n4 good", "0 raise, 3 clear"},
		{"a note opens nothing", usual, "0 note\n1 tick", ""},
		{"good alone is no news", usual, "0 good\n1 good", ""},
		{"within the tolerance nobody hears", patient, "0 bad\n4 bad\n4 good\n5 tick\n6 bad\n7 good", ""},
		{"beyond the tolerance by a verdict", patient, "0 bad\n5 bad\n6 good", "5 raise, 6 clear"},
		{"beyond the tolerance by a tick", patient, "0 bad\n4 tick\n5 tick\n6 tick", "5 raise"},
		{"reminded no more often than the limit", usual, "0 bad\n239 bad\n239 tick\n240 tick\n241 bad\n480 bad", "0 raise, 240 remind, 480 remind"},
		{"an acknowledged alert is not repeated, its end is told", usual, "0 bad\n300 bad acked\n600 tick acked\n601 good acked", "0 raise, 601 clear"},
		{"graver is told at once, also when acknowledged", usual, "0 bad\n1 worse acked\n2 worse\n3 bad", "0 raise, 1 remind"},
		{"silenced means silenced, the end as well", usual, "0 bad\n1 worse silenced\n300 tick silenced\n301 good silenced", "0 raise"},
		{"after the silence what stands is repeated", usual, "0 bad\n300 tick silenced\n400 tick", "0 raise, 400 remind"},
		{"a rule that is recorded only", usual, "0 bad mute\n300 tick mute\n301 good mute", ""},
		{"planned and over in time", usual, "0 bad quiet\n30 bad quiet\n50 good quiet", ""},
		{"planned, and still bad when the plan ends", usual, "0 bad quiet\n30 tick quiet\n60 tick\n70 good", "60 remind, 70 clear"},
		{"told before the plan began, its end is told", usual, "0 bad\n10 good quiet", "0 raise, 10 clear"},
		{"begun and ended in late data", usual, "0 bad late\n1 bad late\n5 good late", ""},
		{"begun in late data and still bad", usual, "0 bad late\n1 bad late\n5 bad\n9 good", "5 remind, 9 clear"},
		{"begun in late data, still bad when time goes on", usual, "0 bad late\n1 bad late\n20 tick\n30 good", "20 remind, 30 clear"},
		{"recovery holds it open", slow, "0 bad\n5 good\n6 bad\n7 good\n9 tick\n10 tick", "0 raise, 10 clear"},
		{"flapping is said once and its end told", usual,
			"0 bad\n2 good\n10 bad\n12 good\n20 bad\n22 good\n30 bad\n32 good\n34 bad\n36 good\n60 tick\n66 tick\n70 tick",
			"0 raise, 2 clear, 10 raise, 12 clear, 20 raise, 66 clear"},
		{"flapping that ends badly", usual, "0 bad\n2 good\n10 bad\n12 good\n20 bad\n22 good\n30 bad\n59 tick\n60 tick\n90 good",
			"0 raise, 2 clear, 10 raise, 12 clear, 20 raise, 60 remind, 90 clear"},
		{"three in three hours do not flap", usual, "0 bad\n2 good\n70 bad\n72 good\n140 bad\n142 good",
			"0 raise, 2 clear, 70 raise, 72 clear, 140 raise, 142 clear"},
	} {
		t.Run(c.name, func(t *testing.T) {
			told, all, _ := tell(t, c.policy, c.story)
			if got := strings.Join(told, ", "); got != c.want {
				t.Errorf("people hear %q, want %q", got, c.want)
				for _, d := range all {
					t.Logf("  %s %s tell=%v %s (%s)", d.At.Format("15:04"), d.Action, d.Tell, d.Text, d.Reason)
				}
			}
		})
	}
}

func TestReasonsAnswerWhyNot(t *testing.T) {
	p := alert.Usual()
	p.Tolerance = 5 * time.Minute
	for _, c := range []struct {
		policy      alert.Policy
		story, want string
	}{
		{p, "0 bad\n2 bad", "tolerated so far: it has lasted 2m of 5m"},
		{p, "0 bad\n3 good", "over after 3m, within the tolerance of 5m"},
		{alert.Usual(), "0 bad quiet", "nothing was open; not told: planned: new cables"},
		{alert.Usual(), "0 bad quiet\n5 good", "the detector finds it good; not told: nobody was told of its beginning"},
		{alert.Usual(), "0 bad late\n5 good late", "the detector finds it good; not told: it began and ended in data that came late"},
		{alert.Usual(), "0 bad mute", "nothing was open; not told: the rule is recorded only"},
		{alert.Usual(), "0 bad\n3 good\n4 bad\n5 good\n6 bad\n7 good", "flapping: told when nothing has changed for 30m"},
	} {
		_, all, _ := tell(t, c.policy, c.story)
		if got := all[len(all)-1].Reason; got != c.want {
			t.Errorf("%q: reason %q, want %q", c.story, got, c.want)
		}
	}
	_, all, _ := tell(t, alert.Usual(), "0 bad\n3 good\n4 bad\n5 good\n6 bad")
	if got := all[len(all)-1].Text; got != "flapping, 3 times within 1h: no answer" {
		t.Errorf("text %q", got)
	}
}

func TestADroppedEpisodeIsClosedAndNotTold(t *testing.T) {
	_, _, e := tell(t, alert.Usual(), "0 bad")
	e, d, stood := e.Drop(start.Add(time.Hour), "the spec was switched off")
	if !stood || d.Action != measure.Clear || d.Tell || e.Phase != alert.Nothing {
		t.Errorf("dropped: %v %+v %+v", stood, d, e)
	}
	if _, _, stood = e.Drop(start, "again"); stood {
		t.Error("dropped twice")
	}
}

// The fold may be saved and restored between any two steps, every clear follows
// a raise, and nobody hears an end without a beginning.
func TestTheFoldIsPureAndKeepsItsPromises(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		p := alert.Policy{Repeat: time.Hour, FlapTimes: 3, FlapWithin: time.Hour, Steady: 30 * time.Minute,
			Tolerance: time.Duration(r.IntN(3)) * 5 * time.Minute, Recovery: time.Duration(r.IntN(3)) * 3 * time.Minute}
		var one, two alert.Episode
		open, heard := false, false
		at := start
		for range 300 {
			at = at.Add(time.Duration(1+r.IntN(10)) * time.Minute)
			var f alert.Facts
			switch r.IntN(8) {
			case 0:
				f.Late = true
			case 1:
				f.Quiet = "planned"
			case 2:
				f.Acked = true
			}
			raw, err := json.Marshal(two)
			if err != nil {
				t.Fatal(err)
			}
			two = alert.Episode{}
			if err := json.Unmarshal(raw, &two); err != nil {
				t.Fatal(err)
			}
			var d1, d2 measure.Decision
			if k := r.IntN(3); k == 0 {
				one, d1, _ = one.Tick(p, f, at)
				two, d2, _ = two.Tick(p, f, at)
			} else {
				v := measure.Verdict{Kind: measure.Bad, Severity: measure.Warning, At: at, Since: at.Add(-time.Minute), Text: "bad"}
				if k == 1 {
					v.Kind, v.Since, v.Text = measure.Good, at, "good"
				}
				one, d1 = one.Verdict(p, f, v)
				two, d2 = two.Verdict(p, f, v)
			}
			if !reflect.DeepEqual(d1, d2) {
				t.Fatalf("seed %d: %+v after a restore, %+v without", seed, d2, d1)
			}
			switch d1.Action {
			case measure.Raise:
				if open {
					t.Fatalf("seed %d: raised twice", seed)
				}
				open, heard = true, d1.Tell
			case measure.Remind:
				heard = heard || d1.Tell
				if !open {
					t.Fatalf("seed %d: reminded of nothing", seed)
				}
			case measure.Clear:
				if !open || d1.Tell && !heard {
					t.Fatalf("seed %d: cleared what was not open (%v), or told the end of what nobody heard (%v)", seed, open, heard)
				}
				if heard && !d1.Tell {
					t.Fatalf("seed %d: nobody hears of the end: %+v", seed, d1)
				}
				open = false
			}
			if open != one.IsOpen() {
				t.Fatalf("seed %d: open %v, episode %+v", seed, open, one)
			}
		}
	}
}
