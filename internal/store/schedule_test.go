package store_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sonde/internal/measure"
	"sonde/internal/store"
)

func TestRunIsClaimedOnceAndFinishedOnce(t *testing.T) {
	w := newWorld(t)
	w.due(w.spec, 4)
	first := w.claim(3)
	rest := w.claim(3)
	if len(first) != 3 || len(rest) != 1 {
		t.Fatalf("%d and %d runs were claimed", len(first), len(rest))
	}
	c := first[0]
	if c.Attempt != 1 || c.Tool != "ping" || c.Monhost != "m1" || c.TimeToRun <= 0 {
		t.Errorf("%+v", c)
	}
	if lease := c.LeaseTo.Sub(c.DueAt); lease != 10*time.Second+c.TimeToRun+5*time.Second {
		t.Errorf("the lease lasts %v after due_at", lease)
	}
	for _, early := range first {
		if early.DueAt.After(rest[0].DueAt) {
			t.Error("a later run was claimed before an earlier one")
		}
	}
	if lost, err := w.Finish(t.Context(), pings, append(ends(first, measure.OK), ends(rest, measure.Fail)...), worker); err != nil {
		t.Fatal(lost, err)
	}
	if got := w.outcome(c.RunKey); got != "ok 10 attempt 1" {
		t.Errorf("the end is %q", got)
	}
	if got := w.outcome(rest[0].RunKey); got != "fail attempt 1" {
		t.Errorf("the end is %q", got)
	}
	if w.left() != 0 {
		t.Errorf("%d rows are left in schedule", w.left())
	}
}

