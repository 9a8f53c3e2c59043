package probes

import (
	"fmt"
	"net/netip"
)

// literal reads a host that is an address already.
func literal(host, family string) (a netip.Addr, err error, is bool) {
	if a, err = netip.ParseAddr(host); err != nil {
		return a, nil, false
	}
	a = a.Unmap()
	if family != "auto" && familyOf(a) != family {
		return netip.Addr{}, fmt.Errorf("%w: address %s is not an IPv%s address, which the options ask for", ErrSpec, host, family), true
	}
	return a, nil, true
}

// OneHost refuses addresses that stand for many hosts, or for none.
func OneHost(a netip.Addr) error {
	if a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return fmt.Errorf("%w: address %s is not one host's", ErrSpec, a)
	}
	return nil
}

// SourceFamily gives the family that is left when an address of ours to send
// from is named: its own. The zero Addr leaves everything as it is.
func SourceFamily(source netip.Addr, family string) (string, error) {
	if !source.IsValid() {
		return family, nil
	}
	own := familyOf(source)
	if family != "auto" && family != own {
		return "", fmt.Errorf("%w: option \"source\" is the IPv%s address %s, but option \"family\" is %q", ErrSpec, own, source, family)
	}
	return own, nil
}

func familyOf(a netip.Addr) string {
	if a.Is4() {
		return "4"
	}
	return "6"
}
