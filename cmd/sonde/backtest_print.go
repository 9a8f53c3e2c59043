package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"sonde/internal/measure"
	"sonde/internal/replay"
	"sonde/internal/store"
)

// at writes an instant in the time zone of pages.
func (t *trial) at(when time.Time) string { return when.In(t.plan.Zone).Format("2006-01-02 15:04 MST") }

func (t *trial) print(w io.Writer) {
	r := t.q.Settings[0].Rule
	subject := strings.TrimSpace(r.Tool + " " + r.Metric)
	if subject == "" {
		subject = "the outcomes of every tool"
	}
	name := "a rule that is not there yet"
	if t.flags.rule != "" {
		name = fmt.Sprintf("rule %q", t.flags.rule)
	}
	fmt.Fprintf(w, "%s: %s on %s, options %s", name, r.Method, subject, jsonOr(r.Options, "{}"))
	if r.Tolerance > 0 {
		fmt.Fprintf(w, ", tolerance %s", measure.FormatDuration(r.Tolerance))
	}
	fmt.Fprintf(w, "\n%s to %s, learnt from %s before; %d specs, %d rows in %s (%.0f rows/s)\n", t.at(t.q.From), t.at(t.q.Until),
		measure.FormatDuration(t.q.From.Sub(t.q.Learn)), t.facts.Specs, t.facts.Rows, t.facts.Took.Round(100*time.Millisecond), float64(t.facts.Rows)/max(t.facts.Seconds, 1e-3))
	if t.flags.propose != "" {
		t.printProposal(w)
	} else {
		t.printFigures(w)
		t.printHours(w)
		t.printIncidents(w)
		if len(t.results) == 2 {
			t.printDifference(w)
		} else {
			t.printAlerts(w, "alerts", t.results[0].Alerts)
		}
	}
	fmt.Fprintln(w, "\nwhat to know besides:")
	for _, d := range t.doubts() {
		fmt.Fprintf(w, "  %s\n", d)
	}
	if t.flags.propose != "" {
		return
	}
	last := t.results[len(t.results)-1].Setting.Rule
	if sql := t.applying(last); sql != "" {
		fmt.Fprintf(w, "\nto apply it:\n  %s\n", sql)
	}
}

func jsonOr(raw []byte, otherwise string) string {
	if len(raw) == 0 {
		return otherwise
	}
	return string(raw)
}

// printFigures sets the settings side by side.
func (t *trial) printFigures(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	var figures []replay.Figures
	var marks []replay.Marks
	head := ""
	for i := range t.results {
		figures = append(figures, t.results[i].Figures(&t.q, &t.facts, t.plan.Zone))
		marks = append(marks, t.results[i].Against(t.incidents, t.q.Specs))
		head += "\t" + t.results[i].Setting.Name
	}
	line := func(name string, f func(i int) string) {
		row := name
		for i := range t.results {
			row += "\t" + f(i)
		}
		fmt.Fprintln(tw, row)
	}
	number := func(name string, f func(replay.Figures) int) {
		line(name, func(i int) string { return fmt.Sprint(f(figures[i])) })
	}
	fmt.Fprintf(tw, "\n%s\n", head)
	number("alerts", func(f replay.Figures) int { return f.Alerts })
	line("  a week", func(i int) string { return fmt.Sprintf("%.1f", figures[i].PerWeek) })
	line("  a spec and week", func(i int) string { return fmt.Sprintf("%.3f", figures[i].PerSpecWeek) })
	number(fmt.Sprintf("  at night (%d to %d)", replay.NightFrom, replay.NightUntil), func(f replay.Figures) int { return f.Night })
	number("  in maintenance", func(f replay.Figures) int { return f.Planned })
	number("  flapping", func(f replay.Figures) int { return f.Flapping })
	number("  standing at the end", func(f replay.Figures) int { return f.Standing })
	line("  usual length", func(i int) string { return orDash(figures[i].MedianLength) })
	number("messages", func(f replay.Figures) int { return f.Messages })
	number("  at night", func(f replay.Figures) int { return f.NightlyTold })
	line("incidents caught", func(i int) string {
		return fmt.Sprintf("%d of %d", replay.Caught(marks[i].Right), len(marks[i].Right))
	})
	line("wrong alerts repeated", func(i int) string {
		return fmt.Sprintf("%d of %d", replay.Caught(marks[i].Wrong), len(marks[i].Wrong))
	})
	line("planned work told of", func(i int) string {
		return fmt.Sprintf("%d of %d", replay.Caught(marks[i].Planned), len(marks[i].Planned))
	})
	line("alerts nobody marked", func(i int) string { return fmt.Sprint(marks[i].Unmarked) })
	_ = tw.Flush()
}

func orDash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

