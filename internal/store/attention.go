package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoAlert says that there is no alert of that number, or none that is open.
var ErrNoAlert = errors.New("no such alert")

// AckAlert writes down that a person took note of an open alert. It is not told again.
func (s *Store) AckAlert(ctx context.Context, id int64, by, note string) error {
	return s.attend(ctx, id, "taken note of by "+by+colon(note), by,
		`UPDATE alerts SET acked_at = clock_timestamp(), acked_by = $2, ack_note = nullif($3, '') WHERE id = $1 AND closed_at IS NULL`, id, by, note)
}

// SilenceAlert keeps an open alert silent for a while; 0 ends the silence.
func (s *Store) SilenceAlert(ctx context.Context, id int64, by string, length time.Duration) error {
	text := "silenced for " + length.String() + " by " + by
	if length <= 0 {
		text = "silence ended by " + by
	}
	return s.attend(ctx, id, text, by,
		`UPDATE alerts SET silent_until = CASE WHEN $2::float8 > 0 THEN clock_timestamp() + $2::float8 * interval '1 second' END
		WHERE id = $1 AND closed_at IS NULL`, id, length.Seconds())
}

// attend changes an open alert and leaves a comment on it.
func (s *Store) attend(ctx context.Context, id int64, comment, by, sql string, args ...any) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, args...)
		if err != nil {
			return fmt.Errorf("alert a%d: %w", id, err)
		}
		if tag.RowsAffected() == 0 {
			var closed bool
			err := tx.QueryRow(ctx, `SELECT closed_at IS NOT NULL FROM alerts WHERE id = $1`, id).Scan(&closed)
			if closed {
				return fmt.Errorf("%w: a%d is closed already", ErrNoAlert, id)
			}
			if err == nil || errors.Is(err, pgx.ErrNoRows) {
				return fmt.Errorf("%w: a%d", ErrNoAlert, id)
			}
			return fmt.Errorf("alert a%d: %w", id, err)
		}
		return writeComment(ctx, tx, id, by, comment)
	})
}

// CommentAlert leaves a comment on an alert, open or closed.
func (s *Store) CommentAlert(ctx context.Context, id int64, by, text string) error {
	return s.inTx(ctx, func(tx pgx.Tx) error { return writeComment(ctx, tx, id, by, text) })
}

func writeComment(ctx context.Context, tx pgx.Tx, id int64, by, text string) error {
	tag, err := tx.Exec(ctx, `INSERT INTO comments (author, alert_id, node, toolspec_id, text)
		SELECT $2, id, nullif(node, ''), nullif(toolspec_id, 0), $3 FROM alerts WHERE id = $1`, id, by, text)
	if err != nil {
		return fmt.Errorf("comment on alert a%d: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("%w: a%d", ErrNoAlert, id)
	}
	return nil
}

func colon(note string) string {
	if note == "" {
		return ""
	}
	return ": " + note
}
