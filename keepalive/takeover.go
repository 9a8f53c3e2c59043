package keepalive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"sonde/internal/daemon"
	"sonde/internal/proc"
)

// childrenFile lists the processes a supervisor started, for the one after it.
const childrenFile = "children.json"

// takeOver ends what a killed supervisor left alive: everything that its list
// or a keepalive names by pid and start time. We hold the lock, so nobody else
// is their parent.
func takeOver(state string, patience time.Duration, log *slog.Logger) error {
	orphans := map[proc.Ident]string{}
	files, _ := filepath.Glob(filepath.Join(state, "keepalive", "*.json"))
	for _, file := range files {
		k, err := daemon.ReadKeepalive(file)
		if err == nil && k.Pid != os.Getpid() && k.Alive() {
			orphans[k.Ident] = k.Name
		}
	}
	var listed map[string]proc.Ident
	if raw, err := os.ReadFile(filepath.Join(state, childrenFile)); err == nil {
		_ = json.Unmarshal(raw, &listed) // cut off by a full disk: the keepalives are left
	}
	for name, id := range listed {
		if id.Pid != os.Getpid() && id.Alive() {
			orphans[id] = name
		}
	}
	var errs []error
	// All at once first, so that they end side by side.
	for id, name := range orphans {
		log.Warn("ending a daemon that an earlier supervisor left", "name", name, "pid", id.Pid)
		_ = id.Signal(syscall.SIGTERM)
		_ = id.Signal(syscall.SIGCONT)
	}
	patient, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for id, name := range orphans {
		gone, err := id.Gone()
		if err != nil {
			continue // it went
		}
		select {
		case <-gone:
			continue
		case <-patient.Done():
		}
		_ = id.Signal(syscall.SIGKILL)
		select {
		case <-gone:
		case <-time.After(5 * time.Second):
			errs = append(errs, fmt.Errorf("daemon %s, process %d, of an earlier supervisor does not end", name, id.Pid))
		}
	}
	return errors.Join(errs...)
}

// remember writes the list of living children.
func (s *Supervisor) remember(name string, id proc.Ident) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.living[name] = id
	raw, err := json.Marshal(s.living)
	if err == nil {
		err = proc.Replace(filepath.Join(s.o.State, childrenFile), raw, 0o644, false)
	}
	if err != nil {
		s.log.Warn("the list of children cannot be written", "error", err)
	}
}
