package chart

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

var nan = math.NaN()

var noon = time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)

// series is an hour of runs every minute, whole.
func series() Chart {
	c := Chart{ID: "c7", Title: "ping cern from lab", Unit: "ms", From: noon.Add(-time.Hour), Until: noon, Now: noon, Zone: time.UTC, Width: time.Minute, Interval: time.Minute, HasLoss: true}
	for i := range 60 {
		v := 10 + float64(i%7)
		c.Buckets = append(c.Buckets, Bucket{At: c.From.Add(time.Duration(i) * time.Minute), Runs: 1, OK: 1, Sent: 10, Received: 10, Min: v - 1, Low: v - 0.5, Median: v, High: v + 1, Max: v + 3})
	}
	return c
}

// broken is the same hour with one of everything that can be wrong.
func broken() Chart {
	c := series()
	for i := range c.Buckets {
		b := &c.Buckets[i]
		none := Bucket{At: b.At, Runs: 1, Min: nan, Low: nan, Median: nan, High: nan, Max: nan}
		switch {
		case i >= 10 && i < 15:
			*b = none
			b.Fail = 1
		case i >= 20 && i < 25:
			*b = none
			b.Missed = 1
		case i >= 40 && i < 44: // silence: measured, all lost
			*b = none
			b.OK, b.Sent = 1, 10
		case i == 50:
			b.Received = 7
		case i == 55:
			b.Max = 500
		}
	}
	c.Buckets = append(c.Buckets[:30:30], c.Buckets[35:]...)
	c.Gaps = []Span{{From: c.From.Add(30 * time.Minute), Until: c.From.Add(34 * time.Minute), Runs: 5, Text: `=nobody led & "so on"`}}
	c.Marks = []Mark{{At: c.From.Add(45 * time.Minute), Text: "options changed <b>"}}
	c.Alerts = []Span{{From: c.From.Add(40 * time.Minute), Until: c.From.Add(46 * time.Minute), Text: "alert 1: no answer", Class: "critical"}}
	c.Routes = []Route{{c.From, c.From.Add(20 * time.Minute), 1}, {c.From.Add(20 * time.Minute), c.From.Add(40 * time.Minute), 12}, {c.From.Add(41 * time.Minute), c.Until, 0}}
	return c
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./web/chart -update writes it)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs:\n got %.800s\nwant %.800s", name, got, want)
	}
}

func TestChartsAreAsTheyWere(t *testing.T) {
	empty := series()
	empty.Buckets = nil
	var table, object bytes.Buffer
	if err := broken().CSV(&table); err != nil {
		t.Fatal(err)
	}
	if err := broken().JSON(&object); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{
		"whole.svg": series().Standalone(), "broken.svg": broken().Standalone(), "narrow.svg": broken().SVG(Narrow), "empty.svg": empty.Standalone(),
		"broken.csv": table.Bytes(), "broken.json": object.Bytes(),
	} {
		golden(t, name, got)
	}
}

// pathOf gives the d of the first path of a class.
func pathOf(t *testing.T, svg []byte, class string) string {
	t.Helper()
	_, rest, ok := strings.Cut(string(svg), `<path class="`+class+`" d="`)
	if !ok {
		return ""
	}
	d, _, _ := strings.Cut(rest, `"`)
	return d
}

func TestLineOfTheMedianIsNeverDrawnAcrossAHole(t *testing.T) {
	if n := strings.Count(pathOf(t, series().SVG(Wide), "median"), "M"); n != 1 {
		t.Errorf("a whole series is drawn in %d pieces", n)
	}
	// Failed, missed, gap, silence: four holes, five pieces.
	if n := strings.Count(pathOf(t, broken().SVG(Wide), "median"), "M"); n != 5 {
		t.Errorf("a series with four holes is drawn in %d pieces", n)
	}
}

func TestEachKindOfHoleHasAHatchingOfItsOwn(t *testing.T) {
	svg := string(broken().SVG(Wide))
	for _, want := range []string{`url(#c7wide-fail)`, `url(#c7wide-missed)`, `url(#c7wide-gap)`, ">failed<", ">missed<", ">gap: no run<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("%s is missing", want)
		}
	}
	svg = string(series().SVG(Wide))
	for _, no := range []string{`url(#`, ">failed<", ">missed<", ">gap"} {
		if strings.Contains(svg, no) {
			t.Errorf("a whole series shows %s", no)
		}
	}
}

func TestOneWildSampleDoesNotPressTheRestFlat(t *testing.T) {
	c := broken()
	if high := top(c.Buckets, nil); high > 30 {
		t.Errorf("the scale ends at %v", high)
	}
	if pathOf(t, c.SVG(Wide), "wedge") == "" || !strings.Contains(string(c.SVG(Wide)), "above the scale") {
		t.Error("what is cut off is not marked")
	}
}

