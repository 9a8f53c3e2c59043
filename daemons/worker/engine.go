package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sonde/probes"
)

// reopenAfter is the pause before an engine that fell or would not open is tried again.
const reopenAfter = 5 * time.Second

// engine keeps open what all runs of the tool share.
type engine struct {
	tool  probes.Tool
	log   *slog.Logger
	tried chan struct{} // closed after the first attempt

	mu   sync.Mutex
	open probes.Engine
	err  error // why there is none
}

func newEngine(tool probes.Tool, log *slog.Logger) *engine {
	return &engine{tool: tool, log: log, tried: make(chan struct{})}
}

// run opens the engine, opens it again when it falls, and closes it when ctx ends.
func (e *engine) run(ctx context.Context) {
	if e.tool.Open == nil {
		close(e.tried)
		return
	}
	for first := true; ctx.Err() == nil; first = false {
		opened, err := e.tool.Open(ctx, probes.Env{Log: e.log})
		if err != nil {
			err = fmt.Errorf("open the engine of %s: %w", e.tool.Name, err)
			e.log.Error("runs will fail until the engine opens", "tool", e.tool.Name, "error", err)
		}
		e.set(opened, err)
		if first {
			close(e.tried)
		}
		if err != nil {
			wait(ctx, reopenAfter)
			continue
		}
		select {
		case <-opened.Down():
			e.log.Error("the engine fell and is opened again", "tool", e.tool.Name)
			e.set(nil, fmt.Errorf("%w: the engine of %s fell", probes.ErrLocal, e.tool.Name))
			e.close(opened)
			wait(ctx, 100*time.Millisecond)
		case <-ctx.Done():
			e.set(nil, context.Cause(ctx))
			e.close(opened)
		}
	}
}

func (e *engine) close(opened probes.Engine) {
	if err := opened.Close(); err != nil {
		e.log.Warn("the engine did not close well", "tool", e.tool.Name, "error", err)
	}
}

func (e *engine) set(opened probes.Engine, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open, e.err = opened, err
}

// get gives the engine, nil for tools without.
func (e *engine) get() (probes.Engine, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.open, e.err
}

// wait waits for the first attempt to open.
func (e *engine) wait(ctx context.Context) {
	select {
	case <-e.tried:
	case <-ctx.Done():
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
