package analyst

import (
	"net/netip"
	"time"

	"sonde/internal/alert"
)

// pathsFor is how long the paths to all nodes are taken as read: they are many,
// and looked at while something is bad only.
const pathsFor = time.Minute

// roads are the paths as they were read last.
type roads struct {
	paths map[alert.Pair][]string
	names map[string]string
	read  time.Time // by our clock
}

// seeRoads reads the paths anew when they are needed and old.
func (p *pass) seeRoads() (roads, error) {
	r := &p.session.platform.roads
	if r.paths != nil && time.Since(r.read) < pathsFor {
		return *r, nil
	}
	list, names, err := p.j.Paths(p.ctx)
	if err != nil {
		return *r, err
	}
	*r = roads{paths: map[alert.Pair][]string{}, names: map[string]string{}, read: time.Now()}
	for _, path := range list {
		pair := alert.Pair{Monhost: path.Monhost, Node: path.Node}
		for _, arms := range path.Hops {
			for _, address := range arms {
				key := hopKey(address, path.Monhost)
				r.paths[pair] = append(r.paths[pair], key)
				if as := names[address]; as != "" {
					r.names[key] = as
				}
			}
		}
	}
	return *r, nil
}

// shared100 is carriers' own (RFC 6598).
var shared100 = netip.MustParsePrefix("100.64.0.0/10")

// hopKey names a router. A private address is another router in another
// network, so it is one only together with the host that saw it.
func hopKey(address netip.Addr, monhost string) string {
	if address.IsPrivate() || address.IsLinkLocalUnicast() || shared100.Contains(address) {
		return address.String() + " of " + monhost
	}
	return address.String()
}
