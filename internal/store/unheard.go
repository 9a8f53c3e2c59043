package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// chooses is true when policy p is one for alerts of a node, with these labels
// and this severity: three expressions.
const chooses = `(p.enabled AND (p.node IS NULL OR p.node = %s) AND (p.label IS NULL OR p.label = ANY (coalesce(%s, '{}')))
	AND array_position(ARRAY['info', 'warning', 'critical'], p.severity) <= array_position(ARRAY['info', 'warning', 'critical'], %s))`

// Unheard is a person whom the policies choose for an alert that another hides,
// and not for the one that speaks.
type Unheard struct {
	Recipient string
	By        int64 // the alert that speaks
	ByAbout   string
	Node      string // of the first alert of theirs that it hides, as the next ones …
	Address   string // of that node; empty when it is gone
	Severity  string // … but this is the gravest of all of theirs
	Rule      string
	Tool      string
	Monhost   string
	Text      string
	BeganAt   time.Time
	More      int       // of theirs beside that
	Now       time.Time // by the database
}

// Unheard gives the people who must hear of an alert for what it hides, and have
// not: it was told, and is open as what it hides. What was told for itself, is
// planned, acknowledged, silenced or in shadow needs no telling.
func (s *Store) Unheard(ctx context.Context, most int) ([]Unheard, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT DISTINCT ON (s.id, r.name) r.name, s.id, coalesce(nullif(s.node, ''), nullif(s.subject, ''), s.monhost), f.node, coalesce(fn.address, ''),
			(ARRAY['info', 'warning', 'critical'])[max(array_position(ARRAY['info', 'warning', 'critical'], f.severity)) OVER (PARTITION BY s.id, r.name)],
			f.rule, f.tool, f.monhost, f.text, f.began_at, (count(*) OVER (PARTITION BY s.id, r.name) - 1)::int, now()
		FROM alerts f JOIN alerts s ON s.id = f.part_of AND s.closed_at IS NULL LEFT JOIN nodes fn ON fn.name = f.node LEFT JOIN nodes sn ON sn.name = s.node
		CROSS JOIN recipients r
		WHERE f.closed_at IS NULL AND f.told_times = 0 AND NOT f.planned AND NOT f.shadow AND NOT s.shadow AND f.acked_at IS NULL AND coalesce(f.silent_until <= now(), true) AND r.enabled
			AND EXISTS (SELECT FROM policies p WHERE p.recipient = r.name AND `+fmt.Sprintf(chooses, "f.node", "fn.labels", "f.severity")+`)
			AND NOT EXISTS (SELECT FROM policies p WHERE p.recipient = r.name AND `+fmt.Sprintf(chooses, "s.node", "sn.labels", "s.severity")+`)
			AND EXISTS (SELECT FROM notices n WHERE n.alert_id = s.id AND n.recipient IS NULL)
			AND NOT EXISTS (SELECT FROM notices n WHERE n.alert_id = s.id AND n.recipient = r.name)
		ORDER BY s.id, r.name, f.id LIMIT $1`, most)
	if err != nil {
		return nil, fmt.Errorf("read who must hear of what is hidden: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Unheard])
	if err != nil {
		return nil, fmt.Errorf("read who must hear of what is hidden: %w", err)
	}
	return list, nil
}
