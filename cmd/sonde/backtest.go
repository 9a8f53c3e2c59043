package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sonde/analysis"
	analyses "sonde/analysis/catalog"
	"sonde/config"
	"sonde/internal/judge"
	"sonde/internal/measure"
	"sonde/internal/replay"
	"sonde/internal/store"
	"sonde/probes"
	tools "sonde/probes/catalog"
)

// runBacktest replays stored data through a rule, and says what it would have raised.
// backtestAtMost is how far back data can lie.
const backtestAtMost = 10 * 366 * 24 * time.Hour

func runBacktest(ctx context.Context, args []string) error {
	return backtestOnce(ctx, args, os.Stdout, os.Stderr, isTerminal(os.Stderr))
}

// backtestFlags are the command line as it was given.
type backtestFlags struct {
	rule, method, tool, metric string
	set, options               []string
	since, until, learn        string
	node, label                string
	propose                    string
	asJSON                     bool
	most                       int
}

// backtestOnce says on stderr how far it is when a person watches.
func backtestOnce(ctx context.Context, args []string, stdout, stderr io.Writer, watched bool) error {
	fs := flags("backtest")
	from := config.Flags(fs)
	var f backtestFlags
	fs.StringVar(&f.rule, "rule", "", "the `rule` to replay, by its name")
	fs.StringArrayVar(&f.set, "set", nil, "compare with this changed: `option=value` of the rule's method, or tolerance, repeat_limit, severity; may be given often")
	fs.StringVar(&f.method, "method", "", "instead of --rule: a `method`, for a rule that does not exist yet")
	fs.StringVar(&f.tool, "tool", "", "with --method: only specs of this `tool`")
	fs.StringVar(&f.metric, "metric", "", "with --method: the `metric` it reads")
	fs.StringArrayVarP(&f.options, "option", "o", nil, "with --method: an option of it, `name=value`; may be given often")
	fs.StringVar(&f.since, "since", "30d", "from this `time` on: how long ago, or an instant")
	fs.StringVar(&f.until, "until", "", "up to this `time` (default: now)")
	fs.StringVar(&f.learn, "learn", "14d", "detectors learn from so many days before; their alerts are not counted")
	fs.StringVar(&f.node, "node", "", "only specs to this `node`")
	fs.StringVar(&f.label, "label", "", "only specs to nodes with this `label`")
	fs.StringVar(&f.propose, "propose", "", "look for a better setting by what people marked; =`OPTION`[,OPTION] tries those only")
	fs.Lookup("propose").NoOptDefVal = "*"
	fs.IntVar(&f.most, "most", 40, "list so many alerts at most")
	fs.BoolVar(&f.asJSON, "json", false, "print JSON")
	if err := parse(fs, args, 0, 0); err != nil {
		return err
	}
	if err := f.check(fs); err != nil {
		return err
	}
	st, done, err := openStore(ctx, from)
	if err != nil {
		return err
	}
	defer done()
	plan, err := st.ReplayPlan(ctx)
	if err != nil {
		return err
	}
	q, err := f.question(plan)
	if err != nil {
		return err
	}
	t := trial{flags: f, plan: plan, q: q}
	if err := t.read(ctx, st); err != nil {
		return err
	}
	if watched {
		t.q.Progress = func(at time.Time, done float64, rows int64) {
			fmt.Fprintf(stderr, "\r%s  %3.0f %%  %d rows ", at.Format(time.DateOnly), 100*done, rows)
		}
		defer fmt.Fprint(stderr, "\r")
	}
	t.results, t.facts, err = replay.Run(ctx, st, t.q)
	if ctx.Err() != nil {
		return fmt.Errorf("stopped after %d rows; nothing was changed", t.facts.Rows)
	}
	if err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(stdout, t.report())
	}
	t.print(stdout)
	return nil
}

func (f *backtestFlags) check(fs *pflag.FlagSet) error {
	switch {
	case (f.rule == "") == (f.method == ""):
		return usageError("name one: --rule NAME, or --method METHOD with --tool and --metric")
	case f.rule != "" && (f.tool != "" || f.metric != "" || len(f.options) > 0):
		return usageError("--tool, --metric and -o go with --method; --set changes a rule")
	case f.method != "" && len(f.set) > 0:
		return usageError("--set goes with --rule; -o name=value says what --method gets")
	case f.propose != "" && (f.rule == "" || len(f.set) > 0):
		return usageError("--propose goes with --rule, and without --set")
	case f.metric != "" && f.tool == "":
		return usageError("--metric needs --tool")
	case f.most < 0:
		return usageError("--most %d: say how many alerts to list", f.most)
	case fs.Changed("propose") && f.propose == "":
		return usageError("--propose=OPTION names an option")
	}
	return nil
}

