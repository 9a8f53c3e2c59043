package chart

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

var csvHead = []string{"kind", "from", "until", "runs", "ok", "fail", "missed", "sent", "received", "loss_pct", "min", "low", "median", "high", "max", "unit", "text"}

// CSV writes the numbers of the chart: a row for each bucket, then one for each
// step of what was expected (its forecast as the median, its band as low and
// high), gap, alert and mark, and where it began. Instants are in UTC. What no run gave is empty.
func (c Chart) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	_ = out.Write(csvHead) // the error is kept
	for _, b := range c.Buckets {
		_ = out.Write([]string{"runs", stamp(b.At), stamp(b.At.Add(c.Width)), strconv.Itoa(b.Runs), strconv.Itoa(b.OK), strconv.Itoa(b.Fail), strconv.Itoa(b.Missed),
			packets(c, b.Sent), packets(c, b.Received), plain(b.Loss()), plain(b.Min), plain(b.Low), plain(b.Median), plain(b.High), plain(b.Max), c.Unit, ""})
	}
	for _, e := range c.Expected {
		r := make([]string, len(csvHead))
		r[0], r[1], r[2], r[11], r[12], r[13], r[15] = "expected", stamp(e.From), stamp(e.Until), plain(e.Low), plain(e.Forecast), plain(e.High), c.Unit
		_ = out.Write(r)
	}
	row := func(kind string, from, until time.Time, runs int, text string) {
		r := make([]string, len(csvHead))
		r[0], r[1], r[2], r[16] = kind, stamp(from), stamp(until), PlainText(text)
		if runs > 0 {
			r[3] = strconv.Itoa(runs)
		}
		_ = out.Write(r)
	}
	for _, g := range c.Gaps {
		row("gap", g.From, g.Until, g.Runs, g.Text)
	}
	for _, a := range c.Alerts {
		row("alert", a.From, a.Until, 0, a.Text)
	}
	for _, m := range c.Marks {
		row("mark", m.At, m.At, 0, m.Text)
	}
	if !c.Began.IsZero() {
		row("began", c.Began, c.Began, 0, "")
	}
	if c.Note != "" {
		row("note", c.From, c.Until, 0, c.Note)
	}
	out.Flush()
	return out.Error()
}

// PlainText keeps a spreadsheet from reckoning with a text.
func PlainText(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func packets(c Chart, n int64) string {
	if !c.HasLoss {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.999999Z")
}

func plain(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', 10, 64)
}

type jsonBucket struct {
	From     string   `json:"from"`
	Runs     int      `json:"runs"`
	OK       int      `json:"ok"`
	Fail     int      `json:"fail"`
	Missed   int      `json:"missed"`
	Sent     *int64   `json:"sent,omitempty"`
	Received *int64   `json:"received,omitempty"`
	Loss     *float64 `json:"loss_pct"`
	Min      *float64 `json:"min"`
	Low      *float64 `json:"low"`
	Median   *float64 `json:"median"`
	High     *float64 `json:"high"`
	Max      *float64 `json:"max"`
}

type jsonExpected struct {
	From     string   `json:"from"`
	Until    string   `json:"until"`
	Forecast *float64 `json:"forecast"`
	Low      *float64 `json:"low"`
	High     *float64 `json:"high"`
}

type jsonSpan struct {
	From  string `json:"from"`
	Until string `json:"until,omitempty"`
	Runs  int    `json:"runs,omitempty"`
	Class string `json:"severity,omitempty"`
	Text  string `json:"text"`
}

// JSON writes the numbers of the chart as one object. What no run gave is null.
func (c Chart) JSON(w io.Writer) error {
	out := struct {
		Title    string         `json:"title"`
		Unit     string         `json:"unit"`
		From     string         `json:"from"`
		Until    string         `json:"until"`
		Width    float64        `json:"bucket_seconds"`
		Note     string         `json:"note,omitempty"`
		Buckets  []jsonBucket   `json:"buckets"`
		Gaps     []jsonSpan     `json:"gaps"`
		Alerts   []jsonSpan     `json:"alerts"`
		Marks    []jsonSpan     `json:"marks"`
		Expected []jsonExpected `json:"expected,omitempty"`
		Began    string         `json:"began,omitempty"`
	}{c.Title, c.Unit, stamp(c.From), stamp(c.Until), c.Width.Seconds(), c.Note, []jsonBucket{}, []jsonSpan{}, []jsonSpan{}, []jsonSpan{}, nil, stamp(c.Began)}
	for _, b := range c.Buckets {
		j := jsonBucket{From: stamp(b.At), Runs: b.Runs, OK: b.OK, Fail: b.Fail, Missed: b.Missed, Loss: orNull(b.Loss()),
			Min: orNull(b.Min), Low: orNull(b.Low), Median: orNull(b.Median), High: orNull(b.High), Max: orNull(b.Max)}
		if c.HasLoss {
			j.Sent, j.Received = &b.Sent, &b.Received
		}
		out.Buckets = append(out.Buckets, j)
	}
	for _, g := range c.Gaps {
		out.Gaps = append(out.Gaps, jsonSpan{From: stamp(g.From), Until: stamp(g.Until), Runs: g.Runs, Text: g.Text})
	}
	for _, a := range c.Alerts {
		out.Alerts = append(out.Alerts, jsonSpan{From: stamp(a.From), Until: stamp(a.Until), Class: a.Class, Text: a.Text})
	}
	for _, m := range c.Marks {
		out.Marks = append(out.Marks, jsonSpan{From: stamp(m.At), Text: m.Text})
	}
	for _, e := range c.Expected {
		out.Expected = append(out.Expected, jsonExpected{stamp(e.From), stamp(e.Until), orNull(e.Forecast), orNull(e.Low), orNull(e.High)})
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(true)
	return e.Encode(out)
}

func orNull(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
