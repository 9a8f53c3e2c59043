package web

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// onlyUs answers requests for this server by a name of its own, and no others.
//
// Pages ask for no password: who can connect may read. A page of somebody else
// in a reader's browser cannot read them, since browsers keep sites apart by name;
// but it can have its own name resolve to our address (DNS rebinding) and then
// is the same site. The browser still sends that name as Host. An address there
// is always right: no name was resolved.
func (s *Site) onlyUs(addr net.Addr, next http.Handler) http.Handler {
	names := slices.Clone(s.Names)
	tcp, ok := addr.(*net.TCPAddr)
	beyond := !ok || !tcp.IP.IsLoopback()
	if own, err := os.Hostname(); beyond && err == nil {
		names = append(names, own)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := hostOf(r.Host)
		_, err := netip.ParseAddr(name)
		isAddress := err == nil
		switch {
		case isAddress, name == "localhost", strings.HasSuffix(name, ".localhost"):
		case slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }):
		case beyond && isLocal(name):
			// Nobody far away can own it. Who answers for it on the local network can
			// connect to us as well; on loopback only this host can.
		default:
			s.problem(w, http.StatusMisdirectedRequest, "These pages are not served under the name "+short(60, name)+
				". If it is a name of this host, or of a proxy before it, add it to hosts in sonde.toml, or to --hosts or SONDE_HOSTS, and start sonde anew.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// local are the domains that no registry gives away: RFC 6762, RFC 8375, the one
// reserved for private use in 2024, and what many home routers name their hosts by.
var local = []string{".local", ".home.arpa", ".internal", ".lan"}

// isLocal reports whether a name is a word without a dot, or in a local domain.
func isLocal(name string) bool {
	return name != "" && !strings.Contains(name, ".") ||
		slices.ContainsFunc(local, func(domain string) bool { return strings.HasSuffix(name, domain) })
}

// hostOf is the name or address in a Host header, without port, brackets and the
// final dot.
func hostOf(header string) string {
	name, _, err := net.SplitHostPort(header)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(header, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
