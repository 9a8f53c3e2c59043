package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sonde/internal/measure"
	"sonde/internal/plan"
	"sonde/internal/store"
	"sonde/notify"
	mediums "sonde/notify/catalog"
	"sonde/probes"
	tools "sonde/probes/catalog"
)

// telling looks at mediums and at who is reached by them.
func (e *examination) telling(ctx context.Context, st *store.Store) error {
	t, err := st.ExamineTelling(ctx)
	if err != nil {
		return err
	}
	for _, m := range t.Mediums {
		e.medium(m)
	}
	switch {
	case t.Reached == 0:
		e.warn("ladders", "INSERT INTO mediums … and INSERT INTO ladders (recipient, step, medium, address) …", "nobody is told of alerts; the pages show them")
	default:
		e.ok("ladders", "%s told of alerts", numbered(t.Reached, "recipient"))
	}
	for _, name := range t.Unheard {
		e.warn("ladders", "INSERT INTO ladders (recipient, step, medium, address) …", "%s has no visible step on an enabled medium and is told nothing", name)
	}
	return nil
}

func (e *examination) medium(m store.ExaminedMedium) {
	what := "medium " + m.Name
	if !m.Enabled {
		e.ok(what, "%s, disabled", m.Type)
		return
	}
	if m.Problem != "" {
		e.fail(what, "UPDATE mediums SET options = …", "%s", m.Problem)
		return
	}
	y, known := mediums.Find(m.Type)
	if !known {
		e.fail(what, "install the version that has it", "this program has no type %q", m.Type)
		return
	}
	// New resolves what is referred to, such as secrets in files.
	if _, err := y.New(m.Options, notify.Env{Log: slog.New(slog.DiscardHandler)}); err != nil {
		e.fail(what, "mend the row, or what it refers to", "%v", err)
		return
	}
	o, err := measure.ReadOptions(y.Options, m.Options)
	switch {
	case err != nil:
		e.fail(what, "UPDATE mediums SET options = …", "%v", err)
	case m.Type == "smstools":
		e.smsSpool(what, o)
	case m.Type == "log" && o.Text("path") != "":
		e.logFile(what, o.Text("path"))
	default:
		e.ok(what, "%s", m.Type)
	}
}

// logFile looks whether the notifier could make the file of a log medium.
func (e *examination) logFile(what, path string) {
	dir := filepath.Dir(path)
	if !isFolder(dir) {
		e.fail(what, "make it, or mend the option path", "there is no folder %s", dir)
		return
	}
	if err := writable(dir); err != nil {
		e.fail(what, "give the user that runs sonde the right to write there", "%s cannot be written to: %v", dir, err)
		return
	}
	e.ok(what, "log, %s", path)
}

// smsSpool tries smsd's folders with the rights of this process.
func (e *examination) smsSpool(what string, o measure.Options) {
	for _, name := range []string{"outgoing", "checked", "sent", "failed"} {
		dir := o.Text(name)
		if dir == "" {
			dir = filepath.Join(o.Text("spool"), name)
		}
		if !isFolder(dir) {
			e.fail(what, "install smstools, or mend the option spool", "there is no folder %s", dir)
			return
		}
		// From checked a message that is too old is withdrawn; sent and failed are only read.
		if name == "outgoing" || name == "checked" {
			if err := writable(dir); err != nil {
				e.fail(what, "put the user that runs sonde into the group of smsd (usermod -aG smsd sonde)", "%s cannot be written to: %v", dir, err)
				return
			}
		}
	}
	e.ok(what, "smstools, spool %s can be written to", o.Text("spool"))
}

// Ages at which a table of AS, and a look-up that was due, are worth a word.
const (
	tableOld    = 90 * 24 * time.Hour
	lookUpsLate = 30 * time.Minute
)

// addresses looks at what is known of the addresses that results have.
func (e *examination) addresses(ctx context.Context, st *store.Store, now time.Time) error {
	o, err := st.ASOverview(ctx)
	if err != nil {
		return err
	}
	for _, l := range o.Loads {
		if old := now.Sub(l.LoadedAt); old > tableOld {
			e.warn("addresses", "sonde asn load FILE", "the table of %s (%s) was loaded %s ago", l.Kind, l.Files, roughly(old))
		}
	}
	if o.WaitSince != nil && now.Sub(*o.WaitSince) > lookUpsLate {
		e.warn("addresses", "see what `sonde status` says of the annotator, and whether a name server answers (settings.dns_server)",
			"AS and names of %d addresses wait, the first for %s", o.Waiting, roughly(now.Sub(*o.WaitSince)))
		return nil
	}
	text := fmt.Sprintf("%d, of %d the AS is known, of %d the name", o.Addresses, o.ByTable+o.ByDNS, o.Named)
	if o.Failing > 0 {
		text += fmt.Sprintf("; %d get no answer and are asked for again: %s", o.Failing, o.Failure)
	}
	e.ok("addresses", "%s", text)
	return nil
}

// unseenFor is how long a host may be silent before we say that nobody runs its specs.
const unseenFor = 2 * time.Minute

// workerLate is how far behind its promise a worker may be.
const workerLate = 15 * time.Second

