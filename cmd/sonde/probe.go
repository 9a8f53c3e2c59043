package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"sonde/internal/measure"
	"sonde/probes"
	"sonde/probes/catalog"
)

// runProbe makes one run now, without a database. Silence is a measurement: it
// ends with 0 unless --nagios says what a monitoring system makes of it.
func runProbe(ctx context.Context, args []string) error {
	return probeOnce(ctx, args, catalog.All(), os.Stdout, os.Stderr)
}

// probeRun is one run from the command line and how it ended.
type probeRun struct {
	tool   probes.Tool
	target string
	result measure.Result
	err    error
	took   time.Duration
}

func probeOnce(ctx context.Context, args []string, tools []probes.Tool, stdout, stderr io.Writer) error {
	fs := flags("probe")
	fs.SetOutput(stdout)
	given := fs.StringArrayP("option", "o", nil, "an option of the tool, `name=value`; may be given often")
	asJSON := fs.Bool("json", false, "print JSON")
	asNagios := fs.Bool("nagios", false, "print one line for Nagios and its kin, and end with its exit code")
	file := fs.String("file", "", "measure all targets of this `file` at once, one a line; - is standard input")
	format := fs.String("format", "lines", "with --file: lines, the only one there is")
	count := fs.Int("count", 0, "with --file: the option count of the tool")
	rate := fs.Float64("rate", 0, "with --file: `packets` a second over all targets; 0 is as fast as it can")
	timeToRun := fs.String("time-to-run", "", "give up after this `duration` (default: what the tool usually gets, or what the options need)")
	fs.Usage = func() { probeHelp(stdout, fs.FlagUsages(), tools, fs.Arg(0)) }

	run, err := func() (probeRun, error) {
		if err := parse(fs, args, 0, 2); err != nil {
			return probeRun{}, err
		}
		if *asJSON && *asNagios {
			return probeRun{}, usageError("--json and --nagios exclude each other")
		}
		if fs.NArg() == 0 && !*asNagios {
			probeHelp(stdout, fs.FlagUsages(), tools, "")
			return probeRun{}, errShown
		}
		i := slices.IndexFunc(tools, func(t probes.Tool) bool { return t.Name == fs.Arg(0) })
		if i < 0 {
			return probeRun{}, usageError("there is no tool %q; `sonde probe` lists the tools", fs.Arg(0))
		}
		if *file != "" {
			if *asJSON || *asNagios || *timeToRun != "" || fs.NArg() > 1 {
				return probeRun{}, usageError("--file goes with neither a target, --json, --nagios nor --time-to-run")
			}
			if *format != "lines" {
				return probeRun{}, usageError("--format %s: there is only lines", *format)
			}
			if fs.Changed("count") {
				*given = append(*given, fmt.Sprint("count=", *count))
			}
			return probeRun{}, cmp.Or(probeLines(ctx, tools[i], *file, *given, *rate, stdout, stderr), errShown)
		}
		for _, name := range []string{"format", "count", "rate"} {
			if fs.Changed(name) {
				return probeRun{}, usageError("--%s goes with --file", name)
			}
		}
		if fs.NArg() == 1 {
			return probeRun{}, usageError("name the target to measure; `sonde probe %s --help` shows the options", tools[i].Name)
		}
		return prepareAndRun(ctx, tools[i], fs.Arg(1), *given, *timeToRun, stderr)
	}()
	switch {
	case errors.Is(err, errShown):
		return nil
	case *asNagios || slices.Contains(args, "--nagios"):
		// Wrong use must not be mistaken for exit code 2, which is CRITICAL there.
		if errors.Is(err, pflag.ErrHelp) {
			return err
		}
		if err != nil {
			run = probeRun{tool: probes.Tool{Name: cmp.Or(fs.Arg(0), "probe")}, err: err}
		}
		return exitCode(printNagios(stdout, run))
	case err != nil:
		return err
	case *asJSON:
		if err := printProbeJSON(stdout, run); err != nil {
			return err
		}
	case run.err == nil:
		printProbe(stdout, run)
	}
	return run.err
}

// slow is a rate in packets a second that leaves a processor idle most of the time.
const slow = 20000

