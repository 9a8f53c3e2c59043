package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sonde/config"
	"sonde/internal/spool"
	"sonde/internal/store"
	"sonde/migrations"
)

// finding is one line of `sonde check`.
type finding struct {
	Level string `json:"level"` // OK, WARN or FAIL
	What  string `json:"what"`
	Text  string `json:"text"`
	Do    string `json:"do,omitempty"`
}

// examination gathers findings in the order in which they are printed.
type examination struct {
	config.Config
	found []finding
}

func (e *examination) ok(what, format string, args ...any) {
	e.found = append(e.found, finding{Level: "OK", What: what, Text: fmt.Sprintf(format, args...)})
}

func (e *examination) warn(what, do, format string, args ...any) {
	e.found = append(e.found, finding{Level: "WARN", What: what, Do: do, Text: fmt.Sprintf(format, args...)})
}

func (e *examination) fail(what, do, format string, args ...any) {
	e.found = append(e.found, finding{Level: "FAIL", What: what, Do: do, Text: fmt.Sprintf(format, args...)})
}

// runCheck examines everything that can be wrong with this host. It changes nothing.
func runCheck(ctx context.Context, args []string) error {
	fs := flags("check")
	from := config.Flags(fs)
	asJSON := fs.Bool("json", false, "print JSON")
	most := fs.Int("specs", 200, "print so many specs; the rest is counted")
	if err := parse(fs, args, 0, 0); err != nil {
		return err
	}
	c, err := from.Load()
	if err != nil {
		return err
	}
	e := &examination{Config: c}
	e.ok("configuration", "monitoring host %s, state in %s", c.Monhost, c.State)
	e.folders()
	e.sockets(ctx)
	e.database(ctx, *most)
	if *asJSON {
		err = printJSON(os.Stdout, e.found)
	} else {
		err = printExamination(os.Stdout, e.found)
	}
	if err != nil {
		return err
	}
	for _, f := range e.found {
		if f.Level == "FAIL" {
			return exitCode(1)
		}
	}
	return nil
}

func printExamination(w io.Writer, found []finding) error {
	for _, f := range found {
		do := ""
		if f.Do != "" {
			do = ": " + f.Do
		}
		if _, err := fmt.Fprintf(w, "%-4s %s\n", f.Level, onOneLine(f.What+": "+f.Text+do)); err != nil {
			return err
		}
	}
	return nil
}

