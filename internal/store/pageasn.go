package store

import (
	"context"
	"net/netip"
)

// PageAddress is what is known of an address: its name in DNS and its AS.
type PageAddress struct {
	Address netip.Addr
	Name    string // "" when it has none or none is known
	ASN     int64  // 0: nobody announces it, or it is not known
	AS      string // name of the AS
	Country string
}

// Addresses gives what is known of addresses; those of which nothing is known are not in it.
func (r *Reading) Addresses(ctx context.Context, list []netip.Addr) (map[netip.Addr]PageAddress, error) {
	found, err := collect[PageAddress](ctx, r, "names of addresses", `
		SELECT a.address, coalesce(a.name, ''), coalesce(a.asn, 0), coalesce(i.name, ''), coalesce(i.country, '')
		FROM asn a LEFT JOIN asninfo i ON i.asn = a.asn WHERE a.address = ANY($1::inet[])`, list)
	if err != nil {
		return nil, err
	}
	out := make(map[netip.Addr]PageAddress, len(found))
	for _, a := range found {
		out[a.Address] = a
	}
	return out, nil
}
