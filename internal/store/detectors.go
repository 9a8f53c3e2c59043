package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// DetectorState is a row of detectors. Its two halves are written apart: State
// with JudgedTo and Read is what the detectors knew a while ago, Episodes and
// NotJudged and Missed are as of the mark.
type DetectorState struct {
	ToolspecID int64
	JudgedTo   time.Time // zero: nothing judged
	Read       Snapshot  // the rows of which transactions are in State
	State      []byte
	KeptAt     time.Time // when State was written
	Episodes   json.RawMessage
	NotJudged  json.RawMessage
	Missed     json.RawMessage
}

// statesAtOnce bounds one statement: states are kilobytes.
const statesAtOnce = 500

// queueStates writes states; one without State leaves that half as it is.
func queueStates(batch *pgx.Batch, states []DetectorState) {
	var whole, light []DetectorState
	for _, s := range states {
		if s.State != nil {
			whole = append(whole, s)
		} else {
			light = append(light, s)
		}
	}
	for len(whole) > 0 {
		part := whole[:min(len(whole), statesAtOnce)]
		whole = whole[len(part):]
		ids, judged, read, state, episodes, not, missed := make([]int64, len(part)), make([]*time.Time, len(part)), make([]string, len(part)), make([][]byte, len(part)), make([]string, len(part)), make([]string, len(part)), make([]string, len(part))
		for i, s := range part {
			if !s.JudgedTo.IsZero() {
				judged[i] = &part[i].JudgedTo
			}
			ids[i], read[i], state[i], episodes[i], not[i], missed[i] = s.ToolspecID, s.Read.String(), s.State, string(s.Episodes), string(s.NotJudged), string(s.Missed)
		}
		batch.Queue(`INSERT INTO detectors (toolspec_id, judged_to, read_to, state, kept_at, episodes, not_judged, missed)
			SELECT id, judged, read::pg_snapshot, state, clock_timestamp(), episodes::jsonb, n::jsonb, m::jsonb
			FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[]) x (id, judged, read, state, episodes, n, m)
			ON CONFLICT (toolspec_id) DO UPDATE SET judged_to = excluded.judged_to, read_to = excluded.read_to, state = excluded.state,
				kept_at = excluded.kept_at, episodes = excluded.episodes, not_judged = excluded.not_judged, missed = excluded.missed`, ids, judged, read, state, episodes, not, missed)
	}
	if len(light) > 0 {
		ids, episodes, not, missed := make([]int64, len(light)), make([]string, len(light)), make([]string, len(light)), make([]string, len(light))
		for i, s := range light {
			ids[i], episodes[i], not[i], missed[i] = s.ToolspecID, string(s.Episodes), string(s.NotJudged), string(s.Missed)
		}
		batch.Queue(`UPDATE detectors d SET episodes = x.episodes::jsonb, not_judged = x.n::jsonb, missed = x.m::jsonb
			FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) x (id, episodes, n, m) WHERE d.toolspec_id = x.id`, ids, episodes, not, missed)
	}
}

// DetectorSpecs names the specs that have a state, in order of how far it has judged.
func (j Judging) DetectorSpecs(ctx context.Context) ([]int64, error) {
	rows, err := j.tx.Query(ctx, `SELECT toolspec_id FROM detectors ORDER BY judged_to NULLS FIRST, toolspec_id`)
	if err != nil {
		return nil, fmt.Errorf("look for the detectors' states: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("look for the detectors' states: %w", err)
	}
	return ids, nil
}

// Detectors reads the state of some specs.
func (j Judging) Detectors(ctx context.Context, specs []int64) ([]DetectorState, error) {
	rows, err := j.tx.Query(ctx, `SELECT toolspec_id, coalesce(judged_to, '0001-01-01 00:00:00+00'), read_to::text, state, kept_at, episodes::text, not_judged::text, missed::text
		FROM detectors WHERE toolspec_id = ANY ($1)`, specs)
	if err != nil {
		return nil, fmt.Errorf("read the detectors' states: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (DetectorState, error) {
		var d DetectorState
		var read, episodes, not, missed string // as JSON they would be checked here, and again by who reads them
		err := row.Scan(&d.ToolspecID, &d.JudgedTo, &read, &d.State, &d.KeptAt, &episodes, &not, &missed)
		d.Episodes, d.NotJudged, d.Missed = []byte(episodes), []byte(not), []byte(missed)
		if err == nil {
			d.Read, err = ParseSnapshot(read)
		}
		d.JudgedTo, d.KeptAt = d.JudgedTo.UTC(), d.KeptAt.UTC()
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the detectors' states: %w", err)
	}
	return list, nil
}

// RunsAgain gives rows of some specs that are due after an instant, visible in read
// and stored from one instant to before another (between two restores: see
// Mark.Restored) to each, in order of (toolspec_id, due_at).
func (j Judging) RunsAgain(ctx context.Context, s Series, specs []int64, after time.Time, read Snapshot, from, until time.Time, each func(Run)) error {
	q := reading{Series: s, xids: true, order: ` ORDER BY toolspec_id, due_at`, each: each,
		condition: `toolspec_id = ANY ($1) AND due_at > $2 AND pg_visible_in_snapshot(stored_xid, $3::pg_snapshot) AND stored_at >= $4 AND ($5::timestamptz IS NULL OR stored_at < $5)`,
		args:      []any{specs, after, read.String(), from, orNull(until, !until.IsZero())}}
	batch := &pgx.Batch{}
	q.queue(batch)
	if err := j.tx.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	return q.finish(ctx, j.tx)
}
