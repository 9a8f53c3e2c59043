package loader

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"sonde/internal/proc"
	"sonde/internal/store"
)

// row is a row of the spool beside the record it was.
type row struct {
	store.SpoolRow
	raw json.RawMessage
}

// refusal is a row that was set aside.
type refusal struct {
	Why    string          `json:"why"`
	Record json.RawMessage `json:"record"`
}

// decode makes rows of records. What is none is refused here.
func decode(records []json.RawMessage) (rows []row, refused []refusal) {
	for _, raw := range records {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber() // a number goes to the database as it was written
		r := row{raw: raw}
		if err := d.Decode(&r.SpoolRow); err != nil || r.Table == "" || r.Row == nil {
			refused = append(refused, refusal{"this is no row of a data table", raw})
			continue
		}
		rows = append(rows, r)
	}
	return rows, refused
}

// chunk stores rows, all that the database does not refuse. The error is that
// of ctx: everything else is waited out.
func (l *Loader) chunk(ctx context.Context, rows []row) (store.Loaded, []refusal, error) {
	loaded, err := l.try(ctx, rows)
	if err == nil || !errors.Is(err, store.ErrUnloadable) {
		return loaded, nil, err
	}
	if len(rows) == 1 {
		return store.Loaded{}, []refusal{{err.Error(), rows[0].raw}}, nil
	}
	half := len(rows) / 2
	loaded, refused, err := l.chunk(ctx, rows[:half])
	if err != nil {
		return loaded, refused, err
	}
	more, bad, err := l.chunk(ctx, rows[half:])
	return store.Loaded{Stored: loaded.Stored + more.Stored, Doubles: loaded.Doubles + more.Doubles}, append(refused, bad...), err
}

// try stores rows in one transaction, as often as it takes: until they are
// stored, or refused, or ctx ends.
func (l *Loader) try(ctx context.Context, rows []row) (store.Loaded, error) {
	batch := make([]store.SpoolRow, len(rows))
	for i, r := range rows {
		batch[i] = r.SpoolRow
	}
	last, pause := "", poll
	for {
		if err := ctx.Err(); err != nil {
			return store.Loaded{}, err
		}
		l.Report(fmt.Sprintf("loading %d rows", len(rows)), promise)
		// A chunk once begun is finished: what is committed need not be read again.
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), chunkTime)
		loaded, err := l.Database.Load(try, batch)
		cancel()
		if err == nil || errors.Is(err, store.ErrUnloadable) {
			if last != "" {
				l.Log.Info("loading goes on")
			}
			return loaded, err
		}
		if err.Error() != last {
			l.Log.Warn("the database does not take rows of the spool; they are tried again", "rows", len(rows), "away", store.IsAway(err), "error", err)
			last = err.Error()
		}
		if store.IsAway(err) {
			if err := l.Wait(ctx); err != nil {
				return store.Loaded{}, err
			}
		}
		// It may answer and yet not work: a full disk, a missing privilege.
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, 15*time.Second)
	}
}

// setAside writes refused rows to refused/SEGMENT.jsonl in the spool, one a line
// with the reason. A loader that was killed writes the same file again.
func setAside(dir, segment string, refused []refusal) (string, error) {
	dir = filepath.Join(dir, "refused")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	path := filepath.Join(dir, segment+".jsonl")
	var text bytes.Buffer
	for _, r := range refused {
		if err := writeLine(&text, r); err != nil {
			return "", err
		}
	}
	// The segment is removed next: this must be on disk before.
	if err := proc.Replace(path, text.Bytes(), 0o640, true); err != nil {
		return "", err
	}
	return path, nil
}

func writeLine(w io.Writer, r refusal) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(r)
}