// barLength is the length of the longest bar.
const barLength = 30

// printHours draws when alerts are raised, by hour of day and by week.
func (t *trial) printHours(w io.Writer) {
	most := barLength // one sign an alert, as long as that fits
	var figures []replay.Figures
	for i := range t.results {
		f := t.results[i].Figures(&t.q, &t.facts, t.plan.Zone)
		figures = append(figures, f)
		most = max(most, slices.Max(f.Hours[:]))
	}
	fmt.Fprintf(w, "\nalerts by hour of day, %s\n", t.plan.Zone)
	for hour := range 24 {
		line := fmt.Sprintf("  %02d", hour)
		for _, f := range figures {
			n := f.Hours[hour]
			bar := strings.Repeat("#", (n*barLength+most-1)/most)
			if n > 0 {
				bar += fmt.Sprint(" ", n)
			}
			line += fmt.Sprintf("  %-*s", barLength+6, bar)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
	fmt.Fprintf(w, "by week from %s on:\n", t.q.From.In(t.plan.Zone).Format(time.DateOnly))
	for i, f := range figures {
		fmt.Fprintf(w, "  %-12s %s\n", t.results[i].Setting.Name, strings.Trim(fmt.Sprint(f.Weeks), "[]"))
	}
}

// printIncidents says of each incident whether and when it is told of.
func (t *trial) printIncidents(w io.Writer) {
	var marks []replay.Marks
	head := "  \tFROM\tLASTED\tWHERE\tWHAT"
	for i := range t.results {
		marks = append(marks, t.results[i].Against(t.incidents, t.q.Specs))
		head += "\t" + strings.ToUpper(t.results[i].Setting.Name)
	}
	kinds := []struct {
		name string
		list func(replay.Marks) []replay.Told
	}{
		{"right", func(m replay.Marks) []replay.Told { return m.Right }},
		{"wrong", func(m replay.Marks) []replay.Told { return m.Wrong }},
		{"planned", func(m replay.Marks) []replay.Told { return m.Planned }},
	}
	fmt.Fprintln(w, "\nincidents, and when an alert tells of them:")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	listed := 0
	for _, k := range kinds {
		for j, told := range k.list(marks[0]) {
			if listed++; listed > t.flags.most {
				continue
			}
			if listed == 1 {
				fmt.Fprintln(tw, head)
			}
			in := told.Incident
			lasted := "still lasts"
			if in.Until != nil {
				lasted = measure.FormatDuration(in.Until.Sub(in.From).Round(time.Second))
			}
			row := fmt.Sprintf("  %s\t%s\t%s\t%s\t%s", k.name, t.at(in.From), lasted, whereOf(in), whatOf(in))
			for i := range marks {
				row += "\t" + tellingOf(k.list(marks[i])[j])
			}
			fmt.Fprintln(tw, row)
		}
	}
	_ = tw.Flush()
	if listed > t.flags.most {
		fmt.Fprintf(w, "  … and %d more: --most %d, or --json\n", listed-t.flags.most, listed)
	}
	if listed == 0 {
		fmt.Fprintln(w, "  none is marked: sonde alert ID right|wrong|planned, or INSERT INTO incidents (node, from_at, until_at, text) VALUES (…)")
	}
	if n := marks[0].Elsewhere; n > 0 {
		fmt.Fprintf(w, "  %d more concern nothing that this rule watches\n", n)
	}
}

func whereOf(in store.Incident) string {
	switch {
	case in.Label != "":
		return strings.TrimSpace("label " + in.Label + " " + in.Tool)
	case in.ToolspecID != 0:
		return fmt.Sprintf("%s %s, spec %d", in.Node, in.Tool, in.ToolspecID)
	}
	return strings.TrimSpace(in.Node + " " + in.Tool)
}

func whatOf(in store.Incident) string {
	text := in.Text
	if in.AlertID != 0 {
		text = strings.TrimSpace(fmt.Sprintf("a%d (%s) %s", in.AlertID, in.Rule, text))
	}
	if r := []rune(text); len(r) > 40 {
		text = string(r[:39]) + "…"
	}
	return text
}

func tellingOf(t replay.Told) string {
	if t.Alert == nil {
		return "no alert"
	}
	text := "after " + measure.FormatDuration(t.Delay.Round(time.Second))
	if t.Delay == 0 {
		text = "at once"
	}
	if t.Alerts > 1 {
		text += fmt.Sprintf(" (%d alerts)", t.Alerts)
	}
	return text
}

func (t *trial) printAlerts(w io.Writer, head string, list []*replay.Alert) {
	fmt.Fprintf(w, "\n%s (%d):\n", head, len(list))
	if len(list) == 0 {
		fmt.Fprintln(w, "  none")
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "  RAISED\tBEGAN\tENDED\tABOUT\tSEVERITY\tWHAT")
	shown := list
	if len(list) > t.flags.most {
		shown = list[:t.flags.most]
	}
	for _, a := range shown {
		ended := "stands"
		if a.Ended != nil {
			ended = measure.FormatDuration(a.Ended.Sub(a.Began).Round(time.Second)) + " later"
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\t%s\t%s\n", t.at(a.Raised), a.Began.In(t.plan.Zone).Format("15:04"), ended, aboutOf(a), severityOf(a), a.Text)
	}
	_ = tw.Flush()
	if len(shown) < len(list) {
		fmt.Fprintf(w, "  … and %d more: --most %d, or --json\n", len(list)-len(shown), len(list))
	}
}

func aboutOf(a *replay.Alert) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", a.Node, a.Tool, a.Label)) + " from " + a.Monhost
}

func severityOf(a *replay.Alert) string {
	text := string(a.Severity)
	if a.Planned {
		text += ", planned"
	}
	if a.Flapping {
		text += ", flapping"
	}
	return text
}

func (t *trial) printDifference(w io.Writer) {
	now, then := t.results[0].Setting.Name, t.results[1].Setting.Name
	d := replay.Compare(t.results[0].Alerts, t.results[1].Alerts)
	earlier, later := 0, 0
	var moved []replay.Pair
	for _, p := range d.Both {
		switch {
		case p.Later < 0:
			earlier++
		case p.Later > 0:
			later++
		}
		if p.Later != 0 {
			moved = append(moved, p)
		}
	}
	fmt.Fprintf(w, "\nthe difference: %d alerts with both, of them %d earlier and %d later with %s; %d only %s, %d only with %s\n",
		len(d.Both), earlier, later, then, len(d.OnlyNow), now, len(d.OnlyThen), then)
	t.printAlerts(w, "only "+now, d.OnlyNow)
	t.printAlerts(w, "only with "+then, d.OnlyThen)
	if len(moved) == 0 {
		return
	}
	fmt.Fprintf(w, "\nwith both, at another time (%d):\n", len(moved))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range moved[:min(len(moved), t.flags.most)] {
		way := measure.FormatDuration(p.Later.Round(time.Second)) + " later"
		if p.Later < 0 {
			way = measure.FormatDuration((-p.Later).Round(time.Second)) + " earlier"
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", t.at(p.Now.Raised), way, aboutOf(p.Now))
	}
	_ = tw.Flush()
}

// proposalsShown is how many of the settings that were tried are listed.
const proposalsShown = 12

func (t *trial) printProposal(w io.Writer) {
	order, better, why := t.proposal()
	fmt.Fprintf(w, "\n%d settings were tried:\n", len(order))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "  SETTING\tRIGHT CAUGHT\tMEAN DELAY\tWRONG REPEATED\tNOBODY MARKED\tALERTS\t")
	for i, s := range order {
		if i >= proposalsShown && s.Setting.Name != "as it is" {
			continue
		}
		note := ""
		if !s.KeepsAll {
			note = "loses right ones"
		}
		fmt.Fprintf(tw, "  %s\t%d of %d\t%s\t%d of %d\t%d\t%d\t%s\n", s.Setting.Name, replay.Caught(s.Marks.Right), len(s.Marks.Right), measure.FormatDuration(s.Delay.Round(time.Second)),
			replay.Caught(s.Marks.Wrong), len(s.Marks.Wrong), s.Marks.Unmarked, s.Alerts, note)
	}
	_ = tw.Flush()
	if n := len(order) - proposalsShown; n > 0 {
		fmt.Fprintf(w, "  … and %d worse: --json\n", n)
	}
	switch {
	case why != "":
		fmt.Fprintf(w, "\nNothing is proposed. %s\n", why)
	case !better:
		fmt.Fprintln(w, "\nNothing is proposed: none catches more of what is right, or repeats less of what is wrong, and loses nothing.")
	default:
		best := order[0]
		fmt.Fprintf(w, "\nproposed: %s. It is judged by %d right and %d wrong; see its difference first, and try it in shadow:\n  sonde backtest --rule %s%s\n  %s\n",
			best.Setting.Name, len(best.Marks.Right), len(best.Marks.Wrong), shellWord(t.flags.rule), setFlags(best.Setting.Name), t.applying(best.Setting.Rule))
		fmt.Fprintln(w, "Nothing was changed.")
	}
}

func setFlags(name string) string {
	text := ""
	for _, one := range strings.Fields(name) {
		text += " --set " + one
	}
	return text
}

// shellWord writes a word so that a person can paste it.
func shellWord(text string) string {
	if !strings.ContainsAny(text, " \t'\"\\$`*?&|;<>()#~") {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
