package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/probes"
)

// errOutOfTime is the cause of a probe's deadline.
var errOutOfTime = errors.New("time_to_run is over")

// errStopped is the cause when the worker is told to drop everything.
var errStopped = errors.New("the worker was stopped")

// measure makes one run and says how it ended. started is the database's time.
func (w *Worker) measure(ctx context.Context, e *engine, r *run, started time.Time) store.RunEnd {
	end := store.RunEnd{RunKey: r.RunKey, Attempt: r.Attempt, Place: r.Place, StartedAt: started}
	lines := &lastLines{}
	log := slog.New(lines)
	probeCtx, cancel := context.WithTimeoutCause(ctx, r.TimeToRun, errOutOfTime)
	defer cancel()
	begin := time.Now()
	result, err := w.probe(probeCtx, e, r, log)
	end.Took = time.Since(begin)
	end.Address = result.Address
	switch {
	case err == nil && len(result.Row) != len(w.Tool.Columns):
		err = fmt.Errorf("the probe gave %d values for %d columns", len(result.Row), len(w.Tool.Columns))
	case err != nil && context.Cause(probeCtx) == errStopped:
		end.Outcome, end.Reason = measure.Missed, errStopped.Error()
		return end
	case errors.Is(err, probes.ErrBusy):
		end.Outcome, end.Reason = measure.Missed, printable(err.Error(), 1000)
		return end
	case err != nil && probeCtx.Err() != nil:
		err = fmt.Errorf("%w (%s): %w", context.Cause(probeCtx), measure.FormatDuration(r.TimeToRun), err)
	}
	if err != nil {
		end.Outcome, end.Reason, end.Log = measure.Fail, printable(err.Error(), 1000), lines.String()
		return end
	}
	end.Outcome, end.Row = measure.OK, result.Row
	return end
}

// probe builds the probe and runs it; its panic becomes an error.
func (w *Worker) probe(ctx context.Context, e *engine, r *run, log *slog.Logger) (result measure.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("stack", "stack", string(debug.Stack()))
			w.Log.Error("a probe panicked", "tool", r.Tool, "spec", r.ToolspecID, "node", r.Node, "panic", p)
			result, err = measure.Result{}, fmt.Errorf("the probe panicked: %v", p)
		}
	}()
	open, err := e.get()
	if err != nil {
		return measure.Result{}, err
	}
	p, err := w.Tool.New(r.Options, probes.Env{Log: log, Engine: open})
	if err != nil {
		return measure.Result{}, err
	}
	return p.Run(ctx, measure.Target{Node: r.Node, Address: r.Address, Log: log})
}

// lastLines keeps the end of what is logged to it, for the row of a failed run.
// Most runs log nothing, and what writes text is made when the first one does.
type lastLines struct {
	mu    sync.Mutex
	text  slog.Handler
	lines []string
}

func (l *lastLines) writer() slog.Handler {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text == nil {
		l.text = slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: dropLevel})
	}
	return l.text
}

func (*lastLines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelDebug }
func (l *lastLines) Handle(ctx context.Context, r slog.Record) error {
	return l.writer().Handle(ctx, r)
}
func (l *lastLines) WithAttrs(attrs []slog.Attr) slog.Handler { return l.writer().WithAttrs(attrs) }
func (l *lastLines) WithGroup(name string) slog.Handler       { return l.writer().WithGroup(name) }

const (
	linesKept  = 20
	lineLength = 2000
)

func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, printable(strings.TrimSuffix(string(p), "\n"), lineLength))
	if len(l.lines) > linesKept {
		l.lines = l.lines[1:]
	}
	return len(p), nil
}

func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

func dropLevel(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.LevelKey {
		return slog.Attr{}
	}
	return a
}

// printable makes text fit a column: valid UTF-8, no NUL, at most most bytes.
func printable(s string, most int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
