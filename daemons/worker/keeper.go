package worker

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"sonde/internal/store"
)

const (
	batchMost = 2500                   // ends in one transaction
	gather    = 100 * time.Millisecond // how long the first end of a batch waits for others
)

var errAway = errors.New("no exchange with the database")

// keeper stores the ends of runs, many in one transaction. put never blocks.
type keeper struct {
	w     *Worker
	table store.Table

	mu      sync.Mutex
	waiting []*run
	closed  bool
	some    *sync.Cond
}

func newKeeper(w *Worker, table store.Table) *keeper {
	k := &keeper{w: w, table: table}
	k.some = sync.NewCond(&k.mu)
	return k
}

func (k *keeper) put(r *run) {
	k.mu.Lock()
	k.waiting = append(k.waiting, r)
	k.mu.Unlock()
	k.some.Signal()
}

// close lets run end when nothing is left.
func (k *keeper) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.some.Broadcast()
}

func (k *keeper) run(ctx context.Context) {
	for {
		batch := k.next(ctx)
		if batch == nil {
			return
		}
		k.store(ctx, batch)
	}
}

// next waits for ends and gives what has gathered.
func (k *keeper) next(ctx context.Context) []*run {
	k.mu.Lock()
	for len(k.waiting) == 0 && !k.closed {
		k.some.Wait()
	}
	if !k.closed && len(k.waiting) < batchMost {
		k.mu.Unlock()
		wait(ctx, gather)
		k.mu.Lock()
	}
	defer k.mu.Unlock()
	if len(k.waiting) == 0 {
		if k.closed {
			return nil
		}
		return []*run{} // the other keeper was quicker
	}
	n := min(len(k.waiting), batchMost)
	batch := k.waiting[:n:n]
	k.waiting = k.waiting[n:]
	if len(k.waiting) > 0 {
		k.some.Signal()
	}
	return batch
}

// store brings a batch into the database, by COPY while the leases hold, else
// by the loader's way, else into the spool.
func (k *keeper) store(ctx context.Context, batch []*run) {
	leased, late := make([]*store.RunEnd, 0, len(batch)), []*store.RunEnd(nil)
	for _, r := range batch {
		if r.own {
			late = append(late, &r.end)
		} else {
			leased = append(leased, &r.end)
		}
	}
	if k.w.away.Load() {
		late, leased = append(late, leased...), nil
	}
	if len(leased) > 0 {
		try, cancel := context.WithTimeout(ctx, storeTime)
		lost, err := k.w.Store.Finish(try, k.table, leased, k.w.claimant())
		cancel()
		switch {
		case errors.Is(err, store.ErrLeaseLost):
			k.w.Log.Warn("leases were lost, results take the loader's way", "runs", len(lost), "tool", k.w.Tool.Name)
			late = append(late, lost...)
		case err != nil:
			if !k.w.refusing.Load() {
				k.w.Log.Warn("results take the loader's way", "runs", len(leased), "tool", k.w.Tool.Name, "error", err)
			}
			late = append(late, leased...)
		default:
			k.w.refusing.Store(false)
		}
	}
	if len(late) == 0 {
		return
	}
	rows := make([]store.SpoolRow, 0, len(late))
	for _, e := range late {
		rows = append(rows, e.Spooled(k.table))
	}
	err := errAway
	if !k.w.away.Load() {
		var loaded store.Loaded
		try, cancel := context.WithTimeout(ctx, storeTime)
		loaded, err = k.w.Store.Load(try, rows)
		cancel()
		k.w.count(func(t *Totals) { t.Doubles += loaded.Doubles })
		if refused := err != nil; k.w.refusing.Swap(refused) != refused && refused {
			k.w.Log.Warn("results go to the spool until the database takes them", "tool", k.w.Tool.Name, "error", err)
		}
	}
	if err == nil {
		return
	}
	k.spool(rows, err)
}

// spool is the last resort; the loader sets aside what the database refuses.
func (k *keeper) spool(rows []store.SpoolRow, why error) {
	records := make([]json.RawMessage, 0, len(rows))
	for _, r := range rows {
		raw, err := json.Marshal(r)
		if err != nil {
			k.w.Log.Error("a result cannot be written down and is lost", "row", r.Row, "error", err)
			continue
		}
		records = append(records, raw)
	}
	if err := k.w.Spool.Append(records); err != nil {
		k.w.count(func(t *Totals) { t.Refused += len(records) })
		k.w.Log.Error("RESULTS ARE LOST: the database is away and the spool does not take them", "runs", len(records), "spool", err, "database", why)
		return
	}
	k.w.count(func(t *Totals) { t.Spooled += len(records) })
}
