package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// NothingJudged is the rule of the alert that the analyst does not judge.
const NothingJudged = "nothing is judged"

// JudgedTo is when the analyst moved its mark last; it does so at least every
// half minute.
func (s *Store) JudgedTo(ctx context.Context) (time.Time, error) {
	var at time.Time
	if err := s.pool.QueryRow(ctx, `SELECT ticked_at FROM analyst_mark`).Scan(&at); err != nil {
		return at, fmt.Errorf("ask how far is judged: %w", err)
	}
	return at, nil
}

// JudgingStands raises the alert that nothing has been judged since an instant,
// with what the analysts say of it, and its notice. There is one while it lasts.
func (s *Store) JudgingStands(ctx context.Context, since time.Time, words func(kind string, a OwnAlert) (subject, text, short string)) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		a := OwnAlert{Subject: "analyst", BeganAt: since}
		err := tx.QueryRow(ctx, `
			INSERT INTO alerts (subject, rule, severity, text, began_at, raised_at)
			SELECT $1, $2, 'critical', 'nothing is judged and no alert is raised' || coalesce(': ' || (SELECT string_agg(doing, '; ') FROM
			       (SELECT doing FROM daemons WHERE name = 'analyst' AND promised_at > now() - interval '1 minute' ORDER BY monhost LIMIT 3) d), ': no analyst reports'),
			       $3, clock_timestamp()
			WHERE NOT EXISTS (SELECT FROM alerts WHERE rule = $2 AND subject = $1 AND closed_at IS NULL)
			ON CONFLICT (toolspec_id, subject, metric, rule) WHERE closed_at IS NULL DO NOTHING
			RETURNING id, text`, a.Subject, NothingJudged, since).Scan(&a.ID, &a.Text)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // it is told already
		}
		if err != nil {
			return err
		}
		return judgingNotice(ctx, tx, "raise", "bad", a, words)
	})
	if err != nil {
		return fmt.Errorf("raise that nothing is judged: %w", err)
	}
	return nil
}

// JudgingGoesOn ends the alert that nothing is judged, if there is one.
func (s *Store) JudgingGoesOn(ctx context.Context, words func(kind string, a OwnAlert) (subject, text, short string)) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		a := OwnAlert{Subject: "analyst", CloseText: "judges again, also what came meanwhile"}
		err := tx.QueryRow(ctx, `
			UPDATE alerts SET closed_at = clock_timestamp(), ended_at = clock_timestamp(), close_text = $3
			WHERE rule = $1 AND subject = $2 AND toolspec_id = 0 AND metric = '' AND closed_at IS NULL RETURNING id, text, began_at, ended_at`,
			NothingJudged, a.Subject, a.CloseText).Scan(&a.ID, &a.Text, &a.BeganAt, &a.EndedAt)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return judgingNotice(ctx, tx, "clear", "good", a, words)
	})
	if err != nil {
		return fmt.Errorf("end that nothing is judged: %w", err)
	}
	return nil
}

func judgingNotice(ctx context.Context, tx pgx.Tx, kind, finding string, a OwnAlert, words func(string, OwnAlert) (string, string, string)) error {
	said := a.Text
	if kind == "clear" {
		said = a.CloseText
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO newalerts (alert_id, rule, kind, severity, at, since, decision, reason, text)
		VALUES ($1, $2, $3, 'critical', clock_timestamp(), $4, $5, $6, $7)`, a.ID, NothingJudged, finding, a.BeganAt, kind, a.Subject, said)
	if err != nil {
		return err
	}
	return ownNotice(ctx, tx, kind, "critical", a, words)
}
