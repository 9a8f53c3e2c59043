package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sonde/internal/daemon"
	"sonde/internal/pgtest"
)

func TestReportWritesPagesThatBeginAtTheIndex(t *testing.T) {
	dsn, out := pgtest.DSN(t), filepath.Join(t.TempDir(), "deep", "report")
	if err := runReport(t.Context(), []string{"--data", t.TempDir(), "--database", dsn, "--out", out}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(out, "index.html"))
	if err != nil || !strings.Contains(string(raw), "There is no node yet.") {
		t.Errorf("%v %.300s", err, raw)
	}
}

func TestWrongUseOfReportSaysWhatIsMissing(t *testing.T) {
	if err := runReport(t.Context(), nil); !errors.Is(err, errUsage) || !strings.Contains(err.Error(), "--out DIR is needed") {
		t.Error(err)
	}
	err := runReport(t.Context(), []string{"--data", t.TempDir(), "--database", pgtest.DSN(t), "--out", t.TempDir(), "--node", "nobody"})
	if err == nil || err.Error() != `there is no node "nobody"` {
		t.Error(err)
	}
}

func TestWebServesFromItsFirstReportToItsStop(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	state, dsn := t.TempDir(), pgtest.DSN(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- runWeb(ctx, []string{"--data", state, "--database", dsn, "--listen", addr, "--hosts", "sonde.example.net"})
	}()
	for {
		k, err := daemon.ReadKeepalive(daemon.KeepaliveFile(state, "web"))
		if err == nil && k.Doing == "serving pages" {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("ended early: %v", err)
		default:
		}
	}
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{reachable(addr): 200, own: 200, "sonde.example.net": 200, "evil.example": 421} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+reachable(addr)+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("asked as %s: status %d, want %d", host, resp.StatusCode, want)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