// onOneLine puts an error of several lines on one.
func onOneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// numbered is "1 file", "2 files".
func numbered(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// folders looks at what this host writes without the database.
func (e *examination) folders() {
	for _, dir := range []struct{ what, path string }{{"state", e.State}, {"logs", e.LogDir}, {"spool", e.Spool}} {
		there := existing(dir.path)
		if err := writable(there); err != nil {
			e.fail(dir.what, "give it to the user that runs sonde, or name another folder", "%s cannot be written to: %v", dir.path, err)
		} else if dir.what != "spool" {
			e.ok(dir.what, "%s can be written to", dir.path)
		}
	}
	files, bytes, err := spool.Usage(e.Spool)
	switch {
	case err != nil:
		e.fail("spool", "see why", "%v", err)
	case files > 0:
		e.warn("spool", "the loader brings them in when the database answers; `sonde status` shows it", "%s, %s wait to be loaded", numbered(files, "file"), inBytes(bytes))
	default:
		e.ok("spool", "%s is empty", e.Spool)
	}
	for _, aside := range []struct{ name, why string }{{"damaged", "damaged files"}, {"refused", "rows that the database refused"}} {
		if entries, err := os.ReadDir(filepath.Join(e.Spool, aside.name)); err == nil && len(entries) > 0 {
			e.warn("spool", "look into them and delete them", "%s in %s: %s", numbered(len(entries), "file"), filepath.Join(e.Spool, aside.name), aside.why)
		}
	}
}

// existing is path, or the nearest folder above it that exists: that is where it would be made.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

func writable(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }

// sockets tries what the probes need of the kernel, with the rights of this process.
func (e *examination) sockets(ctx context.Context) {
	for _, t := range trySockets(ctx) {
		if t.err != nil {
			e.fail(t.tool, "or run this check as the user that runs the workers", "%v", t.err)
			continue
		}
		e.ok(t.tool, "%s", t.text)
	}
}

// database looks at what only the database can tell.
func (e *examination) database(ctx context.Context, most int) {
	// A full disk is a reason why a database does not answer.
	failed := func(do string, err error) {
		e.fail("database", do, "%v", err)
		e.disk(store.Server{})
	}
	pool, err := commandPool(ctx, e.Config)
	if err != nil {
		failed("start it, or mend its address", err)
		return
	}
	defer pool.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	st := store.New(pool)
	clock, err := st.ReadClock(ctx)
	if err != nil {
		failed("start it, or mend its address and password", err)
		return
	}
	dsn, err := databaseOf(e.Config)
	if err == nil {
		err = migrations.Foreign(ctx, dsn)
	}
	if err != nil {
		failed("see why", err)
		return
	}
	server, err := st.Examine(ctx)
	if err != nil {
		failed("run `sonde migrate`", err)
		return
	}
	e.ok("database", "PostgreSQL %s, schema version %d, %s", server.Version, server.Schema, inBytes(server.Bytes))
	if err := st.CheckVersion(ctx, version); err != nil {
		e.fail("version", "install a newer one", "%v", err)
	} else {
		e.ok("version", "this is sonde %s, the database needs at least %s", version, server.OldestProgram)
	}
	if n := len(server.Lacking); n > 0 {
		e.fail("privileges", "GRANT sonde_daemon TO "+server.User, "user %s lacks %d, the first is %s", server.User, n, server.Lacking[0])
	} else {
		e.ok("privileges", "user %s may do what daemons do", server.User)
	}
	e.locks(server)
	e.clock(clock)
	if behind := clock.Now().Sub(server.PlannedTo); behind > planBehind {
		e.warn("plan", "see `sonde status` on the hosts that run a scheduler", "no scheduler leads: nothing is planned for the last %s", roughly(behind))
	} else {
		e.ok("plan", "%s leads", server.Leader)
	}
	e.disk(server)
	if err := e.telling(ctx, st); err != nil {
		e.fail("mediums", "see why", "%v", err)
	}
	if err := e.addresses(ctx, st, clock.Now()); err != nil {
		e.fail("addresses", "see why", "%v", err)
	}
	if err := e.specs(ctx, st, server, clock, most); err != nil {
		e.fail("specs", "see why", "%v", err)
	}
}

// planBehind is how far the plan may be behind: a leader plans seconds ahead.
const planBehind = 15 * time.Second

// clock compares the database's with this host's: runs start by the former.
func (e *examination) clock(c store.Clock) {
	off := c.DB.Sub(c.At.Round(0))
	if off.Abs() > time.Second+c.Error {
		e.warn("clock", "run NTP on both (timedatectl, chronyc tracking)", "the database's clock is %s off this host's", off.Round(time.Millisecond))
		return
	}
	e.ok("clock", "the database's is within %s of this host's", (off.Abs() + c.Error).Round(time.Millisecond))
}

// looksAtOnce at all that is kept are to be expected: the analyst's, the annotator's, a page's and somebody's.
const looksAtOnce = 4

// locks tells whether looks at all that is kept will still find room for their locks
// when it is as old as may be. Without it they fail: out of shared memory.
func (e *examination) locks(s store.Server) {
	if need := looksAtOnce * s.LocksALook; s.Locks < need {
		e.warn("locks", fmt.Sprintf("ALTER SYSTEM SET max_locks_per_transaction = %d, then restart the server; or keep fewer days", (need+s.Connections-1)/s.Connections),
			"the server has room for %d, and %d looks at all that will be kept take %d", s.Locks, looksAtOnce, need)
		return
	}
	e.ok("locks", "the server has room for %d, a look at all that will be kept takes %d", s.Locks, s.LocksALook)
}

// freeDays is for how long the disk should last.
const freeDays = 14

// disk estimates how long the disk of the database and that of the state folder last.
func (e *examination) disk(s store.Server) {
	grows := "it is too early to tell how fast the data grows"
	if s.BytesADay > 0 {
		grows = fmt.Sprintf("the data grows by %s a day", inBytes(s.BytesADay))
	}
	dirs := []struct{ what, path string }{{"disk of the state", existing(e.State)}}
	switch {
	case e.Embedded():
		dirs[0].what = "disk"
	case isFolder(s.DataDir):
		dirs = append(dirs, struct{ what, path string }{"disk of the database", s.DataDir})
	case s.Version == "": // it does not answer
	default:
		e.ok("disk of the database", "not seen from here; %s, %s in %d days", grows, inBytes(s.BytesADay*freeDays), freeDays)
	}
	for _, d := range dirs {
		free, err := freeBytes(d.path)
		if err != nil {
			e.warn(d.what, "see why", "%v", err)
			continue
		}
		days := free / max(s.BytesADay, 1)
		const do = "make room, keep fewer days (UPDATE settings SET value = '100' WHERE name = 'keep_days_pingdata'), or measure less often"
		switch {
		case free < diskLeast:
			e.fail(d.what, do, "%s free at %s", inBytes(free), d.path)
		case s.BytesADay > 0 && days < freeDays:
			e.warn(d.what, do, "%s free at %s, %s: full in %d days", inBytes(free), d.path, grows, days)
		default:
			e.ok(d.what, "%s free at %s, %s", inBytes(free), d.path, grows)
		}
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return path != "" && err == nil && info.IsDir()
}