func TestResultInsideAGapWins(t *testing.T) {
	c := series()
	c.Gaps = []Span{{From: c.From, Until: c.From.Add(59 * time.Minute), Runs: 60, Text: "all of it"}}
	svg := string(c.SVG(Wide))
	if _, plot, ok := strings.Cut(svg, `fill="url(#c7wide-gap)" d="`); ok {
		t.Errorf("a gap full of results is hatched: %.100s", plot)
	}
}

func TestChartsAreWellFormedWhateverTheNamesAre(t *testing.T) {
	c := broken()
	c.Title = "<script>alert(1)</script>\"'& \x00\x01\xff ]]>"
	c.Alerts[0].Text, c.Gaps[0].Text, c.Marks[0].Text, c.Unit = c.Title, c.Title, c.Title, "<i>"
	for _, svg := range [][]byte{c.Standalone(), c.SVG(Narrow)} {
		d := xml.NewDecoder(bytes.NewReader(svg))
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%v in\n%.600s", err, svg)
			}
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "script" {
				t.Fatal("a script got in")
			}
		}
	}
}

func TestNumbersAreReadBackByPrograms(t *testing.T) {
	var b bytes.Buffer
	if err := broken().CSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 1+55+3 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if text := rows[56][16]; text != `'=nobody led & "so on"` {
		t.Errorf("a spreadsheet would reckon with %q", text)
	}
	b.Reset()
	if err := broken().JSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Buckets []struct {
			Median *float64 `json:"median"`
			Loss   *float64 `json:"loss_pct"`
			Fail   int
		}
		Gaps []struct{ Runs int }
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if b := got.Buckets[10]; b.Median != nil || b.Loss != nil || b.Fail != 1 {
		t.Errorf("a failed run has numbers: %+v", b)
	}
	if b := got.Buckets[35]; b.Median != nil || b.Loss == nil || *b.Loss != 100 {
		t.Errorf("silence is not full loss without delay: %+v", b)
	}
	if len(got.Gaps) != 1 || got.Gaps[0].Runs != 5 {
		t.Errorf("gaps %+v", got.Gaps)
	}
}

func TestTicksStandOnTheWallClockAlsoWhereItChanges(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 3, 28, 18, 0, 0, 0, berlin)
	var labels []string
	for _, tick := range timeTicks(from, from.Add(24*time.Hour), berlin, 10) {
		labels = append(labels, tick.Label)
	}
	if got := strings.Join(labels, " "); got != "18:00 21:00 Sun 29 Mar 03:00 06:00 09:00 12:00 15:00 18:00" {
		t.Error(got)
	}
	for span, most := range map[time.Duration]int{time.Second: 11, time.Minute: 11, 3 * time.Hour: 11, 30 * time.Hour: 11, 10 * 24 * time.Hour: 11, 400 * 24 * time.Hour: 15, 3660 * 24 * time.Hour: 15} {
		if n := len(timeTicks(from, from.Add(span), berlin, 10)); n < 1 || n > most {
			t.Errorf("%v has %d ticks", span, n)
		}
	}
}

func FuzzAnyNumbersGiveAPicture(f *testing.F) {
	f.Add(1.0, 2.0, int64(60), int64(10), int64(3), "ping")
	f.Add(math.MaxFloat64, -1.0, int64(-5), int64(0), int64(9), "<")
	f.Add(math.Inf(1), math.SmallestNonzeroFloat64, int64(1<<40), int64(-3), int64(0), "\x00")
	f.Fuzz(func(t *testing.T, a, b float64, span, sent, received int64, title string) {
		c := Chart{Title: title, ID: "x", From: noon, Until: noon.Add(time.Duration(span) * time.Second), Now: noon, Width: time.Second, Interval: time.Second, HasLoss: true}
		for i := range 5 {
			c.Buckets = append(c.Buckets, Bucket{At: noon.Add(time.Duration(i) * time.Second), Runs: 1, OK: 1, Sent: sent, Received: received, Min: a, Low: a, Median: b, High: b, Max: max(a, b)})
		}
		svg := c.Standalone()
		if bytes.Contains(svg, []byte("NaN")) && !strings.Contains(title, "NaN") || bytes.Contains(svg, []byte(`"Inf`)) {
			t.Fatalf("a coordinate is no number: %.2000s", svg)
		}
		d := xml.NewDecoder(bytes.NewReader(svg))
		for {
			if _, err := d.Token(); err == io.EOF {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	})
}
