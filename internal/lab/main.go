package lab

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// Main runs a package's tests so that the lab works in them: at once as root,
// otherwise once more as root of a user namespace. Called from TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
//
// A system that forbids user namespaces gets the tests as they are; those that
// need the lab then say that they need root. In a user namespace there is only
// this one user, so a program that wants to become another, as a PostgreSQL
// started by root does, cannot run there.
func Main(m interface{ Run() int }) int {
	const inside = "SONDE_LAB_USER_NAMESPACE"
	if os.Getenv(inside) != "" {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "lab: loopback of the user namespace: %v %s\n", err, out)
		}
	}
	if os.Geteuid() == 0 {
		return m.Run()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "lab: no user namespace (%v); tests of networks need root\n", err)
		return m.Run()
	}
	if err := cmd.Wait(); err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		return 1
	}
	return 0
}
