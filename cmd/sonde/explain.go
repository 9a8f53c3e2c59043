package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"sonde/analysis"
	"sonde/analysis/route"
	"sonde/config"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// runExplain answers "why was I woken" and "why was I not" from rows alone.
func runExplain(ctx context.Context, args []string) error {
	fs := flags("explain")
	from := config.Flags(fs)
	when := fs.String("at", "", "the moment: 03:12 (the last one, UTC), \"2026-03-02 03:12\", RFC 3339, or how long ago: 2h")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := parse(fs, args, 1, 1); err != nil {
		return err
	}
	at, err := moment(*when, time.Now())
	if err != nil {
		return usageError("%v", err)
	}
	st, done, err := openStore(ctx, from)
	if err != nil {
		return err
	}
	defer done()
	node, err := st.ExplainNode(ctx, fs.Arg(0), at)
	id, isAlert := alertID(fs.Arg(0))
	switch {
	case err == nil && *asJSON:
		return printJSON(os.Stdout, node)
	case err == nil:
		explainNode(os.Stdout, node)
		return nil
	case !errors.Is(err, store.ErrNoNode):
		return err
	case !isAlert:
		return fmt.Errorf("%w; an alert is named by its number, such as a12", err)
	}
	story, err := st.ExplainAlert(ctx, id)
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(os.Stdout, story)
	}
	explainAlert(os.Stdout, story)
	return nil
}

// moment reads a point in time as people say it, a day as its beginning; "" is the zero time.
func moment(text string, now time.Time) (time.Time, error) {
	now = now.UTC()
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			t = time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
			if t.After(now) {
				t = t.AddDate(0, 0, -1)
			}
			return t, nil
		}
	}
	if d, err := measure.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%q is no moment: write 03:12, 2026-03-02, \"2026-03-02 03:12\" or 2h", text)
}

func explainAlert(w io.Writer, s store.AlertStory) {
	a := s.Alert
	fmt.Fprintf(w, "a%d  %s  %s: %s\n", a.ID, a.Severity, a.About, a.Text)
	fmt.Fprintf(w, "\nrule %q", a.Rule)
	if a.Tool != "" {
		fmt.Fprintf(w, ", %s from %s", a.Tool, a.Monhost)
	}
	if a.Metric != "" {
		fmt.Fprintf(w, ", %s", a.Metric)
	}
	fmt.Fprintf(w, "\nbegan   %s\nraised  %s\n", clock(a.BeganAt), clock(a.RaisedAt))
	if a.ClosedAt != nil {
		ended := *a.ClosedAt
		if a.EndedAt != nil {
			ended = *a.EndedAt
		}
		fmt.Fprintf(w, "ended   %s: %s\n", clock(ended), a.CloseText)
	} else {
		fmt.Fprintln(w, "it still stands")
	}
	if state := alertState(a); strings.Contains(state, ",") {
		fmt.Fprintln(w, "state  ", state)
	}
	if m := s.Mark; m != nil {
		fmt.Fprintf(w, "marked  %s by %s%s\n", m.Verdict, m.Author, after(": ", m.Text))
	}
	if a.SilentUntil != nil {
		fmt.Fprintln(w, "silent until", clock(*a.SilentUntil))
	}
	fmt.Fprintln(w, "\nin words:")
	for _, line := range inWords(a, s.Findings) {
		fmt.Fprintln(w, "  "+line)
	}
	if s.Part != nil {
		fmt.Fprintf(w, "  It is part of a%d, %s: %s\n", s.Part.ID, s.Part.About, s.Part.Text)
	}
	if n := len(s.Hides); n > 0 {
		fmt.Fprintf(w, "  It stands for %d more, below.\n", n)
	}
	printEvidence(w, a.Evidence)
	if s.Route != nil {
		printRouteChange(w, *s.Route)
	}
	printFindings(w, "what was found, and what was decided", s.Findings)
	printNotices(w, s.Notices, s.Findings)
	printLadders(w, s.Ladders, a.Shadow)
	if len(s.Hides) > 0 {
		fmt.Fprintln(w, "\nit hides:")
		for _, h := range s.Hides {
			fmt.Fprintf(w, "  a%d  %s: %s\n", h.ID, h.About, h.Text)
		}
	}
	if len(s.Comments) > 0 {
		fmt.Fprintln(w, "\ncomments:")
		for _, c := range s.Comments {
			fmt.Fprintf(w, "  %s  %s: %s\n", clock(c.At), c.Author, c.Text)
		}
	}
}

// after puts a separator before a text that is there.
func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}

