package annotator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"sonde/internal/rib"
	"sonde/internal/store"
	"sonde/probes"
)

// askTime is how long one look-up may take; the resolver asks twice meanwhile.
const askTime = 10 * time.Second

// nameServer asks one, or those of the system.
type nameServer struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	askTime time.Duration
	named   string // "": those of the system
}

// newNameServer takes "" for those of the system.
func newNameServer(dial func(ctx context.Context, network, address string) (net.Conn, error), server string, askTime time.Duration) nameServer {
	if server == "" {
		return nameServer{dial, askTime, ""}
	}
	if a, err := netip.ParseAddr(server); err == nil {
		server = netip.AddrPortFrom(a, 53).String()
	}
	return nameServer{func(ctx context.Context, network, _ string) (net.Conn, error) { return dial(ctx, network, server) }, askTime, server}
}

// reply is what one look-up brought.
type reply struct {
	answered bool // somebody said something
	ttl      time.Duration
	err      error // neither an answer nor "there is none"
}

// ask runs one look-up. That there is no such name is no error.
func (s nameServer) ask(ctx context.Context, lookup func(context.Context, *net.Resolver) error) reply {
	ctx, cancel := context.WithTimeout(ctx, s.askTime)
	defer cancel()
	var heard probes.Hearing
	err := lookup(ctx, heard.Resolver(s.dial))
	r := reply{answered: heard.Answered(), ttl: heard.TTL(), err: err}
	var none *net.DNSError
	if !errors.As(err, &none) {
		return r
	}
	if none.IsNotFound && r.answered {
		r.err = nil
	}
	if s.named != "" {
		none.Server = s.named // the resolver names the system's, which was not asked
	}
	return r
}

// alive asks for something that every name server has an answer to.
func (s nameServer) alive(ctx context.Context) bool {
	return s.ask(ctx, func(ctx context.Context, r *net.Resolver) error {
		_, err := r.LookupNS(ctx, ".")
		return err
	}).answered
}

// name asks for the host name of an address. Of several it is always the same.
func (s nameServer) name(ctx context.Context, a netip.Addr) (string, reply) {
	var names []string
	r := s.ask(ctx, func(ctx context.Context, r *net.Resolver) (err error) {
		names, err = r.LookupAddr(ctx, a.String())
		// What is no host name is left out, and an error beside those that are.
		if len(names) > 0 || err != nil && strings.Contains(err.Error(), "contain invalid names") {
			return nil
		}
		return err
	})
	if len(names) == 0 {
		return "", r
	}
	return strings.TrimSuffix(slices.Min(names), "."), r
}

// origin asks who announces an address.
func (s nameServer) origin(ctx context.Context, a netip.Addr, zone string) (store.Origin, reply) {
	var o store.Origin
	r := s.ask(ctx, func(ctx context.Context, r *net.Resolver) error {
		texts, err := r.LookupTXT(ctx, reversed(a)+"."+absolute(zone))
		if err == nil {
			o, err = parseOrigin(a, texts)
		}
		return err
	})
	return o, r
}

// asName asks what an AS is called.
func (s nameServer) asName(ctx context.Context, as uint32, zone string) (rib.Name, reply) {
	var n rib.Name
	r := s.ask(ctx, func(ctx context.Context, r *net.Resolver) error {
		texts, err := r.LookupTXT(ctx, fmt.Sprintf("AS%d.%s", as, absolute(zone)))
		if err == nil {
			n, err = parseASName(as, texts)
		}
		return err
	})
	return n, r
}

// absolute keeps the system's search list out of it.
func absolute(zone string) string { return strings.TrimSuffix(zone, ".") + "." }

// reversed writes the bytes of an IPv4 address, or the nibbles of an IPv6 address,
// from the last to the first.
func reversed(a netip.Addr) string {
	var parts []string
	for _, b := range slices.Backward(a.AsSlice()) {
		if a.Is4() {
			parts = append(parts, strconv.Itoa(int(b)))
		} else {
			parts = append(parts, strconv.FormatUint(uint64(b&15), 16), strconv.FormatUint(uint64(b>>4), 16))
		}
	}
	return strings.Join(parts, ".")
}

// parseOrigin reads "15169 36040 | 8.8.8.0/24 | US | arin | 1992-12-01". Of several
// answers the longest prefix holds; one that the address is not in is no answer to us.
func parseOrigin(a netip.Addr, texts []string) (store.Origin, error) {
	var o store.Origin
	for _, text := range texts {
		f := strings.Split(text, "|")
		if len(f) < 2 {
			continue
		}
		p, err := netip.ParsePrefix(strings.TrimSpace(f[1]))
		if err != nil || !p.Contains(a) || p.Bits() == 0 || p.Bits() < o.Prefix.Bits() {
			continue
		}
		all, ok := parseASNumbers(f[0])
		if !ok {
			continue
		}
		if p.Bits() > o.Prefix.Bits() {
			o.Prefix, o.All = p.Masked(), nil
		}
		for _, as := range all {
			if !slices.Contains(o.All, as) && len(o.All) < mostOrigins {
				o.All = append(o.All, as)
			}
		}
	}
	if len(o.All) == 0 {
		return store.Origin{}, fmt.Errorf("what is answered for %s names no AS and prefix of it: %.100q", a, texts)
	}
	o.AS = o.All[0]
	return o, nil
}

// mostOrigins is more AS than announce any one prefix.
const mostOrigins = 20

func parseASNumbers(text string) ([]uint32, bool) {
	var all []uint32
	for f := range strings.FieldsSeq(text) {
		as, err := strconv.ParseUint(f, 10, 32)
		if err != nil || as == 0 {
			return nil, false
		}
		all = append(all, uint32(as))
	}
	return all, len(all) > 0
}

// parseASName reads "15169 | US | arin | 2000-03-30 | GOOGLE, US".
func parseASName(as uint32, texts []string) (rib.Name, error) {
	for _, text := range texts {
		f := strings.SplitN(text, "|", 5)
		if len(f) < 5 || strings.TrimSpace(f[0]) != strconv.FormatUint(uint64(as), 10) {
			continue
		}
		n := rib.NewName(f[4])
		if n.Country == "" {
			n.Country = rib.Country(f[1])
		}
		return n, nil
	}
	return rib.Name{}, fmt.Errorf("what is answered for AS%d does not name it: %.100q", as, texts)
}
