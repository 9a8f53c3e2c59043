package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Host is one machine of the lab: a network namespace.
type Host struct {
	Name string

	lab    *Lab
	ns     *os.File
	router bool
	ends   []*End
	extra  []string // routes a test added, to be laid again when a link is mended
}

// newNamespace makes a namespace without leaving the present one.
func newNamespace() (ns *os.File, err error) {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer home.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	ns, err = os.Open("/proc/thread-self/ns/net")
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread stays locked, so that it dies with this goroutine
		// instead of taking others into the wrong network.
		return nil, fmt.Errorf("go back from a new network namespace: %w", back)
	}
	runtime.UnlockOSThread()
	return ns, err
}

// Path is where another program finds the namespace as long as this process lives.
func (h *Host) Path() string {
	return filepath.Join("/proc", strconv.Itoa(os.Getpid()), "fd", strconv.Itoa(int(h.ns.Fd())))
}

// Do calls f on this goroutine inside the host's network. A socket made in f
// stays there for good. What f starts on other goroutines does not: a server's
// listener must be made in f itself, and clients that dial by goroutine (as
// net/http does) get DialContext.
func (h *Host) Do(f func()) {
	h.lab.t.Helper()
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		h.lab.t.Fatalf("lab: %v", err)
	}
	if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
		home.Close()
		runtime.UnlockOSThread()
		h.lab.t.Fatalf("lab: enter %s: %v", h.Name, err)
	}
	// Deferred, because f may end by t.Fatal or panic.
	defer func() {
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		home.Close()
	}()
	f()
}

// DialContext dials from the host, to be given to a client that dials on
// goroutines of its own. The address must be a literal.
func (h *Host) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	h.Do(func() { conn, err = new(net.Dialer).DialContext(ctx, network, address) })
	return conn, err
}

// Listen listens on the host.
func (h *Host) Listen(network, address string) (l net.Listener, err error) {
	h.Do(func() { l, err = net.Listen(network, address) })
	return l, err
}

// Command is a program to be run on the host. It is killed when this process
// dies, however it dies.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	return h.CommandContext(context.Background(), name, args...)
}

// CommandContext is Command with a context that kills the program.
func (h *Host) CommandContext(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + h.Path(), "--", name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Run runs a program on the host to its end and gives what it printed; the
// test fails when the program does.
func (h *Host) Run(name string, args ...string) string {
	h.lab.t.Helper()
	out, err := h.Command(name, args...).CombinedOutput()
	if err != nil {
		h.lab.t.Fatalf("lab: %s: %s %q: %v\n%s", h.Name, name, args, err, out)
	}
	return string(out)
}

// Sysctl sets a kernel setting of the host's network: "net/ipv4/ip_default_ttl".
func (h *Host) Sysctl(name, value string) {
	h.lab.t.Helper()
	if err := h.sysctl(name, value); err != nil {
		h.lab.t.Fatalf("lab: %s: set %s to %s: %v", h.Name, name, value, err)
	}
}

// sysctl relies on /proc/sys/net showing the network of the thread that opens it.
func (h *Host) sysctl(name, value string) (err error) {
	h.Do(func() { err = os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0) })
	return err
}
