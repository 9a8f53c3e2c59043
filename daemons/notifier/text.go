package notifier

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/notify"
)

var alertID = regexp.MustCompile(` ?(\[a\d+\])$`)

// message is a delivery's message, with times in the zone of who reads it.
func message(n store.Notice, d store.Delivery, zone *time.Location) notify.Message {
	short, tail := notify.InZone(n.Short, zone, n.CreatedAt), ""
	if m := alertID.FindStringSubmatch(short); m != nil {
		short, tail = strings.TrimSuffix(short, m[0]), m[1]
	}
	return notify.Message{
		DeliveryID: d.ID,
		Name:       name(d),
		To:         d.Address,
		Subject:    notify.InZone(n.Subject, zone, n.CreatedAt),
		Text:       notify.InZone(n.Text, zone, n.CreatedAt),
		Short:      notify.FitGSM7Tail(short, tail), // a zone's name may be longer than UTC
	}
}

// mediumWords makes the message of an alert about a medium.
func mediumWords(kind string, a store.OwnAlert) (subject, text, short string) {
	return ownWords(kind, measure.Warning, store.MediumFails, a)
}

// digestNotice tells of many notices in one: what is still wrong first.
func digestNotice(d digest, now time.Time) (n store.Notice, fresh, takesOver []int64) {
	n = store.Notice{Kind: "digest", Severity: "info", Recipient: d.recipient}
	since := now
	var lines []string
	last := map[int64]store.Notice{} // by alert: its newest message
	var order []int64
	for _, m := range d.notices {
		fresh = append(fresh, m.ID)
	}
	for _, o := range d.takesOver {
		takesOver = append(takesOver, o.ID)
	}
	for _, m := range d.told {
		n.Tells = append(n.Tells, m.ID)
	}
	all := append(slices.Clone(d.told), d.notices...)
	slices.SortFunc(all, func(a, b store.Notice) int { return cmp.Compare(a.ID, b.ID) })
	for _, m := range all {
		if m.CreatedAt.Before(since) {
			since = m.CreatedAt
		}
		lines = append(lines, m.CreatedAt.UTC().Format("2006-01-02 15:04 UTC")+"  "+m.Subject)
		if _, seen := last[m.AlertID]; !seen {
			order = append(order, m.AlertID)
		}
		last[m.AlertID] = m
		n.Severity = worse(n.Severity, m.Severity)
	}
	var open, over []string
	for _, id := range order {
		switch m := last[id]; {
		case m.AlertOpen:
			open = append(open, m.Subject)
		case id != 0:
			over = append(over, about(m))
		}
	}
	n.Subject = fmt.Sprintf("LATE: %d messages since %s, %d alerts still open", len(all), notify.Clock(since, now), len(open))
	short := fmt.Sprintf("LATE, %d messages since %s.", len(all), notify.Clock(since, now))
	if len(all) == 1 {
		n.Subject = "LATE: " + all[0].Subject
		short = "LATE, of " + notify.Clock(since, now) + "."
	}
	if len(open) > 0 {
		short += fmt.Sprintf(" OPEN %d: %s.", len(open), strings.Join(open, "; "))
	}
	if len(over) > 0 {
		short += fmt.Sprintf(" Over %d: %s.", len(over), strings.Join(over, ", "))
	}
	n.Short = notify.FitGSM7(short)
	n.Text = n.Subject + "\n\nThey could not be told when they happened; `sonde explain` says why.\n\n" + strings.Join(lines, "\n") + "\n"
	return n, fresh, takesOver
}

func about(n store.Notice) string {
	if n.Node != "" {
		return n.Node
	}
	return n.AlertSubject
}

func worse(a, b string) string {
	for i := len(severities) - 1; i >= 0; i-- {
		if a == severities[i] || b == severities[i] {
			return severities[i]
		}
	}
	return a
}

// dailyNotice says that all is well, or what is not: silence then means that
// nothing happened, and no daily message that something is wrong with us.
func dailyNotice(recipient string, day store.Day, until time.Time) store.Notice {
	runs := fmt.Sprintf("%d runs made, %d missed", day.OK+day.Failed, day.Missed)
	if day.Failed > 0 {
		runs = fmt.Sprintf("%d runs made (%d could not measure), %d missed", day.OK+day.Failed, day.Failed, day.Missed)
	}
	if !day.Counted {
		runs = "runs not counted, there are too many"
	}
	var wrong []string
	if day.OpenAlerts > 0 {
		wrong = append(wrong, fmt.Sprintf("%d open alerts: %s", day.OpenAlerts, strings.Join(day.Worst, "; ")))
		if day.OpenAlerts == 1 {
			wrong[0] = "1 open alert: " + day.Worst[0]
		}
	}
	if len(day.DaemonsLate) > 0 {
		wrong = append(wrong, "daemons that do not report: "+strings.Join(day.DaemonsLate, ", "))
	}
	if len(day.DaemonsBehind) > 0 {
		wrong = append(wrong, "daemons that are behind: "+strings.Join(day.DaemonsBehind, ", "))
	}
	if day.Counted && day.OK+day.Failed == 0 {
		wrong = append(wrong, "nothing was measured")
	}
	n := store.Notice{Kind: "daily", Severity: "info", Recipient: recipient}
	past := fmt.Sprintf("%d alerts began", day.AlertsInTheDay)
	if day.AlertsInTheDay == 1 {
		past = "1 alert began"
	}
	if day.UnsentInTheDay > 0 {
		past += fmt.Sprintf(", %d messages failed", day.UnsentInTheDay)
	}
	nodes := fmt.Sprintf("%d nodes", day.Nodes)
	if day.Nodes == 1 {
		nodes = "1 node"
	}
	at := until.UTC().Format("15:04 UTC")
	if len(wrong) == 0 {
		n.Subject = "Sonde: all is well, " + runs
		n.Short = notify.FitGSM7(fmt.Sprintf("Sonde %s: all is well. 24h: %s, %s, %s.", at, runs, nodes, past))
	} else {
		n.Subject = "Sonde: NOT all is well, " + wrong[0]
		// However long the list of what is wrong: the count stays.
		n.Short = notify.FitGSM7Tail(fmt.Sprintf("Sonde %s: NOT all is well. %s.", at, strings.Join(wrong, ". ")), "24h: "+runs)
	}
	n.Subject = notify.FirstLine(n.Subject)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nThe 24 hours until %s: %s; %s; %s.\n", n.Subject, until.UTC().Format("2006-01-02 15:04 UTC"), runs, nodes, past)
	if len(wrong) > 0 {
		b.WriteString("\n")
	}
	for _, w := range wrong {
		fmt.Fprintf(&b, "- %s\n", notify.FirstLine(w))
	}
	n.Text = b.String()
	return n
}
