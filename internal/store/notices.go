package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Notice is an open message to people, with what decides about its sending.
type Notice struct {
	ID                   int64
	AlertID              int64 // 0 for none
	Kind, Severity, Node string
	Recipient            string   // "" for whom the policies choose
	Also                 []string // who heard of the alert for what it hides; of a clear, who heard of its beginning
	Subject, Text, Short string
	Tells                []int64
	CreatedAt            time.Time
	Labels               []string // of the node
	Rule, AlertSubject   string
	AlertOpen            bool
	AckedBy              string // "" when nobody took note
	Silent               bool   // silenced for now
	Planned              string // the maintenance it falls in, in words; "" for none
	BeginningUnsent      bool   // of a clear: no notice of the alert was sent
}

// Outbox is all that is to be sent, as of one instant.
type Outbox struct {
	Now        time.Time // by the database
	Notices    []Notice  // in the order of their numbers
	Deliveries map[int64][]Delivery
	Digested   map[int64][]string // by notice: recipients who are told it in a digest
	Told       map[int64]Notice   // what open digests tell of, as it is now
	People
}

// selectNotice reads the fields of Notice, in their order.
const selectNotice = `
	SELECT n.id, coalesce(n.alert_id, 0), n.kind, n.severity, n.node, coalesce(n.recipient, ''),
	       ARRAY(SELECT e.recipient FROM notices e WHERE e.alert_id = n.alert_id AND e.recipient IS NOT NULL AND e.id < n.id
	         UNION SELECT d.recipient FROM notices e JOIN deliveries d ON d.notice_id = e.id WHERE n.kind = 'clear' AND e.alert_id = n.alert_id AND e.id < n.id AND d.state IN ('ok', 'unknown') ORDER BY 1),
	       n.subject, n.text, n.short, n.tells, n.created_at,
	       coalesce(o.labels, '{}'), coalesce(a.rule, ''), coalesce(a.subject, ''), coalesce(a.closed_at IS NULL, false),
	       CASE WHEN a.acked_at IS NULL THEN '' ELSE coalesce(nullif(a.acked_by, ''), 'somebody') END,
	       coalesce(a.silent_until > now(), false),
	       coalesce((SELECT format('maintenance %s until %s UTC', m.id, to_char(m.until_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'))
	                 FROM maintenance m
	                 WHERE n.alert_id IS NOT NULL AND n.created_at >= m.from_at AND n.created_at < m.until_at
	                   AND (m.node = n.node OR m.label = ANY (o.labels) OR (m.node IS NULL AND m.label IS NULL))
	                 ORDER BY m.until_at DESC LIMIT 1), ''),
	       n.kind = 'clear'
	         AND EXISTS (SELECT FROM notices e WHERE e.alert_id = n.alert_id AND e.id < n.id AND e.done_text LIKE 'not sent:%')
	         AND NOT EXISTS (SELECT FROM notices e WHERE e.alert_id = n.alert_id AND e.id < n.id AND (e.done_text IS NULL OR e.done_text NOT LIKE 'not sent:%'))
	FROM notices n LEFT JOIN alerts a ON a.id = n.alert_id LEFT JOIN nodes o ON o.name = n.node`

// ReadOutbox reads open notices, at most so many, in one snapshot.
func (s *Store) ReadOutbox(ctx context.Context, most int) (Outbox, error) {
	box := Outbox{Deliveries: map[int64][]Delivery{}, Digested: map[int64][]string{}, Told: map[int64]Notice{}}
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&box.Now); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, selectNotice+" WHERE n.done_at IS NULL ORDER BY n.id LIMIT $1", most)
		if err != nil {
			return err
		}
		if box.Notices, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Notice]); err != nil {
			return err
		}
		ids := make([]int64, len(box.Notices))
		for i, n := range box.Notices {
			ids[i] = n.ID
		}
		if err := readDeliveries(ctx, tx, ids, box.Deliveries); err != nil {
			return err
		}
		if err := readDigested(ctx, tx, ids, box.Digested); err != nil {
			return err
		}
		if err := readTold(ctx, tx, box); err != nil {
			return err
		}
		box.People, err = readPeople(ctx, tx)
		return err
	})
	if err != nil {
		return box, fmt.Errorf("read the outbox: %w", err)
	}
	return box, nil
}

func readDigested(ctx context.Context, tx pgx.Tx, ids []int64, into map[int64][]string) error {
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, "SELECT recipient, t FROM notices, unnest(tells) t WHERE kind = 'digest' AND tells && $1 AND t = ANY ($1)", ids)
	if err != nil {
		return err
	}
	var recipient string
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&recipient, &id}, func() error {
		into[id] = append(into[id], recipient)
		return nil
	})
	return err
}

