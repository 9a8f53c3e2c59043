package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// resolver is the pure Go one, which gives up with ctx; that of the C library
// would leave a thread behind.
var resolver = &net.Resolver{PreferGo: true}

// Resolve gives the address of a host that is to be measured. family is what the
// option of that name says: "4", "6", or "auto" for what the name resolves to first.
func Resolve(ctx context.Context, host, family string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap()
		if family != "auto" && familyOf(a) != family {
			return netip.Addr{}, fmt.Errorf("%w: address %s is not an IPv%s address, which the options ask for", ErrSpec, host, family)
		}
		return a, nil
	}
	network := "ip"
	if family != "auto" {
		network += family
	}
	addrs, err := resolver.LookupNetIP(ctx, network, host)
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
