package notify

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"sonde/internal/measure"
)

// Alert is what the words of a message are made of.
type Alert struct {
	ID        int64
	Severity  measure.Severity
	Rule      string
	Subject   string // what it is about when that is no node: "medium sms"
	Node      string
	Address   string // of the node
	Tool      string
	Metric    string
	Monhost   string
	Text      string    // the finding in one sentence, no full stop
	CloseText string    // why it was closed
	BeganAt   time.Time // by the data
	EndedAt   time.Time // by the data; zero while open
	Parts     []Part    // what it stands for beside itself, for mediums with room
}

// Part is one of the alerts that an alert stands for.
type Part struct {
	Node, Tool, Monhost string
	Text                string
	BeganAt             time.Time
}

// mostParts are told in a text; of a mass outage the rest is counted.
const mostParts = 100

// Words are one message in its three lengths. Times in them are UTC and written
// so that InZone finds them.
type Words struct {
	Subject string // one line
	Text    string // all
	Short   string // one GSM-7 segment, most important words first
}

// AlertWords says an alert to people. kind is that of the notice: raise, remind,
// clear or flapping; at is when it was decided.
//
//	DOWN cern: no answer, 3 runs in a row, since 03:12 UTC (ping from pi1) [a4711]
//	OK cern: answers again after 12m, since 03:24 UTC (ping from pi1) [a4711]
func AlertWords(kind string, a Alert, at time.Time) Words {
	who := a.Node
	if who == "" {
		who = a.Subject
	}
	if who == "" {
		who = a.Monhost
	}
	what, since := a.Text, a.BeganAt
	if kind == "clear" {
		since = a.EndedAt
		if since.IsZero() {
			since = at
		}
		what = a.CloseText
		if what == "" {
			what = "over"
		}
		if d := since.Sub(a.BeganAt); d > 0 {
			what += " after " + roughly(d)
		}
	}
	head := headline(kind, a)
	w := Words{Subject: FirstLine(head + " " + who + ": " + what)}
	via := ""
	if a.Tool != "" {
		via = " (" + a.Tool
		if a.Monhost != "" && a.Monhost != who {
			via += " from " + a.Monhost
		}
		via += ")"
	} else if a.Monhost != "" && a.Monhost != who {
		via = " (seen from " + a.Monhost + ")"
	}
	id := fmt.Sprintf("[a%d]", a.ID)
	told := who
	if a.Address != "" && who == a.Node && !writable(who) {
		told = a.Address + " (" + who + ")" // the name will be coded: the address is what a person knows
	}
	w.Short = FitGSM7Tail(fmt.Sprintf("%s %s: %s, since %s%s", head, told, what, Clock(since, at), via), id)

	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", w.Subject)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-10s %s\n", name, value)
		}
	}
	line("alert", fmt.Sprintf("a%d, %s, rule %q", a.ID, a.Severity, a.Rule))
	line("about", who)
	line("address", a.Address)
	line("measured", strings.TrimSpace(strings.Trim(strings.TrimSpace(via), "()")+" "+a.Metric))
	if kind == "clear" {
		line("was", a.Text)
	}
	line("began", a.BeganAt.UTC().Format(zoneFull))
	if kind == "clear" {
		line("ended", since.UTC().Format(zoneFull))
	}
	if n := len(a.Parts); n > 0 {
		alerts := "alerts"
		if n == 1 {
			alerts = "alert"
		}
		fmt.Fprintf(&b, "\nIt stands for %d more %s:\n", n, alerts)
		for _, part := range a.Parts[:min(n, mostParts)] {
			fmt.Fprintf(&b, "  %s: %s, since %s (%s from %s)\n", part.Node, FirstLine(part.Text), part.BeganAt.UTC().Format(zoneFull), part.Tool, part.Monhost)
		}
		if n > mostParts {
			fmt.Fprintf(&b, "  and %d more\n", n-mostParts)
		}
	}
	fmt.Fprintf(&b, "\nWhy: sonde explain a%d\n", a.ID)
	if kind != "clear" {
		fmt.Fprintf(&b, "Taken note of, do not repeat: sonde alert ack a%d\n", a.ID)
	}
	w.Text = b.String()
	return w
}

func headline(kind string, a Alert) string {
	head := "NOTE"
	switch {
	case a.Rule == "no answer":
		head = "DOWN"
	case a.Severity == measure.Critical:
		head = "CRITICAL"
	case a.Severity == measure.Warning:
		head = "WARNING"
	}
	switch kind {
	case "clear":
		return "OK"
	case "flapping":
		return "FLAPPING"
	case "remind":
		return "STILL " + head
	}
	return head
}

// FirstLine makes one line of a text, without control characters.
func FirstLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == ' ' }), " ")
}

// roughly says a length of time as people do: 40s, 12m, 3h05m, 2d4h.
func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(1, int(d.Round(time.Second).Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

const (
	zoneFull  = "2006-01-02 15:04 MST"
	zoneShort = "15:04 MST"
)

// Clock writes an instant in UTC, without the date when it is of the last 12 hours before at.
func Clock(t, at time.Time) string {
	if d := at.Sub(t); d < 12*time.Hour && d > -time.Minute {
		return t.UTC().Format(zoneShort)
	}
	return t.UTC().Format(zoneFull)
}

var utcTime = regexp.MustCompile(`(?:\b(\d{4}-\d\d-\d\d) )?\b([01]\d|2[0-3]):([0-5]\d) UTC\b`)

// InZone rewrites the times of a message, which are UTC, in the time zone of who
// reads it. A time without a date is the last such time before at.
func InZone(text string, zone *time.Location, at time.Time) string {
	if zone == nil || zone == time.UTC {
		return text
	}
	return utcTime.ReplaceAllStringFunc(text, func(m string) string {
		if t, err := time.Parse(zoneFull, m); err == nil {
			return t.In(zone).Format(zoneFull)
		}
		day := at.UTC().Format("2006-01-02 ")
		t, err := time.Parse(zoneFull, day+m)
		if err != nil {
			return m
		}
		if t.After(at.Add(time.Minute)) {
			t = t.AddDate(0, 0, -1)
		}
		return t.In(zone).Format(zoneShort)
	})
}
