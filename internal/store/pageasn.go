package store

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/jackc/pgx/v5"
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
	rows, err := r.tx.Query(ctx, `
		SELECT a.address, coalesce(a.name, ''), coalesce(a.asn, 0), coalesce(i.name, ''), coalesce(i.country, '')
		FROM asn a LEFT JOIN asninfo i ON i.asn = a.asn WHERE a.address = ANY($1::inet[])`, list)
	if err != nil {
		return nil, fmt.Errorf("read names of addresses: %w", err)
	}
	out := make(map[netip.Addr]PageAddress, len(list))
	var a PageAddress
	var address netip.Prefix
	if _, err := pgx.ForEachRow(rows, []any{&address, &a.Name, &a.ASN, &a.AS, &a.Country}, func() error {
		a.Address = address.Addr()
		out[a.Address] = a
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read names of addresses: %w", err)
	}
	return out, nil
}

// plainAddresses leaves the masks away: a row that a person inserted may have an
// inet with one, and must not stop a page.
func plainAddresses(list []*netip.Prefix) []*netip.Addr {
	out := make([]*netip.Addr, len(list))
	for i, p := range list {
		if p != nil {
			a := p.Addr()
			out[i] = &a
		}
	}
	return out
}
