package annotator_test

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/net/dns/dnsmessage"

	"sonde/daemons/annotator"
	"sonde/internal/pgtest"
	"sonde/internal/store"
)

// nameServer answers on loopback, by UDP and TCP, what the test tells it to.
type nameServer struct {
	*testing.T
	udp net.PacketConn
	tcp net.Listener

	mu     sync.Mutex
	texts  map[string][]string // TXT by name
	names  map[string][]string // PTR by name
	fails  map[string]bool     // names that get SERVFAIL
	loops  map[string]bool     // names that are their own alias
	silent bool                // says nothing at all
	asked  map[string]int
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	s := &nameServer{T: t, texts: map[string][]string{}, names: map[string][]string{}, fails: map[string]bool{}, loops: map[string]bool{}, asked: map[string]int{}}
	for {
		var err error
		if s.udp, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if s.tcp, err = net.Listen("tcp", s.udp.LocalAddr().String()); err == nil {
			break
		}
		s.udp.Close() // somebody has that port for TCP
	}
	var served sync.WaitGroup
	served.Go(s.serveUDP)
	served.Go(func() {
		for {
			c, err := s.tcp.Accept()
			if err != nil {
				return
			}
			served.Go(func() { s.serveTCP(c) })
		}
	})
	t.Cleanup(func() {
		s.udp.Close()
		s.tcp.Close()
		served.Wait()
	})
	return s
}

// dial reaches it whatever the system's name server is. A name server that a
// setting names is on loopback and reached as such.
func (s *nameServer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, _ := net.SplitHostPort(address); host != "127.0.0.1" || port == "53" {
		address = s.udp.LocalAddr().String()
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// told changes what it answers.
func (s *nameServer) told(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// times is how often names with this in them were asked for.
func (s *nameServer) times(part string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for name, times := range s.asked {
		if strings.Contains(name, part) {
			n += times
		}
	}
	return n
}

func (s *nameServer) serveUDP() {
	packet := make([]byte, 4096)
	for {
		n, from, err := s.udp.ReadFrom(packet)
		if err != nil {
			return
		}
		if answer := s.answer(packet[:n], 1200); answer != nil {
			_, _ = s.udp.WriteTo(answer, from) // a lost answer is the test's failure
		}
	}
}

func (s *nameServer) serveTCP(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return
	}
	query := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, query); err != nil {
		return
	}
	if answer := s.answer(query, 65535); answer != nil {
		_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	}
}

func (s *nameServer) answer(query []byte, most int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := q.Name.String()
	s.asked[name]++
	if s.silent {
		return nil
	}
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
	head := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 3 * 86400}
	add := func(body dnsmessage.ResourceBody) {
		reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: head, Body: body})
	}
	switch {
	case s.fails[name]:
		reply.RCode = dnsmessage.RCodeServerFailure
	case s.loops[name]:
		add(&dnsmessage.CNAMEResource{CNAME: q.Name})
	case q.Type == dnsmessage.TypeTXT && s.texts[name] != nil:
		for _, text := range s.texts[name] {
			var parts []string
			for ; len(text) > 255; text = text[255:] {
				parts = append(parts, text[:255])
			}
			add(&dnsmessage.TXTResource{TXT: append(parts, text)})
		}
	case q.Type == dnsmessage.TypePTR && s.names[name] != nil:
		for _, n := range s.names[name] {
			add(&dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(n)})
		}
	case q.Type == dnsmessage.TypeNS && name == ".":
		add(&dnsmessage.NSResource{NS: dnsmessage.MustNewName("a.root-servers.net.")})
	default:
		reply.RCode = dnsmessage.RCodeNameError
	}
	b, err := reply.Pack()
	if err != nil {
		s.Error(err)
		return nil
	}
	if len(b) > most {
		reply.Answers, reply.Truncated = nil, true
		b, _ = reply.Pack()
	}
	return b
}

// world is a migrated database with one traceroute and one ping, and a name server.
type world struct {
	*testing.T
	dsn  string
	pool *pgxpool.Pool
	dns  *nameServer
	born time.Time // runs are due before it, a millisecond apart
	runs int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldOn(t, pgtest.DSN(t))
}

func worldOn(t *testing.T, dsn string) *world {
	t.Helper()
	w := &world{T: t, dsn: dsn, dns: newNameServer(t), born: time.Now()}
	var err error
	if w.pool, err = pgxpool.New(t.Context(), w.dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.pool.Close)
	w.exec(`UPDATE settings SET value = '1000' WHERE name = 'lookups_per_second'`)
	w.exec(`UPDATE settings SET value = CASE name WHEN 'as_zone' THEN 'origin.test' WHEN 'as_zone6' THEN 'origin6.test' ELSE 'as.test' END WHERE name IN ('as_zone', 'as_zone6', 'as_names_zone')`)
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	if _, err := w.pool.Exec(w.Context(), sql, args...); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

func (w *world) text(sql string, args ...any) string {
	w.Helper()
	var v string
	if err := w.pool.QueryRow(w.Context(), sql, args...).Scan(&v); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	return v
}

// traced stores a run of traceroute, three probes a hop, that met these addresses; "-" is a silent hop.
func (w *world) traced(target string, hops ...string) {
	w.Helper()
	w.runs++
	list := strings.ReplaceAll(strings.Join(hops, ","), "-", "NULL")
	w.exec(`INSERT INTO routedata (toolspec_id, due_at, outcome, address, hops, hop_addresses, reached)
		SELECT 1, $4::timestamptz - $1 * interval '1 ms', 'ok', $2::text::inet, $3::text::inet[], (SELECT array_agg(ARRAY[h, h, NULL] ORDER BY n) FROM unnest($3::text::inet[]) WITH ORDINALITY AS x (h, n)), true`,
		w.runs, target, "{"+list+"}", w.born)
}

// start runs an annotator until stop, or the end of the test.
func (w *world) start() (a *annotator.Annotator, stop func()) {
	w.Helper()
	pool, err := pgxpool.New(w.Context(), w.dsn)
	if err != nil {
		w.Fatal(err)
	}
	a = &annotator.Annotator{Store: store.New(pool), Log: slog.New(slog.NewTextHandler(w.Output(), nil)), Every: 10 * time.Millisecond, Dial: w.dns.dial, AskTime: 2 * time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
		pool.Close()
	})
	w.Cleanup(stop)
	return a, stop
}

// until waits until a question to the database has this answer.
func (w *world) until(want, sql string, args ...any) {
	w.Helper()
	got := ""
	w.eventually(func() bool { got = w.text(sql, args...); return got == want }, func() string { return sql + "\nis " + got + "\nnot " + want })
}

func (w *world) eventually(holds func() bool, otherwise func() string) {
	w.Helper()
	for began := time.Now(); !holds(); <-time.After(5 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			w.Fatal(otherwise())
		}
	}
}

// known is "AS prefix source name" of an address, "-" for what is NULL.
const known = `SELECT coalesce((SELECT format('%s %s %s %s', coalesce(asn::text, '-'), coalesce(prefix::text, '-'), coalesce(asn_source, '-'), coalesce(name, '-')) FROM asn WHERE address = $1::text::inet AND (asn_at IS NOT NULL OR name_at IS NOT NULL OR next_at = 'infinity')), 'not yet')`
