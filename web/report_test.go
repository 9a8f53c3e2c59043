package web

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var references = regexp.MustCompile(`(?:href|src)="([^"]*)"`)

// reportIn writes a report and gives its files.
func reportIn(t *testing.T, dir string, o ReportOptions) map[string]string {
	t.Helper()
	pages, _ := seededRoutes(t)
	o.Dir, o.Version = dir, "0.1.0"
	done, err := Report(t.Context(), pages, o)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	html := 0
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(raw)
		if strings.HasSuffix(name, ".html") {
			html++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if html != done.Pages {
		t.Errorf("%d pages there, %d written", html, done.Pages)
	}
	return files
}

func TestEveryLinkOfAReportLeadsToAFileOfIt(t *testing.T) {
	for _, node := range []string{"", "cern"} {
		files := reportIn(t, t.TempDir(), ReportOptions{Node: node})
		for name, text := range files {
			if strings.HasPrefix(filepath.Base(name), ".") {
				t.Errorf("a temporary file stayed: %s", name)
			}
			if !strings.HasSuffix(name, ".html") {
				continue
			}
			if strings.Contains(text, "<form") || strings.Contains(text, "http-equiv") || !strings.Contains(text, "This is a file of a report.") {
				t.Errorf("%s looks like a live page", name)
			}
			for _, m := range references.FindAllStringSubmatch(text, -1) {
				u, err := url.Parse(m[1])
				if err != nil || u.Scheme == "data" {
					continue
				}
				if u.Scheme != "" || u.Host != "" || strings.HasPrefix(u.Path, "/") || u.RawQuery != "" {
					t.Errorf("%s: %s does not work from file://", name, m[1])
					continue
				}
				target := name
				if u.Path != "" {
					target = filepath.ToSlash(filepath.Join(filepath.Dir(name), u.Path))
				}
				if files[target] == "" || u.Fragment != "" && !strings.Contains(files[target], `id="`+u.Fragment+`"`) {
					t.Errorf("%s: %s leads nowhere", name, m[1])
				}
			}
		}
		for _, want := range []string{"index.html", "node/cern.html", "node/cern-3h.html", "routes/10.html", "alerts.html", "alert/5.html", "daemons.html", "mediums.html", "style.css", "chart/1-30h.svg", "chart/1-400d.csv", "chart/1-3h.json",
			"grid/2026-03-29.html", "grid/2026-03-23.html", "grid/2026-03-29.csv", "grid/2026-03-29.json", "topology.html", "topology.svg", "topology.json", "topology.csv", "hop/203.0.113.7.html", "hop/203.0.113.7.csv"} {
			if files[want] == "" {
				t.Errorf("node %q: %s is missing", node, want)
			}
		}
		if _, there := files["node/desy.html"]; there != (node == "") {
			t.Errorf("node %q: desy %v", node, there)
		}
	}
}

func TestReportIsTheSameAgainAndLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	first := reportIn(t, dir, ReportOptions{Node: "cern"})
	second := reportIn(t, dir, ReportOptions{Node: "cern"})
	if len(first) != len(second) {
		t.Errorf("%d files, then %d", len(first), len(second))
	}
	for name := range first {
		if first[name] != second[name] {
			t.Errorf("%s differs though nothing changed", name)
		}
	}
}

func TestReportOfAnUnknownNodeIsAnError(t *testing.T) {
	pages, _ := seeded(t)
	if _, err := Report(t.Context(), pages, ReportOptions{Dir: t.TempDir(), Node: "nobody"}); !isNone(err) {
		t.Error(err)
	}
}

// A reader that opens pages all the while must never see half of one.
func TestReaderNeverSeesHalfAPage(t *testing.T) {
	pages, _ := seeded(t)
	dir := t.TempDir()
	stop, read := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { read <- n }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			found, _ := filepath.Glob(filepath.Join(dir, "*", "*.html"))
			for _, f := range found {
				raw, err := os.ReadFile(f)
				if n++; err == nil && !strings.HasSuffix(strings.TrimSpace(string(raw)), "</html>") {
					t.Errorf("%s has no end (%d bytes)", f, len(raw))
				}
			}
		}
	}()
	for range 3 {
		if _, err := Report(t.Context(), pages, ReportOptions{Dir: dir, Node: "cern"}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if n := <-read; n == 0 {
		t.Error("nothing was read meanwhile")
	}
}

func TestNamesOfNodesBecomeSafeFileNames(t *testing.T) {
	safe := regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$`)
	seen := map[string]string{}
	for _, name := range []string{"cern", "CERN", "Cern", "a/b", "a_b", "../../etc/passwd", "..", ".", ".hidden", "con", "nul.txt", "a b", "", hostile, strings.Repeat("ä", 100), strings.Repeat("x", 100),
		"cern-3h", "a\x00b", "…"} {
		got := safeName(name)
		if other, there := seen[strings.ToLower(got)]; there {
			t.Errorf("%q and %q are both %q", name, other, got)
		}
		seen[strings.ToLower(got)] = name
		if !safe.MatchString(got) || reserved[strings.SplitN(strings.ToLower(got), ".", 2)[0]] {
			t.Errorf("%q becomes %q", name, got)
		}
	}
	if safeName("cern") != "cern" || safeName("www.cern.ch") != "www.cern.ch" {
		t.Error("a good name does not stay")
	}
}

func FuzzFileNamesStayInTheirFolder(f *testing.F) {
	for _, s := range []string{"cern", "../x", "a\\b", "\xff", "CON.txt"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := safeName(name)
		if got == "" || strings.ContainsAny(got, "/\\:\x00 ") || strings.HasPrefix(got, ".") || len(got) > 80 {
			t.Fatalf("%q becomes %q", name, got)
		}
	})
}
