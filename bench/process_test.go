package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sonde/internal/embeddedpg"
)

// child is the program running as a process of its own.
type child struct {
	cmd   *exec.Cmd
	lines chan string // of its standard output
}

// start runs the program until the benchmark ends; what it logs goes to a file
// that is shown when it fails.
func start(b *testing.B, program string, env []string, args ...string) *child {
	b.Helper()
	log, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	c := &child{cmd: exec.Command(program, args...), lines: make(chan string, 100)}
	c.cmd.Env = append(os.Environ(), append([]string{"SONDE_CONFIG=" + os.DevNull}, env...)...)
	c.cmd.Stderr = log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case c.lines <- s.Text():
			default:
			}
		}
		close(c.lines)
	}()
	b.Cleanup(func() {
		_ = c.cmd.Process.Signal(syscall.SIGTERM)
		_ = c.cmd.Wait()
		if raw, err := os.ReadFile(log.Name()); err == nil && b.Failed() {
			b.Logf("%s", raw)
		}
		log.Close()
	})
	return c
}

// clockTicks is USER_HZ, which is 100 on all of Go's Linux ports.
const clockTicks = 100

// cpu gives the processor time a process has used.
func cpu(pid int) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may contain anything.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / clockTicks, nil
}

// cpuOf gives the processor time of this process and of the server with all its
// backends, those included that have ended.
func cpuOf(b *testing.B, server *embeddedpg.Server) time.Duration {
	b.Helper()
	total, err := cpu(os.Getpid())
	if err != nil {
		b.Fatal(err)
	}
	all, err := family(server.Pid())
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range all {
		if d, err := cpu(p.pid); err == nil {
			total += d
		}
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", server.Pid()))
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))[13:15] { // cutime, cstime
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		total += time.Duration(ticks) * time.Second / clockTicks
	}
	return total
}

// pss gives the memory of a process in bytes, what it shares counted in parts.
func pss(pid int) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no Pss of process %d", pid)
}

// process is one process of this machine.
type process struct {
	pid, parent int
	args        []string
}

// family gives the processes below pid, and pid.
func family(pid int) ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := map[int][]process{}
	var all []process
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err1 := os.ReadFile("/proc/" + e.Name() + "/stat")
		line, err2 := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err1 != nil || err2 != nil {
			continue // gone meanwhile
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		p := process{id, parent, strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")}
		children[parent] = append(children[parent], p)
		if id == pid {
			all = append(all, p)
		}
	}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i].pid]...)
	}
	return all, nil
}
