package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Delivery is one attempt to reach one recipient on one step.
type Delivery struct {
	ID        int64
	NoticeID  int64
	Recipient string
	Step      int
	Medium    string
	Address   string
	Visible   bool
	State     string // trying, ok, failed, unknown
	Tries     int
	Doubts    int // how often it was not known whether it went
	Token     string
	EndedAt   time.Time // zero while trying
	Answer    string
}

const deliveryColumns = "id, notice_id, recipient, step, medium, address, visible, state, tries, doubts, token, coalesce(ended_at, '0001-01-01Z'), coalesce(answer, '')"

func readDeliveries(ctx context.Context, tx pgx.Tx, notices []int64, into map[int64][]Delivery) error {
	if len(notices) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, "SELECT "+deliveryColumns+" FROM deliveries WHERE notice_id = ANY ($1) ORDER BY notice_id, recipient, step", notices)
	if err != nil {
		return err
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Delivery])
	for _, d := range all {
		into[d.NoticeID] = append(into[d.NoticeID], d)
	}
	return err
}

// errNothing rolls a transaction back in which another notifier was quicker.
var errNothing = errors.New("another was quicker")

func orRollback(err error) error {
	if err != nil {
		return err
	}
	return errNothing
}

// BeginDelivery commits that a step is tried, before its medium is called. It
// says false when another notifier was quicker, or the notice is done.
func (s *Store) BeginDelivery(ctx context.Context, notice int64, step Step, owner string, lease time.Duration) (Delivery, bool, error) {
	rows, err := s.pool.Query(ctx, `
		INSERT INTO deliveries (notice_id, recipient, step, medium, address, visible, state, owner, lease_until)
		SELECT $1, $2, $3, $4, $5, $6, 'trying', $7, clock_timestamp() + make_interval(secs => $8)
		WHERE EXISTS (SELECT FROM notices WHERE id = $1 AND done_at IS NULL FOR SHARE)
		ON CONFLICT (notice_id, recipient, step) DO NOTHING
		RETURNING `+deliveryColumns, notice, step.Recipient, step.Step, step.Medium, step.Address, step.Visible, owner, lease.Seconds())
	return oneDelivery(rows, err, "begin a delivery")
}

// RetryDelivery begins another try of a step that ended as failed or unknown.
// The medium and address are those of the ladder now.
func (s *Store) RetryDelivery(ctx context.Context, d Delivery, step Step, owner string, lease time.Duration) (Delivery, bool, error) {
	rows, err := s.pool.Query(ctx, `
		UPDATE deliveries SET state = 'trying', tries = tries + 1, medium = $3, address = $4, visible = $5, owner = $6,
		       lease_until = clock_timestamp() + make_interval(secs => $7), ended_at = NULL
		WHERE id = $1 AND tries = $2 AND state IN ('failed', 'unknown')
		RETURNING `+deliveryColumns, d.ID, d.Tries, step.Medium, step.Address, step.Visible, owner, lease.Seconds())
	return oneDelivery(rows, err, "try a delivery again")
}

func oneDelivery(rows pgx.Rows, err error, what string) (Delivery, bool, error) {
	if err != nil {
		return Delivery{}, false, fmt.Errorf("%s: %w", what, err)
	}
	d, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Delivery])
	if errors.Is(err, pgx.ErrNoRows) {
		return d, false, nil
	}
	if err != nil {
		return d, false, fmt.Errorf("%s: %w", what, err)
	}
	return d, true, nil
}

