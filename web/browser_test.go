package web

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sonde/internal/measure"
	"sonde/web/topology"
)

var shots = flag.String("shots", "", "keep the screenshots in this folder")

// chromium runs the browser once and gives what it printed.
func chromium(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("no chromium: run `make test`, or apt-get install chromium: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--enable-logging=stderr", "--user-data-dir=" + t.TempDir()}, args...)...)
	// Its helpers outlive it for a moment; they must not write into the folder that is being removed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err = cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // none left is the usual case
	}
	if err != nil {
		t.Fatalf("chromium %v: %v\n%s", args, err, log.String())
	}
	return out.String(), log.String()
}

var complaint = regexp.MustCompile(`(?i)CONSOLE.*|Refused to .*|violates .*`)

// shown takes a picture of a page and fails when the browser complains of it.
func shown(t *testing.T, url, name string, width, height int, more ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+".png")
	_, log := chromium(t, append(more, fmt.Sprintf("--window-size=%d,%d", width, height), "--screenshot="+file, url)...)
	if c := complaint.FindString(log); c != "" {
		t.Errorf("%s: the browser complains: %s", name, c)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	colours := map[[4]uint32]bool{}
	for y := 0; y < img.Bounds().Dy(); y += 3 {
		for x := 0; x < img.Bounds().Dx(); x += 3 {
			r, g, b, a := img.At(x, y).RGBA()
			colours[[4]uint32{r, g, b, a}] = true
		}
	}
	if img.Bounds().Dx() != width || len(colours) < 10 {
		t.Errorf("%s: %v, %d colours: the picture is empty", name, img.Bounds(), len(colours))
	}
	if *shots != "" {
		if err := os.WriteFile(filepath.Join(*shots, name+".png"), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var browsed = []struct{ name, target string }{
	{"overview", "/"}, {"node", "/node/cern?range=3h"}, {"node30h", "/node/cern"}, {"routes", "/routes/10"}, {"alerts", "/alerts"},
	{"grid", "/routes"}, {"routes_changes", "/routes/12"}, {"routes_run", "/routes/13?run=2026-03-29T09:10:00Z"}, {"routes_compare", "/routes/12?a=1&b=2"},
	{"hop", "/hop/62.40.98.77"}, {"hop_target", "/hop/203.0.113.7"}, {"topology", "/topology"}, {"topology_1d", "/topology?range=1d&monhost=lab"},
	{"alert", "/alert/1"}, {"alert_loss", "/alert/2"}, {"alert_route", "/alert/5"}, {"daemons", "/daemons"}, {"mediums", "/mediums"},
}

func TestBrowserShowsThePagesWithoutComplaint(t *testing.T) {
	pages, _ := seededRoutes(t)
	server := httptest.NewServer(New(pages, "0.1.0", logTo(t)).Handler())
	defer server.Close()
	for _, p := range browsed {
		if *shots == "" && p.name != "overview" && p.name != "node" && p.name != "alert" && p.name != "grid" && p.name != "topology" {
			continue // the machine is small; the rest is for the eye
		}
		shown(t, server.URL+p.target, p.name+"_desktop", 1280, 1800)
		// A headless window is no narrower than 500 px unless its screen is.
		shown(t, server.URL+p.target, p.name+"_phone", 500, 2400)
	}
	shown(t, server.URL+"/node/cern?range=3h", "node_dark", 1280, 1800, "--blink-settings=preferredColorScheme=0")
	shown(t, server.URL+"/", "overview_dark", 1280, 1200, "--blink-settings=preferredColorScheme=0")
	shown(t, server.URL+"/routes", "grid_dark", 1280, 1200, "--blink-settings=preferredColorScheme=0")
	shown(t, server.URL+"/topology", "topology_dark", 1280, 800, "--blink-settings=preferredColorScheme=0")
	shown(t, server.URL+"/topology.svg", "topology_alone", 1500, 500)
	shown(t, server.URL+"/chart/1.svg?from=2026-03-29T09:00:00Z&until=2026-03-29T12:00:00Z", "chart_alone", 900, 320)
}

// The page is put into a frame as wide as a phone, by a page of the test's own
// that measures what sticks out; scripts and frames are what our policy forbids.
func TestPagesFitAPhone(t *testing.T) {
	pages, _ := seededRoutes(t)
	site := New(pages, "0.1.0", logTo(t)).Handler()
	var framing strings.Builder
	for i, p := range browsed {
		fmt.Fprintf(&framing, `<iframe id="f%d" width="360" height="640" src="%s"></iframe>`, i, p.target)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /test-frame", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<!DOCTYPE html><title>frame</title><body>%s<script>onload=function(){for(const f of document.querySelectorAll("iframe")){
			f.setAttribute("data-wide", f.contentDocument.documentElement.scrollWidth)}}</script>`, framing.String())
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		site.ServeHTTP(rec, r)
		w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	dom, log := chromium(t, "--window-size=1280,900", "--virtual-time-budget=10000", "--dump-dom", server.URL+"/test-frame")
	found := regexp.MustCompile(`id="f(\d+)"[^>]*data-wide="(\d+)"`).FindAllStringSubmatch(dom, -1)
	if len(found) != len(browsed) {
		t.Fatalf("%d pages measured of %d:\n%.2000s\n%.2000s", len(found), len(browsed), dom, log)
	}
	for _, m := range found {
		i, _ := strconv.Atoi(m[1])
		if wide, _ := strconv.Atoi(m[2]); wide > 360 {
			t.Errorf("%s is %d px wide on a phone of 360", browsed[i].name, wide)
		}
	}
}

func TestNamesStayInTheBoxesOfTheTopology(t *testing.T) {
	names := []string{"WWWWWWWWWWWWWWWWWWWW", "MMMMMMMMMMMMMMM", "東京東京東京東京東京東京東京東京", "BACKBONE-ROUTER-FRANKFURT", "iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii",
		"gw-1.core.example.net", "🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊", "пограничный-маршрутизатор", "@@@@@@@@@@@@@@@", "cern"}
	var paths []topology.Path
	for i, name := range names {
		hop := measure.Hop{Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), AS: 65000, ASName: "MEGAWORLD-MMMMMMMM"}
		paths = append(paths, topology.Path{Pair: int64(i), Source: name, Target: name, Address: hop.Address, Flows: [][]measure.Hop{{hop}}, Reached: true})
	}
	file := filepath.Join(t.TempDir(), "topology.html")
	page := `<!DOCTYPE html><meta charset="utf-8"><style>` + topology.Style + `</style>` + string(topology.Lay(topology.Merge(paths)).SVG(topology.Links{})) + `<script>
		for (const t of document.querySelectorAll("svg text")) {
			const box = t.parentNode.querySelector("rect").getBBox(), text = t.getBBox()
			t.setAttribute("data-out", Math.round(Math.max(box.x-text.x, text.x+text.width-box.x-box.width)))
		}</script>`
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	dom, _ := chromium(t, "--dump-dom", "file://"+file)
	texts := regexp.MustCompile(`data-out="(-?\d+)">([^<]*)<`).FindAllStringSubmatch(dom, -1)
	if len(texts) < 3*len(names) {
		t.Fatalf("%d texts in %s", len(texts), dom)
	}
	for _, text := range texts {
		if out, _ := strconv.Atoi(text[1]); out > -2 {
			t.Errorf("%q sticks %d px out of its box", text[2], out)
		}
	}
	for _, name := range append(names, "MEGAWORLD-MMMMMMMM") {
		if !regexp.MustCompile(`<title>[^<]*` + regexp.QuoteMeta(name)).MatchString(dom) {
			t.Errorf("%s is in no tooltip", name)
		}
	}
	if *shots != "" {
		shown(t, "file://"+file, "topology_wide", 700, 600)
	}
}

func TestHostileNamesStayTextInTheBrowser(t *testing.T) {
	pages, _ := seededRoutes(t)
	server := httptest.NewServer(New(pages, "0.1.0", logTo(t)).Handler())
	defer server.Close()
	for _, target := range []string{"/", "/routes", "/topology", "/hop/203.0.113.66"} {
		dom, log := chromium(t, "--dump-dom", server.URL+target)
		if strings.Contains(dom, "<script") || strings.Contains(dom, "<b>site") || strings.Contains(dom, "<b>AS") {
			t.Errorf("%s: a name became an element", target)
		}
		if !strings.Contains(dom, "&lt;script&gt;alert(") {
			t.Errorf("%s: the name is not shown:\n%.500s", target, dom)
		}
		if c := complaint.FindString(log); c != "" {
			t.Error(c)
		}
	}
}
