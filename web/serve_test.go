package web

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sonde/internal/store"
)

// reports keeps what was reported.
type reports chan string

func (r reports) Report(doing string, _ time.Duration) {
	select {
	case r <- doing:
	default:
	}
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func TestServerProvesProgressByItsOwnPageAndStopsInOrder(t *testing.T) {
	pages, _ := seeded(t)
	ln := listener(t)
	stopping, stop := context.WithCancel(t.Context())
	said, ended := make(reports, 10), make(chan error, 1)
	go func() { ended <- New(pages, "0.1.0", logTo(t)).Serve(stopping, t.Context(), ln, said) }()
	if got := <-said; got != "serving pages" {
		t.Errorf("reported %q", got)
	}
	resp, err := http.Get("http://" + ln.Addr().String() + "/-/ready")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != "ready\n" {
		t.Errorf("ready says %q", body)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("it still listens")
	}
}

func TestDatabaseAwayIsProgressOfTheServer(t *testing.T) {
	pages, err := store.OpenPages("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	ln := listener(t)
	stopping, stop := context.WithCancel(t.Context())
	said, ended := make(reports, 10), make(chan error, 1)
	go func() { ended <- New(pages, "0.1.0", logTo(t)).Serve(stopping, t.Context(), ln, said) }()
	if got := <-said; got != "serving pages, waiting for the database" {
		t.Errorf("reported %q", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// deaf swallows every answer: the process lives, its readers get nothing.
type deaf struct {
	net.Listener
	asked chan struct{}
}

func (d deaf) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return mute{conn, sync.OnceFunc(func() { close(d.asked) })}, nil
}

type mute struct {
	net.Conn
	asked func()
}

func (m mute) Write(b []byte) (int, error) {
	m.asked()
	return len(b), nil
}

func TestServerThatAnswersNobodyReportsNoProgress(t *testing.T) {
	pages, _ := seeded(t)
	ln := listener(t)
	stopping, stop := context.WithCancel(t.Context())
	ended, said := make(chan error, 1), make(reports, 10)
	asked := make(chan struct{})
	go func() { ended <- New(pages, "0.1.0", logTo(t)).Serve(stopping, stopping, deaf{ln, asked}, said) }()
	<-asked // its own question has come in, and gets no answer
	stop()
	for {
		select {
		case got := <-said:
			if got != "stopping" {
				t.Errorf("reported %q", got)
			}
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
			return
		}
	}
}

func TestListenersOnEveryAddressAreReachedThroughLoopback(t *testing.T) {
	for addr, want := range map[string]string{"0.0.0.0:80": "127.0.0.1:80", "[::]:80": "localhost:80", "192.0.2.1:80": "192.0.2.1:80", "[2001:db8::1]:80": "[2001:db8::1]:80"} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(tcp); got != want {
			t.Errorf("%s is reached at %s, want %s", addr, got, want)
		}
	}
}

func TestTooLongHeadersAreRefused(t *testing.T) {
	pages, _ := seeded(t)
	ln := listener(t)
	stopping, stop := context.WithCancel(t.Context())
	defer stop()
	said, ended := make(reports, 10), make(chan error, 1)
	go func() { ended <- New(pages, "0.1.0", logTo(t)).Serve(stopping, t.Context(), ln, said) }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ln.Addr().String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