// TakeOver claims deliveries whose notifier has not renewed its lease: it was
// killed, or cut off from the database. Their mediums are to be asked first.
func (s *Store) TakeOver(ctx context.Context, owner string, lease time.Duration, most int) ([]Delivery, error) {
	rows, err := s.pool.Query(ctx, `
		UPDATE deliveries SET owner = $1, lease_until = clock_timestamp() + make_interval(secs => $2)
		WHERE id IN (SELECT id FROM deliveries WHERE state = 'trying' AND lease_until < clock_timestamp()
		             ORDER BY lease_until LIMIT $3 FOR UPDATE SKIP LOCKED)
		RETURNING `+deliveryColumns, owner, lease.Seconds(), most)
	if err != nil {
		return nil, fmt.Errorf("take over deliveries: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Delivery])
	if err != nil {
		return nil, fmt.Errorf("take over deliveries: %w", err)
	}
	return all, nil
}

// RenewLeases says that the owner still works on these deliveries.
func (s *Store) RenewLeases(ctx context.Context, ids []int64, owner string, lease time.Duration) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE deliveries SET lease_until = clock_timestamp() + make_interval(secs => $3)
		WHERE id = ANY ($1) AND owner = $2 AND state = 'trying'`, ids, owner, lease.Seconds())
	if err != nil {
		return fmt.Errorf("renew leases of deliveries: %w", err)
	}
	return nil
}

// ReleaseDelivery gives up a delivery whose end is not known, so that the next
// notifier asks for it at once.
func (s *Store) ReleaseDelivery(ctx context.Context, d Delivery, owner string) error {
	_, err := s.pool.Exec(ctx, "UPDATE deliveries SET lease_until = '-infinity' WHERE id = $1 AND tries = $2 AND owner = $3 AND state = 'trying'", d.ID, d.Tries, owner)
	if err != nil {
		return fmt.Errorf("release delivery %d: %w", d.ID, err)
	}
	return nil
}

// DeliveryMessage reads the message of a delivery that was taken over, and the
// time zone of who gets it.
func (s *Store) DeliveryMessage(ctx context.Context, d Delivery) (n Notice, zone string, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT n.id, n.subject, n.text, n.short, n.created_at, coalesce(r.time_zone, z.value)
		FROM notices n LEFT JOIN recipients r ON r.name = $2, settings z WHERE n.id = $1 AND z.name = 'time_zone'`, d.NoticeID, d.Recipient).
		Scan(&n.ID, &n.Subject, &n.Text, &n.Short, &n.CreatedAt, &zone)
	if err != nil {
		return n, "", fmt.Errorf("read notice %d: %w", d.NoticeID, err)
	}
	return n, zone, nil
}

// DeliveryEnd is how a delivery ended.
type DeliveryEnd struct {
	State     string // ok, failed, unknown
	Reference string
	Answer    string
}

// MediumFails is the rule of alerts about mediums.
const MediumFails = "medium fails"

// OwnAlert is an alert about ourselves, for who makes words of it.
type OwnAlert struct {
	ID               int64
	Subject          string // "medium sms", "analyst"
	Text, CloseText  string
	BeganAt, EndedAt time.Time
}

