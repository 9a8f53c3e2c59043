package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/config"
	"sonde/internal/daemon"
	"sonde/internal/measure"
	"sonde/internal/spool"
	"sonde/internal/store"
)

// status is what `sonde status` tells.
type status struct {
	Monhost  string                 `json:"monhost"`
	State    string                 `json:"state"`
	Database databaseStatus         `json:"database"`
	Spool    spoolStatus            `json:"spool"`
	Daemons  []daemonStatus         `json:"daemons"`
	Others   []store.ReportedDaemon `json:"others"` // of other monitoring hosts, by the table
}

type databaseStatus struct {
	Reachable bool   `json:"reachable"`
	Error     string `json:"error,omitempty"`
}

type spoolStatus struct {
	Dir   string `json:"dir"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	Error string `json:"error,omitempty"`
}

// daemonStatus is a daemon of this host. The file says whether it lives and
// keeps its promise; lag, facts and spool files come from the table.
type daemonStatus struct {
	Name       string    `json:"name"`
	PID        int       `json:"pid"`
	Alive      bool      `json:"alive"`
	Doing      string    `json:"doing"`
	Seq        uint64    `json:"seq"`
	Version    string    `json:"version"`
	StartedAt  time.Time `json:"started_at"`
	ReportedAt time.Time `json:"reported_at"`
	Promised   float64   `json:"promised_s"` // from now to the next report; less than 0: overdue
	Lag        float64   `json:"lag_s"`      // as it told the database; by how much it is overdue, when that is more
	SpoolFiles *int      `json:"spool_files"`
	Facts      any       `json:"facts"`
	Error      string    `json:"error,omitempty"` // the file cannot be read
}

// behind is how much lag is no health any more, as on the page of daemons.
const behind = time.Minute

func (d daemonStatus) well() bool { return d.Alive && d.Promised >= 0 && d.Error == "" }

func runStatus(ctx context.Context, args []string) error {
	fs := flags("status")
	from := config.Flags(fs)
	asJSON := fs.Bool("json", false, "print JSON")
	if err := parse(fs, args, 0, 0); err != nil {
		return err
	}
	c, err := from.Load()
	if err != nil {
		return err
	}
	s := statusOf(ctx, c)
	if *asJSON {
		err = printJSON(os.Stdout, s)
	} else {
		err = printStatus(os.Stdout, s)
	}
	if err != nil {
		return err
	}
	if len(s.Daemons) == 0 || slices.ContainsFunc(s.Daemons, func(d daemonStatus) bool { return !d.well() }) {
		return exitCode(1)
	}
	return nil
}

func statusOf(ctx context.Context, c config.Config) status {
	s := status{Monhost: c.Monhost, State: c.State, Spool: spoolStatus{Dir: c.Spool}, Daemons: []daemonStatus{}, Others: []store.ReportedDaemon{}}
	var err error
	if s.Spool.Files, s.Spool.Bytes, err = spool.Usage(c.Spool); err != nil {
		s.Spool.Error = err.Error()
	}
	files, _ := filepath.Glob(daemon.KeepaliveFile(c.State, "*")) // the pattern is ours
	for _, file := range files {
		s.Daemons = append(s.Daemons, daemonOf(file))
	}
	reported, err := reportedDaemons(ctx, c)
	s.Database.Reachable = err == nil
	if err != nil {
		s.Database.Error = err.Error()
	}
	for _, r := range reported {
		i := slices.IndexFunc(s.Daemons, func(d daemonStatus) bool { return d.Name == r.Name })
		switch {
		case r.Monhost != c.Monhost:
			s.Others = append(s.Others, r)
		case i >= 0 && s.Daemons[i].PID == r.PID: // else it is a copy of an earlier process
			d := &s.Daemons[i]
			d.Lag, d.SpoolFiles, d.Facts = max(d.Lag, r.Lag), &r.SpoolFiles, r.Facts
		}
	}
	return s
}

func daemonOf(file string) daemonStatus {
	d := daemonStatus{Name: strings.TrimSuffix(filepath.Base(file), ".json")}
	k, err := daemon.ReadKeepalive(file)
	if err != nil {
		d.Error = err.Error()
		return d
	}
	d.PID, d.Alive, d.Doing, d.Seq, d.Version, d.StartedAt, d.ReportedAt = k.Pid, k.Alive(), k.Doing, k.Seq, k.Version, k.StartedAt, k.ReportedAt
	d.Promised = -k.Late().Seconds()
	d.Lag = max(0, -d.Promised)
	return d
}

func reportedDaemons(ctx context.Context, c config.Config) ([]store.ReportedDaemon, error) {
	pool, err := commandPool(ctx, c)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return store.New(pool).ReportedDaemons(ctx)
}

// commandPool opens connections for a verb that a person waits for.
func commandPool(ctx context.Context, c config.Config) (*pgxpool.Pool, error) {
	dsn, err := databaseOf(c)
	if err != nil {
		return nil, err
	}
	return daemon.Open(ctx, dsn, "command line")
}

func printStatus(out io.Writer, s status) error {
	var failed error
	say := func(w io.Writer, format string, args ...any) {
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	say(out, "host      %s, state in %s\n", s.Monhost, s.State)
	if s.Database.Reachable {
		say(out, "database  answers\n")
	} else {
		say(out, "database  away: %s\n", onOneLine(s.Database.Error))
	}
	switch {
	case s.Spool.Error != "":
		say(out, "spool     %s\n", s.Spool.Error)
	case s.Spool.Files == 0:
		say(out, "spool     empty\n")
	default:
		say(out, "spool     %s, %s wait to be loaded\n", numbered(s.Spool.Files, "file"), inBytes(s.Spool.Bytes))
	}
	if len(s.Daemons) == 0 {
		say(out, "\nno daemon has ever run here: start them with `sonde up` or `sonde supervise`\n")
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(s.Daemons) > 0 {
		say(w, "\nDAEMON\tPID\tSTATE\tLAG\tDOING\n")
	}
	for _, d := range s.Daemons {
		say(w, "%s\t%d\t%s\t%s\t%s\n", d.Name, d.PID, d.state(), seconds(d.Lag), d.Doing)
	}
	for _, o := range s.Others {
		state := "ok, by its report"
		if o.Late > 0 {
			state = "silent for " + seconds(o.Late)
		}
		say(w, "%s on %s\t%d\t%s\t%s\t%s\n", o.Name, o.Monhost, o.PID, state, seconds(o.Lag), o.Doing)
	}
	return errors.Join(failed, w.Flush())
}

func (d daemonStatus) state() string {
	switch {
	case d.Error != "":
		return d.Error
	case !d.Alive:
		return "dead"
	case d.Promised < 0:
		return "stands still, overdue by " + seconds(-d.Promised)
	case d.Lag > behind.Seconds():
		return "behind"
	}
	return "ok"
}

func seconds(s float64) string { return roughly(time.Duration(s * float64(time.Second))) }

// roughly is a duration as one tells it: whole seconds, or milliseconds below one.
func roughly(d time.Duration) string {
	if d.Abs() < time.Second {
		return d.Truncate(time.Millisecond).String()
	}
	return measure.FormatDuration(d.Truncate(time.Second))
}

// inBytes is a size as one tells it.
func inBytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, name := float64(n), ""
	for _, name = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f /= unit; f < unit {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", f, name)
}
