package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Incident is what people know happened, or what they think of an alert.
type Incident struct {
	ID         int64      `json:"id"`
	AlertID    int64      `json:"alert_id,omitempty"`
	Rule       string     `json:"rule,omitempty"` // of that alert
	Metric     string     `json:"metric,omitempty"`
	Node       string     `json:"node,omitempty"`
	Label      string     `json:"label,omitempty"`
	Tool       string     `json:"tool,omitempty"`
	ToolspecID int64      `json:"toolspec_id,omitempty"`
	From       time.Time  `json:"from"`
	Until      *time.Time `json:"until,omitempty"` // nil: it lasts
	Verdict    string     `json:"verdict"`
	Author     string     `json:"author"`
	Text       string     `json:"text,omitempty"`
}

const incidentRow = `SELECT i.id, coalesce(i.alert_id, 0), coalesce(a.rule, ''), coalesce(a.metric, ''), coalesce(i.node, ''), coalesce(i.label, ''), coalesce(i.tool, ''),
	coalesce(i.toolspec_id, 0), i.from_at, coalesce(i.until_at, a.ended_at), i.verdict, i.author, i.text
	FROM incidents i LEFT JOIN alerts a ON a.id = i.alert_id `

// MarkAlert writes down what a person thinks of an alert, open or closed: right,
// wrong or planned. What was said of it before is replaced.
func (s *Store) MarkAlert(ctx context.Context, id int64, by, verdict, text string) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE incidents SET verdict = $3, author = $2, text = $4, written_at = now() WHERE alert_id = $1`, id, by, verdict, text)
		if err == nil && tag.RowsAffected() == 0 {
			tag, err = tx.Exec(ctx, `INSERT INTO incidents (alert_id, author, verdict, text) SELECT id, $2, $3, $4 FROM alerts WHERE id = $1`, id, by, verdict, text)
		}
		if err != nil {
			return fmt.Errorf("alert a%d: %w", id, err)
		}
		if tag.RowsAffected() == 0 {
			return fmt.Errorf("%w: a%d", ErrNoAlert, id)
		}
		return nil
	})
}

// Incidents gives those that touch [from, until), in order of their beginning.
func (s *Store) Incidents(ctx context.Context, from, until time.Time) ([]Incident, error) {
	return listed[Incident](ctx, s, "incidents", incidentRow+`WHERE i.from_at < $2 AND coalesce(i.until_at, a.ended_at, 'infinity') >= $1 ORDER BY i.from_at, i.id`, from, until)
}

// Mark gives what people think of an alert; nil when nobody has said.
func (r *Reading) Mark(ctx context.Context, alert int64) (*Incident, error) {
	list, err := collect[Incident](ctx, r, "incidents", incidentRow+`WHERE i.alert_id = $1`, alert)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}