// probeLines measures the targets of a file and prints a line for each answer.
func probeLines(ctx context.Context, tool probes.Tool, file string, given []string, rate float64, stdout, stderr io.Writer) error {
	if tool.Lines == nil {
		return usageError("%s measures one target at a time", tool.Name)
	}
	if rate != 0 && !(rate >= 0.001 && rate <= 1e9) {
		return usageError("--rate %v: say how many packets a second, from 0.001 to 1e9, or 0 for as fast as it can", rate)
	}
	spec, err := specOf(tool.Options, given)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if _, err := tool.New(spec, probes.Env{Log: log}); err != nil {
		return usageError("%s", strings.TrimPrefix(err.Error(), probes.ErrSpec.Error()+": "))
	}
	targets, wrong, err := readTargets(file, log)
	if err != nil {
		return err
	}
	// What a tool needs for its targets it makes at once and keeps: room for as much again would lie idle.
	// The limit is a little more than lives then: what was read of the file goes before it is room for replies.
	debug.SetGCPercent(25)
	debug.SetMemoryLimit(12<<20 + 320*int64(len(targets)))
	if rate > 0 && rate <= slow && os.Getenv("GOMAXPROCS") == "" {
		// Each time somebody wakes, the runtime would wake a second processor to look for
		// work that is not there: a tenth of what the packets cost.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	err = tool.Lines(ctx, probes.Lines{Spec: spec, Targets: targets, Rate: rate, Out: stdout, Log: log})
	if wrong > 0 {
		err = errors.Join(err, fmt.Errorf("--file %s: %s left out", file, numbered(wrong, "line")))
	}
	return err
}

// mostName is how long a host name can be (RFC 1035, 3.1); addresses are shorter.
const mostName = 253

// mostTold of the lines that are left out are named: a file that is no list has many.
const mostTold = 20

// readTargets reads one target a line. What begins with # is a remark. A line that
// can be no name is said and left out, as a name that does not resolve will be: one
// slip costs none of the others. A file without a target is wrong use.
func readTargets(file string, log *slog.Logger) (targets []string, wrong int, err error) {
	in := os.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, 0, usageError("--file: %v", err)
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewScanner(in)
	n := 1
	for ; lines.Scan(); n++ {
		target := strings.TrimSpace(lines.Text())
		if target == "" || target[0] == '#' {
			continue
		}
		if len(target) > mostName || strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r == utf8.RuneError || !unicode.IsPrint(r) }) {
			if wrong++; wrong <= mostTold {
				log.Error("not measured: no address and no name; write one target a line", "file", file, "line", n, "text", fmt.Sprintf("%.40s", target))
			}
			continue
		}
		targets = append(targets, target)
	}
	if err := lines.Err(); err != nil {
		return nil, 0, fmt.Errorf("read the targets, line %d: %w", n, err)
	}
	if len(targets) == 0 {
		return nil, 0, usageError("--file %s names no target", file)
	}
	return targets, wrong, nil
}

var errShown = errors.New("shown")

// prepareAndRun gives an error for wrong use only; how the run ended is in probeRun.
func prepareAndRun(ctx context.Context, tool probes.Tool, target string, given []string, timeToRun string, stderr io.Writer) (probeRun, error) {
	spec, err := specOf(tool.Options, given)
	if err != nil {
		return probeRun{}, err
	}
	options, err := measure.ReadOptions(tool.Options, spec)
	if err != nil {
		return probeRun{}, usageError("%v", err)
	}
	allowed := tool.TimeToRun
	least, err := measure.LeastTime(tool.LeastTime, tool.Options, options)
	if err != nil {
		return probeRun{}, err
	}
	allowed = max(allowed, least+5*time.Second)
	if timeToRun != "" {
		if allowed, err = measure.ParseDuration(timeToRun); err != nil {
			return probeRun{}, usageError("--time-to-run: %v", err)
		}
	}

	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	env := probes.Env{Log: log}
	run := probeRun{tool: tool, target: target}
	outOfTime := fmt.Errorf("did not end within %s", measure.FormatDuration(allowed))
	ctx, cancel := context.WithTimeoutCause(ctx, allowed, outOfTime)
	defer cancel()

	// New comes twice: a wrong spec is wrong use, and is told before a socket is opened.
	if _, err := tool.New(spec, env); err != nil {
		return probeRun{}, usageError("%s", strings.TrimPrefix(err.Error(), probes.ErrSpec.Error()+": "))
	}
	if tool.Open != nil {
		if env.Engine, run.err = tool.Open(ctx, env); run.err != nil {
			return run, nil
		}
		defer env.Engine.Close()
	}
	probe, err := tool.New(spec, env)
	if err != nil {
		run.err = err
		return run, nil
	}
	began := time.Now()
	run.result, run.err = probe.Run(ctx, measure.Target{Node: target, Address: target, Log: log})
	run.took = time.Since(began)
	if run.err != nil && ctx.Err() != nil {
		run.err = fmt.Errorf("%w: %w", context.Cause(ctx), run.err)
	}
	return run, nil
}

// specOf makes the jsonb of a spec out of name=value: bare where the option is
// a number or a truth value and the value reads as one, text otherwise. What is
// wrong with it the tool's own check says.
func specOf(known []measure.Option, given []string) (json.RawMessage, error) {
	spec := map[string]json.RawMessage{}
	for _, g := range given {
		name, value, ok := strings.Cut(g, "=")
		if !ok || name == "" {
			return nil, usageError("-o %s: write name=value", g)
		}
		if _, twice := spec[name]; twice {
			return nil, usageError("option %q is given twice", name)
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, usageError("-o %s: %v", g, err)
		}
		for _, o := range known {
			if o.Name != name {
				continue
			}
			var v any
			switch o.Type {
			case measure.IntOption, measure.FloatOption, measure.BoolOption:
				if json.Unmarshal([]byte(value), &v) == nil {
					raw = json.RawMessage(value)
				}
			}
		}
		spec[name] = raw
	}
	return json.Marshal(spec)
}

