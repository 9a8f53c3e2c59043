// Command sonde is the one program of the platform: a file per verb. Flags and
// environment are read here; nothing is decided here.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // cron expressions have time zones, and a small machine may not

	"github.com/spf13/pflag"
)

// verb is one thing the program can do. Its run returns nil (exit 0), an error
// (exit 1), or errUsage (exit 2, wrong use).
type verb struct {
	name  string
	args  string // "TOOL TARGET", for the usage line
	about string
	run   func(ctx context.Context, args []string) error
}

// verbs in the order help prints them.
func verbs() []verb {
	return []verb{
		{"up", "[--data DIR] [--listen ADDR]", "run everything on this host, with a database of its own if none is named", runUp},
		{"supervise", "[--data DIR]", "run everything on this host as a service", runSupervise},
		{"keepalive", "[--data DIR]", "one pass for a crontab: start the supervisor if it is dead or stands still", runKeepalive},
		{"migrate", "[--database URL] [--json]", "bring the schema to this version", runMigrate},
		{"check", "[--json]", "examine configuration, database, privileges, disk and clock: OK or what to do", runCheck},
		{"status", "[--json]", "daemons, what they do and how far they are behind", runStatus},
		{"dsn", "[--data DIR]", "print the connection string of the database", runDSN},
		{"scheduler", "", "make runs due, as the supervisor starts it", runScheduler},
		{"worker", "TOOL", "make the runs of one tool, as the supervisor starts it", runWorker},
		{"loader", "", "bring the spool into the database, as the supervisor starts it", runLoader},
		{"analyst", "", "turn data into alerts, as the supervisor starts it", runAnalyst},
		{"notifier", "", "bring notices to people, as the supervisor starts it", runNotifier},
		{"annotator", "", "find AS and names of addresses, as the supervisor starts it", runAnnotator},
		{"web", "[--listen ADDR]", "serve the pages, as the supervisor starts it", runWeb},
		{"report", "--out DIR [--node NAME]", "write the pages as files", runReport},
		{"alert", "list | ack ID [NOTE] | silence ID LENGTH | comment ID TEXT | right|wrong|planned ID [TEXT]", "open alerts, what is done about one, and whether it was right", runAlert},
		{"explain", "ALERT | NODE [--at TIME]", "why somebody was woken, or was not", runExplain},
		{"backtest", "--rule NAME [--set option=value]… [--since 90d]", "replay stored data: what a rule would have raised, as it is and changed", runBacktest},
		{"asn", "[load FILE… | show ADDRESS…]", "AS and names of addresses: how much is known, load a table, look at some", runASN},
		{"detect", "--in FILE --kind K --interval S --out FILE", "score the rows of a series as the analyst would, without a database", runDetect},
		{"probe", "TOOL TARGET [-o name=value]…", "make one run now, without a database", runProbe},
		{"version", "", "print the version", runVersion},
	}
}

// errUsage says that the command line is wrong; exit code 2.
var errUsage = errors.New("wrong use")

func usageError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

// exitCode lets a verb end with a code of its own after it has said everything (probe --nagios).
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func main() {
	// The first signal asks for a clean stop; a daemon that takes long listens for the second itself.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

func run(ctx context.Context, args []string, stderr io.Writer) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h" {
		help(os.Stdout)
		if len(args) == 0 {
			return 2
		}
		return 0
	}
	if args[0] == "--version" {
		args[0] = "version"
	}
	for _, v := range verbs() {
		if v.name != args[0] {
			continue
		}
		err := v.run(ctx, args[1:])
		var code exitCode
		switch {
		case err == nil, errors.Is(err, pflag.ErrHelp):
			return 0
		case errors.As(err, &code):
			return int(code)
		case errors.Is(err, errUsage):
			fmt.Fprintf(stderr, "sonde %s: %v\nusage: sonde %s %s\n", v.name, err, v.name, v.args)
			return 2
		default:
			fmt.Fprintf(stderr, "sonde %s: %v\n", v.name, err)
			return 1
		}
	}
	fmt.Fprintf(stderr, "sonde: no verb %q; `sonde help` lists them\n", args[0])
	return 2
}

func help(w io.Writer) {
	fmt.Fprint(w, "sonde measures networks and machines on a schedule, keeps what it learnt in PostgreSQL, and tells people.\n\nusage: sonde VERB [flags]\n\n")
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %-10s %-26s %s\n", v.name, v.args, v.about)
	}
}

// flags gives a flag set whose errors are wrong use. Flags may stand before and after arguments.
func flags(name string) *pflag.FlagSet {
	fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
	fs.SortFlags = false
	return fs
}

// parse reads args and demands between least and most arguments besides flags; most < 0 means any number.
func parse(fs *pflag.FlagSet, args []string, least, most int) error {
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return err
		}
		return usageError("%v", err)
	}
	if fs.NArg() < least || most >= 0 && fs.NArg() > most {
		return usageError("%d arguments given", fs.NArg())
	}
	return nil
}
