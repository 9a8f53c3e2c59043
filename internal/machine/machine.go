// Package machine reads the facts of the machine we run on: operating system,
// processor, memory, network interfaces. What cannot be read is left empty; a
// monitoring host without /sys is still a monitoring host.
package machine

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Facts are what NODESPECS keeps of a machine.
type Facts struct {
	OS        string // PRETTY_NAME of os-release
	Kernel    string
	CPU       string
	Cores     int
	MemoryMiB int64
	NICs      []NIC
}

// NIC is one network interface that is up and not the loopback.
type NIC struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac,omitempty"`
	MTU       int      `json:"mtu"`
	Mbps      int      `json:"mbps,omitempty"` // capacity of the link; 0 when the driver does not say
	Addresses []string `json:"addresses"`      // with prefix length
}

// Read reads the facts of this machine.
func Read() Facts {
	f := Facts{Cores: runtime.NumCPU(), OS: strings.Trim(value("/etc/os-release", "PRETTY_NAME", "="), `"`), NICs: nics()}
	for _, key := range []string{"model name", "Model", "Hardware"} { // amd64, then Raspberry Pi
		if f.CPU == "" {
			f.CPU = value("/proc/cpuinfo", key, ":")
		}
	}
	if kib, err := strconv.ParseInt(strings.TrimSuffix(value("/proc/meminfo", "MemTotal", ":"), " kB"), 10, 64); err == nil {
		f.MemoryMiB = kib / 1024
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		f.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return f
}

// value gives what stands behind the first line that begins with key and sep.
func value(path, key, sep string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, rest, found := strings.Cut(lines.Text(), sep)
		if found && strings.TrimSpace(name) == key {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

func nics() []NIC {
	list := []NIC{}
	interfaces, err := net.Interfaces()
	if err != nil {
		return list
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		n := NIC{Name: i.Name, MAC: i.HardwareAddr.String(), MTU: i.MTU, Addresses: []string{}}
		if addresses, err := i.Addrs(); err == nil {
			for _, a := range addresses {
				n.Addresses = append(n.Addresses, a.String())
			}
		}
		if raw, err := os.ReadFile(filepath.Join("/sys/class/net", filepath.Base(i.Name), "speed")); err == nil {
			// -1 and 4294967295 are what drivers write that do not know.
			if mbps, err := strconv.Atoi(strings.TrimSpace(string(raw))); err == nil && mbps > 0 && mbps < 1<<31-1 {
				n.Mbps = mbps
			}
		}
		list = append(list, n)
	}
	return list
}