func readTold(ctx context.Context, tx pgx.Tx, box Outbox) error {
	var ids []int64
	for _, n := range box.Notices {
		ids = append(ids, n.Tells...)
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, selectNotice+" WHERE n.id = ANY ($1)", ids)
	if err != nil {
		return err
	}
	told, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Notice])
	for _, n := range told {
		box.Told[n.ID] = n
	}
	return err
}

// FinishNotice writes down that nothing is left to do for a notice, and why.
func (s *Store) FinishNotice(ctx context.Context, id int64, why string, planned bool) error {
	_, err := s.pool.Exec(ctx, `
		WITH n AS (UPDATE notices SET done_at = clock_timestamp(), done_text = $2 WHERE id = $1 AND done_at IS NULL RETURNING alert_id)
		UPDATE alerts SET planned = true FROM n WHERE $3 AND alerts.id = n.alert_id AND NOT planned`, id, why, planned)
	if err != nil {
		return fmt.Errorf("finish notice %d: %w", id, err)
	}
	return nil
}

// AddNotice writes a notice for one recipient, or for whom the policies choose,
// and gives its number. For a daily one, or one of an alert for one recipient,
// that is there already it gives 0.
func (s *Store) AddNotice(ctx context.Context, n Notice, day time.Time) (int64, error) {
	var id int64
	err := s.pool.QueryRow(ctx, `
		INSERT INTO notices (alert_id, kind, severity, node, recipient, subject, text, short, day)
		VALUES (nullif($1::bigint, 0), $2, $3, $4, nullif($5, ''), $6, $7, $8, $9::date) ON CONFLICT DO NOTHING RETURNING id`,
		n.AlertID, n.Kind, or(n.Severity, "info"), n.Node, n.Recipient, n.Subject, n.Text, n.Short, dayOrNull(day)).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("write a %s notice: %w", n.Kind, err)
	}
	return id, nil
}

func dayOrNull(day time.Time) any {
	if day.IsZero() {
		return nil
	}
	return day.Format("2006-01-02")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// AddDigest writes one message for what could not be told one by one: fresh are
// the notices no digest told of yet. Digests that it takes over end with it.
// Another notifier may have done the same just now: then nothing is written.
func (s *Store) AddDigest(ctx context.Context, n Notice, fresh, takesOver []int64) error {
	if fresh == nil {
		fresh = []int64{}
	}
	n.Tells = slices.Concat(n.Tells, fresh)
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('sonde digest'), hashtext($1))", n.Recipient); err != nil {
			return err
		}
		if len(takesOver) > 0 {
			tag, err := tx.Exec(ctx, "UPDATE notices SET done_at = clock_timestamp(), done_text = 'not sent: taken into a newer digest' WHERE id = ANY ($1) AND done_at IS NULL", takesOver)
			if err != nil || int(tag.RowsAffected()) != len(takesOver) {
				return orRollback(err)
			}
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO notices (kind, severity, recipient, subject, text, short, tells)
			SELECT 'digest', $1, $2, $3, $4, $5, $6
			WHERE NOT EXISTS (SELECT FROM notices WHERE kind = 'digest' AND recipient = $2 AND done_at IS NULL)
			  AND NOT EXISTS (SELECT FROM notices WHERE kind = 'digest' AND recipient = $2 AND tells && $7)`,
			or(n.Severity, "info"), n.Recipient, n.Subject, n.Text, n.Short, n.Tells, fresh)
		if err != nil || tag.RowsAffected() != 1 {
			return orRollback(err)
		}
		return nil
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write a digest: %w", err)
	}
	return nil
}

// ForgetNotices deletes ended notices with their deliveries, and findings that
// belong to no alert, older than the setting keep_days_notices says. Notices of an
// alert that is open stay with it. It gives how many rows went, at most about so
// many at a time: locks stay short.
func (s *Store) ForgetNotices(ctx context.Context, most int) (int, error) {
	var n int
	err := s.pool.QueryRow(ctx, `
		WITH before AS (SELECT now() - make_interval(days => value::int) AS at FROM settings WHERE name = 'keep_days_notices'),
		old AS (SELECT n.id FROM notices n, before
		        WHERE n.done_at < before.at AND NOT EXISTS (SELECT FROM alerts a WHERE a.id = n.alert_id AND a.closed_at IS NULL)
		        ORDER BY n.id LIMIT $1),
		attempts AS (DELETE FROM deliveries WHERE notice_id IN (SELECT id FROM old) RETURNING 1),
		gone AS (DELETE FROM notices WHERE id IN (SELECT id FROM old) RETURNING 1),
		findings AS (DELETE FROM newalerts WHERE id IN (SELECT f.id FROM newalerts f, before WHERE f.alert_id IS NULL AND f.recorded_at < before.at LIMIT $1) RETURNING 1)
		SELECT (SELECT count(*) FROM attempts) + (SELECT count(*) FROM gone) + (SELECT count(*) FROM findings)`, most).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("forget old notices: %w", err)
	}
	return n, nil
}
