package probetest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"sonde/internal/measure"
	"sonde/probes"
)

// Peer is whom the tool measures in its examination.
type Peer struct {
	// Answering is an address that answers, Options a spec that is done with it
	// within a second or two.
	Answering string
	Options   string

	// Silent is an address that never answers, SilentOptions a spec that has
	// waited long enough within a second or two, and PatientOptions one that
	// would wait for a minute, to be cancelled. Empty for tools that have no
	// silence (what a peer that is down means is then for their own tests).
	Silent         string
	SilentOptions  string
	PatientOptions string

	// Within runs f where the peers can be reached, such as on a host of
	// internal/lab; nil means here.
	Within func(f func())
}

// atOnce is how soon Run must be back after a cancel.
const atOnce = time.Second

// Examine asks all questions.
func Examine(t *testing.T, tool probes.Tool, peer Peer) {
	t.Helper()
	if peer.Within == nil {
		peer.Within = func(f func()) { f() }
	}
	t.Run("describes itself", func(t *testing.T) { describes(t, tool) })
	t.Run("options", func(t *testing.T) { optionsAreDescribed(t, tool) })
	t.Run("nonsense spec", func(t *testing.T) { nonsenseIsErrSpec(t, tool) })
	t.Run("table", func(t *testing.T) { fitsItsTable(t, tool, peer) })
	t.Run("many runs leave nothing behind", func(t *testing.T) { leavesNothingBehind(t, tool, peer) })
	if peer.Silent != "" {
		t.Run("silent peer is data", func(t *testing.T) { silenceIsData(t, tool, peer) })
		t.Run("cancel", func(t *testing.T) { cancelEndsRun(t, tool, peer) })
	}
	t.Run("cancelled before it began", func(t *testing.T) { startsNothingWhenCancelled(t, tool, peer) })
}

// describes: what people and other rooms read of a tool.
func describes(t *testing.T, tool probes.Tool) {
	if tool.Name == "" || tool.Name != strings.ToLower(tool.Name) || strings.ContainsAny(tool.Name, " ._") {
		t.Errorf("name %q is no lower-case word", tool.Name)
	}
	if tool.Meaning == "" || tool.Table == "" || len(tool.Columns) == 0 || tool.New == nil {
		t.Errorf("Meaning, Table, Columns and New must be there: %+v", tool)
	}
	if tool.TimeToRun < time.Second {
		t.Errorf("TimeToRun is %s", tool.TimeToRun)
	}
	seen := map[string]bool{}
	for _, m := range tool.Metrics {
		if m.Name == "" || m.Unit == "" || m.Meaning == "" || seen[m.Name] {
			t.Errorf("metric %+v lacks something, or comes twice", m)
		}
		seen[m.Name] = true
		if !slices.Contains(tool.Columns, m.Column) {
			t.Errorf("metric %s is read from column %q, which the tool has not", m.Name, m.Column)
		}
	}
	for i, c := range tool.Columns {
		if slices.Index(tool.Columns, c) != i {
			t.Errorf("column %s comes twice", c)
		}
	}
	o, err := measure.ReadOptions(tool.Options, nil)
	if err != nil {
		return // a tool with a required option; its peer's options are tried below
	}
	if tool.Describe != nil && strings.TrimSpace(tool.Describe(o)) == "" {
		t.Error("Describe says nothing of a run with defaults")
	}
	least, err := measure.LeastTime(tool.LeastTime, tool.Options, o)
	if err != nil || least > tool.TimeToRun {
		t.Errorf("a run with defaults takes at least %s (%v), more than TimeToRun, %s", least, err, tool.TimeToRun)
	}
}

func optionsAreDescribed(t *testing.T, tool probes.Tool) {
	seen := map[string]bool{}
	for _, o := range tool.Options {
		if o.Name == "" || seen[o.Name] || o.Name != strings.ToLower(o.Name) || strings.ContainsAny(o.Name, " .-=") {
			t.Errorf("option %q: the name comes twice or is no lower_case word", o.Name)
		}
		seen[o.Name] = true
		if o.Meaning == "" || strings.HasSuffix(o.Meaning, ".") {
			t.Errorf("option %q has the meaning %q: say in a sentence without full stop what it does", o.Name, o.Meaning)
		}
		if o.Required && o.Default != nil {
			t.Errorf("option %q is required and has a default", o.Name)
		}
		// Alone, so that a required neighbour is not in the way.
		alone := o
		alone.Required, alone.Requires, alone.Excludes = false, nil, nil
		for what, v := range map[string]any{"default": o.Default, "least": o.Min, "greatest": o.Max} {
			if v == nil {
				continue
			}
			b, err := json.Marshal(map[string]any{o.Name: v})
			if err != nil {
				t.Errorf("option %q: %s value %v: %v", o.Name, what, v, err)
				continue
			}
			if _, err := measure.ReadOptions([]measure.Option{alone}, b); err != nil {
				t.Errorf("option %q: its own %s value is refused: %v", o.Name, what, err)
			}
		}
		if o.Type == measure.EnumOption && len(o.Values) == 0 {
			t.Errorf("option %q has no values", o.Name)
		}
	}
	for _, o := range tool.Options {
		for _, other := range append(slices.Clone(o.Requires), o.Excludes...) {
			if !seen[other] {
				t.Errorf("option %q speaks of option %q, which the tool has not", o.Name, other)
			}
		}
	}
}