func TestManyWorkersNeverClaimTheSameRun(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO schedule (toolspec_id, due_at) SELECT $1, now() - g * interval '10 ms' FROM generate_series(0, 499) g`, w.spec)
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := map[measure.RunKey]int{}
	for range 8 {
		wg.Go(func() {
			for {
				c, err := w.Claim(t.Context(), worker, 10*time.Second, 0, 7, time.Time{})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, r := range c.Runs {
					seen[r.RunKey]++
				}
				mu.Unlock()
				if len(c.Runs) == 0 {
					return
				}
			}
		})
	}
	wg.Wait()
	if len(seen) != 500 {
		t.Errorf("%d runs were claimed", len(seen))
	}
	for k, n := range seen {
		if n != 1 {
			t.Errorf("%v was claimed %d times", k, n)
		}
	}
}

func TestLostLeaseStoresNothing(t *testing.T) {
	w := newWorld(t)
	w.due(w.spec, 3)
	claims := w.claim(3)
	// One lease ended and the leader named it missed; one was taken back by hand and claimed anew.
	w.exec(`UPDATE schedule SET lease_until = now() - interval '1 s' WHERE due_at = $1`, claims[0].DueAt)
	if n, err := w.lead().Expire(t.Context(), time.Now(), 100); err != nil || n != 1 {
		t.Fatalf("%d expired, %v", n, err)
	}
	w.exec(`UPDATE schedule SET attempt = 2 WHERE due_at = $1`, claims[1].DueAt)
	lost, err := w.Finish(t.Context(), pings, ends(claims, measure.OK), worker)
	if !errors.Is(err, store.ErrLeaseLost) || len(lost) != 2 {
		t.Fatalf("%d lost, %v", len(lost), err)
	}
	for i, want := range []string{"missed attempt 1", "", "ok 10 attempt 1"} {
		if got := w.outcome(claims[i].RunKey); got != want {
			t.Errorf("run %d: %q, want %q", i, got, want)
		}
	}
	// The loader's way is what comes next.
	loaded, err := w.Load(t.Context(), spooled(pings, lost...))
	if err != nil || loaded.Stored != 2 {
		t.Fatalf("%+v %v", loaded, err)
	}
	for i := range claims {
		if got := w.outcome(claims[i].RunKey); got != "ok 10 attempt 1" {
			t.Errorf("run %d: %q", i, got)
		}
	}
	if w.left() != 0 {
		t.Errorf("%d rows are left in schedule", w.left())
	}
}

func TestAnothersRunIsNotOursToFinishOrHandBack(t *testing.T) {
	w := newWorld(t)
	w.due(w.spec, 1)
	claims := w.claim(1)
	another := store.Claimant{Monhost: "m1", Tool: "ping", Name: "m1/worker-ping/2"}
	if _, err := w.Finish(t.Context(), pings, ends(claims, measure.OK), another); !errors.Is(err, store.ErrLeaseLost) {
		t.Error(err)
	}
	keys := []measure.RunKey{claims[0].RunKey}
	if err := errors.Join(w.HandBack(t.Context(), keys, another), w.Drop(t.Context(), keys, another), w.HandBackOthers(t.Context(), nil, another)); err != nil {
		t.Fatal(err)
	}
	if n := one[int](w, `SELECT count(*)::int FROM schedule WHERE claimed_by = $1`, worker.Name); n != 1 {
		t.Error("another took our run")
	}
}

func TestRunHandedBackIsClaimedAgainWithTheNextAttempt(t *testing.T) {
	w := newWorld(t)
	w.due(w.spec, 2)
	claims := w.claim(2)
	if err := w.HandBack(t.Context(), []measure.RunKey{claims[0].RunKey}, worker); err != nil {
		t.Fatal(err)
	}
	if err := w.HandBackOthers(t.Context(), nil, worker); err != nil { // the other's answer was lost, say
		t.Fatal(err)
	}
	again := w.claim(9)
	if len(again) != 2 || again[0].Attempt != 2 || again[1].Attempt != 2 {
		t.Fatalf("%+v", again)
	}
	if err := w.Drop(t.Context(), []measure.RunKey{again[0].RunKey, again[1].RunKey}, worker); err != nil || w.left() != 0 {
		t.Errorf("%d left, %v", w.left(), err)
	}
}

func TestRunThatNobodyMadeIsMissedWithTheReason(t *testing.T) {
	for _, c := range []struct{ daemon, want string }{
		{"", "no worker for ping has ever run on m1"},
		{`INSERT INTO daemons (monhost, name, pid, version, started_at, reported_at, promised_at) VALUES ('m1', 'worker-ping', 1, '1', now(), '2026-11-20 10:00+00', now() - interval '1 min')`, "no worker: the one for ping on m1 has been silent since 2026-11-20 10:00:00 UTC"},
		{`INSERT INTO daemons (monhost, name, pid, version, started_at, promised_at) VALUES ('m1', 'worker-ping', 1, '1', now(), now() + interval '1 min')`,
			"no worker: the one for ping on m1 was started only at " + time.Now().UTC().Format("2006-01-02")},
		{`INSERT INTO daemons (monhost, name, pid, version, started_at, promised_at) VALUES ('m1', 'worker-ping', 1, '1', now() - interval '1 h', now() + interval '1 min')`, "not taken: the worker for ping on m1, which reported last at "},
	} {
		w := newWorld(t)
		if c.daemon != "" {
			w.exec(c.daemon)
		}
		w.exec(`INSERT INTO schedule (toolspec_id, due_at) VALUES ($1, now() - interval '20 s')`, w.spec)
		if n, err := w.lead().Expire(t.Context(), time.Now(), 100); err != nil || n != 1 {
			t.Fatalf("%d, %v", n, err)
		}
		if got := one[string](w, `SELECT outcome || ': ' || reason FROM pingdata`); !strings.HasPrefix(got, "missed: "+c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestSpecWithARunUnderWayIsNotDeletedAndAMovedOneLeavesNothingBehind(t *testing.T) {
	w := newWorld(t)
	w.due(w.spec, 1)
	claims := w.claim(1)
	_, err := w.pool.Exec(t.Context(), `DELETE FROM toolspecs WHERE id = $1`, w.spec)
	if err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("a result would belong to nothing: %v", err)
	}
	if err := w.Drop(t.Context(), []measure.RunKey{claims[0].RunKey}, worker); err != nil {
		t.Fatal(err)
	}
	w.due(w.spec, 1)
	w.exec(`INSERT INTO nodes (name, address) VALUES ('m2', '127.0.0.1')`)
	w.exec(`INSERT INTO monhosts (name) VALUES ('m2')`)
	w.exec(`UPDATE toolspecs SET monhost = 'm2' WHERE id = $1`, w.spec)
	if n := w.left(); n != 0 {
		t.Errorf("%d runs wait where the spec is no more", n)
	}
	w.exec(`DELETE FROM toolspecs WHERE id = $1`, w.spec)
}

// An open psql transaction delays its own rows only.
func TestLockedScheduleRowDelaysNothing(t *testing.T) {
	w := newWorld(t)
	w.due(w.spec, 4)
	claims := w.claim(3)
	w.exec(`UPDATE schedule SET lease_until = now() - interval '1 s' WHERE due_at = $1`, claims[2].DueAt)
	l := w.lead()
	w.lock(`SELECT * FROM schedule WHERE due_at IN ($1, $2) OR state = 'due' FOR UPDATE`, claims[0].DueAt, claims[2].DueAt)
	w.due(w.newSpec("ping", "b"), 1)
	started := time.Now()

	if again := w.claim(9); len(again) != 1 || again[0].ToolspecID == w.spec {
		t.Errorf("beside the locked row %d were claimed", len(again))
	}
	lost, err := w.Finish(t.Context(), pings, ends(claims[:2], measure.OK), worker)
	if !errors.Is(err, store.ErrLeaseLost) || len(lost) != 1 || lost[0].RunKey != claims[0].RunKey {
		t.Errorf("%d ends were given back, %v", len(lost), err)
	}
	if loaded, err := w.Load(t.Context(), spooled(pings, lost...)); err != nil || loaded.Stored != 1 {
		t.Errorf("%+v %v", loaded, err)
	}
	keys := []measure.RunKey{claims[0].RunKey, claims[2].RunKey}
	if err := errors.Join(w.HandBack(t.Context(), keys, worker), w.Drop(t.Context(), keys, worker), w.HandBackOthers(t.Context(), nil, worker)); err != nil {
		t.Error(err)
	}
	if _, err := l.Expire(t.Context(), time.Now(), 100); err != nil {
		t.Error(err)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	for i, want := range []string{"ok 10 attempt 1", "ok 10 attempt 1", ""} {
		if got := w.outcome(claims[i].RunKey); got != want {
			t.Errorf("run %d: %q, want %q", i, got, want)
		}
	}
}

func TestLockedConfigurationRowsDelayNothing(t *testing.T) {
	w := newWorld(t)
	w.due(w.spec, 2)
	claims := w.claim(1)
	l := w.lead()
	w.lock(`SELECT * FROM toolspecs, nodes, monhosts, settings FOR UPDATE`)
	started := time.Now()
	if got := w.claim(1); len(got) != 1 {
		t.Errorf("%d claimed", len(got))
	}
	if lost, err := w.Finish(t.Context(), pings, ends(claims, measure.OK), worker); err != nil {
		t.Error(lost, err)
	}
	at := time.Now().UTC().Truncate(time.Microsecond)
	if err := l.Plan(t.Context(), []store.PlannedRun{{ToolspecID: w.spec, DueAt: at, StartBy: at.Add(time.Second), Monhost: "m1", Tool: "ping"}}, nil, nil, at); err != nil {
		t.Error(err)
	}
	if _, err := l.Expire(t.Context(), time.Now(), 100); err != nil {
		t.Error(err)
	}
	if _, err := w.Load(t.Context(), spooled(pings, ends(claims, measure.OK)...)); err != nil {
		t.Error(err)
	}
	if err := w.ReportDaemon(t.Context(), store.DaemonReport{Monhost: "m1", Name: "worker-ping", Version: "1", StartedAt: at, Promise: time.Minute}); err != nil {
		t.Error(err)
	}
	if _, err := w.SpecChanges(t.Context(), 0, "m1", "ping"); err != nil {
		t.Error(err)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestPlanIsSafeToRepeatAndMovesTheMark(t *testing.T) {
	w := newWorld(t)
	l := w.lead()
	at := time.Now().UTC().Truncate(time.Microsecond)
	runs := []store.PlannedRun{{ToolspecID: w.spec, DueAt: at, StartBy: at.Add(10 * time.Second), Monhost: "m1", Tool: "ping"}}
	gaps := []store.Gap{{ToolspecID: w.spec, From: at.Add(-time.Hour), Until: at.Add(-time.Minute), Runs: 59, Reason: "the scheduler slept"}}
	for range 2 {
		if err := l.Plan(t.Context(), runs, gaps, nil, at); err != nil {
			t.Fatal(err)
		}
	}
	if mark, err := l.Mark(t.Context(), 0); err != nil || !mark.PlannedTo.Equal(at) || mark.Leader != "m1" {
		t.Errorf("the mark is %+v, want %v; %v", mark, at, err)
	}
	if n := one[int](w, `SELECT count(*)::int FROM gaps`); n != 1 || w.left() != 1 {
		t.Errorf("%d gaps, %d runs", n, w.left())
	}
	if got := one[string](w, `SELECT string_agg(format('%s %s', outcome, runs), ', ') FROM runs`); got != "missed 59" {
		t.Errorf("the view runs says %q", got)
	}
	if l, err := w.Lead(t.Context(), "m2"); l != nil || err != nil {
		t.Errorf("a second leader: %v %v", l, err)
	}
}

func TestResultInsideAGapWins(t *testing.T) {
	w := newWorld(t)
	l := w.lead()
	at := time.Now().UTC().Truncate(time.Microsecond).Add(-time.Hour)
	if err := l.Plan(t.Context(), nil, []store.Gap{{ToolspecID: w.spec, From: at, Until: at.Add(time.Minute), Runs: 2, Reason: "database away"}}, nil, at); err != nil {
		t.Fatal(err)
	}
	c := &store.Claim{}
	c.RunKey = measure.RunKey{ToolspecID: w.spec, DueAt: at}
	if _, err := w.Load(t.Context(), spooled(pings, endOf(c, measure.OK, 10))); err != nil {
		t.Fatal(err)
	}
	if got := one[string](w, `SELECT string_agg(format('%s %s', outcome, runs), ', ' ORDER BY outcome) FROM runs`); got != "missed 1, ok 1" {
		t.Errorf("the view runs says %q", got)
	}
}

func TestPartitionsAreMadeAndDroppedUnlessSomebodyReadsThem(t *testing.T) {
	w := newWorld(t)
	l := w.lead()
	w.exec(`SELECT sonde_make_partitions('pingdata', current_date - 403, current_date - 400)`)
	if n := one[int](w, `SELECT count(*)::int FROM pg_class WHERE relname ~ '^pingdata_[0-9]{8}$' AND right(relname, 8) < to_char(now() AT TIME ZONE 'UTC' - interval '400 days', 'YYYYMMDD')`); n == 0 {
		t.Fatal("no old partition was made")
	}
	conn, err := w.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "BEGIN; SELECT count(*) FROM pingdata"); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	if _, dropped, err := l.Partitions(t.Context()); dropped != 0 || err == nil || !strings.Contains(err.Error(), "old partitions of pingdata: a session holds a lock on them") {
		t.Errorf("%d were dropped under a reader, %v", dropped, err)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("the drop waited %v", took)
	}
	if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	conn.Release()
	if _, dropped, err := l.Partitions(t.Context()); err != nil || dropped != 3 {
		t.Errorf("%d were dropped, %v", dropped, err)
	}
	if made, dropped, err := l.Partitions(t.Context()); err != nil || made != 0 || dropped != 0 {
		t.Errorf("again: %d made, %d dropped, %v", made, dropped, err)
	}
}

// Nothing is planned while partitions are dropped.
func TestHundredsOfOldPartitionsAreDroppedSomeAtATime(t *testing.T) {
	w := newWorld(t)
	l := w.lead()
	w.exec(`SELECT sonde_make_partitions('pingdata', current_date - 435, current_date - 406)`)
	var all []int
	for {
		_, dropped, err := l.Partitions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if dropped == 0 {
			break
		}
		all = append(all, dropped)
	}
	if !slices.Equal(all, []int{20, 10}) {
		t.Error(all)
	}
}

func TestLiveHostOfTheSameNameIsRefusedNamingTheOther(t *testing.T) {
	w := newWorld(t)
	h := store.Host{Name: "pi", Address: "127.0.0.1", Instance: "a", Described: "raspberry:/var/lib/sonde", Tools: []string{"ping"}, Version: "1"}
	for range 2 { // a restart is no other
		if err := w.RegisterHost(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	other := h
	other.Instance, other.Described = "b", "cellar:/var/lib/sonde"
	err := w.RegisterHost(t.Context(), other)
	if !errors.Is(err, store.ErrHostTaken) || !strings.Contains(err.Error(), "raspberry:/var/lib/sonde") {
		t.Error(err)
	}
	w.exec(`UPDATE monhosts SET last_seen_at = now() - interval '2 min'`)
	if err := w.RegisterHost(t.Context(), other); err != nil {
		t.Error(err)
	}
}

func TestOpenTransactionsChangeIsSeenByALaterCall(t *testing.T) {
	w := newWorld(t)
	c, err := w.SpecChanges(t.Context(), 0, "", "")
	if err != nil || len(c.Specs) != 1 {
		t.Fatalf("%+v %v", c, err)
	}
	tx, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `UPDATE toolspecs SET run_interval = '2 min'`); err != nil {
		t.Fatal(err)
	}
	later := w.newSpec("ping", "later")
	if c, err = w.SpecChanges(t.Context(), c.Mark, "", ""); err != nil || len(c.Specs) != 1 || c.Specs[0].ID != later {
		t.Fatalf("%+v %v", c, err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err = w.SpecChanges(t.Context(), c.Mark, "", "")
	if err != nil || !slices.ContainsFunc(c.Specs, func(s store.Spec) bool { return s.ID == w.spec && s.RunInterval == 2*time.Minute }) {
		t.Fatalf("%+v %v", c, err)
	}
	w.exec(`DELETE FROM toolspecs WHERE id = $1`, later)
	if c, err = w.SpecChanges(t.Context(), c.Mark, "", ""); err != nil || !slices.Contains(c.Removed, later) {
		t.Fatalf("%+v %v", c, err)
	}
}

// Rows that a restore brought bear numbers that this server has not reached.
func TestSpecsOfARestoredDatabaseAreNotChangedAtEachLook(t *testing.T) {
	w := newWorld(t)
	for _, table := range []string{"nodes", "toolspecs"} {
		w.exec(`ALTER TABLE ` + table + ` DISABLE TRIGGER USER`)
		w.exec(`UPDATE ` + table + ` SET changed_xid = '900000000'`)
		w.exec(`ALTER TABLE ` + table + ` ENABLE TRIGGER USER`)
	}
	w.exec(`INSERT INTO toolspecs_removed (toolspec_id, changed_xid) VALUES (900, '900000000')`)
	c, err := w.SpecChanges(t.Context(), 0, "", "")
	if err != nil || len(c.Specs) != 1 {
		t.Fatalf("%+v %v", c, err)
	}
	if c, err = w.SpecChanges(t.Context(), c.Mark, "", ""); err != nil || len(c.Specs)+len(c.Removed) > 0 {
		t.Errorf("%+v %v", c, err)
	}
	w.exec(`UPDATE toolspecs SET run_interval = '2 min'`)
	if c, err = w.SpecChanges(t.Context(), c.Mark, "", ""); err != nil || len(c.Specs) != 1 || len(c.Removed) > 0 {
		t.Errorf("%+v %v", c, err)
	}
}

func TestClaimLooksNoFurtherBackThanItIsTold(t *testing.T) {
	w := newWorld(t)
	w.due(w.spec, 4)
	since := one[time.Time](w, `SELECT due_at FROM schedule ORDER BY due_at OFFSET 2 LIMIT 1`)
	for _, c := range []struct {
		since time.Time
		want  int
	}{{since, 2}, {since, 0}, {time.Time{}, 2}} {
		got, err := w.Claim(t.Context(), worker, 10*time.Second, 2*time.Second, 100, c.since)
		if err != nil || len(got.Runs) != c.want {
			t.Fatalf("%d runs since %v, not %d, %v", len(got.Runs), c.since, c.want, err)
		}
	}
}

// Where a row was claimed there may be another by the time it ends.
func TestEndFindsItsRowWhereverItLies(t *testing.T) {
	w := newWorld(t)
	w.due(w.spec, 4)
	claims := w.claim(4)
	claims[0].Place, claims[1].Place = claims[1].Place, claims[0].Place
	w.exec(`UPDATE schedule SET lease_until = lease_until + interval '1 s' WHERE due_at = $1`, claims[2].DueAt) // moves it
	batch := ends(claims, measure.OK)
	batch[3].Place = store.Place{}
	if lost, err := w.Finish(t.Context(), pings, batch[:3], worker); err != nil || len(lost) != 0 {
		t.Fatal(lost, err)
	}
	if w.left() != 1 {
		t.Errorf("%d rows are left in schedule", w.left())
	}
	if lost, err := w.Finish(t.Context(), pings, batch[3:], worker); err != nil || len(lost) != 0 {
		t.Fatal(lost, err)
	}
	if w.left() != 0 {
		t.Errorf("%d rows are left in schedule", w.left())
	}
}

// The run that lies where another was claimed is under way, and by the same worker.
func TestEndNeverDeletesAnotherRunOfItsWorker(t *testing.T) {
	w := newWorld(t)
	w.due(w.spec, 3)
	claims := w.claim(3)
	claims[0].Place, claims[1].Place = claims[2].Place, claims[2].Place
	w.exec(`DELETE FROM schedule WHERE due_at = $1`, claims[1].DueAt) // its lease is lost
	batch := ends(claims, measure.OK)
	if lost, err := w.Finish(t.Context(), pings, batch[:1], worker); err != nil || len(lost) != 0 {
		t.Fatal(lost, err)
	}
	if lost, err := w.Finish(t.Context(), pings, batch[1:2], worker); !errors.Is(err, store.ErrLeaseLost) || len(lost) != 1 {
		t.Fatal(lost, err)
	}
	if left := one[time.Time](w, `SELECT min(due_at) FROM schedule`); w.left() != 1 || !left.Equal(claims[2].DueAt) {
		t.Errorf("%d rows are left in schedule, the first due at %v", w.left(), left)
	}
	if lost, err := w.Finish(t.Context(), pings, batch[2:], worker); err != nil || len(lost) != 0 {
		t.Fatal(lost, err)
	}
}

// Two keepers lengthen a data table by turns, which on a busy machine takes longer
// than an end waits for a locked row.
func TestPatienceWithLockedRowsIsNotThatOfCopying(t *testing.T) {
	w := newWorld(t)
	w.exec(`CREATE TABLE seen (lock_timeout text)`)
	w.exec(`CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (current_setting('lock_timeout')); RETURN NULL; END $$`)
	w.exec(`CREATE TRIGGER see AFTER INSERT ON pingdata FOR EACH STATEMENT EXECUTE FUNCTION see()`)
	w.due(w.spec, 1)
	if lost, err := w.Finish(t.Context(), pings, ends(w.claim(1), measure.OK), worker); err != nil || len(lost) != 0 {
		t.Fatal(lost, err)
	}
	if got := one[string](w, `SELECT string_agg(lock_timeout, ' ') FROM seen`); got != "0" {
		t.Errorf("COPY was to wait %q", got)
	}
}

func TestLeaseIsMadeForTheTimeOfItsRun(t *testing.T) {
	w := newWorld(t)
	w.due(w.spec, 3)
	claims := w.claim(3)
	claims[0].TimeToRun, claims[1].TimeToRun = time.Minute, time.Hour
	if err := w.SetLeases(t.Context(), claims[:2], worker); err != nil {
		t.Fatal(err)
	}
	for i, c := range claims {
		lease := one[time.Time](w, `SELECT lease_until FROM schedule WHERE due_at = $1`, c.DueAt)
		if want := store.LeaseTo(c.StartBy, c.TimeToRun); !lease.Equal(want) {
			t.Errorf("lease %d ends at %v, not at %v", i, lease, want)
		}
	}
}

func TestNotificationIsForOneWorkerAndMayNameAnInstant(t *testing.T) {
	for payload, want := range map[string]struct {
		micros int64
		mine   bool
	}{
		"m1/ping":         {0, true},
		"m1/ping/1234567": {1234567, true},
		"m1/pingpong":     {0, false},
		"m1/ping/":        {0, false},
		"m1/ping/x":       {0, false},
		"m1/pong/1":       {0, false},
		"m2/ping":         {0, false},
		"":                {0, false},
	} {
		first, mine := store.DueFor(payload, "m1", "ping")
		if mine != want.mine || want.micros == 0 != first.IsZero() || want.micros != 0 && first.UnixMicro() != want.micros {
			t.Errorf("%q: %v %v", payload, first, mine)
		}
	}
}

func TestExcursionsGoWithTheBandsTheyLeft(t *testing.T) {
	w := newWorld(t)
	l := w.lead()
	w.exec(`INSERT INTO hwalerts (toolspec_id, rule, began_at, ended_at) SELECT n, 'old', now() - interval '70 days', now() - interval '69 days' FROM generate_series(1, 4500) n`)
	w.exec(`INSERT INTO hwalerts (toolspec_id, rule, began_at, ended_at) VALUES (1, 'lasts', now() - interval '70 days', NULL), (1, 'new', now() - interval '50 days', now())`)
	if _, _, err := l.Partitions(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := one[string](w, `SELECT string_agg(rule, ', ' ORDER BY rule) FROM hwalerts`); got != "lasts, new" {
		t.Errorf("what is left: %q", got)
	}
	w.exec(`UPDATE settings SET value = '40' WHERE name = 'keep_days_hwgraphs'`)
	if _, _, err := l.Partitions(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := one[string](w, `SELECT string_agg(rule, ', ' ORDER BY rule) FROM hwalerts`); got != "lasts" {
		t.Errorf("what is left after 40 days: %q", got)
	}
}