// question makes it of the flags.
func (f *backtestFlags) question(plan store.ReplayPlan) (replay.Question, error) {
	q := replay.Question{Tools: tools.All(), Maintenance: plan.Maintenance}
	none := func(err error) (replay.Question, error) { return q, err }
	var err error
	if q.Until, err = moment(f.until, plan.Now); err != nil {
		return none(usageError("--until: %v", err))
	}
	if q.Until.IsZero() || q.Until.After(plan.Now) {
		q.Until = plan.Now
	}
	if q.From, err = moment(f.since, plan.Now); err != nil || q.From.IsZero() {
		return none(usageError("--since: %v", err))
	}
	if plan.Now.Sub(q.From) > backtestAtMost {
		return none(usageError("--since %s: wanted ten years ago at most", f.since))
	}
	if !q.From.Before(q.Until) {
		return none(usageError("--since %s is not before %s", q.From.Format(time.RFC3339), q.Until.Format(time.RFC3339)))
	}
	learn, err := measure.ParseDuration(f.learn)
	if err != nil || learn < 0 {
		return none(usageError("--learn %s: write how long, such as 14d (%v)", f.learn, err))
	}
	q.Learn = q.From.Add(-learn)

	rule, err := f.asItIs(plan)
	if err != nil {
		return none(err)
	}
	i := slices.IndexFunc(analyses.All(), func(m analysis.Method) bool { return m.Name == rule.Method })
	if i < 0 {
		return none(usageError("there is no method %q; methods: %s", rule.Method, methodNames()))
	}
	q.Method = analyses.All()[i]
	if f.method != "" {
		if rule.Options, err = specOf(q.Method.Options, f.options); err != nil {
			return none(err)
		}
	}
	if err := replay.Fits(q.Method, &rule); err != nil {
		return none(usageError("%v", err))
	}
	q.Settings = []replay.Setting{{Name: "as it is", Rule: rule}}
	switch {
	case len(f.set) > 0:
		changed, err := changedRule(q.Method, rule, f.set)
		if err != nil {
			return none(err)
		}
		q.Settings = append(q.Settings, replay.Setting{Name: strings.Join(f.set, " "), Rule: changed})
	case f.propose != "":
		var names []string
		if f.propose != "*" {
			names = strings.Split(f.propose, ",")
		}
		if q.Settings, err = replay.Grid(q.Method, rule, names); err != nil {
			return none(usageError("--propose: %v", err))
		}
	}
	for _, w := range plan.Specs {
		if judge.Covers(&rule, &w) && (f.node == "" || w.Node == f.node) && (f.label == "" || slices.Contains(w.Labels, f.label)) {
			q.Specs = append(q.Specs, w)
		}
	}
	if len(q.Specs) == 0 {
		return none(fmt.Errorf("no enabled spec is watched by this: tool %q, node %q, label %q", rule.Tool, rule.Node+f.node, rule.Label+f.label))
	}
	return q, nil
}

// asItIs is the rule that is asked for, as its row is or as it would be.
func (f *backtestFlags) asItIs(plan store.ReplayPlan) (store.Rule, error) {
	if f.rule != "" {
		names := make([]string, len(plan.Rules))
		for i, r := range plan.Rules {
			if r.Name == f.rule {
				return r, nil
			}
			names[i] = r.Name
		}
		return store.Rule{}, fmt.Errorf("there is no rule %q; rules: %s", f.rule, strings.Join(names, ", "))
	}
	if f.tool != "" {
		i := slices.IndexFunc(tools.All(), func(t probes.Tool) bool { return t.Name == f.tool })
		if i < 0 {
			return store.Rule{}, usageError("there is no tool %q", f.tool)
		}
		metrics := tools.All()[i].Metrics
		names := make([]string, len(metrics))
		for i, m := range metrics {
			names[i] = m.Name
		}
		if f.metric != "" && !slices.Contains(names, f.metric) {
			return store.Rule{}, usageError("%s has no metric %q; metrics: %s", f.tool, f.metric, strings.Join(names, ", "))
		}
	}
	// An unknown method is refused where the detectors are made.
	if i := slices.IndexFunc(analyses.All(), func(m analysis.Method) bool { return m.Name == f.method }); i >= 0 {
		switch outcomes := analyses.All()[i].Outcomes; {
		case !outcomes && f.metric == "":
			return store.Rule{}, usageError("method %q judges a number: --tool and --metric say which", f.method)
		case outcomes && f.metric != "":
			return store.Rule{}, usageError("method %q looks at how runs end, and at no metric", f.method)
		}
	}
	return store.Rule{Name: "tried", Method: f.method, Tool: f.tool, Metric: f.metric, Severity: string(measure.Warning)}, nil
}

func methodNames() string {
	var names []string
	for _, m := range analyses.All() {
		names = append(names, m.Name)
	}
	return strings.Join(names, ", ")
}

// changedRule is a rule with what --set changes.
func changedRule(m analysis.Method, r store.Rule, set []string) (store.Rule, error) {
	var options []string
	for _, s := range set {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return r, usageError("--set %s: write option=value", s)
		}
		if slices.ContainsFunc(m.Options, func(o measure.Option) bool { return o.Name == name }) {
			options = append(options, s)
			continue
		}
		var err error
		switch name {
		case "tolerance":
			r.Tolerance, err = measure.ParseDuration(value)
		case "repeat_limit":
			r.Repeat, err = measure.ParseDuration(value)
		case "severity":
			if r.Severity = value; !slices.Contains([]string{"info", "warning", "critical"}, value) {
				err = fmt.Errorf("%q is none of info, warning, critical", value)
			}
		default:
			err = fmt.Errorf("method %s has no option %q; it has %s, and each rule has tolerance, repeat_limit and severity", m.Name, name, optionNames(m))
		}
		if err != nil {
			return r, usageError("--set %s: %v", s, err)
		}
	}
	given, err := specOf(m.Options, options)
	if err != nil {
		return r, err
	}
	merged := map[string]json.RawMessage{}
	for _, raw := range []json.RawMessage{r.Options, given} {
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &merged); err != nil {
				return r, fmt.Errorf("options of rule %q: %w", r.Name, err)
			}
		}
	}
	if r.Options, err = json.Marshal(merged); err != nil {
		return r, fmt.Errorf("options of rule %q: %w", r.Name, err)
	}
	if err := replay.Fits(m, &r); err != nil {
		return r, usageError("%v", err)
	}
	return r, nil
}

func optionNames(m analysis.Method) string {
	names := make([]string, len(m.Options))
	for i, o := range m.Options {
		names[i] = o.Name
	}
	return strings.Join(names, ", ")
}

// isTerminal reports whether a person watches.
func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