// EndDelivery writes the end of a delivery. With it, in one transaction: a
// medium that fails becomes an alert (one while it lasts) with its notice; when
// it works again, the alert ends. It says false when the
// delivery is another's meanwhile. words makes the message of an alert, of kind
// raise or clear.
func (s *Store) EndDelivery(ctx context.Context, d Delivery, owner string, end DeliveryEnd, words func(kind string, a OwnAlert) (subject, text, short string)) (bool, error) {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE deliveries SET state = $4, reference = nullif($5, ''), answer = $6, ended_at = clock_timestamp(),
			       doubts = doubts + CASE WHEN $4 = 'unknown' THEN 1 ELSE 0 END
			WHERE id = $1 AND tries = $2 AND owner = $3 AND state = 'trying'`,
			d.ID, d.Tries, owner, end.State, end.Reference, end.Answer)
		if err != nil || tag.RowsAffected() != 1 {
			return orRollback(err)
		}
		if end.State == "ok" {
			return mediumWorks(ctx, tx, d, words)
		}
		return mediumFails(ctx, tx, d, end, words)
	})
	if errors.Is(err, errNothing) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write the end of delivery %d: %w", d.ID, err)
	}
	return true, nil
}

func mediumFails(ctx context.Context, tx pgx.Tx, d Delivery, end DeliveryEnd, words func(string, OwnAlert) (string, string, string)) error {
	a := OwnAlert{Subject: "medium " + d.Medium, Text: end.Answer}
	var isNew bool
	err := tx.QueryRow(ctx, `
		INSERT INTO alerts (subject, rule, severity, text, began_at, raised_at, evidence)
		SELECT $1, $2, 'warning', $3, began_at, clock_timestamp(), jsonb_build_object('delivery', id, 'recipient', recipient, 'address', address, 'tries', tries)
		FROM deliveries WHERE id = $4
		ON CONFLICT (toolspec_id, subject, metric, rule) WHERE closed_at IS NULL
		DO UPDATE SET findings = alerts.findings + 1
		RETURNING id, began_at, findings = 1`, a.Subject, MediumFails, a.Text, d.ID).Scan(&a.ID, &a.BeganAt, &isNew)
	if err != nil {
		return err
	}
	decision := "feed"
	if isNew {
		decision = "raise"
	}
	if err := finding(ctx, tx, a, d, "bad", decision, end.Answer); err != nil {
		return err
	}
	if !isNew {
		return nil
	}
	return ownNotice(ctx, tx, "raise", "warning", a, words)
}

func mediumWorks(ctx context.Context, tx pgx.Tx, d Delivery, words func(string, OwnAlert) (string, string, string)) error {
	a := OwnAlert{Subject: "medium " + d.Medium, CloseText: "works again"}
	err := tx.QueryRow(ctx, `
		UPDATE alerts SET closed_at = clock_timestamp(), ended_at = clock_timestamp(), close_text = $3
		WHERE rule = $1 AND subject = $2 AND closed_at IS NULL RETURNING id, text, began_at, ended_at`,
		MediumFails, a.Subject, a.CloseText).Scan(&a.ID, &a.Text, &a.BeganAt, &a.EndedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := finding(ctx, tx, a, d, "good", "clear", a.CloseText); err != nil {
		return err
	}
	return ownNotice(ctx, tx, "clear", "warning", a, words)
}

// CloseUnusedMediums ends the alerts about mediums that no ladder uses any more:
// nothing else would ever show that they work.
func (s *Store) CloseUnusedMediums(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE alerts SET closed_at = clock_timestamp(), ended_at = clock_timestamp(), close_text = 'no ladder uses it any more'
		WHERE rule = $1 AND closed_at IS NULL
		  AND NOT EXISTS (SELECT FROM ladders l JOIN mediums m ON m.name = l.medium WHERE m.enabled AND 'medium ' || m.name = alerts.subject)`, MediumFails)
	if err != nil {
		return fmt.Errorf("close alerts about unused mediums: %w", err)
	}
	return nil
}

func finding(ctx context.Context, tx pgx.Tx, a OwnAlert, d Delivery, kind, decision, text string) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO newalerts (alert_id, rule, kind, severity, at, since, decision, reason, text, evidence)
		VALUES ($1, $2, $3, 'warning', clock_timestamp(), $4, $5, $6, $7, jsonb_build_object('delivery', $8::bigint, 'notice', $9::bigint))`,
		a.ID, MediumFails, kind, a.BeganAt, decision, a.Subject, text, d.ID, d.NoticeID)
	return err
}

// ownNotice writes the notice of an alert about ourselves.
func ownNotice(ctx context.Context, tx pgx.Tx, kind, severity string, a OwnAlert, words func(string, OwnAlert) (string, string, string)) error {
	subject, text, short := words(kind, a)
	_, err := tx.Exec(ctx, "INSERT INTO notices (alert_id, kind, severity, subject, text, short) VALUES ($1, $2, $3, $4, $5, $6)", a.ID, kind, severity, subject, text, short)
	return err
}
