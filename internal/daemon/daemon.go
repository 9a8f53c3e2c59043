package daemon

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Logger writes text or JSON lines. Daemons give it standard error.
func Logger(w io.Writer, format string, level slog.Level) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// Signals gives the two steps of an end. The first SIGTERM or SIGINT ends
// stopping: begin nothing new, let what runs finish. The second ends cancelled:
// drop everything. The first also ends when parent does. release gives the
// signals back and ends both; it may be called again.
func Signals(parent context.Context) (stopping, cancelled context.Context, release func()) {
	cancelled, cancel := context.WithCancel(context.WithoutCancel(parent))
	stopping, stop := context.WithCancel(cancelled)
	detach := context.AfterFunc(parent, stop)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	done := make(chan struct{})
	go func() {
		for _, step := range []func(){stop, cancel} {
			select {
			case <-signals:
				step()
			case <-done:
				return
			}
		}
	}()
	return stopping, cancelled, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(done)
		detach()
		stop()
		cancel()
	})
}