// specs says of each spec what it will do, or why nobody will run it.
func (e *examination) specs(ctx context.Context, st *store.Store, server store.Server, clock store.Clock, most int) error {
	list, err := st.ExamineSpecs(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		e.warn("specs", "INSERT INTO nodes (name, address) VALUES ('cern', 'www.cern.ch'); INSERT INTO toolspecs (node, tool, run_interval) VALUES ('cern', 'ping', '1 minute');", "nothing is measured yet")
	}
	told, left := 0, 0
	for _, s := range list {
		what := fmt.Sprintf("spec %d %s %s → %s", s.ID, s.Tool, s.Monhost, s.Node)
		if s.Label != "" {
			what += fmt.Sprintf(" (%s)", s.Label)
		}
		tool, known := tools.Find(s.Tool)
		switch {
		case !s.SpecEnabled:
			if told++; told <= most {
				e.ok(what, "disabled")
			} else {
				left++
			}
		case s.Problem != "":
			e.fail(what, fmt.Sprintf("UPDATE toolspecs SET options = … WHERE id = %d", s.ID), "%s; every run fails", s.Problem)
		case !s.NodeEnabled:
			e.warn(what, fmt.Sprintf("UPDATE nodes SET enabled = true WHERE name = '%s', or disable the spec", strings.ReplaceAll(s.Node, "'", "''")), "nobody runs it: its node is disabled")
		case !s.ToolKnown || !known && s.Monhost == e.Monhost:
			e.fail(what, "install the version that has it, or disable the spec", "nobody runs it: this version has no tool %q", s.Tool)
		case !slices.Contains(s.HostTools, s.Tool):
			e.warn(what, "start a worker for it there, or disable the spec", "nobody runs it: %s has no worker for %s (monhosts.tools is %s)", s.Monhost, s.Tool, orNone(s.HostTools))
		case s.HostSeen < 0:
			e.warn(what, "start sonde there", "nobody runs it: monitoring host %s was never seen", s.Monhost)
		case s.HostSeen > unseenFor:
			e.warn(what, "start sonde there, or disable the spec", "nobody runs it: monitoring host %s was seen last %s ago", s.Monhost, roughly(s.HostSeen))
		case s.WorkerLate == nil:
			e.warn(what, "see `sonde status` there", "nobody runs it: no worker for %s has ever run on %s", s.Tool, s.Monhost)
		case *s.WorkerLate > workerLate.Seconds():
			e.warn(what, "see `sonde status` there", "nobody runs it: the worker for %s on %s should have reported %s ago", s.Tool, s.Monhost, seconds(*s.WorkerLate))
		default:
			text, err := willDo(s, tool, clock.Now(), server.KeepDays[s.Table])
			if err != nil {
				e.fail(what, fmt.Sprintf("mend spec %d", s.ID), "%v", err)
				continue
			}
			if need := mayTake(s, tool); s.RunInterval > 0 && need > s.RunInterval {
				e.warn(what, "give a longer run_interval, or options that take less", "a run may take %s and the next is due after %s: what is due meanwhile is missed as still running",
					measure.FormatDuration(need.Round(100*time.Millisecond)), measure.FormatDuration(s.RunInterval))
				continue
			}
			if told++; told <= most {
				e.ok(what, "%s", text)
			} else {
				left++
			}
		}
	}
	if left > 0 {
		e.ok("specs", "%d more are right; --specs %d prints them all", left, len(list))
	}
	return nil
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "empty"
	}
	return strings.Join(list, ", ")
}

// mayTake is how long a run takes when nobody answers; 0 when the tool does not say.
func mayTake(s store.ExaminedSpec, tool probes.Tool) time.Duration {
	o, err := measure.ReadOptions(tool.Options, s.Options)
	if err != nil || tool.LeastTime == "" {
		return 0
	}
	need, err := measure.LeastTime(tool.LeastTime, tool.Options, o)
	if err != nil {
		return 0 // the database has checked it; the worker will say what is wrong
	}
	return need
}

// willDo says in one line what a spec does: the packets, how often, until when.
func willDo(s store.ExaminedSpec, tool probes.Tool, now time.Time, keep int) (string, error) {
	words := []string{s.Address}
	if tool.Describe != nil {
		o, err := measure.ReadOptions(tool.Options, s.Options)
		if err != nil {
			return "", err
		}
		words = append(words, tool.Describe(o))
	}
	timing := plan.Spec{ID: s.ID, RunInterval: s.RunInterval, RunAt: s.RunAt, TimeZone: s.TimeZone, Since: s.Since, Together: s.Together, Background: s.Background, TimeToRun: s.TimeToRun}
	if err := plan.Check(timing); err != nil {
		return "", err
	}
	often := "every " + measure.FormatDuration(s.RunInterval)
	if s.RunAt != "" {
		often = fmt.Sprintf("at %s %s", s.RunAt, s.TimeZone)
	}
	words = append(words, often, "each run over after "+measure.FormatDuration(s.TimeToRun)+" at most")
	if !s.Background {
		words = append(words, "alone on both ends")
	}
	var next []string
	for at, ok := plan.Next(timing, now); ok && len(next) < 3; at, ok = plan.Next(timing, at) {
		format := "15:04:05"
		if len(next) == 0 && at.Sub(now) > 12*time.Hour || s.RunInterval >= 12*time.Hour || s.RunAt != "" {
			format = "2006-01-02 15:04:05"
		}
		next = append(next, at.UTC().Format(format))
	}
	words = append(words, "next "+strings.Join(next, ", ")+" UTC")
	if keep > 0 {
		words = append(words, fmt.Sprintf("kept %d days", keep))
	}
	return strings.Join(words, "; "), nil
}
