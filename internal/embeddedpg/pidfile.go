package embeddedpg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"sonde/internal/proc"
)

// pidfile is what a postmaster writes about itself (postmaster.pid, one fact a
// line: miscadmin.h of PostgreSQL).
type pidfile struct {
	pid       int
	socketDir string
	status    string // "starting", "ready", "standby", "stopping"; empty at first
}

func readPidfile(data string) (pidfile, error) {
	raw, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return pidfile{}, err
	}
	return parsePidfile(string(raw))
}

func parsePidfile(raw string) (pidfile, error) {
	lines := strings.Split(raw, "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return pidfile{}, errors.New("postmaster.pid does not begin with a process id")
	}
	line := func(n int) string {
		if len(lines) < n {
			return ""
		}
		return strings.TrimSpace(lines[n-1])
	}
	return pidfile{pid: pid, socketDir: line(5), status: line(8)}, nil
}

// living gives the identity of the postmaster that runs on this data folder.
// The pid alone proves nothing, it may be another program's by now. A
// postmaster's working folder is its data folder, whatever name it was given.
func living(data string) (proc.Ident, pidfile, bool) {
	p, err := readPidfile(data)
	if err != nil {
		return proc.Ident{}, p, false
	}
	id, err := proc.Identify(p.pid)
	if err != nil {
		return proc.Ident{}, p, false
	}
	here, err1 := os.Stat(data)
	there, err2 := os.Stat(fmt.Sprintf("/proc/%d/cwd", p.pid))
	if err1 != nil || err2 != nil || !os.SameFile(here, there) || !id.Alive() {
		return proc.Ident{}, p, false
	}
	return id, p, true
}
