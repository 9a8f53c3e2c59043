package traceroute

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"sonde/probes"
)

// resolve gives the address that is measured. The pure Go resolver gives up
// with ctx; the one of the C library would leave a thread behind.
func resolve(ctx context.Context, host, family string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap()
		if family != "auto" && familyOf(a) != family {
			return netip.Addr{}, fmt.Errorf("%w: address %s is not an IPv%s address, which the options ask for", probes.ErrSpec, host, family)
		}
		return a, nil
	}
	network := "ip"
	if family != "auto" {
		network += family
	}
	addrs, err := (&net.Resolver{PreferGo: true}).LookupNetIP(ctx, network, host)
	if err != nil {
		var dns *net.DNSError
		if ctx.Err() == nil && errors.As(err, &dns) && dns.IsNotFound && family != "auto" {
			return netip.Addr{}, fmt.Errorf("resolve %q: no IPv%s address: %w", host, family, err)
		}
		return netip.Addr{}, fmt.Errorf("resolve %q: %w", host, err)
	}
	if len(addrs) == 0 {
		return netip.Addr{}, fmt.Errorf("resolve %q: no address", host)
	}
	return addrs[0].Unmap(), nil
}

func familyOf(a netip.Addr) string {
	if a.Is4() {
		return "4"
	}
	return "6"
}
