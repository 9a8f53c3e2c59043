// Package probes says what a probe is. Each tool is a package below this one;
// probes/catalog lists them, one line each.
//
//	toolspecs row ──New──▶ Probe ──Run──▶ measure.Result ──▶ one row of Tool.Table
//
// A probe is a plain function: it measures one target once, obeys its context,
// and reports silence from the far end as a Result, never as an error. An error
// means that nothing was learnt of the target.
package probes

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"time"

	"sonde/internal/measure"
)

// Somebody decides by these.
var (
	ErrSpec  = errors.New("wrong spec")     // a person must mend the row
	ErrLocal = errors.New("local trouble")  // ours, not the target's; the next run may work
	ErrBusy  = errors.New(measure.Overload) // this machine was too busy to measure: the run is missed
)

// Probe measures one target once. It obeys ctx, starts nothing that outlives
// Run, and reports silence from the far end as a Result, never as an error.
type Probe interface {
	Run(ctx context.Context, t measure.Target) (measure.Result, error)
}

// Engine is what all runs of one tool in one worker share.
type Engine interface {
	// Down is closed when the engine can work no longer; the worker then opens a new one.
	Down() <-chan struct{}
	Close() error
}

// Env is what a probe gets of the world around it.
type Env struct {
	Log    *slog.Logger
	Engine Engine // what Open returned; nil for tools without Open, and for `sonde probe` before Open
}

// Tool is all the platform needs to know about one type of probe.
type Tool struct {
	Name    string           // toolspecs.tool
	Meaning string           // a sentence for people: what it measures
	Options []measure.Option // name, type, default, range, meaning: TOOLS, docs and SQL checks come from here
	Table   string           // where Result.Row goes, in the order of Columns: one row a run
	Columns []string
	Metrics []measure.Metric // what analyses and charts may watch, with units
	Alone   bool             // loads the path (test_type background-syn): no other such run at either end

	// TimeToRun is what a spec gets that names no time_to_run.
	TimeToRun time.Duration

	// LeastTime is arithmetic over option names, durations in seconds, that
	// must not exceed time_to_run: "(count - 1) * interval + timeout". Empty
	// means any time will do. The database evaluates it on every spec.
	LeastTime string

	// AtOnce is how many runs of this tool one worker makes at the same time; 0 means 64.
	AtOnce int

	// Describe says in one line what a run will do, for `sonde check`:
	// "10 packets of 84 bytes, 1s apart". May be nil.
	Describe func(o measure.Options) string

	// Print gives the Row of a Result as a small table for people, for
	// `sonde probe`. nil prints columns and values.
	Print func(row []any) string

	// Perf gives a Result as a Nagios check: state 0 OK, 1 WARNING, 2 CRITICAL,
	// a text, and performance data. nil means: OK when Run gave no error.
	Perf func(row []any) (state int, text, perf string)

	// Open starts what all runs of this worker share (one socket for all
	// targets, say); nil for most tools. The worker calls it before the first
	// claim, closes it after the last run and reopens it when it falls.
	Open func(ctx context.Context, env Env) (Engine, error)

	// New checks the spec and builds a probe; it opens nothing.
	New func(spec json.RawMessage, env Env) (Probe, error)

	// Lines measures many targets at once and writes a line for each answer, for
	// `sonde probe TOOL --file`; nil if the tool cannot. When ctx ends it sends
	// nothing more, waits for what is under way, and returns as usual.
	Lines func(ctx context.Context, job Lines) error
}

// Lines is what many targets are measured by at once.
type Lines struct {
	Spec    json.RawMessage
	Targets []string
	Rate    float64 // packets a second over all targets; 0: as fast as it can
	Out     io.Writer
	Log     *slog.Logger
}
