package notifier

import (
	"context"
	"fmt"
	"time"

	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/notify"
)

// tellHidden writes a notice for each person who would have heard of an alert
// that another hides, and is not told of that one: the policies choose them for
// the node of the hidden one only.
func (n *Notifier) tellHidden(ctx context.Context) error {
	list, err := n.Store.Unheard(ctx, atOnce)
	if err != nil {
		return err
	}
	for _, u := range list {
		w := hiddenWords(u)
		if _, err := n.Store.AddNotice(ctx, store.Notice{AlertID: u.By, Kind: "raise", Severity: u.Severity, Node: u.Node, Recipient: u.Recipient,
			Subject: w.Subject, Text: w.Text, Short: w.Short}, time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

// hiddenWords tells of an alert that another hides. Its number is that of the
// one that speaks: that is acknowledged, and its end is told.
func hiddenWords(u store.Unheard) notify.Words {
	a := notify.Alert{ID: u.By, Severity: measure.Severity(u.Severity), Rule: u.Rule, Node: u.Node, Address: u.Address, Tool: u.Tool, Monhost: u.Monhost, Text: u.Text,
		BeganAt: u.BeganAt}
	if u.More > 0 {
		a.Text += fmt.Sprintf(" (and %d more)", u.More)
	}
	a.Text += fmt.Sprintf("; part of a%d", u.By)
	if u.ByAbout != u.Node {
		a.Text += " about " + u.ByAbout
	}
	return notify.AlertWords("raise", a, u.Now)
}
