package embeddedpg

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"sonde/internal/proc"
)

// Keep holds a server alive: when it dies it is started again, when it stands
// still for two minutes it is replaced. It returns when ctx ends, and leaves the
// server running: stopping it is the caller's last act, after those who use it.
// current is told of each new server.
func Keep(ctx context.Context, s *Server, o Options, current func(*Server)) {
	pause := time.Second
	for ctx.Err() == nil {
		began := time.Now()
		s.watch(ctx, o)
		for ctx.Err() == nil {
			// What ran for long fell by accident; what falls at once will again.
			if time.Since(began) > time.Minute {
				pause = time.Second
			}
			s.log.Warn("PostgreSQL ended and is started again", "pid", s.id.Pid)
			next, err := Start(ctx, o)
			if err == nil {
				s = next
				current(s)
				break
			}
			if ctx.Err() != nil {
				return
			}
			s.log.Error("PostgreSQL does not start", "error", err, "again_in", pause.String())
			began = time.Now()
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, 30*time.Second)
		}
	}
}

// watch returns when the server is gone, stands still, or ctx ends. An answer
// of any kind, also "too many connections", is life.
func (s *Server) watch(ctx context.Context, o Options) {
	every, patience := 15*time.Second, 2*time.Minute
	if o.watchEvery != 0 {
		every, patience = o.watchEvery, o.watchPatience
	}
	answered := time.Now()
	for {
		select {
		case <-s.gone:
			return
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
		if err := proc.TurnLog(filepath.Join(s.dir, "log"), mostLog, 1); err != nil {
			s.log.Warn("the log of PostgreSQL cannot be turned", "error", err)
		}
		asked := time.Now()
		err := ask(ctx, s.DSN())
		if err == nil || !errors.Is(err, context.DeadlineExceeded) || asked.Sub(answered) > 2*every+patience {
			// The last case: we slept ourselves (suspended machine), so nobody failed to answer.
			answered = asked
			continue
		}
		if time.Since(answered) > patience {
			s.log.Error("PostgreSQL stands still and is replaced", "pid", s.id.Pid, "error", err)
			if err := s.stop(5 * time.Second); err != nil {
				s.log.Error("PostgreSQL cannot be ended", "error", err)
			}
			return
		}
	}
}
