package notifier

import (
	"context"
	"time"

	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/notify"
)

// judgeAtLeast is for how long nothing is judged before people are told: longer
// than the longest pass, which is ten minutes.
const judgeAtLeast = 15 * time.Minute

// watchAnalyst tells people when nothing is judged: then no alert is raised by
// anybody else, and silence would pass for health. The mark moves at least every
// half minute; how long it has stood is counted on our clock, from when we saw it
// first, so that a night without any of us is no news.
func (n *Notifier) watchAnalyst(ctx context.Context) error {
	mark, err := n.Store.JudgedTo(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	if n.judged.IsZero() || !mark.Equal(n.judgedTo) {
		moved := !n.judged.IsZero()
		n.judgedTo, n.judged = mark, now
		if moved {
			return n.Store.JudgingGoesOn(ctx, judgingWords)
		}
		return nil
	}
	patience := n.Judging
	if patience == 0 {
		patience = judgeAtLeast
	}
	if now.Sub(n.judged) < patience {
		return nil
	}
	return n.Store.JudgingStands(ctx, mark, judgingWords)
}

// judgingWords makes the message of the alert that nothing is judged.
func judgingWords(kind string, a store.OwnAlert) (subject, text, short string) {
	return ownWords(kind, measure.Critical, store.NothingJudged, a)
}

// ownWords makes the message of an alert about ourselves.
func ownWords(kind string, s measure.Severity, rule string, a store.OwnAlert) (subject, text, short string) {
	at := a.BeganAt
	if kind == "clear" {
		at = a.EndedAt
	}
	w := notify.AlertWords(kind, notify.Alert{
		ID: a.ID, Severity: s, Rule: rule, Subject: a.Subject,
		Text: a.Text, CloseText: a.CloseText, BeganAt: a.BeganAt, EndedAt: a.EndedAt,
	}, at)
	return w.Subject, w.Text, w.Short
}
