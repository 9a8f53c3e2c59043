package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Step is one step of a recipient's ladder with its medium.
type Step struct {
	Recipient string
	Step      int
	Medium    string
	Type      string
	Options   json.RawMessage
	Address   string
	Visible   bool
}

// Recipient is a person who is told.
type Recipient struct {
	Name      string
	TimeZone  string // their own, or the setting time_zone
	Daily     bool
	DailyAt   string // "08:00", by their time zone
	CreatedAt time.Time
}

// Policy says who gets which alerts; "" means any.
type Policy struct {
	Recipient, Node, Label, Severity string
}

// People is who can be told and by what: enabled rows only.
type People struct {
	Recipients []Recipient
	Ladders    map[string][]Step // by recipient, in the order of the climb
	Policies   []Policy
}

func readPeople(ctx context.Context, tx pgx.Tx) (People, error) {
	p := People{Ladders: map[string][]Step{}}
	rows, err := tx.Query(ctx, `
		SELECT r.name, coalesce(r.time_zone, z.value), r.daily, d.value, r.created_at
		FROM recipients r, settings z, settings d
		WHERE r.enabled AND z.name = 'time_zone' AND d.name = 'daily_message_at' ORDER BY r.name`)
	if err == nil {
		p.Recipients, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Recipient])
	}
	if err != nil {
		return p, fmt.Errorf("read recipients: %w", err)
	}
	rows, err = tx.Query(ctx, `
		SELECT l.recipient, l.step, l.medium, m.type, m.options, l.address, l.visible
		FROM ladders l JOIN mediums m ON m.name = l.medium
		WHERE m.enabled ORDER BY l.recipient, l.step`)
	if err != nil {
		return p, fmt.Errorf("read ladders: %w", err)
	}
	steps, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Step])
	if err != nil {
		return p, fmt.Errorf("read ladders: %w", err)
	}
	for _, s := range steps {
		p.Ladders[s.Recipient] = append(p.Ladders[s.Recipient], s)
	}
	rows, err = tx.Query(ctx, `SELECT recipient, coalesce(node, ''), coalesce(label, ''), severity FROM policies WHERE enabled ORDER BY id`)
	if err == nil {
		p.Policies, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Policy])
	}
	if err != nil {
		return p, fmt.Errorf("read policies: %w", err)
	}
	return p, nil
}

// Medium is a row of MEDIUMS.
type Medium struct {
	Name, Type string
	Options    json.RawMessage
}

// Medium reads one medium, enabled or not: a message that went out by it can be
// asked for even when the medium was switched off meanwhile.
func (s *Store) Medium(ctx context.Context, name string) (Medium, error) {
	m := Medium{Name: name}
	err := s.pool.QueryRow(ctx, "SELECT type, options FROM mediums WHERE name = $1", name).Scan(&m.Type, &m.Options)
	if err != nil {
		return m, fmt.Errorf("read medium %s: %w", name, err)
	}
	return m, nil
}
