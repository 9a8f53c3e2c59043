package keepalive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sonde/internal/daemon"
	"sonde/internal/measure"
	"sonde/internal/proc"
)

const cleanupList = "cleanup.list"

// hung is one line of cleanup.list.
type hung struct {
	program string // as /proc/PID/exe names it: a whole path, or its last part
	age     time.Duration
}

// never are programs whose end would end the machine, a login or ourselves.
var never = []string{"sonde", "postgres", "init", "systemd", "sshd", "bash", "sh", "dash", "login", "dbus-daemon"}

func readHung(words []string) (hung, error) {
	if len(words) != 2 {
		return hung{}, errors.New("write PROGRAM AGE, such as: traceroute 10m")
	}
	age, err := measure.ParseDuration(words[1])
	if err != nil {
		return hung{}, err
	}
	if age < time.Minute {
		return hung{}, errors.New("the least age is 1m")
	}
	base := filepath.Base(words[0])
	for _, n := range never {
		if base == n {
			return hung{}, fmt.Errorf("%s is never killed", n)
		}
	}
	if words[0] == "" || strings.ContainsAny(words[0], "*?") || strings.Contains(words[0], "/") && !filepath.IsAbs(words[0]) {
		return hung{}, errors.New("a program is its exact name or its whole path")
	}
	return hung{program: words[0], age: age}, nil
}

// cleanUp kills programs of cleanup.list that are older than their limit: those
// of our own user, as root those of everybody.
func (s *Supervisor) cleanUp(stopping context.Context) {
	var list []hung
	var looked time.Time
	warned := map[proc.Ident]time.Time{}
	s.follow(stopping, cleanupList, func(lines []line) {
		list = nil
		for _, l := range lines {
			h, err := readHung(l.words)
			if err != nil {
				s.wrongLine(cleanupList, l.n, err)
				continue
			}
			list = append(list, h)
		}
	}, func() {
		if len(list) > 0 && time.Since(looked) >= 30*time.Second {
			looked = time.Now()
			s.kill(list, warned)
		}
	})
}

// kill sends SIGTERM first, and SIGKILL to what is still there at the next look.
func (s *Supervisor) kill(list []hung, warned map[proc.Ident]time.Time) {
	spared := s.spared()
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	still := map[proc.Ident]bool{}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == 1 || spared[pid] {
			continue
		}
		exe, uid, id, err := look(pid)
		if err != nil || os.Geteuid() != 0 && uid != os.Geteuid() {
			continue
		}
		for _, h := range list {
			age := daemon.BootClock() - time.Duration(id.Start)*(time.Second/100)
			if exe != h.program && filepath.Base(exe) != h.program || age < h.age {
				continue
			}
			still[id] = true
			sig := syscall.SIGTERM
			if _, ok := warned[id]; ok {
				sig = syscall.SIGKILL
			}
			warned[id] = time.Now()
			err := id.Signal(sig)
			s.log.Warn("a hung program is ended", "program", exe, "pid", pid, "age", age.Round(time.Second).String(), "limit", h.age.String(), "signal", sig.String(), "error", err)
			break
		}
	}
	for id := range warned {
		if !still[id] {
			delete(warned, id)
		}
	}
}

// spared are we, those we come from, and those we keep alive.
func (s *Supervisor) spared() map[int]bool {
	spared := map[int]bool{os.Getpid(): true}
	for pid := os.Getppid(); pid > 1 && !spared[pid]; {
		spared[pid] = true
		pid = parent(pid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.living {
		if id.Alive() {
			spared[id.Pid] = true
		}
	}
	return spared
}

func parent(pid int) int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for _, l := range strings.Split(string(raw), "\n") {
		if v, ok := strings.CutPrefix(l, "PPid:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(v))
			return n
		}
	}
	return 0
}

// look reads who a process is; the identity comes first and is compared again
// when a signal is sent.
func look(pid int) (exe string, uid int, id proc.Ident, err error) {
	if id, err = proc.Identify(pid); err != nil {
		return "", 0, id, err
	}
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	if err != nil {
		return "", 0, id, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", 0, id, errors.New("no owner")
	}
	exe, err = os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)) // a kernel thread has none
	return strings.TrimSuffix(exe, " (deleted)"), int(st.Uid), id, err
}