func nonsenseIsErrSpec(t *testing.T, tool probes.Tool) {
	specs := []string{`[]`, `"x"`, `{"no_such_option": 1}`, `{`}
	for _, o := range tool.Options {
		wrong := `{"` + o.Name + `": `
		specs = append(specs, wrong+`null}`, wrong+`{}}`, wrong+`[1]}`)
	}
	for _, spec := range specs {
		p, err := tool.New(json.RawMessage(spec), quiet())
		if !errors.Is(err, probes.ErrSpec) {
			t.Errorf("spec %s gave %v, %v; want probes.ErrSpec", spec, p, err)
		}
	}
}

// quiet is the world around a probe that nobody listens to.
func quiet() probes.Env { return probes.Env{Log: slog.New(slog.DiscardHandler)} }

// open gives the world with the tool's engine running.
func open(t *testing.T, tool probes.Tool) (env probes.Env, closeEngine func()) {
	t.Helper()
	env = quiet()
	if tool.Open == nil {
		return env, func() {}
	}
	e, err := tool.Open(t.Context(), env)
	if err != nil {
		t.Fatalf("open the engine: %v", err)
	}
	env.Engine = e
	return env, func() {
		if err := e.Close(); err != nil {
			t.Errorf("close the engine: %v", err)
		}
	}
}

// runOnce makes one run with an engine of its own.
func runOnce(ctx context.Context, t *testing.T, tool probes.Tool, peer Peer, address, options string) (res measure.Result, err error) {
	t.Helper()
	peer.Within(func() {
		env, closeEngine := open(t, tool)
		defer closeEngine()
		p, newErr := tool.New(json.RawMessage(options), env)
		if newErr != nil {
			t.Fatalf("options %s: %v", options, newErr)
		}
		res, err = p.Run(ctx, measure.Target{Node: "peer", Address: address, Log: env.Log})
	})
	return res, err
}

func silenceIsData(t *testing.T, tool probes.Tool, peer Peer) {
	res, err := runOnce(t.Context(), t, tool, peer, peer.Silent, peer.SilentOptions)
	if err != nil {
		t.Fatalf("a silent peer gave the error %v", err)
	}
	if len(res.Row) != len(tool.Columns) {
		t.Errorf("%d values for %d columns", len(res.Row), len(tool.Columns))
	}
}

func cancelEndsRun(t *testing.T, tool probes.Tool, peer Peer) {
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	var cancelledAt time.Time
	timer := time.AfterFunc(200*time.Millisecond, func() { cancelledAt = time.Now(); cancel() })
	defer timer.Stop()
	_, err := runOnce(ctx, t, tool, peer, peer.Silent, peer.PatientOptions)
	if ctx.Err() == nil {
		t.Fatalf("a run that should wait for a minute ended by itself: %v", err)
	}
	if took := time.Since(cancelledAt); took > atOnce {
		t.Errorf("Run came back %s after the cancel", took)
	}
	if err == nil {
		t.Error("a cancelled run gave no error; it has learnt nothing that may be stored")
	}
	settled(t, before)
}

func startsNothingWhenCancelled(t *testing.T, tool probes.Tool, peer Peer) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if _, err := runOnce(ctx, t, tool, peer, peer.Answering, peer.Options); err == nil {
		t.Error("a run whose context had ended gave no error")
	}
	if took := time.Since(began); took > atOnce {
		t.Errorf("a run whose context had ended took %s", took)
	}
}

func leavesNothingBehind(t *testing.T, tool probes.Tool, peer Peer) {
	before := runtime.NumGoroutine()
	for range 5 {
		if _, err := runOnce(t.Context(), t, tool, peer, peer.Answering, peer.Options); err != nil {
			t.Fatal(err)
		}
	}
	settled(t, before)
}

// settled waits for the goroutines of a run to end.
func settled(t *testing.T, before int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return
		}
		<-tick.C
	}
	stacks := make([]byte, 1<<16)
	t.Errorf("%d goroutines before, %d after; those that are there now:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
}
