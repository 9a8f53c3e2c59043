package web

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"sonde/internal/store"
)

// A page of somebody else whose name resolves to us must not read ours.
func TestPagesAreServedUnderOurNamesOnly(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	s := New(nil, "0.1.0", logTo(t))
	s.Names = []string{"Sonde.example.net"}
	always := []string{"127.0.0.1:8080", "127.0.0.1", "127.8.8.8:80", "[::1]:8080", "[::1]", "localhost:8080", "LOCALHOST.", "pi.localhost",
		"192.0.2.7:8080", "[2001:db8::7]:8080", "sonde.example.net", "sonde.example.net:443", "SONDE.EXAMPLE.NET."}
	never := []string{"", ":8080", "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "1.2.3", "[evil.example]:8080",
		"sonde.example.net.evil.example", "pi.local.evil.example", "<b>x.y</b>"}
	beyond := []string{"web:8080", "pi.local:8080", "pi.home.arpa", "pi.lan", own, own + ":8080"} // where others can connect
	for _, listen := range []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.IPv4zero, net.IPv6zero, net.IPv4(192, 0, 2, 7)} {
		h := s.onlyUs(&net.TCPAddr{IP: listen, Port: 8080}, s.Handler())
		try := func(host string, served bool) {
			t.Helper()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/-/healthy", nil)
			r.Host = host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if served != (w.Code == http.StatusOK) || !served && (w.Code != http.StatusMisdirectedRequest || !strings.Contains(w.Body.String(), "add it to hosts in sonde.toml") || strings.Contains(w.Body.String(), "<b>x")) {
				t.Errorf("listening on %s, Host: %s: %d %s", listen, host, w.Code, w.Body)
			}
		}
		for _, host := range always {
			try(host, true)
		}
		for _, host := range never {
			try(host, false)
		}
		for _, host := range beyond {
			try(host, !listen.IsLoopback())
		}
	}
}

func TestServerRefusesAForeignNameAndStillProvesItsProgress(t *testing.T) {
	pages, err := store.OpenPages("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	ln, said := listener(t), make(reports, 10)
	go New(pages, "0.1.0", logTo(t)).Serve(t.Context(), t.Context(), ln, said)
	if got := <-said; got != "serving pages, waiting for the database" {
		t.Errorf("reported %q", got)
	}
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /-/healthy HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
	if status, err := bufio.NewReader(conn).ReadString('\n'); err != nil || status != "HTTP/1.1 421 Misdirected Request\r\n" {
		t.Errorf("%q, %v", status, err)
	}
}
