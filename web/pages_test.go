package web

import (
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sonde/internal/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

// logTo writes the site's log into the test's.
func logTo(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// get asks the site and gives status and body.
func get(t testing.TB, h http.Handler, target string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
	return w.Code, w.Body.String()
}

// golden compares with a file of testdata, which -update writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./web -update writes it)", err)
	}
	if got != string(want) {
		a, b := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Errorf("%s differs in line %d:\n got %.600s\nwant %.600s", name, i+1, a[i], b[i])
				return
			}
		}
		t.Errorf("%s has %d lines, want %d", name, len(a), len(b))
	}
}

func TestPagesAreAsTheyWere(t *testing.T) {
	pages, _ := seeded(t)
	asTheyWere(t, pages, map[string]string{
		"overview.html": "/", "node.html": "/node/cern?range=3h", "node_silent.html": "/node/desy?range=3h", "routes.html": "/routes/10",
		"alerts.html": "/alerts", "alert.html": "/alert/1", "alert_route.html": "/alert/5", "daemons.html": "/daemons", "mediums.html": "/mediums",
		"chart.svg": "/chart/1.svg?from=2026-03-29T09:30:00Z&until=2026-03-29T11:30:00Z", "chart.csv": "/chart/1.csv?from=2026-03-29T09:30:00Z&until=2026-03-29T11:30:00Z",
		"chart.json": "/chart/1.json?from=2026-03-29T09:30:00Z&until=2026-03-29T10:00:00Z",
	})
}

func TestPagesOfRoutesAreAsTheyWere(t *testing.T) {
	pages, _ := seededRoutes(t)
	asTheyWere(t, pages, map[string]string{
		"grid.html": "/routes?day=2026-03-29", "grid.csv": "/routes.csv?day=2026-03-29&node=desy", "grid.json": "/routes.json?day=2026-03-29&monhost=paris&node=cern",
		"routes_changes.html": "/routes/12", "routes_run.html": "/routes/13?run=2026-03-29T09:10:00Z", "hop.html": "/hop/62.40.98.77",
		"topology.html": "/topology", "topology.svg": "/topology.svg?range=1d", "topology.json": "/topology.json", "topology.csv": "/topology.csv?node=cern",
	})
}

func asTheyWere(t *testing.T, pages *store.Pages, all map[string]string) {
	h := New(pages, "0.1.0", logTo(t)).Handler()
	for name, target := range all {
		status, body := get(t, h, target)
		if status != http.StatusOK {
			t.Errorf("%s: status %d\n%.200s", target, status, body)
			continue
		}
		golden(t, name, body)
	}
}
