package notify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sonde/internal/measure"
	"sonde/notify"
)

var began = time.Date(2026, 11, 20, 3, 12, 0, 0, time.UTC)

func alert() notify.Alert {
	return notify.Alert{
		ID: 4711, Severity: measure.Critical, Rule: "no answer", Node: "cern", Tool: "ping", Metric: "loss_pct", Monhost: "pi1",
		Text: "no answer, 3 runs in a row", BeganAt: began,
	}
}

func TestWokenPersonReadsTheImportantWordsFirst(t *testing.T) {
	a := alert()
	w := notify.AlertWords("raise", a, began.Add(3*time.Minute))
	if want := "DOWN cern: no answer, 3 runs in a row, since 03:12 UTC (ping from pi1) [a4711]"; w.Short != want {
		t.Errorf("short: %q\nwant   %q", w.Short, want)
	}
	if w.Subject != "DOWN cern: no answer, 3 runs in a row" || !strings.Contains(w.Text, "2026-11-20 03:12 UTC") {
		t.Errorf("%+v", w)
	}
	w = notify.AlertWords("remind", a, began.Add(28*time.Hour))
	if want := "STILL DOWN cern: no answer, 3 runs in a row, since 2026-11-20 03:12 UTC (ping from pi1) [a4711]"; w.Short != want {
		t.Errorf("short: %q\nwant   %q", w.Short, want)
	}
	a.CloseText, a.EndedAt = "answers again", began.Add(12*time.Minute)
	w = notify.AlertWords("clear", a, began.Add(14*time.Minute))
	if want := "OK cern: answers again after 12m, since 03:24 UTC (ping from pi1) [a4711]"; w.Short != want {
		t.Errorf("short: %q\nwant   %q", w.Short, want)
	}
	w = notify.AlertWords("raise", notify.Alert{ID: 1, Severity: measure.Warning, Rule: "medium fails", Subject: "medium sms", Text: "smsd did not send it", BeganAt: began}, began)
	if want := "WARNING medium sms: smsd did not send it, since 03:12 UTC [a1]"; w.Short != want {
		t.Errorf("short: %q\nwant   %q", w.Short, want)
	}
}

func TestNodeWhoseNameHasNoGSM7LettersIsToldByItsAddress(t *testing.T) {
	a := alert()
	a.Node, a.Address = "東京-gw1", "192.0.2.17"
	w := notify.AlertWords("raise", a, began)
	if want := "DOWN 192.0.2.17 (xn---gw1-4x5f052k): no answer, 3 runs in a row, since 03:12 UTC (ping from pi1) [a4711]"; w.Short != want {
		t.Errorf("short: %q\nwant   %q", w.Short, want)
	}
	if w.Subject != "DOWN 東京-gw1: no answer, 3 runs in a row" || !strings.Contains(w.Text, "address    192.0.2.17\n") {
		t.Errorf("%+v", w)
	}
	a.Node = "łódź"
	if w := notify.AlertWords("raise", a, began); !strings.HasPrefix(w.Short, "DOWN lodz: ") {
		t.Error(w.Short)
	}
}

func TestAlertOfManyWordsStillCarriesItsID(t *testing.T) {
	a := alert()
	a.Node, a.Text = strings.Repeat("узел-", 30), strings.Repeat("€", 300)+"\nwith a second line"
	w := notify.AlertWords("raise", a, began)
	if !strings.HasSuffix(w.Short, " [a4711]") || notify.Septets(w.Short) > 160 || strings.Contains(w.Subject, "\n") {
		t.Errorf("%q", w.Short)
	}
}

func TestATextWithRoomNamesAllThatAnAlertStandsForAndTheShortOneStaysOneSegment(t *testing.T) {
	a := alert()
	a.Text = "n1, n2, n3 and 147 more: no answer; all behind it"
	for i := range 150 {
		a.Parts = append(a.Parts, notify.Part{Node: fmt.Sprintf("n%d", i+1), Tool: "ping", Monhost: "pi1", Text: "no answer, 3 runs in a row", BeganAt: began})
	}
	w := notify.AlertWords("raise", a, began)
	for _, line := range []string{"\nIt stands for 150 more alerts:\n  n1: no answer, 3 runs in a row, since 2026-11-20 03:12 UTC (ping from pi1)\n", "\n  n100: ", "\n  and 50 more\n\nWhy: "} {
		if !strings.Contains(w.Text, line) {
			t.Errorf("%q is not in\n%s", line, w.Text)
		}
	}
	if strings.Contains(w.Text, "n101:") || strings.Contains(w.Short, "stands for") || notify.Septets(w.Short) > 160 {
		t.Errorf("%+v", w)
	}
	if a.Parts = a.Parts[:1]; !strings.Contains(notify.AlertWords("raise", a, began).Text, "\nIt stands for 1 more alert:\n  n1: ") {
		t.Error(notify.AlertWords("raise", a, began).Text)
	}
}

func TestTimesAreSaidInTheReadersZone(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 20, 0, 30, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"since 00:12 UTC [a1]":            "since 01:12 CET [a1]",
		"since 23:50 UTC":                 "since 00:50 CET",
		"2026-07-01 22:30 UTC":            "2026-07-02 00:30 CEST",
		"99:99 UTC and 2026-13-01 stay":   "99:99 UTC and 2026-13-01 stay",
		"from 00:01 UTC to 00:02 UTC, ok": "from 01:01 CET to 01:02 CET, ok",
	} {
		if got := notify.InZone(in, berlin, at); got != want {
			t.Errorf("InZone(%q) = %q, want %q", in, got, want)
		}
	}
}
