package ping

import (
	"errors"
	"fmt"
	"syscall"

	"sonde/probes"
)

// kind is the kind of ICMP socket.
type kind string

const (
	datagram kind = "datagram"
	raw      kind = "raw"
)

const howToAllow = `this process may not send ICMP: as root, run sysctl -w net.ipv4.ping_group_range="0 2147483647" (also in /etc/sysctl.d), or give the program CAP_NET_RAW`

// socketKind tells which ICMP sockets this process may have. The kernel is
// asked by opening one: what it decides by (groups, capabilities, network
// namespace) cannot be read more reliably than that. The same range of groups
// covers IPv6.
func socketKind() (kind, error) {
	err := tryOpen(syscall.SOCK_DGRAM)
	if err == nil {
		return datagram, nil
	}
	if !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EPROTONOSUPPORT) {
		return "", fmt.Errorf("%w: open an ICMP socket: %w", probes.ErrLocal, err) // too many open files, say
	}
	err = tryOpen(syscall.SOCK_RAW)
	if err == nil {
		return raw, nil
	}
	if errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) {
		return "", fmt.Errorf("%w: %s", probes.ErrLocal, howToAllow)
	}
	return "", fmt.Errorf("%w: open an ICMP socket: %w", probes.ErrLocal, err)
}

// Sockets says for sonde check what this process may use and how many runs at
// once that allows, or what is to be done.
func Sockets() (string, error) {
	k, err := socketKind()
	if err != nil {
		return "", err
	}
	if k == raw {
		return fmt.Sprintf("raw sockets, at most %d runs at once; more with sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"", rawAtOnce), nil
	}
	return fmt.Sprintf("datagram sockets, at most %d runs at once", datagramAtOnce), nil
}

func tryOpen(socketType int) error {
	fd, err := syscall.Socket(syscall.AF_INET, socketType|syscall.SOCK_CLOEXEC, syscall.IPPROTO_ICMP)
	if err != nil {
		return err
	}
	return syscall.Close(fd)
}
