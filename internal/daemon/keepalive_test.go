package daemon

import (
	"log/slog"
	"os/exec"
	"testing"
	"time"

	"sonde/internal/proc"
)

// A daemon typed by hand must not write into the keepalive of the one that runs.
func TestAnotherLivingDaemonOfTheNameIsSeen(t *testing.T) {
	state := t.TempDir()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	p := NewProgress(state, "scheduler", "1", log)
	if _, runs := p.Another(); runs {
		t.Error("another, and nothing was ever reported")
	}
	p.Report("starting", time.Minute)
	if _, runs := p.Another(); runs {
		t.Error("we are no other")
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ident, err := proc.Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	other := NewProgress(state, "scheduler", "1", log)
	other.k.Ident = ident
	other.Report("leading", time.Minute)
	if pid, runs := p.Another(); !runs || pid != cmd.Process.Pid {
		t.Errorf("pid %d, %v", pid, runs)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if _, runs := p.Another(); runs {
		t.Error("it is dead")
	}
}