func printEvidence(w io.Writer, raw json.RawMessage) {
	var numbers map[string]json.RawMessage
	if json.Unmarshal(raw, &numbers) != nil || len(numbers) == 0 {
		return
	}
	fmt.Fprintln(w, "\nthe numbers that raised it:")
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		text := string(numbers[name])
		if len(text) > 200 {
			text = text[:200] + "…"
		}
		fmt.Fprintf(w, "  %-16s %s\n", name, strings.ToValidUTF8(text, ""))
	}
}

// printRouteChange sets the two routes side by side, and says what came with the change.
func printRouteChange(w io.Writer, c measure.RouteChange) {
	fmt.Fprintf(w, "\nthe route of %s, and of %s:\n", clock(c.Last), clock(c.At))
	before, after := c.Before.Hops, c.After.Hops
	for i := range max(len(before), len(after)) {
		fmt.Fprintf(w, "  %2d  %-44s %s\n", i+1, hopWords(before, i), hopWords(after, i))
	}
	fmt.Fprintf(w, "  AS path %s, then %s\n", route.ASPathOf(c.Before), route.ASPathOf(c.After))
	for _, words := range route.Sentences(c.Before, c.After) {
		fmt.Fprintf(w, "  %s\n", words)
	}
	fmt.Fprintln(w, "\nwhat came with it:")
	printCompany(w, "  ", c)
}

func hopWords(hops []measure.Hop, i int) string {
	if i >= len(hops) {
		return ""
	}
	h := hops[i]
	if h.Silent() {
		return "*"
	}
	words := h.Address.String()
	if h.AS != 0 {
		words += fmt.Sprintf("  AS %d %s", h.AS, h.ASName)
	}
	if h.RTT > 0 {
		words += fmt.Sprintf("  %.3g ms", float64(h.RTT)/float64(time.Millisecond))
	}
	return strings.Join(strings.Fields(words), " ")
}

// printCompany says what else changed on the pair and on others about then.
func printCompany(w io.Writer, indent string, c measure.RouteChange) {
	said := false
	say := func(format string, args ...any) { said = true; fmt.Fprintf(w, indent+format+"\n", args...) }
	for _, words := range route.Effects(c) {
		say("%s", words)
	}
	for _, a := range c.Alerts {
		say("a%d began at %s: %s %s", a.ID, clock(a.BeganAt), a.Rule, a.Text)
	}
	if !said {
		say("nothing that is known: delay, loss and other pairs over these hops stayed as they were, or are not measured")
	}
}

func printFindings(w io.Writer, head string, list []store.ToldFinding) {
	fmt.Fprintf(w, "\n%s:\n", head)
	if len(list) == 0 {
		fmt.Fprintln(w, "  nothing")
	}
	for _, f := range list {
		times := ""
		if f.Times > 1 {
			times = fmt.Sprintf(" (the last of %d)", f.Times)
		}
		id := ""
		if f.AlertID != 0 {
			id = fmt.Sprintf(" a%d", f.AlertID)
		}
		fmt.Fprintf(w, "  %s  %-6s %s%s: %s%s\n", clock(f.At), f.Decision, f.Rule, id, f.Text, times)
		if f.Reason != "" {
			fmt.Fprintf(w, "      %s\n", f.Reason)
		}
	}
}

func printNotices(w io.Writer, list []store.ToldNotice, findings []store.ToldFinding) {
	fmt.Fprintln(w, "\nwho was told:")
	if len(list) == 0 {
		fmt.Fprintln(w, "  nobody: no message was decided on")
		for i := len(findings) - 1; i >= 0; i-- {
			if _, why, not := strings.Cut(findings[i].Reason, "not told: "); not {
				fmt.Fprintf(w, "  the last reason: %s\n", why)
				break
			}
		}
	}
	for _, n := range list {
		fmt.Fprintf(w, "  %s  %s: %s\n", clock(n.CreatedAt), n.Kind, n.Subject)
		for _, d := range n.Deliveries {
			answer := d.Answer
			if answer == "" {
				answer = "no answer yet"
			}
			fmt.Fprintf(w, "      %s, step %d, %s to %s: %s, %s\n", d.Recipient, d.Step, d.Medium, d.Address, d.State, answer)
		}
		switch {
		case n.Done != "":
			fmt.Fprintf(w, "      %s\n", n.Done)
		case len(n.Deliveries) == 0:
			fmt.Fprintln(w, "      not sent yet: the message before it is still under way, or no notifier has taken it up")
		}
	}
}

func printLadders(w io.Writer, list []store.Ladder, shadow bool) {
	if shadow {
		fmt.Fprintln(w, "\nnobody is told of it while its rule is in shadow; once it is not:")
	} else {
		fmt.Fprintln(w, "\nwho is told of such an alert, as things are now:")
	}
	if len(list) == 0 {
		fmt.Fprintln(w, "  nobody: there are no recipients (INSERT INTO ladders …)")
	}
	for _, l := range list {
		if l.Problem != "" {
			fmt.Fprintf(w, "  not %s: %s\n", l.Recipient, l.Problem)
			continue
		}
		fmt.Fprintf(w, "  %s, step %d: %s to %s\n", l.Recipient, l.Step, l.Medium, l.Address)
	}
}