func printProbe(w io.Writer, run probeRun) {
	address := ""
	if run.result.Address.IsValid() && run.result.Address.String() != run.target {
		address = " (" + run.result.Address.String() + ")"
	}
	fmt.Fprintf(w, "%s %s%s, %.1f s\n", run.tool.Name, run.target, address, run.took.Seconds())
	if run.tool.Print != nil {
		fmt.Fprintln(w, strings.TrimRight(run.tool.Print(run.result.Row), "\n"))
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, c := range run.tool.Columns {
		fmt.Fprintf(tw, "%s\t%s\n", c, jsonOf(run.result.Row[i]))
	}
	tw.Flush()
}

// printProbeJSON writes one object. Its fields are always the same for a tool:
// a run that failed has null in the columns.
func printProbeJSON(w io.Writer, run probeRun) error {
	outcome, reason := measure.OK, ""
	if run.err != nil {
		outcome, reason = measure.Fail, run.err.Error()
	}
	var address any
	if run.result.Address.IsValid() {
		address = run.result.Address
	}
	var b bytes.Buffer
	field := func(name string, value any) {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s:%s", jsonOf(name), jsonOf(value))
	}
	field("tool", run.tool.Name)
	field("target", run.target)
	field("address", address)
	field("outcome", outcome)
	field("reason", reason)
	field("took_ms", math.Round(float64(run.took.Microseconds()))/1000)
	for i, c := range run.tool.Columns {
		if i < len(run.result.Row) {
			field(c, run.result.Row[i])
		} else {
			field(c, nil)
		}
	}
	_, err := fmt.Fprintf(w, "{%s}\n", b.Bytes())
	return err
}

func jsonOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte("null") // a NaN, which JSON has no word for
	}
	return b
}

// printNagios writes the line of the monitoring plugins' guidelines and gives
// the state: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (nothing was learnt).
func printNagios(w io.Writer, run probeRun) int {
	state, text, perf := 0, "", ""
	switch {
	case run.err != nil:
		state, text = 3, strings.TrimPrefix(run.err.Error(), errUsage.Error()+": ")
	case run.tool.Perf != nil:
		state, text, perf = run.tool.Perf(run.result.Row)
	default:
		text = "measured " + run.target
	}
	if state < 0 || state > 3 {
		state = 3
	}
	line := fmt.Sprintf("%s %s - %s", strings.ToUpper(run.tool.Name), [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[state], oneLine(text))
	if perf != "" {
		line += " | " + oneLine(perf)
	}
	fmt.Fprintln(w, line)
	return state
}

// oneLine keeps what others said (a host name, an error) from ending the line or beginning performance data.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '|':
			return '/'
		case r < ' ':
			return ' '
		}
		return r
	}, s)
}

func probeHelp(w io.Writer, flagUsages string, tools []probes.Tool, name string) {
	fmt.Fprint(w, "usage: sonde probe TOOL TARGET [-o name=value]… [--json|--nagios]\n\nMakes one run now, without a database. No answer is a measurement and ends with 0.\n\n")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	i := slices.IndexFunc(tools, func(t probes.Tool) bool { return t.Name == name })
	if i < 0 {
		fmt.Fprintln(w, "Tools (sonde probe TOOL --help shows the options of one):")
		for _, t := range tools {
			fmt.Fprintf(tw, "  %s\t%s\n", t.Name, t.Meaning)
		}
	} else {
		fmt.Fprintf(w, "%s: %s\n\nOptions:\n", name, tools[i].Meaning)
		for _, o := range tools[i].Options {
			fmt.Fprintf(tw, "  -o %s=%s\t%s\t%s\n", o.Name, o.Type, rightValues(o), o.Meaning)
		}
	}
	tw.Flush()
	fmt.Fprint(w, "\nFlags:\n", flagUsages)
}

// rightValues says "10 (1 to 10000)", "auto (auto, 4, 6)", or "-" where nothing is preset.
func rightValues(o measure.Option) string {
	text := "-"
	if o.Default != nil {
		text = fmt.Sprint(o.Default)
	}
	if o.Required {
		text = "required"
	}
	switch {
	case len(o.Values) > 0:
		text += " (" + strings.Join(o.Values, ", ") + ")"
	case o.Min != nil && o.Max != nil:
		text += fmt.Sprintf(" (%v to %v)", o.Min, o.Max)
	case o.Min != nil:
		text += fmt.Sprintf(" (at least %v)", o.Min)
	case o.Max != nil:
		text += fmt.Sprintf(" (at most %v)", o.Max)
	}
	return text
}
