package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Ident names one process for good: a pid comes again after a while, a pid with
// its start time (clock ticks since boot, /proc/PID/stat) does not before the
// next boot; the boot id tells boots apart.
type Ident struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start_ticks"`
	Boot  string `json:"boot_id"`
}

// Self is the identity of this process.
func Self() Ident {
	id, err := Identify(os.Getpid())
	if err != nil {
		return Ident{Pid: os.Getpid()}
	}
	return id
}

// Identify gives the identity of a living process.
func Identify(pid int) (Ident, error) {
	start, err := startTicks(pid)
	if err != nil {
		return Ident{}, err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Ident{}, fmt.Errorf("boot id: %w", err)
	}
	return Ident{Pid: pid, Start: start, Boot: strings.TrimSpace(string(boot))}, nil
}

// Alive reports whether this very process still runs; a zombie does not.
func (i Ident) Alive() bool {
	if i.Pid <= 0 {
		return false
	}
	now, err := Identify(i.Pid)
	return err == nil && now == i
}

// Signal sends sig to this very process and to no other that has its pid by
// now: a pidfd is opened first, and only then the start time compared.
func (i Ident) Signal(sig syscall.Signal) error {
	if i.Pid <= 0 {
		return errors.New("no process")
	}
	fd, err := unix.PidfdOpen(i.Pid, 0)
	if err != nil {
		return fmt.Errorf("process %d: %w", i.Pid, err)
	}
	defer unix.Close(fd)
	if !i.Alive() {
		return fmt.Errorf("process %d: %w", i.Pid, unix.ESRCH)
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// Gone gives a channel that is closed when the process ends. It need not be a
// child of ours.
func (i Ident) Gone() (<-chan struct{}, error) {
	fd, err := unix.PidfdOpen(i.Pid, 0)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", i.Pid, err)
	}
	if !i.Alive() {
		unix.Close(fd)
		return nil, fmt.Errorf("process %d: %w", i.Pid, unix.ESRCH)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer unix.Close(fd)
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if err != unix.EINTR {
				return
			}
		}
	}()
	return gone, nil
}

// startTicks reads field 22 of /proc/PID/stat. The program's name, field 2, is
// in brackets and may itself hold blanks and brackets: count after the last one.
func startTicks(pid int) (uint64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	state, ticks, err := parseStat(string(raw))
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	if state == "Z" || state == "X" {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	return ticks, nil
}

func parseStat(stat string) (state string, start uint64, err error) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return "", 0, errors.New("stat has no program name")
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 20 {
		return "", 0, errors.New("stat is too short")
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return "", 0, fmt.Errorf("start time in stat: %w", err)
	}
	return fields[0], start, nil
}