func explainNode(w io.Writer, s store.NodeStory) {
	fmt.Fprintf(w, "%s at %s\n", s.Node, clock(s.At))
	for _, line := range verdictOn(s) {
		fmt.Fprintln(w, line)
	}
	for _, sp := range s.Specs {
		off := ""
		if !sp.Enabled {
			off = ", switched off"
		}
		fmt.Fprintf(w, "\nspec %d, %s from %s%s; rules: %s\n", sp.ID, strings.TrimSpace(sp.Tool+" "+sp.Label), sp.Monhost, off, strings.Join(sp.Rules, ", "))
		if sp.JudgedTo != nil {
			fmt.Fprintf(w, "  judged up to %s\n", clock(*sp.JudgedTo))
		}
		for _, rule := range slices.Sorted(maps.Keys(sp.NotJudged)) {
			fmt.Fprintf(w, "  not judged by rule %s: %s\n", rule, sp.NotJudged[rule])
		}
		if len(sp.Runs) == 0 {
			fmt.Fprintln(w, "  no runs in the two days before")
		}
		for _, r := range sp.Runs {
			text := r.Outcome
			if r.Reason != "" {
				text += ": " + r.Reason
			}
			if r.Runs > 1 {
				text += fmt.Sprintf(" (%d instants)", r.Runs)
			}
			if r.Late {
				text += " (came late)"
			}
			for _, v := range r.Values {
				if v.Value == nil {
					text += fmt.Sprintf(", no %s", v.Metric)
					continue
				}
				text += fmt.Sprintf(", %s %s", v.Metric, analysis.Number(*v.Value, ""))
				if v.Unit == "%" {
					text += " %"
				}
			}
			fmt.Fprintf(w, "  %s  %s\n", clock(r.DueAt), text)
		}
	}
	for _, m := range s.Maintenance {
		fmt.Fprintf(w, "\nplanned quiet %d from %s until %s: %s\n", m.ID, clock(m.From), clock(m.Until), m.Text)
	}
	fmt.Fprintln(w, "\nalerts of the six hours before:")
	if len(s.Alerts) == 0 {
		fmt.Fprintln(w, "  none")
	}
	for _, a := range s.Alerts {
		fmt.Fprintf(w, "  a%d  %s  %s: %s (%s, since %s)\n", a.ID, a.Severity, a.About, a.Text, alertState(a), clock(a.BeganAt))
		for _, line := range inWords(a, s.Findings) {
			fmt.Fprintln(w, "      "+line)
		}
	}
	if len(s.Routes) > 0 {
		fmt.Fprintln(w, "\nchanges of routes in those hours, and what came with them:")
	}
	for _, c := range s.Routes {
		fmt.Fprintf(w, "  %s  %s from %s: %s\n", clock(c.At), strings.TrimSpace(c.Tool+" "+c.Label), c.Monhost, strings.Join(route.Sentences(c.Before, c.After), "; "))
		printCompany(w, "      ", c)
	}
	printFindings(w, "what was found in those hours, and what was decided", s.Findings)
	printNotices(w, s.Notices, s.Findings)
	printLadders(w, s.Ladders, false)
}

// verdictOn says in a few lines why somebody was woken, or was not.
func verdictOn(s store.NodeStory) []string {
	var out []string
	if !s.Enabled {
		out = append(out, "The node is switched off: nothing of it is measured.")
	}
	enabled := 0
	for _, sp := range s.Specs {
		if sp.Enabled {
			enabled++
		}
	}
	if enabled == 0 {
		out = append(out, "No enabled spec measures it.")
	}
	told := 0
	for _, n := range s.Notices {
		for _, d := range n.Deliveries {
			if d.State == "ok" {
				told++
				out = append(out, fmt.Sprintf("%s was told by %s at %s: %s.", d.Recipient, d.Medium, clock(d.BeganAt), n.Subject))
			}
		}
	}
	switch {
	case told > 0:
	case len(s.Notices) > 0:
		out = append(out, "Messages were decided on, and none is known to have arrived: see below who was to be told.")
	case len(s.Alerts) > 0:
		out = append(out, "There were alerts, and nobody was told: the reasons are with the decisions below.")
	case len(s.Findings) > 0:
		out = append(out, "The detectors found something, and it raised no alert: the reasons are below.")
	default:
		out = append(out, "The detectors found nothing wrong in the six hours before.")
	}
	return out
}
